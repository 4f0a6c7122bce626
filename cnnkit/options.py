"""The settings of each job and their defaults, said once for the library and the command line.

Nothing heavy is imported here, so that ``--help`` can show the defaults at once.
"""

import math
from dataclasses import dataclass
from typing import Any

from cnnkit.engine.settings import (
    check_kinds,
    is_count,
    spell,
)
from cnnkit.errors import UsageError

FACE_FORMS = ("absolute", "chi-square", "squared")
MININGS = ("random", "semi-hard", "batch-hard")

# Fully convolutional networks by the pixels between their scores.
FCN_VARIANTS = ("32s", "16s", "8s")

# Networks whose classes can be told and explained, by what their weights are called in the table of
# weights. A further one is an entry in that table whose file is a .keras model.
CLASSIFIER_WEIGHTS = {
    "imagenet": "efficientnet-lite0",
    "caltech101": "caltech101",
    "vgg16": "vgg16-classifier",
    "vgg19": "vgg19-classifier",
    "mobilenet-v2": "mobilenet-v2",
}
CLASSIFIERS = tuple(CLASSIFIER_WEIGHTS)
DEFAULT_CLASSIFIER = "imagenet"
# Networks to look into whose weights come with the installation.
SHIPPED_NETWORKS = ("compact", "imagenet", "caltech101")
# Commands whose networks `cnnkit weights warm` compiles ahead.
WARMED = ("detect", "segment", "classify", "caption", "faces", "stylize")
# Trained networks to look into, besides files and runs.
VIEWABLE = ("compact", *CLASSIFIERS)

# What the decoders of captioners are made of.
CAPTION_CELLS = ("lstm", "gru", "rnn")


def _is_left_out(options: Any, name: str) -> bool:
    """Whether a setting is None, where None is what it is by default."""
    default = type(options).__dataclass_fields__[name].default
    return default is None and getattr(options, name) is None


def _check_counts(options: Any, **least: int) -> None:
    for name, limit in least.items():
        value = getattr(options, name)
        if not _is_left_out(options, name) and not is_count(value, limit):
            raise UsageError(f"{spell(name)} must be a whole number from {limit}, not {value!r}")


def _check_positive(options: Any, *names: str) -> None:
    for name in names:
        value = getattr(options, name)
        if not _is_left_out(options, name) and not (math.isfinite(value) and value > 0):
            raise UsageError(f"{spell(name)} must be more than 0, not {value}")


@dataclass(frozen=True)
class MaximizeOptions:
    """Settings of `cnnkit visualize maximize`; the defaults were found by looking at pictures.

    Attributes:
        size: side of the pictures, in pixels; None for what the network insists on, else 256.
        steps: of the optimizer.
        learning_rate: Adam's step size; None for what the parameterization needs.
        parameterization: "fourier", spectra of photographs; or "pixels".
        target: what to raise: the "mean" of a unit over all places, or its "centre" place.
        blur: standard deviation of the blur that the pictures pass, in pixels; None for what the
            parameterization needs.
        jitter: largest shift of the pictures in a step, in pixels.
        zoom: largest change of their scale in a step, as a share.
        rotation: largest turn in a step, in degrees.
        seed: of the start and of the moves.
    """

    size: int | None = None
    steps: int = 100
    learning_rate: float | None = None
    parameterization: str = "fourier"
    target: str = "mean"
    blur: float | None = None
    jitter: float = 8.0
    zoom: float = 0.1
    rotation: float = 10.0
    seed: int = 0

    def __post_init__(self):
        check_kinds(self)
        for name, allowed in (
            ("parameterization", ("fourier", "pixels")),
            ("target", ("mean", "centre")),
        ):
            if getattr(self, name) not in allowed:
                words = " or ".join(allowed)
                raise UsageError(f"{name} must be {words}, not {getattr(self, name)!r}")
        if self.size is not None and not is_count(self.size, least=16):
            raise UsageError(f"size must be at least 16 pixels, not {self.size!r}")
        _check_counts(self, steps=1, seed=0)
        _check_positive(self, "learning_rate")
        for name in ("blur", "jitter", "rotation"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} must be 0 or more, not {value}")
        if not 0 <= self.zoom < 1:
            raise UsageError(f"zoom must be from 0 to below 1, not {self.zoom}")

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
class UnitsOptions:
    """Settings of `cnnkit visualize units`.

    Attributes:
        model: one of `VIEWABLE`, or a `.keras` file.
        pixels: what a file's network expects of pictures: "unit" [0, 1], "byte" [0, 255] or
            "signed" [-1, 1].
        units: numbers of the units to show; None for those that stand out most.
        count: units to show where `units` is None; None for 16 of one layer, 4 of several.
        size: pictures are seen at this long side, in pixels; a network with a size of its own sees
            them at that.
        deconv: draw what drives each unit, with a deconvnet.
    """

    model: str = "compact"
    pixels: str = "unit"
    units: tuple[int, ...] | None = None
    count: int | None = None
    size: int = 256
    deconv: bool = False

    def __post_init__(self):
        check_kinds(self)
        for name in ("size", "count"):
            value = getattr(self, name)
            if not is_count(value) and not (name == "count" and value is None):
                raise UsageError(f"{name} must be a whole number from 1, not {value!r}")
        if self.units is not None and not (
            self.units and all(is_count(unit, least=0) for unit in self.units)
        ):
            raise UsageError(f"units must be whole numbers from 0, not {self.units!r}")
