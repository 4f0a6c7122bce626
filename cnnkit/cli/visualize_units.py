"""``cnnkit visualize units``: what the units of a trained network respond to."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._inference import start_viewing
from cnnkit.cli._options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    Device,
    Json,
    Overwrite,
    Quiet,
    Recursive,
    Threads,
    Verbose,
    require_there,
)
from cnnkit.cli._visualize import default_path
from cnnkit.console import Console
from cnnkit.errors import ExitCode, UsageError
from cnnkit.options import VIEWABLE, UnitsOptions
from cnnkit.results import SCHEMA

if TYPE_CHECKING:
    from cnnkit.results import LayerResponses, UnitsProgress, UnitsResult

_DEFAULTS = UnitsOptions()
_UNITS_PANEL = "Units"


def units(
    layer: Annotated[
        str | None,
        typer.Argument(
            metavar="LAYER",
            help="layer1 to layer5 of the VGG family, or the name of any layer.",
            show_default=False,
        ),
    ] = None,
    all_layers: Annotated[
        bool,
        typer.Option(
            "--all-layers",
            help="The last layer of each resolution, five at most, side by side, in one pass.",
            rich_help_panel=_UNITS_PANEL,
        ),
    ] = False,
    wanted: Annotated[
        str | None,
        typer.Option(
            "--units",
            metavar="LIST",
            help="Such as 0,5,17 or 0-15.",
            show_default="the 16 that stand out most, or 4 of each layer",
            rich_help_panel=_UNITS_PANEL,
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            help="How many of those that stand out most, instead of --units.",
            show_default=False,
            rich_help_panel=_UNITS_PANEL,
        ),
    ] = None,
    deconv: Annotated[
        bool,
        typer.Option(
            "--deconv",
            help="Draw beside each patch what in it drives the unit.",
            rich_help_panel=_UNITS_PANEL,
        ),
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE.keras",
            help=f"{', '.join(VIEWABLE)}, the folder of a run, or a Keras model.",
            rich_help_panel=_UNITS_PANEL,
        ),
    ] = _DEFAULTS.model,
    pixels: Annotated[
        str,
        typer.Option(
            help="What a file's network expects: unit (0 to 1), byte (0 to 255) or signed "
            "(-1 to 1).",
            rich_help_panel=_UNITS_PANEL,
        ),
    ] = _DEFAULTS.pixels,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--images",
            metavar="SOURCE",
            help="A file, folder, glob or @list.txt; may be repeated.",
            show_default="the sample photographs",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    recursive: Recursive = False,
    size: Annotated[
        int,
        typer.Option(
            help="Long side at which pictures are seen, in pixels.", rich_help_panel=RUN_PANEL
        ),
    ] = _DEFAULTS.size,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with an interrupted run.", rich_help_panel=RUN_PANEL),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the state of an interrupted run is kept.",
            show_default="beside the output",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE.png",
            help="Where the sheet goes.",
            show_default="units-LAYER.png here",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="DIR",
            help="Make a page with the pictures, too.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Show the nine patches of many pictures that drive each unit of a layer most.

    A patch is exactly what the unit sees, one a picture, best first.
    Any number of pictures needs the same memory.

    Examples:

      cnnkit visualize units layer3 --images photos/ -r --deconv

      cnnkit visualize units layer5 --units 0-15 --html layer5/

      cnnkit visualize units --all-layers --deconv --images photos/ -r
    """
    console = Console(quiet=quiet, verbose=verbose)
    if all_layers == (layer is not None):
        raise UsageError(
            "--all-layers goes without a LAYER"
            if all_layers
            else "name a LAYER, such as layer3, or add --all-layers"
        )
    if wanted is not None and count is not None:
        raise UsageError("--units and --count exclude each other; give one of them")
    options = UnitsOptions(
        model=model,
        pixels=pixels,
        units=None if wanted is None else _parse_units(wanted),
        count=count,
        size=size,
        deconv=deconv,
    )
    if output is None:
        name = "all-layers" if layer is None else layer.replace("/", "-")
        output = default_path(f"units-{name}.png", overwrite or resume)
        if resume and state is None:
            from cnnkit.data.sources import stopped_path

            output = stopped_path(output, _state_path)
    if output.suffix.lower() != ".png":
        raise UsageError(f"-o writes a .png, not {output}")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists; use --overwrite or another -o")
    if page is not None and page.exists() and not (page.is_dir() and not any(page.iterdir())):
        if not page.is_dir():
            raise UsageError(f"--html {page} is a file; give a folder")
        if not overwrite:
            raise UsageError(f"{page} is not empty; use --overwrite or another --html")
    state = state or _state_path(output)
    if images:
        # What cannot be found is told before the heavy imports.
        from cnnkit.data.sources import STDIN, stream_sources

        if STDIN not in images:
            # Of a folder of any size no more than the first picture is looked for.
            first = next(stream_sources(images, recursive))
            require_there([first.path] if len(images) == 1 else [])
    if deconv:
        from cnnkit.engine.model_file import find_viewed_file
        from cnnkit.runtime import configure

        find_viewed_file(model)
        console.working("loading TensorFlow and the network")
        configure(threads=threads, verbose=verbose, device=device)
    else:
        start_viewing(console, model, threads=threads, device=device, verbose=verbose)
    from cnnkit.images import Picture, write_bytes, write_image
    from cnnkit.pipelines.visualize_units import visualize_units
    from cnnkit.plots.units import draw_units

    try:
        with _progress(console) as show:
            result = visualize_units(
                layer,
                images or None,
                options,
                recursive=recursive,
                checkpoint=state,
                resume=resume,
                on_progress=show,
                on_note=console.note,
                on_failure=lambda name, error: console.error(str(error)),
            )
    except KeyboardInterrupt:
        if state.exists():
            console.note(f"{state} keeps what was found so far; --resume goes on from there")
        raise
    sheet = draw_units(result.layers, title=_title(result), notes=_notes(result, deconv))
    write_image(output, Picture(sheet.astype("float32") / 255.0), overwrite=overwrite)
    if page is not None:
        from cnnkit.plots.units_page import units_page

        for relative, data in units_page(result).items():
            write_bytes(page / relative, data, overwrite=overwrite)
    index = None if page is None else page / "index.html"
    if json:
        console.json(_document(result, output, index))
    else:
        console.result(str(output))
        if index is not None:
            console.result(str(index))
        for found in result.layers:
            _show_layer(console, found)
    if result.failed:
        pictures = "picture" if result.failed == 1 else "pictures"
        console.note(f"{result.failed:,} {pictures} could not be read")
        return int(ExitCode.INPUT_FAILED)
    return int(ExitCode.DONE)


