"""What the commands of `visualize` share: the picture, the network, and where the figure goes."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.cli._options import OUTPUT_PANEL
from cnnkit.console import Console
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.options import VIEWABLE
from cnnkit.results import Failure, Record

if TYPE_CHECKING:
    from cnnkit.images import Picture

_STDIN = "-"

Image = Annotated[str, typer.Argument(metavar="IMG", help="A picture, or - for stdin.")]
Layer = Annotated[
    str,
    typer.Argument(metavar="LAYER", help="Name of a layer; layer1 ... layer5 for blocks of VGG."),
]
Model = Annotated[
    str,
    typer.Option(
        metavar="NAME|RUN|FILE.keras",
        help=f"{', '.join(VIEWABLE)}, the folder of a run, or a Keras model.",
    ),
]
Pixels = Annotated[
    str,
    typer.Option(
        help="What a .keras file expects: unit [0, 1], byte [0, 255] or signed [-1, 1].",
    ),
]
Figure = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE.png",
        help="Where the figure goes.",
        show_default="named after the input, here",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


def read_picture(image: str) -> "Picture":
    """The picture that the user named, or that on stdin."""
    from cnnkit.images import read_image

    return read_image(sys.stdin.buffer if image == _STDIN else image)


def default_path(name: str, overwrite: bool) -> Path:
    """A name that the user did not give: in the current folder, numbered where that is taken."""
    from cnnkit.data.sources import free_path

    return Path(name) if overwrite else free_path(Path(name))


def figure_path(image: str, task: str, output: Path | None, overwrite: bool) -> Path:
    """Where the figure of a picture goes: a .png, never over the picture.

    Raises:
        UsageError: another kind of file, one that exists, or the picture itself.
    """
    stem = "stdin" if image == _STDIN else Path(image).stem
    path = output or default_path(f"{stem}-{task}.png", overwrite)
    check_png(path, "-o", overwrite)
    if image != _STDIN and path.exists() and Path(image).exists() and path.samefile(image):
        raise UsageError(f"-o {path} is the picture itself; give another name")
    return path


def check_png(path: Path | None, option: str, overwrite: bool) -> None:
    """Raises `UsageError` for a name that is no .png, and for a file that exists."""
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise UsageError(f"{option} writes a .png, not {path}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; use --overwrite or another name")


def parse_numbers(text: str, option: str) -> list[int]:
    """Numbers as the user lists them, each once.

    Raises:
        UsageError: something else.

    >>> parse_numbers("5,0-2,5", "--unit")
    [5, 0, 1, 2]
    """
    numbers: list[int] = []
    for part in text.split(","):
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(end.isdecimal() and len(end) < 7 for end in ends):
            raise UsageError(f"{option} takes numbers such as 0,5,7 or 0-8, not {text!r}")
        first, last = int(ends[0]), int(ends[-1])
        if first > last:
            raise UsageError(f"{option}: {part.strip()} runs backwards")
        numbers += range(first, last + 1)
    return list(dict.fromkeys(numbers))


@contextlib.contextmanager
def failures_as_records(console: Console, json: bool, source: str) -> Iterator[None]:
    """With --json, a failure is a record on stdout too, beside its line on stderr."""
    try:
        yield
    except CnnkitError as error:
        if json:
            console.json(Record(source, error=Failure(type(error).__name__, str(error))))
        raise
