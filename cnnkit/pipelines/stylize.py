"""Neural style transfer, coarse to fine, by optimising the picture itself (Gatys et al. 2015).

Departures from the paper, each for a reason that was looked at:
- the style loss is by default the Wasserstein-2 distance of Gaussian fits instead of the Gram
  matrix's (both are offered): brush strokes come out clearer and colours truer;
- every loss is relative to its natural scale (`cnnkit.losses.style.StylizeLoss`);
- the run starts small and doubles the size, so that large forms and fine strokes both come out;
- from a draft few steps of L-BFGS do; Adam, for other starts, moves the levels of a Laplacian
  pyramid instead of pixels: less noise at the same loss;
- two networks look side by side, VGG-16 and a compact VGG-19 distilled from the real one, since
  each alone flatters pictures that were optimised on it alone; both with max pooling;
- the finest detail of colours is taken away (`soften_chroma`), which the optimiser would fill with
  specks.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import math
import numbers
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from PIL import Image

import cnnkit
from cnnkit import weights as weights_table
from cnnkit.engine.choice import configure_keras, current_engine
from cnnkit.errors import ImageError, ResourceError, UsageError
from cnnkit.images import Picture, as_picture, fit_size, resize, to_pil, to_uint8, write_bytes
from cnnkit.losses._layer_statistics import (
    LayerStatistics,
    interpolate_statistics,
    mask_at,
    mix_statistics,
)
from cnnkit.models._backbones import resolve_backbone
from cnnkit.models._decoder_levels import entrance
from cnnkit.ops.color import LUMA, grey, match_colors, match_lightness, with_chroma_of
from cnnkit.ops.guided_filter import guided_filter
from cnnkit.ops.schedule import Scale, fit_steps_to_budget, plan_scales, scale_sizes
from cnnkit.options import StylizeOptions
from cnnkit.pipelines._stylize_fast import fast_stylizer
from cnnkit.pipelines._stylize_memory import Carried, FrameMemory
from cnnkit.pipelines._stylize_results import ScaleReport, StylizeProgress, StylizeResult
from cnnkit.runtime import give_back_memory, has_fast_bfloat16, measure_memory

if TYPE_CHECKING:
    from cnnkit.losses.style import StylizeLoss
    from cnnkit.models.vgg import FeatureNetwork
    from cnnkit.pipelines._stylize_scale import Evaluate, ScaleOptimizer
    from cnnkit.pipelines._stylize_tiles import TiledLoss, Tiling

# The five blocks halve the picture four times, and reflection needs two positions at the deepest.
_MULTIPLE = 16
_SMALLEST_CANVAS = 32
# What is made smaller than this, in pixels, shows little of any style.
_SMALL_PICTURE = 64
_CHECKPOINT_SECONDS = 5.0
# Levels of a draft that add fine texture and leave forms alone.
_FINE_LEVELS = 3
# Sides of the picture that the loss is compiled on, at most: such a step takes next to no time.
_COMPILED_SIDE = 128
# A draft with less than this share of the content's contrast is no start for the optimiser.
_FLAT = 0.25
# Of the filter that lays a draft's colours along the content's edges: radius of its windows in long
# sides, and the variance below which lightness counts as flat.
_ALIGNING_RADIUS, _ALIGNING_EPSILON = 1.0 / 64.0, 1e-3
# Standard deviation of a style of one colour, at most, and the strength that it can have.
_ONE_COLOUR = 0.02
_ONE_COLOUR_STRENGTH = 0.7

# Largest difference of the channels of a picture without colour: what JPEG's rounding leaves.
_GREY = 2.5 / 255.0

# Measured peak of a run on TensorFlow, CPU: the process without a picture, and what a pixel of
# the finest scale adds, in bytes (peaks in benchmarks/RESULTS.md). Others count as "vgg19".
_MEMORY = {
    "compact": (1_000e6, 1_100),
    "vgg16": (2_000e6, 2_500),
    "vgg19": (1_000e6, 6_500),
}
# The same where the network looks at tiles, beside what the largest tile takes, and sides of tiles,
# the quickest first (benchmarks/stylize_tiles.py).
_TILED_BASE_BYTES, _TILED_BYTES_PER_PIXEL = 2_000e6, 430
_TILES = (1024, 512, 256)
# Steps that L-BFGS looks back on, of canvases that are looked at as a whole and in tiles.
_MEMORY_OF_STEPS = (6, 3)
# The same of a draft, which works on large pictures in tiles.
_DRAFT_BASE_BYTES, _DRAFT_BYTES_PER_PIXEL = 1_600e6, 70
# Weight of the difference from the frame before, beside the losses of a picture.
_STEADINESS = 40.0
# What "auto" falls back to, where memory or time do not allow more.
_SMALL_BACKBONE = "compact"
# What a step costs in looks at the same canvas, and what compiling it costs in what compiling the
# look did; and the share of a plan's steps that the larger networks are worth taking for.
_LOOKS_OF_A_STEP, _COMPILINGS, _LEAST_SHARE_OF_STEPS = 3.5, 2.0, 0.5
# Of the time that the program took to start: what a draft, compiling and a few steps take at least,
# and what the larger networks take at least (benchmarks/stylize_budget.py).
_LEAST_OF_START, _LOOK_OF_START = 1.5, 3.0
_LONG_RUN_COST = 40e6  # steps x pixels from which a run is worth a prediction


def stylize(
    content_image: Any,
    style_image: Any,
    options: StylizeOptions | None = None,
    *,
    mask: Any = None,
    on_progress: Callable[[StylizeProgress], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> StylizeResult:
    """Paints one picture in the style of another.

    Args:
        content_image: array `(height, width, 1, 3 or 4)` of uint8 or of floats in [0, 1], a
            `PIL.Image`, or a path. Not changed.
        style_image: the same kinds; or a list of pictures or of `(picture, weight)`.
        options: see `StylizeOptions`.
        mask: picture of the content's shape: white is stylised, black stays, grey is between.
        on_progress: called after each step with a `StylizeProgress`. What it raises stops the
            run; a `KeyboardInterrupt`, there or anywhere else, ends it with the picture so far.
        on_note: called with a line of text when something is decided that the user may want to
            know: the backbone, the predicted time, a smaller step after a non-finite loss.

    Returns:
        A `StylizeResult` whose `image` is of the same kind as `content_image`.

    Raises:
        CnnkitError: a picture that cannot be read, weights that are not there, too little
            memory, or an optimisation that diverges.

    Example:

    >>> import numpy as np
    >>> from cnnkit import StylizeOptions, stylize
    >>> noise = np.random.default_rng(0).random((2, 32, 32, 3))
    >>> result = stylize(noise[0], noise[1], StylizeOptions(size=32, steps=2))
    >>> result.image.shape
    (32, 32, 3)
    """
    stylizer = Stylizer(style_image, options, on_note=on_note)
    return stylizer.run(content_image, mask=mask, on_progress=on_progress)


class Stylizer:
    """A style that is painted on any number of content pictures, read and measured once.

    Args:
        style_image: as in `stylize`.
        options: see `StylizeOptions`.
        on_note: as in `stylize`.
    """

    def __init__(
        self,
        style_image: Any,
        options: StylizeOptions | None = None,
        on_note: Callable[[str], None] | None = None,
    ):
        self.options = options or StylizeOptions()
        self._note = on_note or _say_nothing
        self._styles = _as_styles(style_image)
        self._keep_from_vanishing()
        self._statistics: dict[tuple, Mapping[Any, LayerStatistics]] = {}
        self._evaluate: Evaluate | None = None
        self._compiling: Future[Any] | None = None
        self._tiled: TiledLoss | None = None
        # Drafts are painted with networks of their own, and need no Keras where OpenVINO runs them.
        self.backbone = _SMALL_BACKBONE
        if self.options.quality != "draft":
            configure_keras()
            self.backbone = resolve_backbone(self.options.backbone)
            # Weights that are not there are told before anything else is.
            self.network  # noqa: B018
            self._note_backbone()

    def _note_backbone(self) -> None:
        given = self.options.backbone
        if given == "auto" and self.backbone == _SMALL_BACKBONE:
            self._note(
                f"backbone: {self.backbone}, for want of VGG-16's weights; "
                f"{weights_table.remedy(weights_table.entry('vgg16-hed'))}"
            )
        elif self.backbone != given:
            self._note(f"backbone: {self.backbone}; choose another with --backbone")

    @functools.cached_property
    def is_grey(self) -> bool:
        """Whether the styles are without any colour, and their colours are wanted.

        They give pictures without colour, where an optimiser alone would leave coloured specks.
        """
        return self.options.preserve_color == "none" and all(
            float(np.ptp(style.pixels, axis=-1).max()) < _GREY for style, _ in self._styles
        )

    @property
    def is_small(self) -> bool:
        """Whether none of the networks has VGG's full width."""
        return "vgg" not in self.backbone or self.backbone.endswith(".keras")

    @property
    def may_be_smaller(self) -> bool:
        """Whether the compact network alone may take the place of the networks."""
        options = self.options
        is_free = options.backbone == "auto" and options.quality != "draft"
        return is_free and self.backbone != _SMALL_BACKBONE

    def use_backbone(self, backbone: str) -> None:
        """From now on pictures are looked at with other networks, see `resolve_backbone`."""
        if backbone == self.backbone:
            return
        self.backbone = backbone
        for name in ("network", "style_layers", "content_layer", "frozen_network", "_see"):
            self.__dict__.pop(name, None)
        self._evaluate = self._tiled = None

    def _keep_from_vanishing(self) -> None:
        """Lowers the strength for a style of one colour, of which the whole would be one colour."""
        spread = max(style.pixels.std(axis=(0, 1)).max() for style, _ in self._styles)
        if spread < _ONE_COLOUR and self.options.strength > _ONE_COLOUR_STRENGTH:
            self.options = dataclasses.replace(self.options, strength=_ONE_COLOUR_STRENGTH)
            self._note(
                "the style picture is of one colour, in which the content would vanish: "
                f"strength {_ONE_COLOUR_STRENGTH} is taken"
            )

    @functools.cached_property
    def network(self) -> "FeatureNetwork":
        """What the optimiser sees with."""
        from cnnkit.models.vgg import build_feature_network

        layers = {layer for layer, weight in self.options.style_layers.items() if weight > 0}
        return build_feature_network(
            self.backbone,
            sorted(layers | {self.options.content_layer}),
            self.options.pooling,
            "bfloat16" if has_fast_bfloat16() else "float32",
        )

    @functools.cached_property
    def style_layers(self) -> Mapping[str, float]:
        """Weights of the network's outputs within the style loss: all networks count the same."""
        return {
            output: weight
            for layer, weight in self.options.style_layers.items()
            if weight > 0
            for output in self.network.outputs_of(layer)
        }

    @functools.cached_property
    def content_layer(self) -> str:
        """The network's output for the content loss: of several networks, that of the first."""
        return self.network.outputs_of(self.options.content_layer)[0]

    @functools.cached_property
    def frozen_network(self) -> Callable[[Any], Mapping[str, Any]]:
        """The same for what is compiled around it."""
        from cnnkit.ops.inference import with_constant_weights

        return with_constant_weights(self.network.model)

    @functools.cached_property
    def _see(self) -> Callable[[np.ndarray], Mapping[str, np.ndarray]]:
        from cnnkit.ops.inference import compile_inference

        return compile_inference(self.network.model, "float32")

    def tiling(self, side: int) -> "Tiling | None":
        """How canvases are cut into tiles of a side; None where nobody knows what a layer sees."""
        if self.options.chosen_optimizer != "lbfgs":
            return None
        from cnnkit.pipelines._stylize_tiles import find_tiling

        return find_tiling(self.network.model, side)

    def use_tiles(self, tiling: "Tiling | None") -> None:
        """From now on canvases that are larger than a tile are looked at in tiles, or none are."""
        if tiling is None:
            self._tiled = None
        elif self._tiled is None or self._tiled.tiling != tiling:
            from cnnkit.pipelines._stylize_tiles import TiledLoss

            self._tiled = TiledLoss(
                self.frozen_network, tiling, self.options, self.content_layer, self.style_layers
            )

    def tiled(self, canvas: np.ndarray) -> "TiledLoss | None":
        """What looks at a canvas in tiles, where it is to be looked at in tiles."""
        if self._tiled is None or self._tiled.tiling.is_whole(*canvas.shape[:2]):
            return None
        # One thread at a time calls the network's layers.
        self._end_compiling()
        return self._tiled

    def activations(self, canvas: np.ndarray) -> Mapping[str, np.ndarray]:
        """What the network says of a canvas `(height, width, 3)`, by layer."""
        return {layer: maps[0] for layer, maps in self._see(canvas[None]).items()}

    def loss(
        self,
        canvas: np.ndarray,
        activations: Mapping[str, np.ndarray],
        style: Mapping[str, LayerStatistics],
        mask: np.ndarray | None,
    ) -> "StylizeLoss":
        """What a canvas is optimised for.

        Args:
            canvas: of the content, `(height, width, 3)`.
            activations: of this canvas.
            style: statistics to reach, of `target`.
            mask: `(height, width)`, where style is measured.
        """
        from cnnkit.losses.style import StylizeLoss

        options = self.options
        return StylizeLoss(
            self.frozen_network,
            canvas,
            self.content_layer,
            style,
            self.style_layers,
            style_loss=options.style_loss,
            alpha=options.content_weight,
            beta=options.style_weight,
            # It fights the noise of painting, not what the content is made of.
            gamma=options.tv_weight * options.strength,
            mask=mask,
            activations=activations,
        )

    @contextlib.contextmanager
    def compiling(self, height: int, width: int, is_masked: bool) -> Iterator[None]:
        """Compiles the loss in a thread while the block runs, where one serves all sizes.

        At the end of the block the thread has ended, and what went wrong in it is raised, if it was
        not by `evaluator` already.

        Args:
            height: of the pictures that there will be, at least.
            width: the same.
            is_masked: whether there will be a mask.
        """
        if self.options.chosen_optimizer != "lbfgs" or self._evaluate:
            yield
            return
        from cnnkit.ops.inference import compiles_each_size

        if compiles_each_size():
            yield
            return
        # Made here, once: both threads use them.
        self._see, self.frozen_network  # noqa: B018
        sides = [min(side, _COMPILED_SIDE) for side in (height, width)]
        with ThreadPoolExecutor(1, "compile") as pool:
            self._compiling = pool.submit(self._compile, *sides, is_masked)
            yield
        self._end_compiling()

    def _end_compiling(self) -> None:
        if self._compiling is not None:
            compiling, self._compiling = self._compiling, None
            self._evaluate = compiling.result()

    def _compile(self, height: int, width: int, is_masked: bool) -> "Evaluate":
        """The loss of a grey picture, looked at once: TensorFlow compiles at the first look."""
        from cnnkit.pipelines._stylize_scale import compile_loss

        canvas = _on_canvas(np.full((height, width, 3), 0.5, np.float32), self.options.margin)
        mask = np.ones(canvas.shape[:2], np.float32) if is_masked else None
        activations = self.activations(canvas)
        loss = self.loss(canvas, activations, self.statistics_of(activations, mask), mask)
        evaluate = compile_loss(loss, self.options.strength)
        evaluate(canvas, () if mask is None else (canvas, mask[..., None]), loss.targets)
        return evaluate

    def evaluator(self, loss: "StylizeLoss") -> "Evaluate | None":
        """The compiled loss that all scales of all pictures share; None if the optimizer has none.

        Args:
            loss: of any of them: they differ in their targets alone.
        """
        if self.options.chosen_optimizer != "lbfgs":
            return None
        self._end_compiling()
        if self._evaluate is None:
            from cnnkit.pipelines._stylize_scale import compile_loss

            self._evaluate = compile_loss(loss, self.options.strength)
        return self._evaluate

    def run(
        self,
        content_image: Any,
        *,
        mask: Any = None,
        on_progress: Callable[[StylizeProgress], None] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        started: float | None = None,
    ) -> StylizeResult:
        """Stylises one picture.

        Args:
            content_image: as in `stylize`.
            mask: as in `stylize`.
            on_progress: as in `stylize`.
            checkpoint: file that the state of the run is written to every few seconds and when
                it is interrupted, and that is removed at the end; None writes none.
            resume: go on from `checkpoint`, where it is of the same run.
            started: `time.monotonic()` at which the budget began; now by default.

        Returns:
            As in `stylize`.
        """
        begin = time.monotonic()
        content = _seen(content_image, "the content picture")
        job = _Job(self, content, mask, on_progress, begin)
        deadline = None
        if self.options.budget is not None:
            deadline = (begin if started is None else started) + self.options.budget
        if resume and checkpoint:
            job.take_backbone_of(Path(checkpoint))
        elif started is not None and deadline is not None and job.is_late(deadline, started):
            pixels, reports = job.paint_late()
            return self._result(content_image, content, job, begin, pixels, reports, True, True)
        elif deadline is not None and self.may_be_smaller:
            job.choose_backbone(deadline, started)
        job.choose_tiles()
        with self.compiling(job.height, job.width, mask is not None):
            pixels, reports, finished = job.optimize(
                Path(checkpoint) if checkpoint else None, resume, deadline
            )
        return self._result(content_image, content, job, begin, pixels, reports, finished)

    def settings(self, is_draft: bool | None = None) -> dict[str, Any]:
        """All that a picture depends on beside the content, as plain JSON types.

        Args:
            is_draft: whether it is a draft; by default as the options have it.
        """
        is_draft = self.options.quality == "draft" if is_draft is None else is_draft
        network = fast_stylizer() if is_draft else self.network
        return {
            "program": f"cnnkit {cnnkit.__version__}",
            "engine": network.engine if is_draft else current_engine(),
            **_keras_version(),
            "styles": [
                {"source": style.source, "weight": weight, "sha256": _digest(style)}
                for style, weight in self._styles
            ],
            **_plain_options(self.options),
            "optimizer": (
                None if self.options.quality == "draft" else self.options.chosen_optimizer
            ),
            "backbone": network.name,
            "backbone_sha256": network.hash,
        }

    def paint_frame(
        self,
        frame: np.ndarray,
        memory: FrameMemory,
        *,
        mask: Any = None,
        following: np.ndarray | None = None,
    ) -> np.ndarray:
        """Stylises the next frame of a video.

        Args:
            frame: uint8 `(height, width, 3)`.
            memory: what the frames before hand on; changed.
            mask: as in `stylize`.
            following: the next frame, where it is known: its motion is found beside the painting.

        Returns:
            uint8, at the size that the options have it.
        """
        is_first, note = memory.frame is None, self._note
        if not is_first:
            # What was said of the first frame goes for all.
            self._note = _say_nothing
        try:
            job = _Job(self, as_picture(frame, "the video"), mask, None, time.monotonic())
            if is_first:
                job.choose_tiles()
            return to_uint8(job.paint_frame(memory, following))
        finally:
            self._note = note

    def _result(
        self,
        content_image: Any,
        content: Picture,
        job: "_Job",
        begin: float,
        pixels: np.ndarray,
        reports: Sequence[ScaleReport],
        finished: bool,
        is_draft: bool = False,
    ) -> StylizeResult:
        """What `run` gives; `begin` is when it began, by `time.monotonic()`."""
        # In a folder, hundreds of megabytes would wait for the collector.
        give_back_memory()
        picture = Picture(pixels, None, content.source).with_alpha(job.alpha)
        is_draft = is_draft or self.options.quality == "draft"
        network = fast_stylizer() if is_draft else self.network
        settings = {**self.settings(is_draft), "content": content.source, "tile": job.tile}
        return StylizeResult(
            image=_like(content_image, picture),
            losses=reports[-1].losses if reports else {},
            scales=tuple(reports),
            seconds=time.monotonic() - begin,
            finished=finished,
            backbone=network.name,
            backbone_hash=network.hash,
            settings=settings,
        )

    def style_statistics(
        self, long_side: int, content: np.ndarray
    ) -> Mapping[str, LayerStatistics]:
        """Statistics of the style at the scale whose long side is `long_side` pixels.

        Args:
            long_side: of the generated picture at this scale.
            content: `(height, width, 3)`, which the colour modes adapt the style to.

        Returns:
            layer -> statistics of all styles together.
        """
        return self._merged("network", long_side, content, self._measure)

    def fast_statistics(self, long_side: int, content: np.ndarray) -> Mapping[int, LayerStatistics]:
        """The same as the decoders' levels see it: level -> statistics of all styles together."""
        found = self._merged("fast", long_side, content, fast_stylizer().measure)
        wanted = {
            level for level in found if self.options.style_layers.get(entrance(level), 0.0) > 0
        }
        # A start for an optimiser that looks at other layers may have all of them.
        return {level: found[level] for level in wanted or found}

    def _merged(
        self,
        eyes: str,
        long_side: int,
        content: np.ndarray,
        measure: Callable[[np.ndarray, np.ndarray | None], Mapping[Any, LayerStatistics]],
    ) -> Mapping[Any, LayerStatistics]:
        """Statistics of all styles together, measured once for each size."""
        adapts = self.options.preserve_color in ("luminance", "histogram")
        key = (eyes, self.backbone, long_side, _digest(Picture(content)) if adapts else None)
        if key in self._statistics:
            return self._statistics[key]
        parts = [measure(*canvases) for canvases in self._style_canvases(long_side, content)]
        shares = [weight for _, weight in self._styles]
        merged = {
            layer: mix_statistics([part[layer] for part in parts], shares) for layer in parts[0]
        }
        if not adapts:
            self._statistics[key] = merged
        return merged

    def _style_canvases(
        self, long_side: int, content: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Each style picture at a scale, in the colours it is wanted in, and its weights."""
        options = self.options
        for style, _ in self._styles:
            # Enlarging a style picture only blurs it; beyond its own size it stays as it is.
            native = max(style.height, style.width)
            target = round(min(long_side, native) * options.style_scale)
            pixels = _fit(style.pixels, target)
            if options.preserve_color == "histogram":
                pixels = match_colors(pixels, content)
            elif options.preserve_color == "luminance":
                pixels = match_lightness(grey(pixels), grey(content))
            weights = None if style.alpha is None else _on_canvas(_fit(style.alpha, target))
            yield _on_canvas(pixels), weights

    def _measure(
        self, canvas: np.ndarray, weights: np.ndarray | None
    ) -> dict[str, LayerStatistics]:
        tiled = self.tiled(canvas)
        if tiled is not None:
            return tiled.statistics(canvas, weights)
        return self.statistics_of(self.activations(canvas), weights)

    def statistics_of(
        self, activations: Mapping[str, np.ndarray], weights: np.ndarray | None
    ) -> dict[str, LayerStatistics]:
        """Of the style layers; `weights` `(height, width)` says how much each pixel counts."""
        from cnnkit.losses.style import layer_statistics

        return {
            layer: layer_statistics(
                maps, None if weights is None else mask_at(weights, *maps.shape[:2])
            )
            for layer, maps in activations.items()
            if layer in self.style_layers
        }

    def target(
        self,
        measure: Callable[[], Mapping[str, LayerStatistics]],
        long_side: int,
        content: np.ndarray,
    ) -> Mapping[str, LayerStatistics]:
        """The statistics to reach: the style's, or those on the way to them at `strength`.

        Args:
            measure: gives those of the content's canvas.
            long_side: see `style_statistics`.
            content: the same.
        """
        style = self.style_statistics(long_side, content)
        if self.options.strength >= 1.0:
            return style
        own = measure()
        return {
            layer: interpolate_statistics(own[layer], style[layer], self.options.strength)
            for layer in style
        }


def _say_nothing(text: str) -> None:
    pass


class _Job:
    """One content picture on its way through the scales."""

    def __init__(
        self,
        stylizer: Stylizer,
        content: Picture,
        mask: Any,
        on_progress: Callable[[StylizeProgress], None] | None,
        begin: float,
    ):
        self._stylizer = stylizer
        self._options = options = stylizer.options
        self._content = content
        self._on_progress = on_progress
        self._begin = begin
        long_side = max(content.height, content.width)
        if options.size == "original" or long_side <= int(options.size):
            if options.size != "original" and long_side < int(options.size):
                stylizer._note(
                    f"{content.source or 'the content picture'} is {long_side} pixels long and is "
                    f"not enlarged to {options.size}"
                )
            self.height, self.width = content.height, content.width
        else:
            self.height, self.width = fit_size(content.height, content.width, int(options.size))
            if max(self.height, self.width) < _SMALL_PICTURE:
                stylizer._note(
                    f"the picture is made {self.width}x{self.height} pixels small, which leaves no "
                    f"room for a style: the size is its long side, {_SMALL_PICTURE} or better more"
                )
        self._source_pixels = np.clip(resize(content.pixels, self.height, self.width), 0.0, 1.0)
        self._pixels = self._source_pixels.copy()
        if options.preserve_color == "luminance":
            self._pixels = grey(self._pixels)
        elif stylizer.is_grey:
            self._pixels += options.strength * (grey(self._pixels) - self._pixels)
        self.alpha = None
        if content.alpha is not None:
            self.alpha = np.clip(resize(content.alpha, self.height, self.width), 0.0, 1.0)
        self._mask = None
        if mask is not None:
            self._mask = _as_mask(mask, self.height, self.width)
        self._tiling: Tiling | None = None
        # Pixels of the last scale, and the seconds that it took to begin it.
        self._begun: tuple[int, float] | None = None

    def optimize(
        self, checkpoint: Path | None, resume: bool, deadline: float | None
    ) -> tuple[np.ndarray, list[ScaleReport], bool]:
        """Runs all scales; returns `(pixels, reports, finished)`."""
        options = self._options
        if options.quality == "draft":
            return self._paint_draft()
        sizes = scale_sizes(self.height, self.width, options.coarsest_scale, options.scale_factor)
        preset = options.steps_for(sizes, self._stylizer.is_small)
        plan = plan_scales(sizes, preset, options.steps)
        note = self._stylizer._note
        state = _read_checkpoint(checkpoint, self._fingerprint()) if resume and checkpoint else None
        if resume and state is None:
            note("there is no interrupted run of this picture; starting anew")
        if state is not None:
            plan = [Scale(*numbers) for numbers in state["plan"]]
            side = state["tile"]
            self._use_tiles(None if side is None else self._stylizer.tiling(side))
        elif deadline is not None:
            plan = self._plan_for(plan, sizes, preset, deadline)
        elif sum(scale.pixels * scale.steps for scale in plan) >= _LONG_RUN_COST:
            per_pixel, overhead = self._time_step([(s.height, s.width) for s in plan])
            seconds = sum(
                s.pixels * s.steps * per_pixel * self._work(s.height, s.width) + overhead
                for s in plan
            )
            memory = self._memory(self._tiling) / 1e9
            note(f"predicted: about {_duration(seconds)} and {memory:.1f} GB")
        reports, image, first, go_on = [], None, 0, True
        if not plan:
            image, reports = self._draft, [ScaleReport(self.height, self.width, 0, {})]
        if state is not None:
            reports = [ScaleReport(**report) for report in state["reports"]]
            image, first = state["arrays"].get("start"), state["scale"]
        writer = _Checkpoint(
            checkpoint, self._fingerprint(), plan, self.tile, self._stylizer.backbone, note
        )
        for index in range(first, len(plan)):
            resumed = state if index == first else None
            if index and deadline is not None and self._is_too_late(index, plan, deadline):
                note("the budget is used up before the finest scale: the picture is enlarged")
                break
            try:
                image, report, go_on = self._run_scale(
                    plan, index, image, reports, writer, deadline, resumed
                )
            except KeyboardInterrupt:
                # Before the first step of a scale: what there is, is the scale before.
                if image is None:
                    raise
                if resumed is None:
                    writer.write()
                go_on = False
            else:
                reports.append(report)
            if not go_on:
                break
        if go_on:
            writer.remove()
        return self._finish(image), reports, go_on

    def paint_frame(self, memory: FrameMemory, following: np.ndarray | None) -> np.ndarray:
        """The picture as a frame of a video, with what the last one hands on."""
        carried = memory.move(to_uint8(self._source_pixels))
        if following is not None:
            pixels = as_picture(following, "the video").pixels
            memory.look_ahead(to_uint8(np.clip(resize(pixels, self.height, self.width), 0.0, 1.0)))
        if self._options.quality == "draft":
            image = self._paint_fast((self.height, self.width), memory=memory)
        elif carried is None:
            image = self._optimize_anew()
        else:
            image = self._optimize_on(carried)
        memory.image = image.astype(np.float32)
        return self._finish(image)

    def _plan(self) -> list[Scale]:
        sizes = scale_sizes(
            self.height, self.width, self._options.coarsest_scale, self._options.scale_factor
        )
        preset = self._options.steps_for(sizes, self._stylizer.is_small)
        return plan_scales(sizes, preset, self._options.steps)

    def _optimize_anew(self) -> np.ndarray:
        """A frame that gets nothing from the last one, through all scales."""
        image = None
        for scale in self._plan():
            image = self._optimize_frame(scale, image, None)
        return self._draft if image is None else image

    def _optimize_on(self, carried: Carried) -> np.ndarray:
        """A frame that starts from the last one, at the finest scale alone.

        What was not to be seen there starts from the draft.
        """
        size = self.height, self.width
        fresh = np.clip(resize(self._aligned_draft(), *size), 0.0, 1.0)
        plan = self._plan()
        if not plan:
            return carried.laid_over(fresh)
        return self._optimize_frame(plan[-1], carried.laid_over(fresh), carried)

    def _optimize_frame(
        self, scale: Scale, image: np.ndarray | None, carried: Carried | None
    ) -> np.ndarray:
        optimizer, (height, width) = self._prepare(scale, image, carried)
        optimizer.run(lambda step, losses: None)
        margin = self._options.margin
        return optimizer.image()[margin : margin + height, margin : margin + width]

    def _paint_draft(self) -> tuple[np.ndarray, list[ScaleReport], bool]:
        """The picture without an optimizer, with a report after each level."""
        image, done = None, 0

        def on_level(pixels: np.ndarray, levels: int) -> None:
            nonlocal image, done
            image, done = pixels, done + 1
            if self._on_progress is not None:
                self._on_progress(
                    StylizeProgress(
                        scale=1,
                        scales=1,
                        height=self.height,
                        width=self.width,
                        step=done,
                        steps=levels,
                        total_step=done,
                        total_steps=levels,
                        losses={},
                        seconds=time.monotonic() - self._begin,
                        seconds_left=None,
                        image=lambda: self._finish(pixels),
                    )
                )

        finished = True
        try:
            image = self._paint_fast((self.height, self.width), on_level)
        except KeyboardInterrupt:
            if image is None:
                raise
            finished = False
        return self._finish(image), [ScaleReport(self.height, self.width, 0, {})], finished

    def _paint_fast(
        self,
        size: tuple[int, int],
        on_level: Callable[[np.ndarray, int], None] | None = None,
        memory: FrameMemory | None = None,
    ) -> np.ndarray:
        """The styled picture as the decoders make it, `(height, width, 3)` of that size."""
        stylizer, options = self._stylizer, self._options
        height, width = size
        content = np.clip(resize(self._pixels, height, width), 0.0, 1.0)
        statistics = stylizer.fast_statistics(max(size), content)
        mask = None
        if self._mask is not None:
            mask = _on_canvas(np.clip(resize(self._mask, height, width), 0.0, 1.0))

        def after_level(canvas: np.ndarray) -> None:
            if on_level is not None:
                on_level(canvas[:height, :width], len(statistics))

        canvas = fast_stylizer().paint(
            _on_canvas(content),
            statistics,
            strength=options.strength,
            transform=options.transform,
            mask=mask,
            seed=options.seed,
            steadiness=memory,
            on_level=after_level,
        )
        return canvas[:height, :width]

    def _finish(self, image: np.ndarray) -> np.ndarray:
        """The optimised picture at the size of the result, with colours and mask applied."""
        pixels = np.clip(resize(image, self.height, self.width), 0.0, 1.0)
        if self._options.preserve_color in ("luminance", "chroma"):
            pixels = with_chroma_of(pixels, self._source_pixels)
        elif self._stylizer.is_grey:
            pixels = with_chroma_of(pixels, self._pixels)
        if self._mask is not None:
            mask = self._mask[..., None]
            pixels = self._source_pixels + mask * (pixels - self._source_pixels)
        return pixels.astype(np.float32)

    def _fingerprint(self) -> str:
        """Identifies the run that a checkpoint belongs to."""
        import keras

        settings = {
            "content": _digest(self._content),
            "styles": [[_digest(style), weight] for style, weight in self._stylizer._styles],
            "mask": None if self._mask is None else _hash(self._mask),
            "backbone": self._stylizer.network.hash,
            "program": [cnnkit.__version__, keras.__version__, keras.backend.backend()],
            **_plain_options(self._options),
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    # Cost ------------------------------------------------------------------------------------

    def take_backbone_of(self, checkpoint: Path) -> None:
        """Goes on with the networks that an interrupted run had chosen."""
        stylizer = self._stylizer
        if stylizer.may_be_smaller and checkpoint.is_file():
            found = _read_state(checkpoint).get("backbone")
            if found == _SMALL_BACKBONE:
                stylizer.use_backbone(found)

    def is_late(self, deadline: float, started: float) -> bool:
        """Whether there is no time left for compiling and a few steps, by how long it took so far.

        Args:
            deadline: `time.monotonic()` at the end of the budget.
            started: the same when the program was started.
        """
        now = time.monotonic()
        is_possible = self._options.init == "fast" and self._options.quality != "draft"
        return is_possible and deadline - self._reserve() - now < _LEAST_OF_START * (now - started)

    def paint_late(self) -> tuple[np.ndarray, list[ScaleReport]]:
        """The draft, for want of time for anything else: the picture, and its report."""
        self._stylizer._note(
            f"budget {_duration(self._options.budget)}: there is no time for a step; the picture "
            "is a draft"
        )
        return self._finish(self._draft), [ScaleReport(self.height, self.width, 0, {})]

    def choose_backbone(self, deadline: float, started: float | None = None) -> None:
        """Takes the compact network alone where there is no time for the others before `deadline`.

        Where it is plain from the time since `started` that there is none, no look is taken.
        Otherwise how fast the machine is, is told from one look at the coarsest canvas, which is
        needed anyway; a step takes about three times as long, since its gradient goes back through
        the networks.
        """
        options, stylizer = self._options, self._stylizer
        now = time.monotonic()
        if started is not None and deadline - now < _LOOK_OF_START * (now - started):
            stylizer.use_backbone(_SMALL_BACKBONE)
            stylizer._note(f"backbone: {_SMALL_BACKBONE}, for want of time for the larger networks")
            return
        sizes = scale_sizes(self.height, self.width, options.coarsest_scale, options.scale_factor)
        plan = plan_scales(sizes, options.steps_for(sizes, stylizer.is_small), options.steps)
        canvas = _on_canvas(np.clip(resize(self._pixels, *sizes[0]), 0.0, 1.0), options.margin)
        begin = time.monotonic()
        stylizer.activations(canvas)
        first = time.monotonic()
        stylizer.activations(canvas)
        looking = time.monotonic() - first
        per_pixel = _LOOKS_OF_A_STEP * looking / (canvas.shape[0] * canvas.shape[1])
        # Half of the steps at the final size are still worth their time.
        work = sum(scale.pixels * scale.steps for scale in plan) * _LEAST_SHARE_OF_STEPS
        needed = work * per_pixel + _COMPILINGS * (first - begin) + self._reserve()
        left = deadline - time.monotonic()
        if needed > left:
            stylizer.use_backbone(_SMALL_BACKBONE)
            stylizer._note(
                f"backbone: {_SMALL_BACKBONE}: with the larger networks it would take "
                f"{_duration(needed)} and more"
            )

    def _memory(self, tiling: "Tiling | None" = None, pixels: int | None = None) -> float:
        """Bytes that the run takes, with these tiles or none."""
        pixels = self.height * self.width if pixels is None else pixels
        if self._options.quality == "draft":
            return _DRAFT_BASE_BYTES + _DRAFT_BYTES_PER_PIXEL * pixels
        base, per_pixel = _memory_of(self._stylizer.backbone)
        if tiling is None:
            return base + per_pixel * pixels
        # What the draft took is there for the tiles.
        tile = max(_TILED_BASE_BYTES, base + per_pixel * tiling.pixels)
        return tile + _TILED_BYTES_PER_PIXEL * pixels

    def choose_tiles(self) -> None:
        """Has the picture looked at in tiles where it would not fit as a whole, or where they are
        asked for. Refuses what would not fit with them either.
        """
        stylizer, tiling = self._stylizer, None
        available = measure_memory().available + psutil.Process().memory_info().rss
        if self._options.tile is not None:
            tiling = stylizer.tiling(self._options.tile)
            if tiling is None:
                raise UsageError(
                    f"{stylizer.network.name} has layers of which it is not known what they see: "
                    "leave out --tile"
                )
        elif self._memory() > available and self._options.quality != "draft":
            for side in _TILES:
                tiling = stylizer.tiling(side)
                if tiling is None or self._memory(tiling) <= available:
                    break
        memory = self._memory(tiling)
        if memory > available and stylizer.may_be_smaller:
            stylizer.use_backbone(_SMALL_BACKBONE)
            stylizer._note(
                f"backbone: {_SMALL_BACKBONE}, for want of memory: {memory / 1e9:.1f} GB would be "
                f"needed and {available / 1e9:.1f} GB are free"
            )
            self.choose_tiles()
            return
        if memory <= available:
            if tiling is not None and self._options.tile is None:
                stylizer._note(
                    f"looked at in tiles of {tiling.side} pixels for want of memory, which takes "
                    "more time"
                )
            self._use_tiles(tiling)
            return
        base = self._memory(tiling, 0)
        fits = max(0.0, available - base) / (self._memory(tiling, 1) - base)
        long_side = int(math.sqrt(fits / (self.height * self.width)) * max(self.height, self.width))
        remedy = f"--size {max(64, long_side // 16 * 16)} would fit"
        if self._options.quality != "draft" and self._options.chosen_optimizer != "lbfgs":
            remedy += "; --optimizer lbfgs takes less, in tiles"
        raise ResourceError(
            f"{self.width}x{self.height} needs about {memory / 1e9:.1f} GB and "
            f"{available / 1e9:.1f} GB are free; {remedy}"
        )

    def _use_tiles(self, tiling: "Tiling | None") -> None:
        self._tiling = tiling
        self._stylizer.use_tiles(tiling)

    @property
    def tile(self) -> int | None:
        """Side of the tiles that large canvases are looked at in, in pixels."""
        return None if self._tiling is None else self._tiling.side

    def _work(self, height: int, width: int) -> float:
        """Of a step at a size, as a multiple of that without tiles."""
        return 1.0 if self._tiling is None else self._tiling.work(height, width)

    def _time_step(self, sizes: Sequence[tuple[int, int]]) -> tuple[float, float]:
        """Times a few steps of the coarsest: `(seconds per step and pixel, to start a scale)`."""
        pixels = [height * width for height, width in sizes]
        # The draft is made once, whatever follows.
        self._starts_from_draft  # noqa: B018
        begin = time.monotonic()
        optimizer, _ = self._prepare(Scale(*sizes[0], 6), None)
        times = [time.monotonic()]
        optimizer.run(lambda step, losses: times.append(time.monotonic()))
        first = (times[1] if len(times) > 1 else time.monotonic()) - times[0]
        # A picture that is done at its first step has none that could be timed.
        per_step = float(np.median(np.diff(times[1:]))) if len(times) > 2 else 0.02 * first
        if self._options.chosen_optimizer == "lbfgs":
            # What was compiled serves all scales; what is looked at before a scale grows with it.
            start = (times[0] - begin) * np.mean(pixels) / pixels[0]
        else:
            start = first - per_step
        return per_step / (pixels[0] * self._work(*sizes[0])), max(0.0, start)

    def _plan_for(
        self,
        wanted: list[Scale],
        sizes: Sequence[tuple[int, int]],
        preset: Sequence[int],
        deadline: float,
    ) -> list[Scale]:
        """The plan that ends before `deadline`; says what it is.

        It is `wanted` itself where the user counted the steps and there is time for all of them.
        """
        per_pixel, overhead = self._time_step(sizes)
        # Larger maps leave the caches: a step costs a little more than its pixels say.
        left = deadline - time.monotonic() - self._reserve()
        cost, start = 1.15 * per_pixel, 1.2 * overhead
        work = [self._work(*size) for size in sizes]
        if self._starts_from_draft:
            plan = _fit_to_draft(sizes, preset, left, cost, start, work)
        else:
            plan = fit_steps_to_budget(sizes, preset, left, 1e6 * cost, start, work)
        if self._options.steps or self._options.scale_steps:
            seconds = sum(
                scale.pixels * scale.steps * cost * self._work(scale.height, scale.width) + start
                for scale in wanted
            )
            plan = wanted if seconds <= left else plan
        budget = f"budget {_duration(self._options.budget)}"
        if not plan:
            self._stylizer._note(f"{budget}: there is no time for a step; the picture is a draft")
            return plan
        last = plan[-1]
        steps = "/".join(str(scale.steps) for scale in plan)
        self._stylizer._note(
            f"{budget}: {steps} steps at "
            + ", ".join(f"{scale.width}x{scale.height}" for scale in plan)
        )
        if (last.height, last.width) != sizes[-1]:
            self._stylizer._note(
                f"the budget does not reach {self.width}x{self.height}: the picture is painted at "
                f"{last.width}x{last.height} and enlarged"
            )
        return plan

    def _reserve(self) -> float:
        """Seconds that finishing and writing the picture may take."""
        return 0.3 + 2e-6 * self.height * self.width

    def _is_too_late(self, index: int, plan: Sequence[Scale], deadline: float) -> bool:
        """Whether a scale could not be begun before `deadline`, by how long the last one took."""
        if self._begun is None:
            return False
        pixels, seconds = self._begun
        needed = seconds * plan[index].pixels / pixels
        return time.monotonic() + needed > deadline - self._reserve()

    # One scale ---------------------------------------------------------------------------------

    def _prepare(
        self, scale: Scale, image: np.ndarray | None, carried: Carried | None = None
    ) -> "tuple[ScaleOptimizer, tuple[int, int]]":
        """The optimizer of a scale.

        Args:
            scale: its size and steps.
            image: the result of the scale before, or where a frame is to start; None for neither.
            carried: what the frame before hands on, which the result is to be near.
        """
        size = (scale.height, scale.width)
        content = np.clip(resize(self._pixels, *size), 0.0, 1.0)
        margin = self._options.margin
        canvas = _on_canvas(content, margin)
        mask = keep = None
        if self._mask is not None:
            mask = _on_canvas(np.clip(resize(self._mask, *size), 0.0, 1.0), margin)
            keep = (canvas, mask)
        if image is None:
            initial = self._initial(canvas, size)
        else:
            enlarged = resize(image, *size)
            if self._options.init in ("fast", "content"):
                # What the coarser scale could not hold of the content, as far as it is to stay.
                lost = content - resize(resize(content, *image.shape[:2]), *size)
                enlarged += (1.0 - self._options.strength) * lost
            enlarged = np.clip(enlarged, 0.0, 1.0)
            if self._starts_from_draft and carried is None:
                enlarged = self._refined(enlarged, content)
            initial = _on_canvas(enlarged, margin)
        stylizer = self._stylizer
        tiled = stylizer.tiled(canvas)
        if tiled is None:
            activations = stylizer.activations(canvas)
            measure = functools.partial(stylizer.statistics_of, activations, mask)
        else:
            activations = {stylizer.content_layer: tiled.maps(canvas)}
            measure = functools.partial(tiled.statistics, canvas, mask)
        target = stylizer.target(measure, max(size), content)
        # In tiles `keep` says where style is measured, since its mask is that of the pixels.
        loss = stylizer.loss(canvas, activations, target, None if tiled else mask)
        if carried is not None:
            weight = _on_canvas(_STEADINESS * carried.trust, margin)
            loss.hold(_on_canvas(carried.image, margin), weight)
        evaluate = tiled.evaluate if tiled else stylizer.evaluator(loss)
        from cnnkit.pipelines._stylize_scale import ScaleOptimizer

        optimizer = ScaleOptimizer(
            initial,
            loss,
            scale.steps,
            self._options,
            keep,
            stylizer._note,
            evaluate,
            memory=_MEMORY_OF_STEPS[tiled is not None],
        )
        del activations, measure
        give_back_memory()
        return optimizer, size

    @functools.cached_property
    def _draft(self) -> np.ndarray:
        """What the optimiser starts from.

        It is painted at the coarsest scale, which takes a quarter of the time or less, unless it
        may become the result for want of time.
        """
        options, size = self._options, (self.height, self.width)
        if options.budget is None:
            size = scale_sizes(*size, options.coarsest_scale, options.scale_factor)[0]
        return self._paint_fast(size)

    @functools.cached_property
    def _starts_from_draft(self) -> bool:
        if self._options.init != "fast":
            return False
        # Of a style of one colour the draft is flat: the optimiser could not find back.
        return bool(self._draft.std() >= _FLAT * self._pixels.std())

    def _refined(self, image: np.ndarray, content: np.ndarray) -> np.ndarray:
        """An enlarged picture with the fine texture that a coarser scale could not hold."""
        if self._tiling is not None:
            # What the coarser scale took.
            give_back_memory()
        height, width = image.shape[:2]
        style = self._stylizer.fast_statistics(max(height, width), self._pixels)
        mask = None
        if self._mask is not None:
            mask = _on_canvas(np.clip(resize(self._mask, height, width), 0.0, 1.0))
        painted = fast_stylizer().paint(
            _on_canvas(image),
            {level: style[level] for level in style if level <= _FINE_LEVELS},
            strength=self._options.strength,
            transform=self._options.transform,
            mask=mask,
            content=_on_canvas(content),
            seed=self._options.seed,
            tile=self.tile,
        )
        return painted[:height, :width]

    def _aligned_draft(self) -> np.ndarray:
        """The draft's colours, ending where the content's edges are.

        The draft itself has bright seams along roofs and towers, which an optimiser never gets rid
        of. Strokes it paints anew anyway.
        """
        height, width = self._draft.shape[:2]
        radius = max(1, round(max(height, width) * _ALIGNING_RADIUS))
        guide = np.clip(resize(self._pixels, height, width), 0.0, 1.0) @ LUMA
        aligned = guided_filter(self._draft, guide, radius, _ALIGNING_EPSILON)
        # At little strength there are few strokes to paint anew, and much of the content to keep.
        return self._draft + self._options.strength * (aligned - self._draft)

    def _initial(self, canvas: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        if self._starts_from_draft:
            start = np.clip(resize(self._aligned_draft(), *size), 0.0, 1.0)
            return _on_canvas(start, self._options.margin)
        if self._options.init == "noise":
            random = np.random.default_rng(self._options.seed)
            noise = random.normal(canvas.mean(axis=(0, 1)), 0.2, canvas.shape)
            return np.clip(noise, 0.0, 1.0).astype(np.float32)
        if self._options.init == "style":
            return _cover(self._stylizer._styles[0][0].pixels, *canvas.shape[:2])
        return canvas

    def _run_scale(
        self,
        plan: Sequence[Scale],
        index: int,
        image: np.ndarray | None,
        reports: list[ScaleReport],
        checkpoint: "_Checkpoint",
        deadline: float | None,
        resumed: Mapping[str, Any] | None,
    ) -> tuple[np.ndarray, ScaleReport, bool]:
        """Optimises one scale; returns its picture, its report, and whether to go on."""
        scale = plan[index]
        checkpoint.enter(index, image, reports)
        begin = time.monotonic()
        optimizer, size = self._prepare(scale, image)
        self._begun = scale.pixels, time.monotonic() - begin
        if resumed is not None and resumed["losses"]:
            optimizer.restore(resumed["arrays"], resumed["losses"])
        ends = None
        if deadline is not None:
            now = time.monotonic()
            share = scale.pixels * scale.steps / sum(s.pixels * s.steps for s in plan[index:])
            ends = now + (deadline - self._reserve() - now) * share
        from cnnkit.pipelines._stylize_scale import OutOfTime

        before = sum(s.steps for s in plan[:index])
        clock = _Clock(plan, index)

        def crop() -> np.ndarray:
            margin = self._options.margin
            return optimizer.image()[margin : margin + size[0], margin : margin + size[1]]

        def on_step(step: int, losses: Mapping[str, float]) -> None:
            clock.tick(step)
            checkpoint.step(optimizer)
            if self._on_progress is not None:
                self._on_progress(
                    StylizeProgress(
                        scale=index + 1,
                        scales=len(plan),
                        height=scale.height,
                        width=scale.width,
                        step=step,
                        steps=scale.steps,
                        total_step=before + step,
                        total_steps=sum(s.steps for s in plan),
                        losses=losses,
                        seconds=time.monotonic() - self._begin,
                        seconds_left=clock.left(step),
                        image=lambda: self._finish(crop()),
                    )
                )
            if ends is not None and time.monotonic() + clock.seconds_per_step > ends:
                raise OutOfTime

        go_on = True
        try:
            optimizer.run(on_step)
        except OutOfTime:
            pass
        except KeyboardInterrupt:
            go_on = False
            optimizer.settle()
            checkpoint.write(optimizer)
        report = ScaleReport(*size, optimizer.steps_done, optimizer.losses)
        return crop(), report, go_on


def _keras_version() -> dict[str, str]:
    """Version and backend of Keras, where it took part."""
    if "keras" not in sys.modules:
        return {}
    import keras

    return {"keras": f"{keras.__version__} ({keras.backend.backend()})"}


def _memory_of(backbone: str) -> tuple[float, float]:
    """Bytes of a process with these networks, and those that each pixel adds."""
    if backbone in _MEMORY:
        return _MEMORY[backbone]
    is_vgg16 = "vgg16" in backbone and "vgg19" not in backbone and not backbone.endswith(".keras")
    return _MEMORY["vgg16" if is_vgg16 else "vgg19"]


class _Clock:
    """Predicts the time left from the steps so far."""

    def __init__(self, plan: Sequence[Scale], index: int):
        self._plan, self._index = plan, index
        self._times: list[float] = []
        self.seconds_per_step = 0.0

    def tick(self, step: int) -> None:
        self._times = [*self._times[-20:], time.monotonic()]
        if len(self._times) > 1:
            self.seconds_per_step = float(np.median(np.diff(self._times)))

    def left(self, step: int) -> float | None:
        if len(self._times) < 3:
            return None
        scale = self._plan[self._index]
        cost = (scale.steps - step) * scale.pixels
        cost += sum(s.steps * s.pixels for s in self._plan[self._index + 1 :])
        return cost * self.seconds_per_step / scale.pixels


class _Checkpoint:
    """Writes the state of a run every few seconds, whole or not at all.

    Args:
        path: the file, or None to write nothing.
        fingerprint: identifies the run.
        plan: its scales.
        tile: side of the tiles that large scales are looked at in, or None.
        backbone: the networks that it looks with.
        on_note: told once, if the file cannot be written: the picture matters more.
    """

    def __init__(
        self,
        path: Path | None,
        fingerprint: str,
        plan: Sequence[Scale],
        tile: int | None,
        backbone: str,
        on_note: Callable[[str], None],
    ):
        self._path, self._fingerprint, self._plan, self._tile = path, fingerprint, plan, tile
        self._backbone = backbone
        self._note = on_note
        self._failed = False
        self._written = time.monotonic()

    def enter(self, index: int, image: np.ndarray | None, reports: Sequence[ScaleReport]) -> None:
        """Begins a scale that starts from `image`."""
        self._index, self._image = index, image
        self._reports = list(reports)

    def step(self, optimizer: "ScaleOptimizer") -> None:
        """After each step: writes, if it is time."""
        if time.monotonic() - self._written >= _CHECKPOINT_SECONDS:
            self.write(optimizer)

    def write(self, optimizer: "ScaleOptimizer | None" = None) -> None:
        """Writes the state now; without an optimizer that of the beginning of the scale."""
        if self._path is None:
            return
        arrays = {} if self._image is None else {"start": self._image}
        losses: Mapping[str, float] = {}
        if optimizer is not None and optimizer.is_resumable and optimizer.steps_done:
            arrays.update(optimizer.state())
            losses = optimizer.losses
        header = {
            "fingerprint": self._fingerprint,
            "plan": [[s.height, s.width, s.steps] for s in self._plan],
            "tile": self._tile,
            "backbone": self._backbone,
            "scale": self._index,
            "losses": losses,
            "reports": [dataclasses.asdict(report) for report in self._reports],
        }
        buffer = io.BytesIO()
        np.savez(buffer, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
        try:
            write_bytes(self._path, buffer.getvalue())
        except ImageError as error:
            if not self._failed:
                self._note(f"the run goes on, but could not be resumed: {error}")
            self._failed = True
        self._written = time.monotonic()

    def remove(self) -> None:
        """The run is over."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


def _read_checkpoint(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state of an interrupted run, or None where there is none of this very run."""
    if not path.exists():
        return None
    state = _read_state(path)
    if state["fingerprint"] != fingerprint:
        raise UsageError(
            f"{path} is of a run with other pictures or settings; give the same ones, "
            "or remove it to start anew"
        )
    return state


def _read_state(path: Path) -> dict[str, Any]:
    """What `_Checkpoint` wrote, its arrays under "arrays"."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop("header").tobytes())
        return {**header, "fingerprint": header["fingerprint"], "arrays": arrays}
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, EOFError,
        zipfile.BadZipFile, zlib.error,
    ):  # fmt: skip
        raise ImageError(f"{path} is damaged; remove it to start anew") from None


def _as_styles(style_image: Any) -> list[tuple[Picture, float]]:
    """One picture, or several or `(picture, weight)` in a list or tuple, with their weights."""
    is_weighted = (
        isinstance(style_image, tuple)
        and len(style_image) == 2
        and isinstance(style_image[1], numbers.Real)
    )
    is_several = isinstance(style_image, (list, tuple)) and not is_weighted
    items = list(style_image) if is_several else [style_image]
    if not items:
        raise UsageError("no style picture given")
    styles = []
    for item in items:
        picture, weight = item if isinstance(item, tuple) else (item, 1.0)
        if not (math.isfinite(weight) and weight > 0):
            raise UsageError(f"the weight of a style must be more than 0, not {weight}")
        style = _seen(picture, "the style picture")
        if style.alpha is not None and float(style.alpha.max()) < 0.01:
            raise ImageError(
                f"{style.source or 'the style picture'} is transparent all over: there is no style "
                "in it; choose another"
            )
        styles.append((style, float(weight)))
    return styles


def _seen(image: Any, name: str) -> Picture:
    """A picture with the colours that one sees before white, and its transparency beside them."""
    picture = as_picture(image, name, keep_alpha=True)
    return dataclasses.replace(picture.opaque(), alpha=picture.alpha)


def _like(original: Any, picture: Picture) -> Any:
    """The picture in the kind of container that the caller gave."""
    if isinstance(original, Picture):
        return picture
    if isinstance(original, (str, Path, Image.Image)):
        return to_pil(picture)
    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = np.concatenate([pixels, picture.alpha[..., None]], axis=-1)
    return to_uint8(pixels) if np.asarray(original).dtype == np.uint8 else pixels


def _as_mask(mask: Any, height: int, width: int) -> np.ndarray:
    """Lightness of the mask picture at `(height, width)`."""
    if np.asarray(mask).dtype == bool:
        mask = np.asarray(mask, np.float32)
    # What is transparent in a mask is not marked.
    picture = as_picture(mask, "the mask", keep_alpha=True).opaque(0.0)
    shape = (picture.height / picture.width) / (height / width)
    if not 0.95 < shape < 1.05:
        raise UsageError(
            f"{picture.source or 'the mask'} is {picture.width}x{picture.height}, which is not the "
            f"shape of the content ({width}x{height}); give a mask of the content's shape"
        )
    lightness = resize(picture.pixels.mean(axis=-1), height, width)
    if float(lightness.max()) < 0.02:
        raise UsageError(f"{picture.source or 'the mask'} is black: nothing would be stylised")
    return np.clip(lightness, 0.0, 1.0)


def _fit_to_draft(
    sizes: Sequence[tuple[int, int]],
    preset: Sequence[int],
    seconds: float,
    seconds_per_pixel: float,
    seconds_per_scale: float,
    work: Sequence[float] = (),
) -> list[Scale]:
    """The plan from a draft: with little time it leaves coarse scales out, never the finest.

    Args:
        sizes: as `fit_steps_to_budget` takes them, like the next two.
        preset: steps of each scale.
        seconds: time that is left.
        seconds_per_pixel: of one step.
        seconds_per_scale: to start a scale.
        work: as `fit_steps_to_budget` takes it.

    Returns:
        The plan of all scales whose finest gets half of its preset's steps, of all but the coarsest
        and so on, or at last of the finest alone; empty where not even one step is affordable.
    """
    plan: list[Scale] = []
    for first in range(len(sizes)):
        steps = [preset[min(index, len(preset) - 1)] for index in range(first, len(sizes))]
        plan = fit_steps_to_budget(
            sizes[first:],
            steps,
            seconds,
            1e6 * seconds_per_pixel,
            seconds_per_scale,
            work[first:],
        )
        last = plan[-1]
        if (last.height, last.width) == sizes[-1] and last.steps >= 0.5 * steps[-1]:
            return plan
    least = seconds_per_scale + seconds_per_pixel * plan[0].pixels * (work[-1] if work else 1.0)
    return plan if least <= seconds else []


def _fit(array: np.ndarray, long_side: int) -> np.ndarray:
    height, width = fit_size(array.shape[0], array.shape[1], max(1, long_side))
    return np.clip(resize(array, height, width), 0.0, 1.0)


def _cover(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture, scaled to fill `(height, width)`."""
    scale = max(height / array.shape[0], width / array.shape[1])
    grown = (math.ceil(array.shape[0] * scale), math.ceil(array.shape[1] * scale))
    pixels = np.clip(resize(array, *grown), 0.0, 1.0)
    top, left = (grown[0] - height) // 2, (grown[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _on_canvas(array: np.ndarray, margin: int = 0) -> np.ndarray:
    """Mirrors a picture over its edges: a margin all around, then up to multiples of 16.

    Every pooling then divides evenly, and the smallest picture survives five blocks.
    """
    padding = []
    for side in array.shape[:2]:
        whole = max(_SMALLEST_CANVAS, math.ceil((side + 2 * margin) / _MULTIPLE) * _MULTIPLE)
        padding.append((margin, whole - side - margin))
    padding += [(0, 0)] * (array.ndim - 2)
    return np.pad(array, padding, mode="symmetric")


def _digest(picture: Picture) -> str:
    return _hash(picture.pixels if picture.alpha is None else (picture.pixels, picture.alpha))


def _hash(arrays: Any) -> str:
    parts = arrays if isinstance(arrays, tuple) else (arrays,)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _plain_options(options: StylizeOptions) -> dict[str, Any]:
    """The options as JSON types."""
    return json.loads(
        json.dumps({**dataclasses.asdict(options), "style_layers": dict(options.style_layers)})
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