def _state_path(output: Path) -> Path:
    return output.with_name(f".{output.name}.cnnkit-state")


def _parse_units(text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"--units takes numbers such as 0,5,17 or 0-15, not {text!r}")
        begin, end = int(first), int(last) if dash else int(first)
        if end < begin or end - begin >= 10_000:
            raise UsageError(f"--units takes rising ranges of at most 10,000 units, not {part!r}")
        numbers += range(begin, end + 1)
    return tuple(dict.fromkeys(numbers))


@contextlib.contextmanager
def _progress(console: Console) -> "Iterator[Any]":
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


def _title(result: "UnitsResult") -> str:
    if len(result.layers) > 1:
        return f"{result.model}, {len(result.layers)} layers"
    return f"{result.model}, {result.layers[0].layer}"


def _notes(result: "UnitsResult", deconv: bool) -> list[str]:
    sees = "all that a unit sees"
    field = result.layers[0].receptive_field
    if len(result.layers) == 1 and field is not None:
        sees += f", {field[1]} × {field[0]} pixels"
    side = "" if result.size is None else f" at {result.size} pixels"
    notes = [
        f"The strongest patches of {result.pictures:,} pictures{side}, best first: {sees}. Pale is "
        "outside of the picture."
    ]
    if deconv:
        notes.append("On the left of them, what in each patch drives the unit (deconvnet).")
    return notes


def _show_layer(console: Console, layer: "LayerResponses") -> None:
    for unit in layer.units:
        best = f"{unit.patches[0].value:.4g}  {unit.patches[0].source}" if unit.patches else "-"
        console.detail(f"  {layer.layer} unit {unit.unit}: {best}")


def _document(result: "UnitsResult", output: Path, index: Path | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model": result.model,
        "model_hash": result.model_hash,
        "size": result.size,
        "pictures": result.pictures,
        "failed": result.failed,
        "errors": [
            {"source": name, "code": failure.code, "message": failure.message}
            for name, failure in result.failures
        ],
        "output": str(output),
        "html": None if index is None else str(index),
        "layers": [
            {
                "layer": layer.layer,
                "total_units": layer.total_units,
                "receptive_field": layer.receptive_field,
                "silent_units": layer.silent_units,
                "units": [
                    {
                        "unit": unit.unit,
                        "mean": unit.mean,
                        "silent": unit.silent,
                        "histogram": {
                            "edges": unit.histogram_edges,
                            "counts": unit.histogram_counts,
                        },
                        "patches": [
                            {
                                "value": patch.value,
                                "source": patch.source,
                                "row": patch.row,
                                "column": patch.column,
                                "box": dict(
                                    zip(("x1", "y1", "x2", "y2"), patch.box_xyxy, strict=True)
                                ),
                            }
                            for patch in unit.patches
                        ],
                    }
                    for unit in layer.units
                ],
            }
            for layer in result.layers
        ],
    }
