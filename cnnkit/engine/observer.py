"""What a long job tells while it goes on, and how the command line shows it."""

import contextlib
import math
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cnnkit.console import Console, sparkline
from cnnkit.errors import CnnkitError, ExitCode
from cnnkit.results import SCHEMA

if TYPE_CHECKING:
    from rich.progress import Progress

# Epochs that a curve in the terminal shows.
_CURVE = 20


def _ignore(*arguments: Any) -> None:
    pass


@dataclass(frozen=True)
class Step:
    """Where a training stands after a step.

    Attributes:
        epoch: that it is in, from 1.
        epochs: that there will be, if nothing ends the training before.
        step: of the epoch that was made, from 1; 0 before the first one, when the engine compiles.
        steps: that an epoch has.
        loss: mean of the epoch so far.
        examples: in a step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    examples: int


@dataclass(frozen=True)
class Observer:
    """Whom a long job tells what; by default nobody.

    Attributes:
        on_note: takes a line that the user should know.
        on_error: takes the reason why a picture was left out.
        on_progress: takes what is being done, how much of it is done, and how much there is.
        on_step: takes where a training stands after each step.
        on_epoch: takes the index of an epoch that is over, and its row of `results.csv`.
    """

    on_note: Callable[[str], None] = _ignore
    on_error: Callable[[CnnkitError], None] = _ignore
    on_progress: Callable[[str, int, int], None] = _ignore
    on_step: Callable[[Step], None] = _ignore
    on_epoch: Callable[[int, dict[str, Any]], None] = _ignore


class TrainingView:
    """What is shown of a training while it goes on.

    Args:
        score: column of `results.csv` that tells good epochs from bad ones, and its name.
        budget: seconds that the training may take; None for any.
        has_blocks: whether curves can be drawn with block elements.
        clock: in seconds.
    """

    def __init__(
        self,
        score: tuple[str, str] = ("", ""),
        budget: float | None = None,
        has_blocks: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._column, self._name = score
        self._budget = math.inf if budget is None else budget
        self._has_blocks, self._clock = has_blocks, clock
        self._losses: list[float] = []
        self._scores: list[tuple[float, int]] = []
        self._step: Step | None = None
        # When the first step was over, in which the engine compiles, and where the training stood.
        self._begin, self._first = 0.0, 0.0
        # The same of the epoch.
        self._epoch_begin, self._epoch_first = 0.0, 0

    def step(self, step: Step) -> None:
        """See `Observer.on_step`."""
        if not step.step:
            return
        now = self._clock()
        if self._step is None:
            self._begin, self._first = now, _epochs_done(step)
        if self._step is None or self._step.epoch != step.epoch:
            self._epoch_begin, self._epoch_first = now, step.step
        self._step = step

    def epoch(self, epoch: int, row: Mapping[str, Any]) -> None:
        """See `Observer.on_epoch`."""
        self._losses.append(float(row["loss"]))
        if self._column in row:
            self._scores.append((float(row[self._column]), epoch + 1))

    @property
    def seconds_left(self) -> float | None:
        """Of the whole training; None where nothing is known yet."""
        if self._step is None:
            return None
        done = _epochs_done(self._step)
        if done <= self._first:
            return None
        spent = self._clock() - self._begin
        left = spent / (done - self._first) * (self._step.epochs - done)
        return max(0.0, min(left, self._budget - spent))

    def status(self, step: Step) -> str:
        """What is done at a step, or how fast."""
        if not step.step:
            return "compiling"
        if step.step == step.steps and self._column:
            return "validating"
        return self._speed

    @property
    def _speed(self) -> str:
        """Examples a second in this epoch."""
        if self._step is None or self._step.step == self._epoch_first:
            return ""
        count = (self._step.step - self._epoch_first) * self._step.examples
        return f"{count / max(self._clock() - self._epoch_begin, 1e-9):,.0f}/s"

    def lines(self) -> list[str]:
        """Loss and score: of now, the best, and of the last epochs."""
        if self._step is None:
            return []
        losses = [*self._losses, self._step.loss]
        loss = f"{losses[-1]:.3f}", f"best {min(losses):.3f}"
        parts: list[tuple[str, str, str, list[float]]] = [("loss", *loss, losses)]
        if self._scores:
            best, epoch = max(self._scores, key=lambda one: one[0])
            now = self._scores[-1][0]
            curve = [score for score, _ in self._scores]
            parts.append((self._name, f"{now:.1%}", f"best {best:.1%} in epoch {epoch}", curve))
        names, values, bests = (max(len(part[at]) for part in parts) for at in range(3))
        lines = []
        for name, value, best_value, curve in parts:
            text = f"{name:{names}}  {value:>{values}}  {best_value:{bests}}"
            drawn = sparkline(curve, _CURVE) if self._has_blocks else ""
            lines.append(f"{text}  {drawn}".rstrip())
        return lines


def _epochs_done(step: Step) -> float:
    return step.epoch - 1 + step.step / step.steps


@contextlib.contextmanager
def showing(
    console: Console,
    epoch_line: Callable[[int, dict[str, Any]], str] | None = None,
    score: tuple[str, str] = ("", ""),
    budget: float | None = None,
) -> Iterator[Observer]:
    """Shows on a console what is observed: lines, and what is being done as bars.

    A training is one view on a terminal, and a line for each epoch elsewhere and with --verbose.

    Args:
        console: where to.
        epoch_line: index and row of an epoch -> a line about it.
        score: column of `results.csv` that tells good epochs from bad ones, and its name.
        budget: seconds that a training may take; None for any.
    """
    view = TrainingView(score, budget, console.has_blocks)
    is_one_view = console.is_live and not console.verbose

    def show_epoch(epoch: int, row: dict[str, Any]) -> None:
        view.epoch(epoch, row)
        if epoch_line is not None and not is_one_view:
            console.note(epoch_line(epoch, row))

    with console.progress(view.lines) as bar:
        show = _bars(bar)
        epoch_bar: list[Any] = []

        def show_step(step: Step) -> None:
            view.step(step)
            if not epoch_bar:
                epoch_bar.append(bar.add_task("", status=""))
            bar.update(
                epoch_bar[0],
                description=f"epoch {step.epoch} of {step.epochs}",
                completed=step.step,
                total=step.steps,
                status=view.status(step),
                seconds_left=view.seconds_left,
            )

        yield Observer(
            console.note, lambda error: console.error(str(error)), show, show_step, show_epoch
        )


@contextlib.contextmanager
def showing_tasks(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Shows what is being done as bars, each as long as it lasts.

    Yields:
        Takes what is being done, how much of it is done, and how much there is.
    """
    with console.progress() as bar:
        yield _bars(bar)


