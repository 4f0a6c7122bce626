"""What the commands of `visualize` share: the picture, and where the figure goes."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.console import Console
from cnnkit.engine.command import PrintSettings
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.results import Failure, Record
from cnnkit.tasks.visualize.settings import FigureSettings

if TYPE_CHECKING:
    from cnnkit.images import Picture
    from cnnkit.tasks.visualize.results import PictureView

_STDIN = "-"


def view_picture(
    image: str,
    task: str,
    figure: FigureSettings,
    printing: PrintSettings,
    view: "Callable[[Picture, Console], PictureView]",
    details: Mapping[str, Any] | None = None,
) -> int:
    """Reads a picture, writes the figure of a view, and says what is in it.

    Args:
        image: the picture, or "-" for stdin.
        task: part of the figure's name, where the user gives none.
        figure: where the figure goes.
        printing: what is printed.
        view: picture and console -> what is shown; loads what it needs, once the picture is read.
        details: what the JSON has beside what the view says.

    Returns:
        The exit code.

    Raises:
        UsageError: a name that is no .png, or is there already.
        ImageError: the picture cannot be read.
    """
    console = printing.console()
    path = _figure_path(image, task, figure)
    with _failures_as_records(console, printing.json, image):
        from cnnkit.images import read_image

        picture = read_image(sys.stdin.buffer if image == _STDIN else image)
        found = view(picture, console)
        found.save(path, overwrite=figure.overwrite)
    if printing.json:
        record = found.to_record(image, str(path))
        console.json(replace(record, details={**record.details, **(details or {})}))
        return 0
    first, *others = found.lines()
    for line in (f"{path}  {first}", *others):
        console.result(line)
    return 0


def named_path(name: str, figure: FigureSettings) -> Path:
    """The figure's file: as the user has it, or else a free name in the current folder.

    Raises:
        UsageError: see `check_png`.
    """
    path = figure.output or default_path(name, figure.overwrite)
    check_png(path, "-o", figure.overwrite)
    return path


def default_path(name: str, overwrite: bool) -> Path:
    """A name that the user did not give: in the current folder, numbered where that is taken."""
    from cnnkit.data.sources import free_path

    return Path(name) if overwrite else free_path(Path(name))


def check_png(path: Path | None, option: str, overwrite: bool) -> None:
    """Refuses a name that is no .png, and a file that exists.

    Raises:
        UsageError: it is one of these.
    """
    check_new(path, option, overwrite, (".png",))


def check_new(path: Path | None, option: str, overwrite: bool, suffixes: tuple[str, ...]) -> None:
    """Refuses a name of another kind, and a file that exists; None is left alone.

    Raises:
        UsageError: it is one of these.
    """
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{option} writes a {' or a '.join(suffixes)}, not {path}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; use --overwrite or another name")


def layer_in_name(layer: str) -> str:
    """The name of a layer, of a model inside a model too, as part of the name of a file."""
    return layer.replace("/", "-").replace("\\", "-")


def _figure_path(image: str, task: str, figure: FigureSettings) -> Path:
    """Where the figure of a picture goes: never over the picture."""
    stem = "stdin" if image == _STDIN else Path(image).stem
    path = named_path(f"{stem}-{task}.png", figure)
    if image != _STDIN and path.exists() and Path(image).exists() and path.samefile(image):
        raise UsageError(f"-o {path} is the picture itself; give another name")
    return path


@contextlib.contextmanager
def _failures_as_records(console: Console, is_json: bool, source: str) -> Iterator[None]:
    """With --json, a failure is a record on stdout too, beside its line on stderr."""
    try:
        yield
    except CnnkitError as error:
        if is_json:
            console.json(Record(source, error=Failure(type(error).__name__, str(error))))
        raise
