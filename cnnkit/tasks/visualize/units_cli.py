"""``cnnkit visualize units``: what the units of a trained network respond to."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cnnkit.console import Console
from cnnkit.engine.batch import Recursive
from cnnkit.engine.command import DeviceSettings, PrintSettings, command
from cnnkit.engine.settings import RUN_PANEL, Argument, Option, require_there
from cnnkit.errors import ExitCode, UsageError
from cnnkit.results import SCHEMA
from cnnkit.tasks.visualize.files import start_viewing
from cnnkit.tasks.visualize.picture_command import default_path, layer_in_name
from cnnkit.tasks.visualize.settings import (
    UNITS_PANEL,
    ResumeSettings,
    SheetSettings,
    UnitsSettings,
)

if TYPE_CHECKING:
    from cnnkit.tasks.visualize.results import UnitsProgress, UnitsResult


@command
def units(
    layer: Annotated[
        str | None,
        Argument("layer1 to layer5 of the VGG family, or the name of any layer.", metavar="LAYER"),
    ] = None,
    all_layers: Annotated[
        bool,
        Option(
            "The last layer of each resolution, five at most, side by side, in one pass.",
            UNITS_PANEL,
        ),
    ] = False,
    *,
    settings: UnitsSettings,
    images: Annotated[
        list[str] | None,
        Option(
            "A file, folder, glob or @list.txt; may be repeated.",
            RUN_PANEL,
            metavar="SOURCE",
            show_default="the sample photographs",
        ),
    ] = None,
    recursive: Recursive = False,
    run: ResumeSettings,
    sheet: SheetSettings,
    device: DeviceSettings,
    printing: PrintSettings,
) -> int:
    """Show the nine patches of many pictures that drive each unit of a layer most.

    A patch is exactly what the unit sees, one a picture, best first.
    Any number of pictures needs the same memory.

    Examples:

      cnnkit visualize units layer3 --images photos/ -r --deconv

      cnnkit visualize units layer5 --units 0-15 --html layer5/

      cnnkit visualize units --all-layers --deconv --images photos/ -r
    """
    console = printing.console()
    if all_layers == (layer is not None):
        raise UsageError(
            "--all-layers goes without a LAYER"
            if all_layers
            else "name a LAYER, such as layer3, or add --all-layers"
        )
    output, state = _plan_files(layer, sheet, run)
    if images:
        # What cannot be found is told before the heavy imports.
        from cnnkit.data.sources import STDIN, stream_sources

        if STDIN not in images:
            # Of a folder of any size no more than the first picture is looked for.
            first = next(stream_sources(images, recursive))
            require_there([first.path] if len(images) == 1 else [])
    start_viewing(
        console, settings.model, device, printing.verbose, needs_gradients=settings.deconv
    )
    from cnnkit.images import write_bytes
    from cnnkit.tasks.visualize.units import visualize_units

    try:
        with _progress(console) as show:
            result = visualize_units(
                layer,
                images or None,
                settings,
                recursive=recursive,
                checkpoint=state,
                resume=run.resume,
                on_progress=show,
                on_note=console.note,
                on_failure=lambda name, error: console.error(str(error)),
            )
    except KeyboardInterrupt:
        if state.exists():
            console.note(f"{state} keeps what was found so far; --resume goes on from there")
        raise
    result.save(output, overwrite=sheet.overwrite)
    if sheet.page is not None:
        from cnnkit.tasks.visualize.plots.units_page import units_page

        for relative, data in units_page(result).items():
            write_bytes(sheet.page / relative, data, overwrite=sheet.overwrite)
    index = None if sheet.page is None else str(sheet.page / "index.html")
    if printing.json:
        console.json({"schema": SCHEMA, **result.to_dict(), "output": str(output), "html": index})
    else:
        _show(console, result, [str(output), *([index] if index else [])])
    if result.failed:
        pictures = "picture" if result.failed == 1 else "pictures"
        console.note(f"{result.failed:,} {pictures} could not be read")
        return int(ExitCode.INPUT_FAILED)
    return int(ExitCode.DONE)


def _plan_files(layer: str | None, sheet: SheetSettings, run: ResumeSettings) -> tuple[Path, Path]:
    """The sheet and the state of the run.

    Raises:
        UsageError: a file that must not be replaced, or one of another kind.
    """
    output, page = sheet.output, sheet.page
    if output is None:
        name = "all-layers" if layer is None else layer_in_name(layer)
        output = default_path(f"units-{name}.png", sheet.overwrite or run.resume)
        if run.resume and run.state is None:
            from cnnkit.data.sources import stopped_path

            output = stopped_path(output, _state_path)
    if output.suffix.lower() != ".png":
        raise UsageError(f"-o writes a .png, not {output}")
    if output.exists() and not sheet.overwrite:
        raise UsageError(f"{output} exists; use --overwrite or another -o")
    if page is not None and page.exists() and not (page.is_dir() and not any(page.iterdir())):
        if not page.is_dir():
            raise UsageError(f"--html {page} is a file; give a folder")
        if not sheet.overwrite:
            raise UsageError(f"{page} is not empty; use --overwrite or another --html")
    return output, run.state or _state_path(output)


def _state_path(output: Path) -> Path:
    return output.with_name(f".{output.name}.cnnkit-state")


@contextlib.contextmanager
def _progress(console: Console) -> "Iterator[Callable[[UnitsProgress], None]]":
    with console.progress() as bar:
        task = bar.add_task("looking", total=None, status="")

        def show(found: "UnitsProgress") -> None:
            bar.update(
                task,
                description=found.stage,
                completed=found.done,
                total=found.total,
                status=f"{found.failed} failed" if found.failed else "",
                seconds_left=found.seconds_left,
            )

        yield show


def _show(console: Console, result: "UnitsResult", files: list[str]) -> None:
    for file in files:
        console.result(file)
    for layer in result.layers:
        for unit in layer.units:
            best = f"{unit.patches[0].value:.4g}  {unit.patches[0].source}" if unit.patches else "-"
            console.detail(f"  {layer.layer} unit {unit.unit}: {best}")
