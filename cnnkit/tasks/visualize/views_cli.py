"""``cnnkit visualize activations|filters|maximize|gradcam|occlusion``: what a network learned."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cnnkit.console import Console
from cnnkit.engine.command import DeviceSettings, PrintSettings, command
from cnnkit.engine.observer import showing_tasks
from cnnkit.errors import ExitCode
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.results import SCHEMA
from cnnkit.tasks.classify.settings import Model as ClassifierModel
from cnnkit.tasks.classify.settings import ReadSettings
from cnnkit.tasks.visualize.files import start_viewing
from cnnkit.tasks.visualize.picture_command import (
    check_new,
    layer_in_name,
    named_path,
    view_picture,
)
from cnnkit.tasks.visualize.settings import (
    ActivationSettings,
    Channels,
    FigureSettings,
    FilterSettings,
    GradcamSettings,
    Image,
    Layer,
    MapFile,
    MaximizeSettings,
    OcclusionSettings,
    ViewSettings,
)

if TYPE_CHECKING:
    from cnnkit.images import Picture
    from cnnkit.tasks.visualize.results import ActivationMaps, ClassMap


@command
def activations(
    image: Image,
    layer: Layer,
    *,
    network: ViewSettings,
    settings: ActivationSettings,
    figure: FigureSettings,
    device: DeviceSettings,
    printing: PrintSettings,
) -> int:
    """Show what the units of a layer say to a picture, strongest first.

    Each map is scaled to its own largest value, which stands below it beside the mean.

    Examples:

      cnnkit visualize activations cat.jpg layer3

      cnnkit visualize activations cat.jpg block1_conv1 --channels 0-15
    """

    def view(picture: "Picture", console: Console) -> "ActivationMaps":
        start_viewing(console, network.model, device, printing.verbose)
        from cnnkit.tasks.visualize.activations import visualize_activations

        return visualize_activations(
            picture, layer, settings, model=network.model, pixels=network.pixels
        )

    return view_picture(image, layer_in_name(layer), figure, printing, view)


@command
def filters(
    network: ViewSettings,
    settings: FilterSettings,
    figure: FigureSettings,
    device: DeviceSettings,
    printing: PrintSettings,
) -> int:
    """Show the kernels of the first layer as pictures, in the colours that they look for.

    Of later layers, whose input has no colours, one input channel of each kernel is shown.

    Examples:

      cnnkit visualize filters

      cnnkit visualize filters --layer block2_conv1 --channel 3
    """
    console = printing.console()
    stem = Path(network.model).stem
    if settings.layer:
        stem += f"-{layer_in_name(settings.layer)}"
    path = named_path(f"{stem}-filters.png", figure)
    start_viewing(console, network.model, device, printing.verbose)
    from cnnkit.tasks.visualize.filters import visualize_filters
    from cnnkit.tasks.visualize.results import MOST_FILTERS

    found = visualize_filters(settings, model=network.model, pixels=network.pixels)
    if len(found.kernels) > MOST_FILTERS:
        console.note(f"showing {MOST_FILTERS} of {len(found.kernels)} filters; choose with --units")
    found.save(path, overwrite=figure.overwrite)
    if printing.json:
        console.json({"schema": SCHEMA, **found.to_dict(), "output": str(path)})
    else:
        console.result(f"{path}  {found.layer}: {found.facts}")
    return 0


@command
def maximize(
    layer: Layer,
    units: Channels,
    *,
    network: ViewSettings,
    settings: MaximizeSettings,
    figure: FigureSettings,
    device: DeviceSettings,
    printing: PrintSettings,
) -> int:
    """Make the picture that excites a unit most, from noise; of several units a sheet.

    Dead units, which nothing excites, are named and get no picture.

    Examples:

      cnnkit visualize maximize layer5 --unit 17

      cnnkit visualize maximize block4_conv4 --units 0-11 --target centre
    """
    console = printing.console()
    ending = f"unit{units[0]}" if len(units) == 1 else "units"
    path = named_path(f"{layer_in_name(layer)}-{ending}.png", figure)
    start_viewing(console, network.model, device, printing.verbose, needs_gradients=True)
    from cnnkit.tasks.visualize.maximize import visualize_maximize

    with showing_tasks(console) as show:
        found = visualize_maximize(
            layer,
            units,
            settings,
            model=network.model,
            pixels=network.pixels,
            on_step=lambda done, total: show("maximize", done, total),
        )
    if found.alive:
        found.save(path, overwrite=figure.overwrite)
    if printing.json:
        output = str(path) if found.alive else None
        console.json({"schema": SCHEMA, **found.to_dict(), "output": output})
    else:
        if found.alive:
            height, width = found.alive[0].image.shape[:2]
            count = f"{len(found.alive)} of {len(found.units)} units"
            console.result(f"{path}  {found.layer}: {count}, {width}x{height}")
        for one in found.units:
            console.result(one.line())
    return int(ExitCode.DONE if found.alive else ExitCode.NOTHING_FOUND)


@command
def gradcam(
    image: Image,
    model: ClassifierModel = DEFAULT_CLASSIFIER,
    *,
    settings: GradcamSettings,
    read: ReadSettings,
    figure: FigureSettings,
    map_file: MapFile = None,
    device: DeviceSettings,
    printing: PrintSettings,
) -> int:
    """Show where a classifier sees a class: Grad-CAM.

    Examples:

      cnnkit visualize gradcam cat.jpg --class "tabby cat"

      cnnkit visualize gradcam cat.jpg --model own.keras --class cat
    """

    def view(picture: "Picture", console: Console) -> "ClassMap":
        device.start_keras(printing.verbose)
        from cnnkit.tasks.visualize.gradcam import visualize_gradcam

        return visualize_gradcam(
            picture, settings, model=model, pixels=read.pixels, classes=read.classes
        )

    return _view_class(image, "gradcam", model, figure, map_file, printing, view)


@command
def occlusion(
    image: Image,
    model: ClassifierModel = DEFAULT_CLASSIFIER,
    *,
    settings: OcclusionSettings,
    read: ReadSettings,
    figure: FigureSettings,
    map_file: MapFile = None,
    device: DeviceSettings,
    printing: PrintSettings,
) -> int:
    """Slide a grey square over a picture, and show where a class's score falls.

    Examples:

      cnnkit visualize occlusion cat.jpg --model vgg16

      cnnkit visualize occlusion cat.jpg --model own.keras --window 24
    """

    def view(picture: "Picture", console: Console) -> "ClassMap":
        device.start_keras(printing.verbose)
        from cnnkit.tasks.visualize.occlusion import visualize_occlusion

        with showing_tasks(console) as show:
            return visualize_occlusion(
                picture,
                settings,
                model=model,
                pixels=read.pixels,
                classes=read.classes,
                on_squares=lambda done, total: show("occlusion", done, total),
            )

    return _view_class(image, "occlusion", model, figure, map_file, printing, view)


def _view_class(
    image: str,
    task: str,
    model: str,
    figure: FigureSettings,
    map_file: Path | None,
    printing: PrintSettings,
    view: "Callable[[Picture, Console], ClassMap]",
) -> int:
    from cnnkit.tasks.classify.files import check_classifier

    check_new(map_file, "--map", figure.overwrite, (".npy", ".png"))
    check_classifier(model)

    def view_and_write(picture: "Picture", console: Console) -> "ClassMap":
        from cnnkit.images import write_bytes

        found = view(picture, console)
        if map_file is not None:
            content = found.encode_map(map_file.suffix.lower())
            write_bytes(map_file, content, overwrite=figure.overwrite)
            console.note(f"{map_file} holds the map")
        if found.heat.max() <= 0:
            console.warning(f"nothing in {image} speaks for {found.label}")
        return found

    details = {"map_file": None if map_file is None else str(map_file)}
    return view_picture(image, task, figure, printing, view_and_write, details)
