"""What a long job tells while it goes on, and how the command line shows it."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cnnkit.console import Console
from cnnkit.errors import CnnkitError, ExitCode
from cnnkit.results import SCHEMA


def _ignore(*arguments: Any) -> None:
    pass


@dataclass(frozen=True)
class Observer:
    """Whom a long job tells what; by default nobody.

    Attributes:
        on_note: takes a line that the user should know.
        on_error: takes the reason why a picture was left out.
        on_progress: takes what is being done, how much of it is done, and how much there is.
        on_epoch: takes the index of an epoch that is over, and its row of `results.csv`.
    """

    on_note: Callable[[str], None] = _ignore
    on_error: Callable[[CnnkitError], None] = _ignore
    on_progress: Callable[[str, int, int], None] = _ignore
    on_epoch: Callable[[int, dict[str, Any]], None] = _ignore


@contextlib.contextmanager
def showing(
    console: Console, epoch_line: Callable[[int, dict[str, Any]], str] | None = None
) -> Iterator[Observer]:
    """Shows on a console what is observed: lines, and what is being done as bars.

    Args:
        console: where to.
        epoch_line: index and row of an epoch -> a line about it.
    """

    def show_epoch(epoch: int, row: dict[str, Any]) -> None:
        if epoch_line is not None:
            console.note(epoch_line(epoch, row))

    with showing_tasks(console) as show:
        yield Observer(console.note, lambda error: console.error(str(error)), show, show_epoch)


@contextlib.contextmanager
def showing_tasks(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Shows what is being done as bars, each as long as it lasts.

    Yields:
        Takes what is being done, how much of it is done, and how much there is.
    """
    with console.progress() as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, status="")
            bar.update(tasks[what], completed=done, total=total)
            if done >= total:
                bar.remove_task(tasks.pop(what))

        yield show


class Trained(Protocol):
    """What a training gave."""

    def to_dict(self) -> dict[str, Any]: ...

    def lines(self) -> list[str]: ...


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
