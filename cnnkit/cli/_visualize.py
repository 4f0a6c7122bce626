"""What the commands of `visualize` share: the picture, the network, and where the figure goes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.cli._options import OUTPUT_PANEL
from cnnkit.errors import UsageError

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
    typer.Option(metavar="NAME|FILE.keras", help="compact, vgg16, vgg19, or a Keras model."),
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


def figure_path(image: str, task: str, output: Path | None, overwrite: bool) -> Path:
    """Where the figure of a picture goes: a .png, never over the picture.

    Raises:
        UsageError: another kind of file, one that exists, or the picture itself.
    """
    stem = "stdin" if image == _STDIN else Path(image).stem
    path = output or Path(f"{stem}-{task}.png")
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
