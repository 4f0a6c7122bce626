"""Settings of looking into networks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cnnkit.engine.batch import Overwrite
from cnnkit.engine.settings import (
    OUTPUT_PANEL,
    RUN_PANEL,
    Argument,
    Option,
    Settings,
    is_count,
)
from cnnkit.errors import UsageError
from cnnkit.options import CLASSIFIERS

# Trained networks to look into, besides files and runs.
VIEWABLE = ("compact", *CLASSIFIERS)
UNITS_PANEL = "Units"

Image = Annotated[str, Argument("A picture, or - for stdin.", metavar="IMG")]
Layer = Annotated[
    str, Argument("Name of a layer; layer1 ... layer5 for blocks of VGG.", metavar="LAYER")
]
Plot = Annotated[Path | None, Option("Draw the architecture.", OUTPUT_PANEL, metavar="FILE.png")]
MapFile = Annotated[
    Path | None,
    Option(
        "Write the map alone too, in the picture's size.",
        OUTPUT_PANEL,
        ("--map",),
        metavar="FILE.npy|png",
    ),
]


def _model_option(metavar: str, panel: str | None = None) -> Option:
    known = ", ".join(VIEWABLE)
    return Option(f"{known}, the folder of a run, or a Keras model.", panel, metavar=metavar)


def _pixels_option(panel: str | None = None) -> Option:
    return Option(
        "What a .keras file expects: unit [0, 1], byte [0, 255] or signed [-1, 1].",
        panel,
        choices=("unit", "byte", "signed"),
    )


def _output_option(help: str, show_default: str) -> Option:
    names = ("-o", "--output")
    return Option(help, OUTPUT_PANEL, names, metavar="FILE.png", show_default=show_default)


@dataclass(frozen=True)
class FigureSettings(Settings):
    """Where a figure goes."""

    output: Annotated[
        Path | None, _output_option("Where the figure goes.", "named after the input, here")
    ] = None
    overwrite: Overwrite = False


@dataclass(frozen=True)
class EdgeFigureSettings(FigureSettings):
    """Where the figure of a kernel or a pooling goes."""

    output: Annotated[
        Path | None,
        _output_option("Where the figure goes.", "IMG-edges.png or IMG-pooled.png here"),
    ] = None


@dataclass(frozen=True)
class ViewSettings(Settings):
    """The network that is looked into."""

    model: Annotated[str, _model_option("NAME|RUN|FILE.keras")] = "compact"
    pixels: Annotated[str, _pixels_option()] = "unit"


@dataclass(frozen=True)
class EdgeSettings(Settings):
    """The kernel or the pooling window that slides over a picture."""

    kernel: Annotated[
        str | None,
        Option(
            "vertical, horizontal, sobel[-horizontal], scharr[-horizontal], laplacian, a file "
            "of numbers, or '1 0 -1; 1 0 -1; 1 0 -1'.",
            metavar="NAME|FILE|NUMBERS",
            show_default="vertical",
        ),
    ] = None
    pool: Annotated[
        str | None,
        Option("Pool instead of a convolution: max or average.", choices=("max", "average")),
    ] = None
    size: Annotated[int | None, Option("Of the pooling window.", show_default="2", min=1)] = None
    stride: Annotated[
        int | None,
        Option("Step of the window.", show_default="1, of a pooling its window", min=1),
    ] = None
    padding: Annotated[str, Option("valid or same.", choices=("valid", "same"))] = "valid"
    flip: Annotated[bool, Option("Turn the kernel, for a convolution of mathematics.")] = False

    def check(self) -> None:
        """Refuses a pooling with a kernel, and a window without a pooling."""
        if self.pool is not None and (self.kernel is not None or self.flip):
            raise UsageError("--pool has no kernel; leave out --kernel and --flip")
        if self.pool is None and self.size is not None:
            raise UsageError("--size is that of a pooling window; add --pool, or give a --kernel")


@dataclass(frozen=True)
class ActivationSettings(Settings):
    """Which feature maps of a layer are shown."""

    maps: Annotated[int, Option("How many channels to show.", min=1)] = 24
    channels: Annotated[
        tuple[int, ...] | None,
        Option(
            "These channels, in this order.",
            metavar="0,5,7",
            show_default="those with the highest mean",
            example="0,5,7 or 0-8",
            ranges=True,
        ),
    ] = None
    size: Annotated[
        int, Option("Long side at which the network sees the picture, at most.", min=32)
    ] = 512


@dataclass(frozen=True)
class FilterSettings(Settings):
    """Which kernels are shown."""

    layer: Annotated[
        str | None, Option("A convolution.", metavar="LAYER", show_default="the first")
    ] = None
    units: Annotated[
        tuple[int, ...] | None,
        Option(
            "These filters.",
            names=("--unit", "--units"),
            metavar="0,5,7",
            show_default="all",
            example="0,5,7 or 0-8",
            ranges=True,
        ),
    ] = None
    channel: Annotated[
        int | None,
        Option(
            "Input channel to show, behind the first layer.",
            show_default="of each filter that with the most weight",
            min=0,
        ),
    ] = None


Channels = Annotated[
    tuple[int, ...],
    Option(
        "Channels of the layer, such as 5 or 0-8.",
        names=("--unit", "--units"),
        metavar="K[,K...]",
        example="0,5,7 or 0-8",
        ranges=True,
    ),
]


@dataclass(frozen=True)
class MaximizeSettings(Settings):
    """How pictures that excite units are made; the defaults were found by looking at pictures.

    The size is None for what the network insists on, else 256; the blur and the learning rate for
    what the parameterization needs.
    """

    size: Annotated[
        int | None,
        Option("Side of a picture, in pixels.", show_default="256", min=16, unit="pixels"),
    ] = None
    steps: Annotated[int, Option("Steps of the optimizer.", min=1)] = 100
    learning_rate: Annotated[
        float | None,
        Option("Adam's step size.", show_default="0.02, of pixels 0.1", above=0.0),
    ] = None
    parameterization: Annotated[
        str,
        Option("What is optimised: fourier (spectra), or pixels.", choices=("fourier", "pixels")),
    ] = "fourier"
    target: Annotated[
        str,
        Option("The mean of the unit over the picture, or its centre.", choices=("mean", "centre")),
    ] = "mean"
    blur: Annotated[
        float | None,
        Option("Of the picture, in pixels.", show_default="0.75, of pixels 1.5", min=0.0),
    ] = None
    jitter: Annotated[float, Option("Largest random shift in a step, in pixels.", min=0.0)] = 8.0
    zoom: Annotated[
        float, Option("Largest random change of scale in a step, as a share.", min=0.0, below=1.0)
    ] = 0.1
    rotation: Annotated[float, Option("Largest random turn in a step, in degrees.", min=0.0)] = 10.0
    seed: Annotated[int, Option("Seed of everything random.", RUN_PANEL, min=0)] = 0

    @property
    def step_size(self) -> float:
        """Adam's step size, whether given or not."""
        return self.learning_rate or (0.02 if self.parameterization == "fourier" else 0.1)

    @property
    def blur_deviation(self) -> float:
        """Of the blur in pixels, whether given or not."""
        if self.blur is not None:
            return self.blur
        return 0.75 if self.parameterization == "fourier" else 1.5


