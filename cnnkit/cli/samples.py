"""``cnnkit samples``."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.cli._options import Json, Overwrite, Quiet, SkipExisting
from cnnkit.console import Console
from cnnkit.errors import ExitCode
from cnnkit.results import SCHEMA

if TYPE_CHECKING:
    from cnnkit.pipelines.samples import SampleFile


def samples(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write to; made if missing.")
    ] = Path("samples"),
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this sample; may be given several times."),
    ] = None,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write sample photographs and style pictures into a folder.

    The photographs come with scikit-image, the styles are painted by cnnkit.
    Nothing is downloaded. Each file tells where it comes from.

    Example: cnnkit samples pictures --only chelsea --only waves
    """
    from cnnkit.pipelines.samples import write_samples

    console = Console(quiet=quiet)
    console.note(f"writing samples to {folder}")

    def show(item: "SampleFile") -> None:
        if item.error is not None:
            console.error(f"{item.path}: {item.error.message}")
        elif not json:
            console.result(_line(item))

    written = write_samples(
        folder, only, overwrite=overwrite, skip_existing=skip_existing, on_progress=show
    )
    if json:
        console.json({"schema": SCHEMA, "folder": written.folder, "items": written.items})
    elif not only and not written.failed:
        photograph = shlex.quote(str(folder / "astronaut.png"))
        console.note(f"try: cnnkit stylize {photograph} waves")
    return int(ExitCode.INPUT_FAILED if written.failed else ExitCode.DONE)


def _line(item: "SampleFile") -> str:
    size = f"{item.width}x{item.height}, " if item.width else ""
    note = "" if item.status == "written" else f" [{item.status}]"
    return f"{item.path}  {size}{item.origin}, {item.licence}{note}"
