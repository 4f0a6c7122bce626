"""The terminal: results to stdout, everything else to stderr; JSON writers.

What not every command needs is imported where it is: `cnnkit --help` is to be quick.
"""

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole

if TYPE_CHECKING:
    from rich.progress import Progress


class Console:
    """Where a command writes.

    Args:
        quiet: only results and errors.
        verbose: details too.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False):
        self.quiet = quiet
        self.verbose = verbose
        # Without emoji: a file may be called "a:cat:.jpg".
        self._out = RichConsole(highlight=False, soft_wrap=True, emoji=False)
        self._err = RichConsole(stderr=True, highlight=False, soft_wrap=True, emoji=False)

    @property
    def is_live(self) -> bool:
        """Whether a progress bar makes sense: a terminal, and not asked to be quiet."""
        return self._err.is_terminal and not self.quiet

    def result(self, text: str) -> None:
        """One line of the result, on stdout."""
        self._out.print(text, markup=False)

    def table(self, table: Any) -> None:
        """A Rich renderable that is the result, on stdout."""
        self._out.print(table)

    def json(self, value: Any) -> None:
        """One JSON document on stdout."""
        sys.stdout.write(_to_json(value, indent=2) + "\n")

    def json_lines(self, values: Iterable[Any]) -> None:
        """One JSON object a line on stdout, each written at once."""
        for value in values:
            sys.stdout.write(_to_json(value) + "\n")
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """A line about what is being done; silent with --quiet."""
        if not self.quiet:
            self._err.print(text, markup=False)

    def detail(self, text: str) -> None:
        """A line only for --verbose."""
        if self.verbose:
            self._err.print(text, markup=False, style="dim")

    def warning(self, text: str) -> None:
        """A line about something that the user would want to know."""
        if not self.quiet:
            self._err.print(f"warning: {text}", markup=False, style="yellow")

    def error(self, text: str) -> None:
        """One line about what went wrong; never silenced."""
        one_line = " ".join(text.splitlines())
        self._err.print(f"error: {one_line}", markup=False, style="red")

    def progress(self) -> "Progress":
        """A progress bar on stderr that vanishes when done; the caller adds tasks."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        return Progress(
            # Names of files are cut so that all fits into 80 columns.
            TextColumn(
                "{task.description}",
                style="bold",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", max_width=16),
            ),
            BarColumn(bar_width=10),
            TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True)),
            TextColumn(
                "{task.fields[status]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis"),
            ),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            console=self._err,
            transient=True,
            disable=not self.is_live,
        )


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
