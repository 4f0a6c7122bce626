"""``cnnkit visualize``: what convolutional networks are made of, and what they do."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cnnkit.cli._inference import start_viewing
from cnnkit.cli._options import OUTPUT_PANEL, Device, Json, Overwrite, Quiet, Threads, Verbose
from cnnkit.cli._visualize import (
    Image,
    check_png,
    failures_as_records,
    figure_path,
    read_picture,
)
from cnnkit.console import Console
from cnnkit.errors import UsageError
from cnnkit.results import SCHEMA, NetworkSummary, Record

app = typer.Typer(
    help="See what networks are made of, and what convolutions do.", no_args_is_help=True
)

Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE.png", help="Draw the architecture.", rich_help_panel=OUTPUT_PANEL),
]


@app.callback()
def main() -> None:
    """See what networks are made of, and what convolutions do."""


@app.command(
    "shapes", epilog="Example: cnnkit visualize shapes '14x14x3 conv5-16 conv5-32 pool2 fc10' -v"
)
def shapes(
    network: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT LAYER...",
            help="As one text or as words: the input's axes and channels, then the layers.",
        ),
    ],
    plot: Plot = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Follow the shapes of a network that you write as words; -v shows the arithmetic.

    Input: 14x1, 14x14x3 or 14x14x14x1, the channels last.

    Layers: convF-N, poolF, avgpoolF, gap (global average), flatten, fcN.
    After convF-N or poolF: /S stride, p or same padding, pP padding by P, dD dilation, gG groups.

    Such as conv11-96/4, conv3-64p, conv3x5-8, pool3/2, conv5-256pg2.
    """
    from cnnkit.pipelines.visualize_shapes import visualize_shapes

    console = Console(quiet=quiet, verbose=verbose)
    check_png(plot, "--plot", overwrite)
    _show_network(console, visualize_shapes(" ".join(network)), json, plot, overwrite)


@app.command("model")
def model(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE.keras",
            help="compact, lenet5, alexnet, vgg16, vgg19, resnet18, resnet34, resnet50, inception, "
            "mobilenet-v2, efficientnet-lite0 to efficientnet-lite4, convnet1d, convnet3d, or a "
            "file of a Keras model.",
        ),
    ],
    input_shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="HxWxC",
            help="Shape of the input, channels last.",
            show_default="the network's own",
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(help="Classes of a network by name.", show_default="the paper's"),
    ] = None,
    plot: Plot = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List the layers of a network: shapes, parameters, multiply-adds, receptive field.

    Example: cnnkit visualize model inception --json
    """
    console = Console(quiet=quiet, verbose=verbose)
    check_png(plot, "--plot", overwrite)
    shape = None if input_shape is None else _parse_shape(input_shape)
    start_viewing(
        console, network, threads=threads, device=device, verbose=verbose, is_trained=False
    )
    from cnnkit.pipelines.visualize_model import visualize_model

    _show_network(
        console, visualize_model(network, input_shape=shape, classes=classes), json, plot, overwrite
    )


@app.command("edges")
def edges(
    image: Image,
    kernel: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|NUMBERS",
            help="vertical, horizontal, sobel[-horizontal], scharr[-horizontal], laplacian, a file "
            "of numbers, or '1 0 -1; 1 0 -1; 1 0 -1'.",
            show_default="vertical",
        ),
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="Pool instead of a convolution: max or average.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Of the pooling window.", show_default="2")
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(min=1, help="Step of the window.", show_default="1, of a pooling its window"),
    ] = None,
    padding: Annotated[str, typer.Option(help="valid or same.")] = "valid",
    flip: Annotated[
        bool, typer.Option("--flip", help="Turn the kernel, for a convolution of mathematics.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE.png",
            help="Where the figure goes.",
            show_default="IMG-edges.png or IMG-pooled.png here",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Slide a kernel or a pooling window over a picture, and show what comes out.

    Examples:

      cnnkit visualize edges cat.jpg --kernel "0 1 0; 1 -4 1; 0 1 0" --padding same

      cnnkit visualize edges cat.jpg --pool max --size 3 --stride 2
    """
    console = Console(quiet=quiet, verbose=verbose)
    if pool is not None and (kernel is not None or flip):
        raise UsageError("--pool has no kernel; leave out --kernel and --flip")
    if pool is None and size is not None:
        raise UsageError("--size is that of a pooling window; add --pool, or give a --kernel")
    path = figure_path(image, "pooled" if pool else "edges", output, overwrite)
    from cnnkit.images import write_bytes
    from cnnkit.pipelines.visualize_edges import visualize_edges
    from cnnkit.plots import encode_figure, plot_filtering

    with failures_as_records(console, json, image):
        picture = read_picture(image)
        found = visualize_edges(
            picture,
            kernel or "vertical",
            pool=pool,
            size=size or 2,
            stride=stride,
            padding=padding,
            flip=flip,
        )
        lines = [
            f"{axis:<7} floor((n + 2p - f)/s) + 1 = {line}"
            for axis, line in zip(("height:", "width:"), found.arithmetic, strict=True)
        ]
        title = f"{found.name}, {padding}, stride {found.stride}"
        figure = plot_filtering(
            found.image,
            found.output,
            kernel=found.kernel,
            window=found.window,
            title=title,
            lines=lines,
        )
        write_bytes(path, encode_figure(figure), overwrite=overwrite)
    height, width = found.output.shape[:2]
    if json:
        item = {
            "output": str(path),
            "output_width": width,
            "output_height": height,
            "kernel": found.kernel,
            "pool": pool,
            "window": found.window,
            "stride": found.stride,
            "padding": found.padding,
            "arithmetic": found.arithmetic,
            "minimum": float(found.output.min()),
            "maximum": float(found.output.max()),
        }
        console.json(Record(image, picture.width, picture.height, items=(item,)))
        return
    console.result(f"{path}  {picture.width}x{picture.height} -> {width}x{height}")
    for line in lines:
        console.result(f"  {line}")


def _show_network(
    console: Console, summary: NetworkSummary, json: bool, plot: Path | None, overwrite: bool
) -> None:
    if plot is not None:
        from cnnkit.images import write_bytes
        from cnnkit.plots import encode_figure
        from cnnkit.plots.architecture import plot_architecture

        write_bytes(plot, encode_figure(plot_architecture(summary)), overwrite=overwrite)
        console.note(f"{plot} shows the architecture")
    if json:
        console.json(
            {
                "schema": SCHEMA,
                "name": summary.name,
                "input_shape": summary.input_shape,
                "layers": summary.layers,
                "parameters": summary.parameters,
                "multiply_adds": summary.multiply_adds,
                "uncounted": summary.uncounted,
                "output": None if plot is None else str(plot),
            }
        )
        return
    console.table(_table(summary))
    if console.verbose:
        _show_arithmetic(console, summary)
    if summary.uncounted:
        console.note(f"multiply-adds not counted: {', '.join(summary.uncounted)}")


def _table(summary: NetworkSummary) -> Table:
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


def _show_arithmetic(console: Console, summary: NetworkSummary) -> None:
    for layer in summary.layers:
        lines = list(layer.arithmetic)
        if layer.start and layer.jump and any(layer.jump):
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


def _parse_shape(text: str) -> tuple[int, ...]:
    parts = text.lower().replace("×", "x").split("x")
    if not 2 <= len(parts) <= 4 or not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"--input takes a shape with channels last, such as 64x64x3, not {text!r}")
    return tuple(map(int, parts))
