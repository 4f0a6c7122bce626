"""``cnnkit visualize activations|filters|maximize|gradcam|occlusion``: what a network sees."""

import io
import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.cli._classifier import Classes, Classifier
from cnnkit.cli._inference import start_viewing
from cnnkit.cli._options import OUTPUT_PANEL, Device, Json, Overwrite, Quiet, Seed, Threads, Verbose
from cnnkit.cli._visualize import (
    Figure,
    Image,
    Layer,
    Model,
    Pixels,
    check_png,
    default_path,
    failures_as_records,
    figure_path,
    parse_numbers,
    read_picture,
)
from cnnkit.console import Console
from cnnkit.errors import ExitCode, UsageError
from cnnkit.options import DEFAULT_CLASSIFIER, MaximizeOptions
from cnnkit.results import SCHEMA, Record

if TYPE_CHECKING:
    import numpy as np

    from cnnkit.images import Picture
    from cnnkit.results import ClassMap

_MAXIMIZE = MaximizeOptions()
# Filters that fit on one sheet.
_MOST_FILTERS = 256

ClassName = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="NAME|INDEX",
        help="What to look for.",
        show_default="the class with the highest score",
    ),
]
MapFile = Annotated[
    Path | None,
    typer.Option(
        "--map",
        metavar="FILE.npy|png",
        help="Write the map alone too, in the picture's size.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


def activations(
    image: Image,
    layer: Layer,
    model: Model = "compact",
    maps: Annotated[int, typer.Option(min=1, help="How many channels to show.")] = 24,
    channels: Annotated[
        str | None,
        typer.Option(
            metavar="0,5,7",
            help="These channels, in this order.",
            show_default="those with the highest mean",
        ),
    ] = None,
    size: Annotated[
        int, typer.Option(min=32, help="Long side at which the network sees the picture, at most.")
    ] = 512,
    pixels: Pixels = "unit",
    output: Figure = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what the units of a layer say to a picture, strongest first.

    Each map is scaled to its own largest value, which stands below it beside the mean.

    Examples:

      cnnkit visualize activations cat.jpg layer3

      cnnkit visualize activations cat.jpg block1_conv1 --channels 0-15
    """
    console = Console(quiet=quiet, verbose=verbose)
    path = figure_path(image, _file_part(layer), output, overwrite)
    chosen = None if channels is None else parse_numbers(channels, "--channels")
    with failures_as_records(console, json, image):
        picture = read_picture(image)
        start_viewing(console, model, threads=threads, device=device, verbose=verbose)
        from cnnkit.images import Picture, encode_image, resize, to_uint8, write_bytes
        from cnnkit.pipelines.visualize_activations import visualize_activations
        from cnnkit.plots import color_map, draw_tiles, encode_figure, plot_units

        found = visualize_activations(
            picture, layer, model=model, pixels=pixels, maps=maps, channels=chosen, size=size
        )
        order = "in the order asked for" if chosen else "highest mean first"
        count = f"{len(found.channels)} of {len(found.means)}"
        if found.is_map:
            height, width = found.maps.shape[:2]
            captions = [
                f"{one} · {found.means[one]:.3g} · {found.peaks[one]:.3g}" for one in found.channels
            ]
            sheet = draw_tiles(
                [color_map(found.maps[..., index]) for index in range(len(found.channels))],
                captions,
                title=f"{found.layer} of {found.model}",
                subtitle=f"{count} channels of {width}x{height}, {order} "
                "(channel · mean · largest)",
                picture=to_uint8(resize(picture.pixels, *found.input_size)),
            )
            write_bytes(path, encode_image(Picture(sheet / 255.0), ".png"), overwrite=overwrite)
        else:
            figure = plot_units(
                found.channels,
                found.means[list(found.channels)],
                title=f"{found.layer} of {found.model}: {count} units",
            )
            write_bytes(path, encode_figure(figure), overwrite=overwrite)
    if json:
        items = tuple(
            {
                "channel": one,
                "mean": float(found.means[one]),
                "maximum": float(found.peaks[one]),
                "active_share": float(found.shares[one]),
            }
            for one in found.channels
        )
        details = {
            "layer": found.layer,
            "channels": len(found.means),
            "map_height": found.maps.shape[0],
            "map_width": found.maps.shape[1],
            "output": str(path),
        }
        console.json(
            Record(image, picture.width, picture.height, items, model=found.model, details=details)
        )
        return
    height, width = found.maps.shape[:2]
    shape = f"maps of {width}x{height}" if found.is_map else "units"
    console.result(f"{path}  {found.layer}: {count} {shape}, {order}")
    for one in found.channels[:5]:
        line = f"  {one:>4}  mean {found.means[one]:.4g}"
        if found.is_map:
            line += f"  largest {found.peaks[one]:.4g}  {found.shares[one]:.0%} active"
        console.result(line)


def filters(
    model: Model = "compact",
    layer: Annotated[
        str | None,
        typer.Option(metavar="LAYER", help="A convolution.", show_default="the first"),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(
            "--unit", "--units", metavar="0,5,7", help="These filters.", show_default="all"
        ),
    ] = None,
    channel: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Input channel to show, behind the first layer.",
            show_default="of each filter that with the most weight",
        ),
    ] = None,
    pixels: Pixels = "unit",
    output: Figure = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the kernels of the first layer as pictures, in the colours that they look for.

    Of later layers, whose input has no colours, one input channel of each kernel is shown.

    Examples:

      cnnkit visualize filters

      cnnkit visualize filters --layer block2_conv1 --channel 3
    """
    console = Console(quiet=quiet, verbose=verbose)
    stem = Path(model).stem + (f"-{_file_part(layer)}" if layer else "")
    path = output or default_path(f"{stem}-filters.png", overwrite)
    check_png(path, "-o", overwrite)
    chosen = None if units is None else parse_numbers(units, "--units")
    start_viewing(console, model, threads=threads, device=device, verbose=verbose)
    from cnnkit.images import Picture, encode_image, write_bytes
    from cnnkit.pipelines.visualize_filters import visualize_filters
    from cnnkit.plots import draw_tiles, kernel_picture

    found = visualize_filters(
        model=model, layer=layer, units=chosen, input_channel=channel, pixels=pixels
    )
    kernels, shown = found.kernels, found.units
    if len(kernels) > _MOST_FILTERS:
        console.note(f"showing {_MOST_FILTERS} of {len(kernels)} filters; choose with --units")
        kernels, shown = kernels[:_MOST_FILTERS], shown[:_MOST_FILTERS]
    height, width, depth = kernels.shape[1:]
    if depth == 3:
        what = "in colour"
    elif found.input_channels == 1:
        what = "grey"
    elif found.input_channel is not None:
        what = f"input channel {found.input_channel} of {found.input_channels}"
    else:
        what = f"the strongest of {found.input_channels} input channels"
    sheet = draw_tiles(
        [kernel_picture(kernel) for kernel in kernels],
        [str(unit) for unit in shown],
        title=f"{found.layer} of {found.model}",
        subtitle=f"{len(kernels)} kernels of {width}x{height}, {what}; grey is 0",
        side=64,
    )
    write_bytes(path, encode_image(Picture(sheet / 255.0), ".png"), overwrite=overwrite)
    if json:
        items = tuple(
            {
                "unit": unit,
                "norm": float((kernel**2).sum() ** 0.5),
                "smallest": float(kernel.min()),
                "largest": float(kernel.max()),
            }
            for unit, kernel in zip(shown, kernels, strict=True)
        )
        console.json(
            {
                "schema": SCHEMA,
                "model": found.model,
                "layer": found.layer,
                "kernel": [height, width],
                "input_channels": found.input_channels,
                "output": str(path),
                "items": items,
            }
        )
        return
    console.result(f"{path}  {found.layer}: {len(kernels)} kernels of {width}x{height}, {what}")


def maximize(
    layer: Layer,
    units: Annotated[
        str,
        typer.Option(
            "--unit", "--units", metavar="K[,K...]", help="Channels of the layer, such as 5 or 0-8."
        ),
    ],
    model: Model = "compact",
    size: Annotated[
        int | None, typer.Option(help="Side of a picture, in pixels.", show_default="256")
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of the optimizer.")] = _MAXIMIZE.steps,
    parameterization: Annotated[
        str, typer.Option(help="What is optimised: fourier (spectra), or pixels.")
    ] = _MAXIMIZE.parameterization,
    target: Annotated[
        str, typer.Option(help="The mean of the unit over the picture, or its centre.")
    ] = _MAXIMIZE.target,
    blur: Annotated[
        float | None,
        typer.Option(help="Of the picture, in pixels.", show_default="0.75, of pixels 1.5"),
    ] = _MAXIMIZE.blur,
    learning_rate: Annotated[
        float | None, typer.Option(help="Adam's step size.", show_default="0.02, of pixels 0.1")
    ] = _MAXIMIZE.learning_rate,
    jitter: Annotated[
        float, typer.Option(help="Largest random shift in a step, in pixels.")
    ] = _MAXIMIZE.jitter,
    zoom: Annotated[
        float, typer.Option(help="Largest random change of scale in a step, as a share.")
    ] = _MAXIMIZE.zoom,
    rotation: Annotated[
        float, typer.Option(help="Largest random turn in a step, in degrees.")
    ] = _MAXIMIZE.rotation,
    seed: Seed = _MAXIMIZE.seed,
    pixels: Pixels = "unit",
    output: Figure = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Make the picture that excites a unit most, from noise; of several units a sheet.

    Dead units, which nothing excites, are named and get no picture.

    Examples:

      cnnkit visualize maximize layer5 --unit 17

      cnnkit visualize maximize block4_conv4 --units 0-11 --target centre
    """
    from cnnkit.runtime import configure

    console = Console(quiet=quiet, verbose=verbose)
    chosen = parse_numbers(units, "--unit")
    options = MaximizeOptions(
        size=size,
        steps=steps,
        learning_rate=learning_rate,
        parameterization=parameterization,
        target=target,
        blur=blur,
        jitter=jitter,
        zoom=zoom,
        rotation=rotation,
        seed=seed,
    )
    ending = f"unit{chosen[0]}" if len(chosen) == 1 else "units"
    path = output or default_path(f"{_file_part(layer)}-{ending}.png", overwrite)
    check_png(path, "-o", overwrite)
    from cnnkit.engine.model_file import find_viewed_file

    find_viewed_file(model)
    console.working("loading TensorFlow and the network")
    configure(threads=threads, verbose=verbose, device=device)
    from cnnkit.images import Picture, encode_image, to_uint8, write_bytes
    from cnnkit.pipelines.visualize_maximize import visualize_maximize
    from cnnkit.plots import draw_tiles

    with console.progress() as bar:
        task = bar.add_task("maximize", total=1, status="")

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        layer, found = visualize_maximize(
            layer, chosen, options, model=model, pixels=pixels, on_step=show
        )
    alive = [one for one in found if not one.is_dead]
    name = Path(model).name
    if alive:
        images = [to_uint8(_in_colour(one.image)) for one in alive]
        if len(chosen) > 1:
            sheet = draw_tiles(
                images,
                [f"{one.unit} · {one.mean:.3g}" for one in alive],
                title=f"{layer} of {name}",
                subtitle=f"pictures that excite units (unit · {_mean_of(target)})",
                side=max(images[0].shape[:2]),
                smooth=True,
            )
        else:
            sheet = images[0]
        settings = {"model": name, "layer": layer, "units": [one.unit for one in alive]}
        record = json_module.dumps({**settings, **vars(options)})
        write_bytes(path, encode_image(Picture(sheet / 255.0), ".png", record), overwrite=overwrite)
    if json:
        items = tuple(
            {
                "unit": one.unit,
                "mean": one.mean,
                "maximum": one.peak,
                "noise_mean": one.noise_mean,
                "dead": one.is_dead,
            }
            for one in found
        )
        console.json(
            {
                "schema": SCHEMA,
                "model": name,
                "layer": layer,
                "output": str(path) if alive else None,
                "settings": vars(options),
                "items": items,
            }
        )
    else:
        if alive:
            height, width = alive[0].image.shape[:2]
            console.result(f"{path}  {layer}: {len(alive)} of {len(found)} units, {width}x{height}")
        for one in found:
            if one.is_dead:
                console.result(f"  {one.unit:>4}  dead: nothing excites it, {one.peak:.2g} at most")
            else:
                console.result(
                    f"  {one.unit:>4}  mean {one.mean:.4g}, of noise {one.noise_mean:.2g}; "
                    f"largest {one.peak:.4g}"
                )
    return int(ExitCode.DONE if alive else ExitCode.NOTHING_FOUND)


def gradcam(
    image: Image,
    model: Classifier = DEFAULT_CLASSIFIER,
    class_name: ClassName = None,
    classes: Classes = None,
    layer: Annotated[
        str | None,
        typer.Option(metavar="LAYER", help="Whose maps.", show_default="the last convolution"),
    ] = None,
    pixels: Pixels = "unit",
    output: Figure = None,
    map_file: MapFile = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show where a classifier sees a class: Grad-CAM.

    Examples:

      cnnkit visualize gradcam cat.jpg --class "tabby cat"

      cnnkit visualize gradcam cat.jpg --model own.keras --class cat
    """
    console = Console(quiet=quiet, verbose=verbose)
    path = figure_path(image, "gradcam", output, overwrite)
    _check_map(map_file, overwrite)
    from cnnkit.tasks.classify.files import check_classifier

    check_classifier(model)
    with failures_as_records(console, json, image):
        picture = _prepare(image, threads, verbose, device)
        from cnnkit.pipelines.visualize_gradcam import visualize_gradcam

        found = visualize_gradcam(
            picture,
            model=model,
            layer=layer,
            class_name=class_name,
            pixels=pixels,
            classes=classes,
        )
        _show_map(
            console, image, picture, found, path, map_file, json,
            label="share of the strongest place", method=f"Grad-CAM at {found.layer}",
            overwrite=overwrite,
        )  # fmt: skip


def occlusion(
    image: Image,
    model: Classifier = DEFAULT_CLASSIFIER,
    class_name: ClassName = None,
    classes: Classes = None,
    window: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Side of the grey square, in pixels of what the network sees.",
            show_default="a sixth of the shorter side",
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(min=1, help="From one square to the next.", show_default="half of the square"),
    ] = None,
    pixels: Pixels = "unit",
    output: Figure = None,
    map_file: MapFile = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Slide a grey square over a picture, and show where a class's score falls.

    Examples:

      cnnkit visualize occlusion cat.jpg --model vgg16

      cnnkit visualize occlusion cat.jpg --model own.keras --window 24
    """
    console = Console(quiet=quiet, verbose=verbose)
    path = figure_path(image, "occlusion", output, overwrite)
    _check_map(map_file, overwrite)
    from cnnkit.tasks.classify.files import check_classifier

    check_classifier(model)
    with failures_as_records(console, json, image):
        picture = _prepare(image, threads, verbose, device)
        from cnnkit.pipelines.visualize_occlusion import visualize_occlusion

        with console.progress() as bar:
            task = bar.add_task("occlusion", total=1, status="")

            def show(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            found = visualize_occlusion(
                picture,
                model=model,
                window=window,
                stride=stride,
                class_name=class_name,
                pixels=pixels,
                classes=classes,
                on_squares=show,
            )
        rows, columns = found.coarse.shape
        _show_map(
            console, image, picture, found, path, map_file, json,
            label="probability lost" if _is_share(found) else "score lost",
            method=f"{columns}x{rows} grey squares",
            overwrite=overwrite,
        )  # fmt: skip


def _prepare(image: str, threads: int | None, verbose: bool, device: str) -> "Picture":
    from cnnkit.runtime import configure

    picture = read_picture(image)
    configure(threads=threads, verbose=verbose, device=device)
    return picture


def _check_map(path: Path | None, overwrite: bool) -> None:
    if path is None:
        return
    if path.suffix.lower() not in (".npy", ".png"):
        raise UsageError(f"--map writes a .npy or a .png, not {path}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; use --overwrite or another name")


def _show_map(
    console: Console,
    image: str,
    picture: "Picture",
    found: "ClassMap",
    path: Path,
    map_file: Path | None,
    json: bool,
    *,
    label: str,
    method: str,
    overwrite: bool,
) -> None:
    from cnnkit.images import write_bytes
    from cnnkit.plots import encode_figure, plot_class_map

    score = _score(found)
    figure = plot_class_map(
        picture.pixels,
        found.heat,
        title=f"{found.label}  {score}",
        label=label,
        peak_xy=found.peak_xy,
        lines=(found.model, method),
    )
    write_bytes(path, encode_figure(figure), overwrite=overwrite)
    if map_file is not None:
        write_bytes(map_file, _encode_map(found, map_file.suffix.lower()), overwrite=overwrite)
        console.note(f"{map_file} holds the map")
    if found.heat.max() <= 0:
        console.warning(f"nothing in {image} speaks for {found.label}")
    if json:
        item = {
            "label": found.label,
            "class_id": found.class_index,
            "score": found.score,
            "peak": {"x": found.peak_xy[0], "y": found.peak_xy[1]},
            "minimum": float(found.heat.min()),
            "maximum": float(found.heat.max()),
        }
        best = [
            {"label": name, "class_id": index, "score": value} for index, name, value in found.best
        ]
        details = {
            "best": best,
            "layer": found.layer,
            "map": found.coarse,
            "output": str(path),
            "map_file": None if map_file is None else str(map_file),
        }
        console.json(
            Record(
                image, picture.width, picture.height, (item,), model=found.model, details=details
            )
        )
        return
    x, y = found.peak_xy
    console.result(f"{path}  {found.label}: {score}, strongest at x {x}, y {y}  ({method})")
    for _, name, value in found.best:
        shown = f"{value:>7.2%}" if _is_share(found) else f"{value:>9.4g}"
        console.result(f"  {shown}  {name}")


def _is_share(found: "ClassMap") -> bool:
    """Whether the scores are probabilities, as far as can be told from the best."""
    best = [value for _, _, value in found.best]
    return sum(best) <= 1.0 + 1e-4 and all(0.0 <= value <= 1.0 for value in (*best, found.score))


def _score(found: "ClassMap") -> str:
    return f"{found.score:.1%}" if _is_share(found) else f"{found.score:.4g}"


def _encode_map(found: "ClassMap", suffix: str) -> bytes:
    import numpy as np

    from cnnkit.images import Picture, encode_image

    if suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, found.heat)
        return buffer.getvalue()
    most = float(found.heat.max())
    grey = np.clip(found.heat / most, 0.0, 1.0) if most > 0 else np.zeros_like(found.heat)
    return encode_image(Picture(np.repeat(grey[..., None], 3, axis=2)), suffix)


def _in_colour(image: "np.ndarray") -> "np.ndarray":
    return image if image.shape[-1] == 3 else image.repeat(3, axis=-1)


def _mean_of(target: str) -> str:
    return "mean activation" if target == "mean" else "mean activation; made for the centre"


def _file_part(layer: str) -> str:
    """The name of a layer, of a model inside a model too, as part of the name of a file."""
    return layer.replace("/", "-").replace("\\", "-")
