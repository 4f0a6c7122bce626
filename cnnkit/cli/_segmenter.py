"""What the commands that use a trained segmenter share: options, and how pictures are written."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.cli._views import NETWORK_PANEL
from cnnkit.console import Console
from cnnkit.errors import UsageError
from cnnkit.options import SEGMENTERS

if TYPE_CHECKING:
    from cnnkit.data.sources import Source
    from cnnkit.images import Picture

PICTURE_PANEL = "Picture"
STD = "-"
# These have no transparency.
_OPAQUE_SUFFIXES = (".jpg", ".jpeg")

Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="RUN|FILE.keras|NAME",
        help=f"The folder of a training run, its model.keras, or {', '.join(SEGMENTERS)}.",
        rich_help_panel=NETWORK_PANEL,
    ),
]
Size = Annotated[
    int,
    typer.Option(
        min=32,
        help="Long side that pictures are seen at; your own models see smaller ones as they are.",
        rich_help_panel=NETWORK_PANEL,
    ),
]
Background = Annotated[
    str | None,
    typer.Option(
        metavar="COLOR|blur|IMAGE",
        help="Put what is cut out before this: white, #ffcc00, blur or a picture.",
        rich_help_panel=PICTURE_PANEL,
    ),
]


def plan_pictures(
    sources: "Sequence[Source]",
    output: str | None,
    task: str,
    *,
    overwrite: bool,
    skip_existing: bool,
    console: Console,
) -> "list[tuple[Source, Path]]":
    """Each source, and where its picture goes: a file, or "-".

    Args:
        sources: to be read.
        output: of `-o`.
        task: names the files of which the user names none.
        overwrite: of `--overwrite`.
        skip_existing: of `--skip-existing`.
        console: told what is skipped.

    Raises:
        UsageError: files are there already, or the output does not fit.
        ImageError: no such format.
    """
    from cnnkit.data.sources import plan_outputs
    from cnnkit.images import check_writable_format

    if output == STD:
        if len(sources) > 1:
            raise UsageError(f"-o - takes one picture, not {len(sources)}")
        if sys.stdout.isatty():
            raise UsageError("-o - would write a picture to the terminal; redirect it: > a.png")
        return [(sources[0], Path(STD))]
    jobs = []
    keeps_names = overwrite or skip_existing
    planned = plan_outputs(sources, output, task, ".png", keeps_names=keeps_names)
    for source, path in zip(sources, planned, strict=True):
        check_writable_format(path)
        if path.is_dir():
            raise UsageError(f"{path} is a folder; give -o a file name")
        if path.exists() and skip_existing:
            console.note(f"{path} exists, skipped")
            continue
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists; use --overwrite, --skip-existing or -o")
        jobs.append((source, path))
    return jobs


def check_transparency(path: Path) -> None:
    """Refuses files that would lay a cutout over white."""
    if path.suffix.lower() in _OPAQUE_SUFFIXES:
        raise UsageError(
            f"{path}: JPEG has no transparency; name it .png or .webp, or give --background white"
        )


def encode_for(path: Path, picture: "Picture") -> bytes:
    """A picture in the format of a file, or as PNG for "-"."""
    from cnnkit.images import encode_image

    return encode_image(picture, ".png" if str(path) == STD else path.suffix)


def write_to(path: Path, content: bytes, overwrite: bool) -> None:
    """Writes a file, or to stdout for "-"."""
    from cnnkit.images import write_bytes

    if str(path) == STD:
        Console().binary(content)
    else:
        write_bytes(path, content, overwrite=overwrite)
