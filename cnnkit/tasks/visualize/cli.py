"""``cnnkit visualize shapes|model|edges|words``: what networks are made of, and know of words."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cnnkit.console import Console
from cnnkit.engine.batch import JsonLines, Outcome, Overwrite, check_json
from cnnkit.engine.command import DeviceSettings, PrintSettings, command
from cnnkit.engine.settings import OUTPUT_PANEL, Argument, Option
from cnnkit.errors import DataError, UsageError
from cnnkit.results import SCHEMA
from cnnkit.tasks.text.settings import Model as TextModel
from cnnkit.tasks.visualize.files import start_viewing
from cnnkit.tasks.visualize.picture_command import check_png, view_picture
from cnnkit.tasks.visualize.settings import EdgeFigureSettings, EdgeSettings, Image, Plot

if TYPE_CHECKING:
    from cnnkit.engine.layer_summary import NetworkSummary
    from cnnkit.images import Picture
    from cnnkit.tasks.visualize.results import FilteredImage

app = typer.Typer(
    help="See what networks are made of, and what convolutions do.", no_args_is_help=True
)


@app.callback()
def main() -> None:
    """See what networks are made of, and what convolutions do."""


@app.command(
    "shapes", epilog="Example: cnnkit visualize shapes '14x14x3 conv5-16 conv5-32 pool2 fc10' -v"
)
@command
def shapes(
    network: Annotated[
        list[str],
        Argument(
            "As one text or as words: the input's axes and channels, then the layers.",
            metavar="INPUT LAYER...",
        ),
    ],
    plot: Plot = None,
    overwrite: Overwrite = False,
    *,
    printing: PrintSettings,
) -> int:
    """Follow the shapes of a network that you write as words; -v shows the arithmetic.

    Input: 14x1, 14x14x3 or 14x14x14x1, the channels last.

    Layers: convF-N, poolF, avgpoolF, gap (global average), flatten, fcN.
    After convF-N or poolF: /S stride, p or same padding, pP padding by P, dD dilation, gG groups.

    Such as conv11-96/4, conv3-64p, conv3x5-8, pool3/2, conv5-256pg2.
    """
    from cnnkit.tasks.visualize.shapes import visualize_shapes

    check_png(plot, "--plot", overwrite)
    summary = visualize_shapes(" ".join(network))
    return _show_network(printing.console(), summary, printing, plot, overwrite)


@app.command("model")
@command
def model(
    network: Annotated[
        str,
        Argument(
            "compact, lenet5, alexnet, vgg16, vgg19, resnet18, resnet34, resnet50, inception, "
            "mobilenet-v2, efficientnet-lite0 to efficientnet-lite4, convnet1d, convnet3d, or a "
            "file of a Keras model.",
            metavar="NAME|FILE.keras",
        ),
    ],
    input_shape: Annotated[
        str | None,
        Option(
            "Shape of the input, channels last.",
            names=("--input",),
            metavar="HxWxC",
            show_default="the network's own",
        ),
    ] = None,
    classes: Annotated[
        int | None, Option("Classes of a network by name.", show_default="the paper's")
    ] = None,
    plot: Plot = None,
    overwrite: Overwrite = False,
    *,
    device: DeviceSettings,
    printing: PrintSettings,
) -> int:
    """List the layers of a network: shapes, parameters, multiply-adds, receptive field.

    Example: cnnkit visualize model inception --json
    """
    console = printing.console()
    check_png(plot, "--plot", overwrite)
    shape = None if input_shape is None else _parse_shape(input_shape)
    start_viewing(console, network, device, printing.verbose, is_trained=False)
    from cnnkit.tasks.visualize.model import visualize_model

    summary = visualize_model(network, input_shape=shape, classes=classes)
    return _show_network(console, summary, printing, plot, overwrite)


def _parse_shape(text: str) -> tuple[int, ...]:
    parts = text.lower().replace("×", "x").split("x")
    if not 2 <= len(parts) <= 4 or not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"--input takes a shape with channels last, such as 64x64x3, not {text!r}")
    return tuple(map(int, parts))


@app.command("edges")
@command
def edges(
    image: Image,
    *,
    settings: EdgeSettings,
    figure: EdgeFigureSettings,
    printing: PrintSettings,
) -> int:
    """Slide a kernel or a pooling window over a picture, and show what comes out.

    Examples:

      cnnkit visualize edges cat.jpg --kernel "0 1 0; 1 -4 1; 0 1 0" --padding same

      cnnkit visualize edges cat.jpg --pool max --size 3 --stride 2
    """

    def view(picture: "Picture", console: Console) -> "FilteredImage":
        from cnnkit.tasks.visualize.edges import visualize_edges

        return visualize_edges(picture, settings)

    return view_picture(image, "pooled" if settings.pool else "edges", figure, printing, view)


@command
def words(
    model: TextModel,
    words: Annotated[list[str] | None, Argument("Words to look at.", metavar="WORD...")] = None,
    near: Annotated[int, Option("Words near to each, at most.", min=1)] = 8,
    plot: Annotated[
        Path | None,
        Option(
            "Draw all words in a plane, these and those near to them in colours.",
            OUTPUT_PANEL,
            metavar="FILE.png",
        ),
    ] = None,
    overwrite: Overwrite = False,
    *,
    device: DeviceSettings,
    jsonl: JsonLines = False,
    printing: PrintSettings,
) -> int:
    """List the nearest words of words in what train text learned, and draw them all.

    Near is a small angle between the vectors of two words: the number is its cosine, 1 for the
    same direction.

    Example:

      cnnkit visualize words cold dirty --model runs/reviews --plot words.png
    """
    console = printing.console()
    check_json(printing.json, jsonl)
    if not words and plot is None:
        raise UsageError("name words to look at, or give --plot FILE.png for all of them")
    check_png(plot, "--plot", overwrite)
    from cnnkit.tasks.text.files import find_text_file

    find_text_file(model)
    device.start_keras(printing.verbose)
    from cnnkit.tasks.visualize.words import WordMap

    known = WordMap(model)
    outcome = Outcome(console, printing.json, jsonl, len(words or ()) == 1)
    found = []
    for word in words or ():
        try:
            one = known.nearest(word, near)
        except DataError as error:
            outcome.fail(word, error)
            continue
        found.append(one)
        outcome.add(one.to_record(word), one.lines())
    if plot is not None:
        _write_figure(plot, known.plot(found), overwrite)
        console.note(f"{plot} shows the words")
    return outcome.finish() if words else 0


def _write_figure(path: Path, figure: Any, overwrite: bool) -> None:
    from cnnkit.images import write_bytes
    from cnnkit.plots import encode_figure

    write_bytes(path, encode_figure(figure), overwrite=overwrite)


def _show_network(
    console: Console,
    summary: "NetworkSummary",
    printing: PrintSettings,
    plot: Path | None,
    overwrite: bool,
) -> int:
    if plot is not None:
        from cnnkit.tasks.visualize.plots.architecture import plot_architecture

        _write_figure(plot, plot_architecture(summary), overwrite)
        console.note(f"{plot} shows the architecture")
    if printing.json:
        output = None if plot is None else str(plot)
        console.json({"schema": SCHEMA, **summary.to_dict(), "output": output})
        return 0
    console.table(_table(summary))
    if console.verbose:
        _show_arithmetic(console, summary)
    if summary.uncounted:
        console.note(f"multiply-adds not counted: {', '.join(summary.uncounted)}")
    return 0


def _table(summary: "NetworkSummary") -> Table:
    has_kinds = any(layer.inputs for layer in summary.layers)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer", overflow="fold")
    if has_kinds:
        table.add_column("kind")
    for heading in ("output", "parameters", "multiply-adds", "sees"):
        table.add_column(heading, justify="right", no_wrap=True)

    def add(name: str, kind: str, *cells: str, style: str | None = None) -> None:
        table.add_row(name, *([kind] if has_kinds else []), *cells, style=style)

    add("input", "", _by(summary.input_shape), "", "", "")
    for layer in summary.layers:
        work = "?" if layer.multiply_adds is None else f"{layer.multiply_adds:,}"
        sees = "?" if layer.receptive_field is None else _by(layer.receptive_field)
        add(layer.name, layer.kind, _by(layer.output_shape), f"{layer.parameters:,}", work, sees)
    add("total", "", "", f"{summary.parameters:,}", f"{summary.multiply_adds:,}", "", style="bold")
    return table


def _show_arithmetic(console: Console, summary: "NetworkSummary") -> None:
    for layer in summary.layers:
        lines = list(layer.arithmetic)
        if layer.receptive_field and layer.start and layer.jump and any(layer.jump):
            lines.append(
                f"sees: {_by(layer.receptive_field)}, the first from {_listed(layer.start)} on, "
                f"then every {_listed(layer.jump)}"
            )
        if lines:
            console.result(f"\n{layer.name}")
        for line in lines:
            console.result(f"  {line}")


def _by(sizes: tuple[int | None, ...]) -> str:
    return "x".join("?" if size is None else str(size) for size in sizes)


def _listed(numbers: tuple[int, ...]) -> str:
    """All numbers, or one of them if they are the same."""
    return ", ".join(map(str, dict.fromkeys(numbers)))
