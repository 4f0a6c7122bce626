"""The terminal: results to stdout, everything else to stderr; JSON writers.

What not every command needs is imported where it is: `cnnkit --help` is to be quick.
"""

import contextlib
import json
import math
import os
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console as RichConsole

from cnnkit.errors import OutputError

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table


# Seconds after which a line says what takes so long.
_MOMENT = 0.3
# Columns that a table is measured on, and those that lines are wrapped to at least.
_WIDEST, _NARROWEST = 10_000, 20
# Blanks between two columns.
_BETWEEN = 2
# Of eight heights, the lowest first.
BLOCKS = "▁▂▃▄▅▆▇█"


class _Terminal(RichConsole):
    """Rich's console, which leaves it to its caller what a broken pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Console:
    """Where a command writes.

    A stdout that takes nothing, such as one on a full disk, is an `OutputError`; of a stderr that
    takes nothing nobody can be told, and the work goes on.

    Args:
        quiet: only results and errors.
        verbose: details too.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False):
        self.quiet = quiet
        self.verbose = verbose
        # Without emoji: a file may be called "a:cat:.jpg".
        self._out = _Terminal(highlight=False, soft_wrap=True, emoji=False)
        self._err = _Terminal(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        self._bar: Progress | None = None
        # What JSON says that computed, where something did.
        self.engine: Callable[[], str] | None = None

    @property
    def is_live(self) -> bool:
        """Whether a progress bar makes sense: a terminal, and not asked to be quiet."""
        return self._err.is_terminal and not self.quiet

    def result(self, text: str) -> None:
        """One line of the result, on stdout."""
        with self._writing():
            self._out.print(text, markup=False)

    def table(self, table: "Table") -> None:
        """A table that is the result, on stdout.

        No word of it is broken and no column left out. In a terminal that is too narrow each row
        becomes a few lines; elsewhere the lines are as long as they must be.
        """
        with self._writing():
            is_narrow = not self._fit(table)
            if is_narrow and self._out.is_terminal:
                self._rows(table)
                return
            wide = _Terminal(highlight=False, emoji=False, markup=False, width=_WIDEST)
            wide.print(table, crop=False, soft_wrap=True)

    def _fit(self, table: "Table") -> bool:
        """Gives each column its longest word, and shares out what else a line has room for.

        Returns:
            Whether all columns fit into a line.
        """
        least, wanted = [], []
        for column in table.columns:
            cells = [str(column.header), *map(str, column.cells)]
            words = cells if column.no_wrap else " ".join(cells).split()
            least.append(max(map(cell_len, words), default=1))
            wanted.append(max(map(cell_len, cells)))
        left = self._out.width - sum(least) - _BETWEEN * len(least)
        needs = sorted(range(len(least)), key=lambda at: wanted[at] - least[at])
        for count, at in enumerate(needs):
            share = min(wanted[at] - least[at], max(left, 0) // (len(needs) - count))
            table.columns[at].width = least[at] + share
            left -= share
        return left >= 0

    def _rows(self, table: "Table") -> None:
        """The first cell of each row, and the others below with what they are."""
        headings = [str(column.header) for column in table.columns]
        for row in zip(*(column.cells for column in table.columns), strict=True):
            self._out.print(str(row[0]), markup=False, style="bold")
            for heading, cell in zip(headings[1:], row[1:], strict=True):
                if str(cell):
                    wrapped = textwrap.fill(
                        f"{heading}: {cell}",
                        max(self._out.width, _NARROWEST),
                        initial_indent="  ",
                        subsequent_indent="    ",
                        break_long_words=False,
                        break_on_hyphens=False,
                    )
                    self._out.print(wrapped, markup=False)

    def json(self, value: Any) -> None:
        """One JSON document on stdout."""
        with self._writing():
            sys.stdout.write(_to_json(self._with_engine(value), indent=2) + "\n")

    def json_lines(self, values: Iterable[Any]) -> None:
        """One JSON object a line on stdout, each written at once."""
        for value in values:
            with self._writing():
                sys.stdout.write(_to_json(self._with_engine(value)) + "\n")
                sys.stdout.flush()

    def _with_engine(self, value: Any) -> Any:
        """What JSON says, and the engine that computed it where there was one."""
        if self.engine is None:
            return value
        if isinstance(value, list | tuple):
            return [self._with_engine(one) for one in value]
        plain = value.to_json() if hasattr(value, "to_json") else value
        return {**plain, "engine": self.engine()} if isinstance(plain, dict) else value

    def binary(self, content: bytes) -> None:
        """A file on stdout."""
        with self._writing():
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()

    def note(self, text: str) -> None:
        """A line about what is being done; silent with --quiet."""
        if not self.quiet:
            self._say(text)

    def detail(self, text: str) -> None:
        """A line only for --verbose."""
        if self.verbose:
            self._say(text, "dim")

    def warning(self, text: str) -> None:
        """A line about something that the user would want to know."""
        if not self.quiet:
            self._say(f"warning: {text}", "yellow")

    def error(self, text: str) -> None:
        """One line about what went wrong; never silenced."""
        self._say(f"error: {' '.join(text.splitlines())}", "red")

    def _say(self, text: str, style: str | None = None) -> None:
        _end_working()
        # A closed or full stderr must not end the work, nor hide the exit code.
        with contextlib.suppress(OSError, ValueError):
            self._err.print(text, markup=False, style=style)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """While results are written: no bar is in their way, and errors are stdout's own."""
        _end_working()
        bar = self._bar
        # On one terminal, the bar would stand before the first result.
        is_hidden = bar is not None and bar.live.is_started and self._out.is_terminal
        if is_hidden:
            bar.stop()
        try:
            with reporting_stdout():
                yield
        finally:
            if is_hidden:
                bar.start()

    def working(self, text: str) -> None:
        """A line on stderr about what takes a while, until something else is printed there or done.

        It appears after a third of a second, and only where somebody looks on.
        """
        _end_working()
        if self.is_live:
            _working.append(_Working(self._err, text))

    @property
    def has_blocks(self) -> bool:
        """Whether the terminal can show the block elements of Unicode."""
        try:
            BLOCKS.encode(self._err.encoding)
        except (LookupError, UnicodeEncodeError):
            return False
        return True

    def progress(self, lines: Callable[[], Iterable[str]] = tuple) -> "Progress":
        """A progress bar on stderr that vanishes when done; the caller adds tasks.

        It fills the terminal's width, says how many of how many are done and how long the rest
        takes, and shows the task's `status`. A task that is added with `counted=False` is not
        counted, one that is given `seconds_left` knows better than its past how long it takes. The
        bar makes room for each result and comes back behind it.

        Args:
            lines: that are shown below the bars; asked for each time these are drawn.
        """
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.table import Column
        from rich.text import Text

        class Count(ProgressColumn):
            max_refresh = 0.5

            def render(self, task: Task) -> Text:
                """See `rich.progress.ProgressColumn`."""
                left = task.fields.get("seconds_left", task.time_remaining)
                parts = []
                if task.fields.get("counted", True) and task.total is not None:
                    parts.append(f"{task.completed:,.0f} of {task.total:,.0f}")
                if left:
                    parts.append(f"{duration(left)} left")
                return Text(" · ".join(parts))

        class Bars(Progress):
            def get_renderables(self) -> Iterator[Any]:
                """See `rich.progress.Progress`."""
                yield from super().get_renderables()
                for line in lines():
                    yield Text(line, no_wrap=True, overflow="ellipsis")

        _end_working()
        self._bar = Bars(
            # Names of files are cut so that all fits into 60 columns.
            TextColumn(
                "{task.description}",
                style="bold",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", max_width=16),
            ),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
            TextColumn(
                "{task.fields[status]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", max_width=36),
            ),
            Count(table_column=Column(no_wrap=True)),
            console=self._err,
            transient=True,
            disable=not self.is_live,
            expand=True,
            # Rich would send to stderr what is written to stdout meanwhile.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        return self._bar


def duration(seconds: float) -> str:
    """A time as one would say it.

    >>> duration(8.2), duration(95), duration(4000)
    ('9 s', '2 min', '1.1 h')
    """
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last values as a row of blocks, the largest as the highest.

    >>> sparkline([9.0, 0.0, 1.0, 2.0, 1.0], 4)
    '▁▅█▅'
    """
    shown = [value for value in values if math.isfinite(value)][-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[int((value - low) * scale + 0.5)] for value in shown)


class _Working:
    """A line that appears after a moment; see `Console.working`."""

    def __init__(self, terminal: RichConsole, text: str):
        self._lock = threading.Lock()
        self._status: Any = None
        self._has_ended = False
        self._timer = threading.Timer(_MOMENT, self._start, (terminal, text))
        self._timer.daemon = True
        self._timer.start()

    def _start(self, terminal: RichConsole, text: str) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            if not self._has_ended:
                self._status = terminal.status(text)
                self._status.start()

    def end(self) -> None:
        self._timer.cancel()
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._has_ended = True
            if self._status is not None:
                self._status.stop()


# There is one terminal, whatever number of consoles: at most one line about what takes a while.
_working: list[_Working] = []


def _end_working() -> None:
    while _working:
        _working.pop().end()


@contextlib.contextmanager
def reporting_stdout() -> Iterator[None]:
    """Makes an `OutputError` of what goes wrong while stdout is written to.

    A pipe whose reader went away stays a `BrokenPipeError`.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"stdout cannot be written to: {error.strerror or error}; make room, or send it "
            "elsewhere"
        ) from None


def open_closed_streams() -> None:
    """Gives a process the standard streams that it was started without: they lead nowhere.

    Otherwise the next file that is opened would take the number of a stream, and get what is
    meant for that.
    """
    for descriptor, mode in enumerate("rww"):
        try:
            os.fstat(descriptor)
        except OSError:
            # It gets the lowest number that is free, which is this one.
            os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
        name = ("stdin", "stdout", "stderr")[descriptor]
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def leave_broken_streams() -> None:
    """Keeps Python, at its end, from flushing into streams that take nothing."""
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def _to_json(value: Any, indent: int | None = None) -> str:
    from cnnkit.results import to_plain

    plain = to_plain(value)
    text = json.dumps(plain, ensure_ascii=False, indent=indent, allow_nan=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        # Names of files that are no valid text, or letters that the terminal lacks: as \u escapes.
        return json.dumps(plain, indent=indent, allow_nan=False)
    return text
