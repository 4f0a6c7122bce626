"""Settings of style transfer, and of training the networks that it is done with."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from cnnkit.engine.settings import (
    Option,
    Seed,
    Settings,
    StepsPerEpoch,
    TimeBudget,
    Workers,
    is_count,
    spell,
)
from cnnkit.errors import UsageError

STYLE_LOSSES = ("wasserstein", "gram")
INITS = ("fast", "content", "noise", "style")
TRANSFORMS = ("wct", "adain")
OPTIMIZERS = ("auto", "adam", "sgd", "lbfgs")
POOLINGS = ("max", "average")
PARAMETERIZATIONS = ("pyramid", "pixels")
COLORS = ("none", "luminance", "histogram", "chroma")
QUALITIES = ("draft", "standard", "fine")

# Steps at each scale, coarsest first. Fine scales cost four times as much as the one before and
# have only detail left to add, so they get fewer.
QUALITY_STEPS = {"standard": (100, 70, 35, 20), "fine": (500, 350, 220, 140)}
SMALLEST_SCALE = 128
# The same from a draft, which has the large shapes already: "standard" begins at twice the size.
QUALITY_STEPS_FROM_DRAFT = {"standard": (40, 28, 16, 10), "fine": (300, 200, 130, 80)}
SMALLEST_SCALE_FROM_DRAFT = {"standard": 256, "fine": SMALLEST_SCALE}
# And with L-BFGS, a step of which goes as far as about two of Adam's. On VGG's full width a step
# takes five times as long as on the compact network, and brings more.
QUALITY_STEPS_OF_LBFGS = {"standard": (20, 20, 11, 7), "fine": (100, 100, 80, 40)}
QUALITY_STEPS_OF_LBFGS_ON_VGG = {"standard": (8, 8, 6, 4), "fine": (60, 40, 30, 12)}
# A picture of one scale alone gets the steps that take as long as the two scales of 512x512, but no
# more than one for so many pixels of its long side: tiny ones would go on to leave the photograph
# even at a little strength.
SIDE_OF_A_STEP = 8

DEFAULT_STYLE_LAYERS = {f"block{block}_conv1": 1.0 for block in range(1, 6)}
DEFAULT_CONTENT_LAYER = "block4_conv2"
DECODER_LEVELS = (1, 2, 3, 4)
# Smaller ones would see more around them than of their own.
SMALLEST_TILE = 64
LARGEST_STYLE_SCALE = 8  # a style picture of 4096 pixels for a result of 512

LOOK_PANEL, LOSS_PANEL, OPTIMIZER_PANEL = "Look", "Losses and network", "Optimizer"
_POLISH_PANEL = "Polishing"


def _parse_size(text: str) -> int | str:
    if text == "original":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--size takes a number of pixels or 'original', not {text!r}")
    return int(text)


def _parse_duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|)", text.strip())
    if not match:
        raise UsageError(f"--budget takes a time such as 60s, 2m or 1h, not {text!r}")
    return float(match[1]) * {"s": 1, "": 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def _parse_layers(text: str) -> dict[str, float]:
    layers = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition(":")
        try:
            layers[name] = float(weight) if weight else 1.0
        except ValueError:
            raise UsageError(f"--style-layers takes LAYER:WEIGHT,..., not {part!r}") from None
    return layers


def _of_python(help: str, **limits: Any) -> Option:
    return Option(help, on_command_line=False, **limits)


@dataclass(frozen=True)
class StylizeSettings(Settings):
    """Settings of `cnnkit.stylize`.

    A style of one colour, in which the content would vanish, is taken at a strength of 0.7 at most,
    and that is noted. At the edge of what it sees a network sees mirror images too, which the
    optimizer learns to exploit: without a margin it draws a garish frame.
    """

    size: Annotated[
        int | str,
        Option(
            "Long side in pixels, or 'original'. Nothing is enlarged.",
            LOOK_PANEL,
            show_default="512, on a sheet 320",
            parse=_parse_size,
        ),
    ] = 512
    quality: Annotated[
        str,
        Option(
            "In a second, or with an optimizer, in few or many steps.",
            LOOK_PANEL,
            show_default="standard, of videos draft",
            choices=QUALITIES,
        ),
    ] = "standard"
    steps: Annotated[int | None, Option("Steps over all scales.", LOOK_PANEL, min=1)] = None
    budget: Annotated[
        float | None,
        Option(
            "Finish within this time, start-up included: 20s, 5m, 1h.",
            LOOK_PANEL,
            metavar="TIME",
            above=0.0,
            parse=_parse_duration,
        ),
    ] = None
    strength: Annotated[
        float,
        _of_python(
            "How far the picture goes from its own style, 0, to that of the style picture, 1, "
            "along the shortest path between their statistics.",
            min=0.0,
            max=1.0,
        ),
    ] = 1.0
    content_weight: Annotated[
        float, Option("alpha, weight of the content loss.", LOSS_PANEL, min=0.0)
    ] = 0.03
    style_weight: Annotated[
        float, Option("beta, weight of the style loss.", LOSS_PANEL, min=0.0)
    ] = 1.0
    tv_weight: Annotated[
        float, Option("gamma, weight of the total variation.", LOSS_PANEL, min=0.0)
    ] = 0.05
    content_layer: Annotated[str, Option("Layer of the content loss.", LOSS_PANEL)] = (
        DEFAULT_CONTENT_LAYER
    )
    style_layers: Annotated[
        Mapping[str, float],
        Option(
            "Layers of the style loss.",
            LOSS_PANEL,
            metavar="LAYER[:WEIGHT],...",
            parse=_parse_layers,
        ),
    ] = field(default_factory=lambda: dict(DEFAULT_STYLE_LAYERS))
    style_loss: Annotated[str, Option("Style loss.", LOSS_PANEL, choices=STYLE_LOSSES)] = (
        "wasserstein"
    )
    style_scale: Annotated[
        float,
        Option(
            "Size of the brush strokes: 0.5 finer, 2 coarser.",
            LOOK_PANEL,
            above=0.0,
            max=LARGEST_STYLE_SCALE,
        ),
    ] = 1.0
    transform: Annotated[
        str,
        Option(
            "How a draft takes on the style: all channels of a layer together, or each by itself.",
            LOOK_PANEL,
            choices=TRANSFORMS,
        ),
    ] = "wct"
    init: Annotated[
        str, Option("Start from; fast is the draft.", OPTIMIZER_PANEL, choices=INITS)
    ] = "fast"
    optimizer: Annotated[
        str,
        Option(
            "Optimizer; auto is L-BFGS from a draft, where none of Adam's settings is given.",
            OPTIMIZER_PANEL,
            choices=OPTIMIZERS,
        ),
    ] = "auto"
    learning_rate: Annotated[
        float | None,
        Option("First step size.", OPTIMIZER_PANEL, show_default="by optimizer", above=0.0),
    ] = None
    parameterization: Annotated[
        str,
        Option(
            "What Adam moves: levels of a Laplacian pyramid, or pixels.",
            OPTIMIZER_PANEL,
            choices=PARAMETERIZATIONS,
        ),
    ] = "pyramid"
    ema: Annotated[
        float,
        Option(
            "Decay of an average over the steps that becomes the result; 0 for none.",
            OPTIMIZER_PANEL,
            min=0.0,
            below=1.0,
        ),
    ] = 0.0
    pooling: Annotated[str, Option("Pooling of the network.", LOSS_PANEL, choices=POOLINGS)] = "max"
    preserve_color: Annotated[
        str,
        Option(
            "Keep the content's colours: stylise light and dark alone, give the style picture "
            "these colours first, or give the result their hue and saturation.",
            LOOK_PANEL,
            choices=COLORS,
        ),
    ] = "none"
    backbone: Annotated[
        str,
        Option(
            "auto (VGG-16 beside the compact network), compact, vgg16, vgg19, several joined by +, "
            "or a .keras file.",
            LOSS_PANEL,
        ),
    ] = "auto"
    smallest_scale: Annotated[
        int | None,
        _of_python("Long side of the coarsest scale; None for that of the quality.", min=1),
    ] = None
    scale_factor: Annotated[
        float, _of_python("Size of a scale relative to the one before.", above=1.0)
    ] = 2.0
    scale_steps: Annotated[
        tuple[int, ...] | None,
        _of_python("Steps of each scale, coarsest first, instead of those of the quality."),
    ] = None
    margin: Annotated[
        int,
        _of_python(
            "Pixels that the picture is mirrored over its edges while it is painted.", min=0
        ),
    ] = 16
    tile: Annotated[
        int | None,
        Option(
            "Let L-BFGS look at tiles of N pixels: the same loss, in less memory and more time.",
            OPTIMIZER_PANEL,
            metavar="N",
            show_default="where memory is short",
            min=SMALLEST_TILE,
            unit="pixels",
        ),
    ] = None
    seed: Seed = 0

    def check(self) -> None:
        """Refuses what makes no sense, and what would be ignored."""
        if self.size != "original" and not is_count(self.size):
            raise UsageError(f"size must be a number of pixels or 'original', not {self.size!r}")
        shares = self.style_layers.values()
        if not (all(0.0 <= share < float("inf") for share in shares) and sum(shares) > 0.0):
            raise UsageError("style-layers needs a layer of positive weight, and none below 0")
        steps = self.scale_steps
        if steps is not None and not (steps and all(is_count(count) for count in steps)):
            raise UsageError(f"scale-steps must be whole numbers from 1, not {steps!r}")
        if self.quality == "draft":
            self._check_draft()
        elif self.optimizer == "lbfgs" and set(self._settings_of_adam()) - {"parameterization"}:
            raise UsageError(
                f"lbfgs has no {spell(self._settings_of_adam()[0])}; leave it out, or use "
                "--optimizer adam"
            )
        elif self.tile is not None and self.chosen_optimizer != "lbfgs":
            raise UsageError("tile is for lbfgs alone; leave it out, or use --optimizer lbfgs")
        elif self.init != "fast" and self.transform != TRANSFORMS[0]:
            raise UsageError(f"transform is of the draft, which --init {self.init} goes without")

    def _check_draft(self) -> None:
        for item in fields(self):
            if item.name in _OF_THE_OPTIMIZER and getattr(self, item.name) != item.default:
                raise UsageError(
                    f"{spell(item.name)} is of the optimizer, which a draft goes without; leave it "
                    "out, or use --quality standard"
                )
        shares = {layer: share for layer, share in self.style_layers.items() if share > 0}
        levels = [f"block{level}_conv1" for level in DECODER_LEVELS]
        is_known = set(shares) <= set(DEFAULT_STYLE_LAYERS) and set(shares) & set(levels)
        if not is_known or len(set(shares.values())) > 1:
            raise UsageError(
                f"the style-layers of a draft are among {', '.join(levels)} and all count the "
                "same; choose of these, or use --quality standard"
            )
        if self.backbone not in ("auto", "compact"):
            raise UsageError(
                f"a draft is painted with the compact backbone, not {self.backbone}; "
                "use --quality standard"
            )

    @property
    def coarsest_scale(self) -> int:
        """Long side of the coarsest scale, in pixels."""
        own = SMALLEST_SCALE_FROM_DRAFT if self.init == "fast" else {}
        return self.smallest_scale or own.get(self.quality, SMALLEST_SCALE)

    def steps_by_scale(self, is_small: bool = True) -> tuple[int, ...]:
        """Steps of each scale, coarsest first, whether given or not.

        Args:
            is_small: whether the network is smaller than VGG's full width.
        """
        presets = QUALITY_STEPS
        if self.init == "fast":
            presets = QUALITY_STEPS_FROM_DRAFT
            if self.chosen_optimizer == "lbfgs":
                presets = QUALITY_STEPS_OF_LBFGS if is_small else QUALITY_STEPS_OF_LBFGS_ON_VGG
        return self.scale_steps or presets[self.quality]

    def steps_for(self, sizes: Sequence[tuple[int, int]], is_small: bool = True) -> tuple[int, ...]:
        """Steps of scales of these sizes, coarsest first; the last serves for all that follow.

        Args:
            sizes: `(height, width)` of each scale, in pixels.
            is_small: see `steps_by_scale`.

        >>> StylizeSettings().steps_for([(256, 256), (512, 512)])
        (20, 20, 11, 7)
        >>> StylizeSettings().steps_for([(256, 256), (512, 512)], is_small=False)
        (8, 8, 6, 4)
        >>> StylizeSettings().steps_for([(300, 450)])
        (48,)
        """
        preset = self.steps_by_scale(is_small)
        is_quick = self.init == "fast" and self.chosen_optimizer == "lbfgs"
        if len(sizes) > 1 or not is_quick or self.scale_steps or self.quality != "standard":
            return preset
        coarse = self.coarsest_scale
        [(height, width)] = sizes
        whole = coarse**2 * preset[0] + (2 * coarse) ** 2 * preset[1]
        steps = min(whole // (height * width), max(height, width) // SIDE_OF_A_STEP)
        return (max(preset[0], steps),)

    @property
    def chosen_optimizer(self) -> str:
        """What "auto" stands for, or the optimizer that was given."""
        if self.optimizer != "auto":
            return self.optimizer
        goes_on_from_draft = self.init == "fast" and self.quality != "draft"
        return "lbfgs" if goes_on_from_draft and not self._settings_of_adam() else "adam"

    def _settings_of_adam(self) -> list[str]:
        """Those that are given of what L-BFGS has no use for."""
        return [
            name
            for name in ("learning_rate", "ema", "parameterization")
            if getattr(self, name) != type(self).__dataclass_fields__[name].default
        ]


# Until 0.3.
StylizeOptions = StylizeSettings

# What does nothing where there is no optimizer.
_OF_THE_OPTIMIZER = frozenset(
    (
        *("steps", "budget", "content_weight", "style_weight", "tv_weight", "content_layer"),
        *("style_loss", "init", "optimizer", "learning_rate", "parameterization", "ema"),
        *("pooling", "smallest_scale", "scale_factor", "scale_steps", "margin", "tile"),
    )
)


@dataclass(frozen=True)
class CropSettings(Settings):
    """What the trainings on crops of plain pictures have in common; each has its own defaults.

    Workers make crops where one process is too slow for a graphics card.
    """

    batch_size: Annotated[int, Option("Crops in a step.", names=("--batch",), min=1)] = 16
    crop: Annotated[
        int, Option("Side of a crop, in pixels; a multiple of 16 for decoders.", min=32)
    ] = 96
    learning_rate: Annotated[float, Option("Adam's step size at its highest.", above=0.0)] = 3e-3
    warmup_steps: Annotated[
        int, _of_python("Steps over which the step size grows to the learning rate.", min=0)
    ] = 100
    steps_per_epoch: StepsPerEpoch = 250
    seed: Seed = 0
    workers: Workers = 0


@dataclass(frozen=True)
class BackboneSettings(CropSettings):
    """Settings of `cnnkit train backbone`; the defaults are the recipe of the shipped weights.

    The step size falls to 0 as a half cosine.
    """

    steps: Annotated[int, Option("Optimizer steps.", min=1)] = 14000


@dataclass(frozen=True)
class DecoderSettings(CropSettings):
    """Settings of `cnnkit train decoder`; the shipped weights had more steps, see their card.

    The time budget is of each level. The fifth level is left out by default: drafts are better
    without it.
    """

    levels: Annotated[
        tuple[int, ...],
        Option("Which of the five to train.", metavar="1,2,...", example="1,2,3"),
    ] = DECODER_LEVELS
    steps: Annotated[
        int | None,
        Option("Optimizer steps of each level.", show_default="0/4000/7000/5000", min=1),
    ] = None
    polish_steps: Annotated[
        int, Option("Steps without batch normalisation, afterwards.", _POLISH_PANEL, min=1)
    ] = 1500
    polish_learning_rate: Annotated[
        float, Option("Adam's step size in them at its highest.", _POLISH_PANEL, above=0.0)
    ] = 3e-4
    feature_weight: Annotated[
        float,
        _of_python("Of the activations of the decoded picture, against pixels.", min=0.0, max=1e6),
    ] = 0.003
    tv_weight: Annotated[
        float,
        _of_python("Of the decoded picture's total variation, against pixels.", min=0.0, max=1e6),
    ] = 1e-4
    pooling: Annotated[str, _of_python("Pooling of the backbone.", choices=POOLINGS)] = "average"
    time_budget: TimeBudget = None
    batch_size: int = 8
    crop: int = 128
    learning_rate: float = 1e-2

    def check(self) -> None:
        """Refuses levels that there are not, and crops that the backbone does not halve evenly."""
        if not self.levels or not set(self.levels) <= {1, 2, 3, 4, 5}:
            raise UsageError(f"levels must be among 1 to 5, not {self.levels}")
        if self.crop % 16:
            raise UsageError(f"crop must be a multiple of 16, not {self.crop}")

    def steps_of(self, level: int) -> int:
        """Optimizer steps of one level, without those of the polishing."""
        return 0 if level == 1 else self.steps or {2: 4000, 3: 7000}.get(level, 5000)
