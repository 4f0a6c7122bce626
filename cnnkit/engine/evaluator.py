"""Evaluations: which part of the data, what is read of it, and the report."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from cnnkit.console import Console
from cnnkit.engine.observer import Observer
from cnnkit.engine.settings import OUTPUT_PANEL, Option
from cnnkit.errors import CnnkitError, ExitCode, UsageError
from cnnkit.results import SCHEMA

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

REPORT = "report.json"
# Classes that are shown without --all-classes.
WORST_CLASSES = 10
# Of the report of a classifier, beside report.json and what shows mistakes.
CLASS_FILES = ("predictions.csv", "confusion.png", "calibration.png")

AllClasses = Annotated[
    bool, Option(f"Show all classes, not only the {WORST_CLASSES} worst.", OUTPUT_PANEL)
]


def report_option(*names: str) -> Option:
    """The option of a folder for the report of an evaluation, with files of these names."""
    help = f"Write {', '.join([REPORT, *names[:-1]])} and {names[-1]} here."
    return Option(help, OUTPUT_PANEL, ("-o", "--output"), metavar="DIR")


class Evaluation(Protocol):
    """How good a model is.

    Attributes:
        failed: pictures that could not be read, and count nowhere.
    """

    @property
    def failed(self) -> int: ...

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain JSON types; None where there is none."""


def read_batches(
    paths: Sequence[str], batch: int, observer: Observer
) -> "Iterator[list[tuple[int, npt.NDArray[np.uint8]]]]":
    """The pictures of an evaluation, read ahead; of those that cannot be read the observer is told.

    Args:
        paths: of the pictures.
        batch: pictures at a time.
        observer: is told of each batch when the next is asked for.

    Yields:
        For each picture of a batch its index, and its pixels, uint8 `(height, width, 3)`.
    """
    from cnnkit.engine.predictor import read_ahead
    from cnnkit.images import read_pixels

    def read(index: int) -> "tuple[int, npt.NDArray[np.uint8] | CnnkitError]":
        try:
            return index, read_pixels(paths[index])
        except CnnkitError as error:
            return index, error

    done = 0
    for some in read_ahead(range(len(paths)), read, batch):
        good = []
        for index, pixels in some:
            if isinstance(pixels, CnnkitError):
                observer.on_error(pixels)
            else:
                good.append((index, pixels))
        yield good
        done += len(some)
        observer.on_progress("evaluate", done, len(paths))


def show_evaluation(
    console: Console,
    evaluation: Evaluation,
    lines: Sequence[str],
    *,
    is_json: bool,
    folder: Path | None,
    draw: Callable[[], Mapping[str, bytes]],
    overwrite: bool = False,
) -> int:
    """Prints an evaluation, and writes its report where that is wanted.

    Args:
        console: where to.
        evaluation: what was measured.
        lines: the same for people.
        is_json: print JSON instead.
        folder: for `report.json` and what `draw` gives; None for none.
        draw: gives further files of the report by their names.
        overwrite: replace files that are there.

    Returns:
        The exit code.

    Raises:
        ImageError: a file cannot be written, or is there and must not be replaced.
    """
    report = evaluation.to_dict()
    if folder is not None:
        own = {REPORT: (json.dumps(report, indent=2) + "\n").encode()}
        names = write_report(folder, {**own, **draw()}, overwrite)
        console.note(f"{folder}: {', '.join(names)}")
    if is_json:
        console.json({"schema": SCHEMA, **report})
    else:
        for line in lines:
            console.result(line)
    return int(ExitCode.INPUT_FAILED if evaluation.failed else ExitCode.DONE)


def check_report(folder: Path | None, overwrite: bool, names: Sequence[str]) -> None:
    """Refuses a folder that has a report already, or another file of a report's name.

    Args:
        folder: of `-o`; None where nothing is written.
        overwrite: whether files may be replaced.
        names: of the files beside `report.json`.

    Raises:
        UsageError: one of the files is there.
    """
    if folder is None or overwrite:
        return
    if (folder / REPORT).exists():
        raise UsageError(f"{folder} has a report already; use --overwrite or another -o")
    for name in names:
        if (folder / name).exists():
            raise UsageError(f"{folder / name} exists; use --overwrite or another -o")


def write_report(folder: Path, files: Mapping[str, bytes], overwrite: bool) -> list[str]:
    """Writes the files of a report; what came into the folder meanwhile stays, and that is told.

    Returns:
        Their names.

    Raises:
        ImageError: a file cannot be written, or is there and must not be replaced.
    """
    from cnnkit.images import write_bytes

    for name, content in files.items():
        write_bytes(folder / name, content, overwrite=overwrite)
    return list(files)