@dataclass(frozen=True)
class ClassSettings(Settings):
    """The class whose evidence is looked for."""

    class_name: Annotated[
        str | None,
        Option(
            "What to look for.",
            names=("--class",),
            metavar="NAME|INDEX",
            show_default="the class with the highest score",
        ),
    ] = None


@dataclass(frozen=True)
class GradcamSettings(ClassSettings):
    """What Grad-CAM explains, and by the maps of which layer."""

    layer: Annotated[
        str | None, Option("Whose maps.", metavar="LAYER", show_default="the last convolution")
    ] = None


@dataclass(frozen=True)
class OcclusionSettings(ClassSettings):
    """The square that slides over a picture."""

    window: Annotated[
        int | None,
        Option(
            "Side of the grey square, in pixels of what the network sees.",
            show_default="a sixth of the shorter side",
            min=1,
        ),
    ] = None
    stride: Annotated[
        int | None,
        Option("From one square to the next.", show_default="half of the square", min=1),
    ] = None


@dataclass(frozen=True)
class UnitsSettings(Settings):
    """Whose strongest patches are looked for, and how."""

    model: Annotated[str, _model_option("NAME|FILE.keras", UNITS_PANEL)] = "compact"
    pixels: Annotated[str, _pixels_option(UNITS_PANEL)] = "unit"
    units: Annotated[
        tuple[int, ...] | None,
        Option(
            "Such as 0,5,17 or 0-15.",
            UNITS_PANEL,
            metavar="LIST",
            show_default="the 16 that stand out most, or 4 of each layer",
            example="0,5,17 or 0-15",
            ranges=True,
        ),
    ] = None
    count: Annotated[
        int | None,
        Option("How many of those that stand out most, instead of --units.", UNITS_PANEL, min=1),
    ] = None
    size: Annotated[
        int, Option("Long side at which pictures are seen, in pixels.", RUN_PANEL, min=1)
    ] = 256
    deconv: Annotated[
        bool, Option("Draw beside each patch what in it drives the unit.", UNITS_PANEL)
    ] = False

    def check(self) -> None:
        """Refuses units that there cannot be, and two ways to choose them."""
        if self.units is not None and not (
            self.units and all(is_count(unit, least=0) for unit in self.units)
        ):
            raise UsageError(f"units must be whole numbers from 0, not {self.units!r}")
        if self.units is not None and self.count is not None:
            raise UsageError("--units and --count exclude each other; give one of them")


@dataclass(frozen=True)
class SheetSettings(FigureSettings):
    """Where the sheet of units goes, and the page."""

    output: Annotated[
        Path | None, _output_option("Where the sheet goes.", "units-LAYER.png here")
    ] = None
    page: Annotated[
        Path | None,
        Option("Make a page with the pictures, too.", OUTPUT_PANEL, ("--html",), metavar="DIR"),
    ] = None


@dataclass(frozen=True)
class ResumeSettings(Settings):
    """How an interrupted run goes on."""

    resume: Annotated[bool, Option("Go on with an interrupted run.", RUN_PANEL)] = False
    state: Annotated[
        Path | None,
        Option(
            "Where the state of an interrupted run is kept.",
            RUN_PANEL,
            metavar="FILE",
            show_default="beside the output",
        ),
    ] = None