def _bars(bar: "Progress") -> Callable[[str, int, int], None]:
    """See `showing_tasks`."""
    tasks: dict[str, Any] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total, status="")
        bar.update(tasks[what], completed=done, total=total)
        if done >= total:
            bar.remove_task(tasks.pop(what))

    return show


class Trained(Protocol):
    """What a training gave."""

    def to_dict(self) -> dict[str, Any]: ...

    def lines(self) -> list[str]: ...

    def warnings(self) -> list[str]: ...


def show_training(
    console: Console, result: Trained, *, is_json: bool, command: str, folder: Path
) -> int:
    """Prints what a training gave.

    Args:
        console: where to.
        result: what it gave.
        is_json: as one document.
        command: that takes the model, to be tried next.
        folder: of the run.

    Returns:
        The exit code.
    """
    for line in result.warnings():
        console.warning(line)
    if is_json:
        console.json({"schema": SCHEMA, **result.to_dict()})
    else:
        for line in result.lines():
            console.result(line)
        suggest_model(console, command, folder)
    return int(ExitCode.DONE)


def suggest_model(console: Console, command: str, folder: Path) -> None:
    """Says what may be done next with the model of a run, on a line that can be copied.

    Args:
        console: where to.
        command: that takes the model.
        folder: of the run.
    """
    console.note(f"try: cnnkit {command} --model {shlex.quote(str(folder))}")
