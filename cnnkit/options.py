"""The settings of each job and their defaults, said once for the library and the command line.

Nothing heavy is imported here, so that ``--help`` can show the defaults at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from cnnkit.engine.settings import (
    check_kinds,
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
# Commands whose networks `cnnkit weights warm` compiles ahead.
WARMED = ("detect", "segment", "classify", "caption", "faces", "stylize")

# What the decoders of captioners are made of.
CAPTION_CELLS = ("lstm", "gru", "rnn")

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
# Smaller ones would see more around them than of their own.
SMALLEST_TILE = 64
LARGEST_STYLE_SCALE = 8  # a style picture of 4096 pixels for a result of 512


@dataclass(frozen=True)
class StylizeOptions:
    """Settings of `cnnkit.stylize`.

    Attributes:
        size: long side of the result in pixels, or "original" for the content's own size. A
            content picture smaller than this is not enlarged.
        quality: "draft" paints without an optimizer, in about a second; "standard" and "fine" go
            on from there with few or many steps at each scale.
        steps: total number of steps over all scales, instead of the quality's own.
        budget: seconds the whole run may take; scales and steps are planned to fit.
        strength: how far the picture goes from its own style (0: unchanged) to the style
            picture's (1), along the shortest path between their statistics. A style of one colour,
            in which the content would vanish, is taken at 0.7 at most, and that is noted.
        content_weight: alpha, weight of the content loss.
        style_weight: beta, weight of the style loss.
        tv_weight: gamma, weight of the total variation.
        content_layer: layer of the content loss.
        style_layers: layer -> weight within the style loss.
        style_loss: "wasserstein" or "gram".
        style_scale: size of the style picture relative to the result; 2 gives brush strokes
            twice as large.
        transform: how the draft carries statistics over: "wct", all channels together, or
            "adain", each by itself.
        init: start from the draft ("fast"), the "content", "noise", or the "style" picture.
        optimizer: "adam", "sgd", "lbfgs" or "auto": L-BFGS from a draft, and Adam from another
            start or where its settings are given.
        learning_rate: step size; None for the optimizer's own default.
        parameterization: what the optimizer moves: the levels of a Laplacian "pyramid" that add
            up to the picture (large areas move fast, little noise), or the "pixels".
        ema: decay of an exponential moving average of the steps that becomes the result; 0: none.
        pooling: "max" or "average" pooling in the feature network.
        preserve_color: "none"; "luminance": only light and dark are stylised; "histogram": the
            style picture first gets the content's colours; "chroma": the content's hue and
            saturation replace the result's.
        backbone: "auto" (VGG-16 beside the compact network), "compact", "vgg16", "vgg19", several
            of these joined by "+", or a `.keras` file.
        smallest_scale: long side of the coarsest scale, in pixels; None for the quality's own.
        scale_factor: size of a scale relative to the one before.
        scale_steps: steps of each scale, coarsest first, instead of the quality's own.
        margin: pixels that the picture is mirrored over its edges while it is painted. At the edge
            of what it sees the network sees mirror images too, which the optimiser learns to
            exploit: without a margin it draws a garish frame.
        tile: of L-BFGS: canvases larger than this are looked at in tiles of this side, in pixels:
            the same loss and gradient, in less memory and more time. None for tiles only where
            the picture would not fit into the memory.
        seed: of the noise, and of the faint grain that a draft grows its texture from.
    """

    size: int | str = 512
    quality: str = "standard"
    steps: int | None = None
    budget: float | None = None
    strength: float = 1.0
    content_weight: float = 0.03
    style_weight: float = 1.0
    tv_weight: float = 0.05
    content_layer: str = DEFAULT_CONTENT_LAYER
    style_layers: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_STYLE_LAYERS))
    style_loss: str = "wasserstein"
    style_scale: float = 1.0
    transform: str = "wct"
    init: str = "fast"
    optimizer: str = "auto"
    learning_rate: float | None = None
    parameterization: str = "pyramid"
    ema: float = 0.0
    pooling: str = "max"
    preserve_color: str = "none"
    backbone: str = "auto"
    smallest_scale: int | None = None
    scale_factor: float = 2.0
    scale_steps: tuple[int, ...] | None = None
    margin: int = 16
    tile: int | None = None
    seed: int = 0

    def __post_init__(self):
        check_kinds(self)
        if self.size != "original" and not is_count(self.size):
            raise UsageError(f"size must be a number of pixels or 'original', not {self.size!r}")
        _check_choices(
            self,
            quality=QUALITIES,
            style_loss=STYLE_LOSSES,
            init=INITS,
            transform=TRANSFORMS,
            optimizer=OPTIMIZERS,
            parameterization=PARAMETERIZATIONS,
            pooling=POOLINGS,
            preserve_color=COLORS,
        )
        if not 0.0 <= self.strength <= 1.0:
            raise UsageError(f"strength must be between 0 and 1, not {self.strength}")
        for name in ("content_weight", "style_weight", "tv_weight"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0.0):
                raise UsageError(
                    f"{name.replace('_', '-')} must be 0 or more, not {getattr(self, name)}"
                )
        _check_positive(self, "budget", "learning_rate", "style_scale")
        if self.style_scale > LARGEST_STYLE_SCALE:
            raise UsageError(
                f"style-scale must be at most {LARGEST_STYLE_SCALE}, not {self.style_scale}"
            )
        _check_counts(self, steps=1)
        if not 0.0 <= self.ema < 1.0:
            raise UsageError(f"ema must be at least 0 and less than 1, not {self.ema}")
        shares = self.style_layers.values()
        if not (all(math.isfinite(s) and s >= 0.0 for s in shares) and sum(shares) > 0.0):
            raise UsageError("style-layers needs a layer of positive weight, and none below 0")
        if self.smallest_scale is not None and not is_count(self.smallest_scale):
            raise UsageError(
                f"smallest-scale must be a number of pixels, not {self.smallest_scale!r}"
            )
        if not (math.isfinite(self.scale_factor) and self.scale_factor > 1.0):
            raise UsageError(f"scale-factor must be more than 1, not {self.scale_factor}")
        steps = self.scale_steps
        if steps is not None and not (steps and all(is_count(count) for count in steps)):
            raise UsageError(f"scale-steps must be whole numbers from 1, not {steps!r}")
        for name in ("margin", "seed"):
            value = getattr(self, name)
            if not is_count(value, least=0):
                raise UsageError(f"{name} must be a whole number from 0, not {value!r}")
        if self.tile is not None and not is_count(self.tile, SMALLEST_TILE):
            raise UsageError(f"tile must be at least {SMALLEST_TILE} pixels, not {self.tile!r}")
        self._check_applies()

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

        >>> StylizeOptions().steps_for([(256, 256), (512, 512)])
        (20, 20, 11, 7)
        >>> StylizeOptions().steps_for([(256, 256), (512, 512)], is_small=False)
        (8, 8, 6, 4)
        >>> StylizeOptions().steps_for([(300, 450)])
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

    def _check_applies(self) -> None:
        """Refuses what would be ignored."""
        if self.quality == "draft":
            for item in fields(self):
                default = item.default
                if item.name in _OF_THE_OPTIMIZER and getattr(self, item.name) != default:
                    raise UsageError(
                        f"{item.name.replace('_', '-')} is of the optimizer, which a draft goes "
                        "without; leave it out, or use --quality standard"
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
        elif self.optimizer == "lbfgs" and set(self._settings_of_adam()) - {"parameterization"}:
            raise UsageError(
                f"lbfgs has no {spell(self._settings_of_adam()[0])}; leave it out, or use "
                "--optimizer adam"
            )
        elif self.tile is not None and self.chosen_optimizer != "lbfgs":
            raise UsageError("tile is for lbfgs alone; leave it out, or use --optimizer lbfgs")
        elif self.init != "fast" and self.transform != TRANSFORMS[0]:
            raise UsageError(f"transform is of the draft, which --init {self.init} goes without")


# What does nothing where there is no optimizer.
_OF_THE_OPTIMIZER = frozenset(
    (
        *("steps", "budget", "content_weight", "style_weight", "tv_weight", "content_layer"),
        *("style_loss", "init", "optimizer", "learning_rate", "parameterization", "ema"),
        *("pooling", "smallest_scale", "scale_factor", "scale_steps", "margin", "tile"),
    )
)


def _is_left_out(options: Any, name: str) -> bool:
    """Whether a setting is None, where None is what it is by default."""
    default = type(options).__dataclass_fields__[name].default
    return default is None and getattr(options, name) is None


def _check_choices(options: Any, **allowed: Sequence[str]) -> None:
    for name, words in allowed.items():
        if not _is_left_out(options, name) and getattr(options, name) not in words:
            raise UsageError(
                f"{spell(name)} must be one of {', '.join(words)}, not {getattr(options, name)!r}"
            )


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


def _check_ranges(options: Any, **most: float) -> None:
    """From 0 to the numbers that are given."""
    for name, limit in most.items():
        value = getattr(options, name)
        if not _is_left_out(options, name) and not (math.isfinite(value) and 0.0 <= value <= limit):
            raise UsageError(f"{spell(name)} must be between 0 and {limit:g}, not {value}")


@dataclass(frozen=True)
class BackboneOptions:
    """Settings of `cnnkit train backbone`; the defaults are the recipe of the shipped weights.

    Attributes:
        steps: optimizer steps.
        batch_size: crops in a step.
        crop: side of a crop, in pixels.
        learning_rate: Adam's step size after the warm-up; it falls to 0 as a half cosine.
        warmup_steps: steps over which the step size grows to `learning_rate`.
        steps_per_epoch: steps between two reports and two checkpoints.
        seed: of crops, colours and initial weights.
        workers: processes that make crops, where one is too slow for a graphics card; 0 for none.
    """

    steps: int = 14000
    batch_size: int = 16
    crop: int = 96
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    steps_per_epoch: int = 250
    seed: int = 0
    workers: int = 0

    def __post_init__(self):
        check_kinds(self)
        _check_counts(self, steps=1, batch_size=1, warmup_steps=0, steps_per_epoch=1)
        # The network halves its pictures four times.
        _check_counts(self, crop=16, seed=0, workers=0)
        _check_positive(self, "learning_rate")


DECODER_LEVELS = (1, 2, 3, 4)


@dataclass(frozen=True)
class DecoderOptions:
    """Settings of `cnnkit train decoder`; the shipped weights had more steps, see their card.

    Attributes:
        levels: which decoders to train, from 1 (`block1_conv1`) to 5 (`block5_conv1`). The fifth is
            left out by default: drafts are better without it.
        steps: optimizer steps of each level; None for the recipe's own, more for the deeper.
        batch_size: crops in a step.
        crop: side of a crop, in pixels, a multiple of 16.
        learning_rate: Adam's step size after the warm-up; it falls to 0 as a half cosine.
        warmup_steps: steps over which the step size grows to `learning_rate`.
        polish_steps: optimizer steps of the plain decoder afterwards.
        polish_learning_rate: Adam's step size in them at its highest.
        feature_weight: of the activations of the decoded picture, against pixels.
        tv_weight: of the decoded picture's total variation, against pixels.
        pooling: of the backbone, "average" or "max".
        steps_per_epoch: steps between two reports and two checkpoints.
        time_budget: seconds that each level may take; the step sizes fall in time. None for any.
        seed: of crops, colours and initial weights.
        workers: processes that make crops, where one is too slow for a graphics card; 0 for none.
    """

    levels: tuple[int, ...] = DECODER_LEVELS
    steps: int | None = None
    batch_size: int = 8
    crop: int = 128
    learning_rate: float = 1e-2
    warmup_steps: int = 100
    polish_steps: int = 1500
    polish_learning_rate: float = 3e-4
    feature_weight: float = 0.003
    tv_weight: float = 1e-4
    pooling: str = "average"
    steps_per_epoch: int = 250
    time_budget: float | None = None
    seed: int = 0
    workers: int = 0

    def __post_init__(self):
        check_kinds(self)
        if not self.levels or not set(self.levels) <= {1, 2, 3, 4, 5}:
            raise UsageError(f"levels must be among 1 to 5, not {self.levels}")
        if not is_count(self.crop, 16) or self.crop % 16:
            raise UsageError(f"crop must be a multiple of 16, not {self.crop}")
        _check_choices(self, pooling=POOLINGS)
        _check_positive(self, "learning_rate", "polish_learning_rate", "time_budget")
        _check_ranges(self, feature_weight=1e6, tv_weight=1e6)
        _check_counts(self, steps=1, batch_size=1, warmup_steps=0, polish_steps=0)
        _check_counts(self, steps_per_epoch=1, seed=0, workers=0)

    def steps_of(self, level: int) -> int:
        """Optimizer steps of one level, without those of the polishing."""
        return 0 if level == 1 else self.steps or {2: 4000, 3: 7000}.get(level, 5000)
