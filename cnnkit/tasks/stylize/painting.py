"""One content picture on its way through style transfer: what is optimised at each scale."""

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

import cnnkit
from cnnkit.images import Picture, fit_size, resize
from cnnkit.ops.color import LUMA, grey, with_chroma_of
from cnnkit.ops.guided_filter import guided_filter
from cnnkit.ops.schedule import Scale, plan_scales, scale_sizes
from cnnkit.runtime import give_back_memory
from cnnkit.tasks.stylize.draft import Steadiness, draft_painter
from cnnkit.tasks.stylize.frame_memory import Carried
from cnnkit.tasks.stylize.pictures import cover_size, digest_of, on_canvas, read_mask
from cnnkit.tasks.stylize.settings import StylizeSettings
from cnnkit.tasks.stylize.style import Style

if TYPE_CHECKING:
    from cnnkit.tasks.stylize.scale_optimizer import ScaleOptimizer
    from cnnkit.tasks.stylize.tiled_loss import Tiling

# What is made smaller than this, in pixels, shows little of any style.
_SMALL_PICTURE = 64
# Levels of a draft that add fine texture and leave forms alone.
_FINE_LEVELS = 3
# A draft with less than this share of the content's contrast is no start for the optimiser.
_FLAT = 0.25
# Of the filter that lays a draft's colours along the content's edges: radius of its windows in long
# sides, and the variance below which lightness counts as flat.
_ALIGNING_RADIUS, _ALIGNING_EPSILON = 1.0 / 64.0, 1e-3
# Steps that L-BFGS looks back on, of canvases that are looked at as a whole and in tiles.
_MEMORY_OF_STEPS = (6, 3)
# Weight of the difference from the frame before, beside the losses of a picture.
_STEADINESS = 40.0


class Painting:
    """A content picture at the size of the result, and how it starts and ends at each scale.

    Args:
        style: that it is painted in.
        content: the picture.
        mask: as in `cnnkit.stylize`.

    Attributes:
        height: of the result, in pixels.
        width: of the result, in pixels.
        source_pixels: of the content at the size of the result, float32 `(height, width, 3)`.
        alpha: its transparency, `(height, width)`, or None.
    """

    def __init__(self, style: Style, content: Picture, mask: Any = None):
        self.style, self.settings = style, style.settings
        self._content = content
        self.height, self.width = self._find_size()
        self.source_pixels = self._resized(content.pixels)
        self._pixels = self.source_pixels.copy()
        if self.settings.preserve_color == "luminance":
            self._pixels = grey(self._pixels)
        elif style.is_grey:
            self._pixels += self.settings.strength * (grey(self._pixels) - self._pixels)
        self.alpha = None if content.alpha is None else self._resized(content.alpha)
        self._mask = None if mask is None else read_mask(mask, self.height, self.width)
        self.tiling: Tiling | None = None

    def _find_size(self) -> tuple[int, int]:
        content, size = self._content, self.settings.size
        long_side = max(content.height, content.width)
        if size == "original" or long_side <= int(size):
            if size != "original" and long_side < int(size):
                self.style.note(
                    f"{content.source or 'the content picture'} is {long_side} pixels long and is "
                    f"not enlarged to {size}"
                )
            return content.height, content.width
        height, width = fit_size(content.height, content.width, int(size))
        if max(height, width) < _SMALL_PICTURE:
            self.style.note(
                f"the picture is made {width}x{height} pixels small, which leaves no room for a "
                f"style: the size is its long side, {_SMALL_PICTURE} or better more"
            )
        return height, width

    def _resized(self, array: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """An array in [0, 1] at a size, by default that of the result."""
        return np.clip(resize(array, *(size or (self.height, self.width))), 0.0, 1.0)

    def _mask_at(self, size: tuple[int, int], margin: int = 0) -> np.ndarray | None:
        """The canvas of the mask at a size."""
        return None if self._mask is None else on_canvas(self._resized(self._mask, size), margin)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """`(height, width)` of all scales, the coarsest first."""
        settings = self.settings
        return scale_sizes(self.height, self.width, settings.coarsest_scale, settings.scale_factor)

    @property
    def preset(self) -> tuple[int, ...]:
        """Steps of the scales where time is of no account; see `StylizeSettings.steps_for`."""
        return self.settings.steps_for(self.sizes, self.style.is_small)

    def plan(self) -> list[Scale]:
        """All scales with their steps, where time is of no account."""
        return plan_scales(self.sizes, self.preset, self.settings.steps)

    def use_tiles(self, tiling: "Tiling | None") -> None:
        """Has large canvases be seen in tiles, or none."""
        self.tiling = tiling
        self.style.use_tiles(tiling)

    @property
    def tile(self) -> int | None:
        """Side of the tiles that large canvases are seen in, in pixels."""
        return None if self.tiling is None else self.tiling.side

    def smallest_canvas(self) -> np.ndarray:
        """The canvas of the content at the coarsest scale."""
        return on_canvas(self._resized(self._pixels, self.sizes[0]), self.settings.margin)

    def fingerprint(self) -> str:
        """Identifies the run that a checkpoint belongs to."""
        import keras

        values = {
            "content": digest_of(self._content),
            "styles": [[digest_of(picture), share] for picture, share in self.style.pictures],
            "mask": None if self._mask is None else digest_of(self._mask),
            "backbone": self.style.network.hash,
            "program": [cnnkit.__version__, keras.__version__, keras.backend.backend()],
            **plain_settings(self.settings),
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def finish(self, image: np.ndarray) -> np.ndarray:
        """The optimised picture at the size of the result, with colours and mask applied."""
        pixels = self._resized(image)
        if self.settings.preserve_color in ("luminance", "chroma"):
            pixels = with_chroma_of(pixels, self.source_pixels)
        elif self.style.is_grey:
            pixels = with_chroma_of(pixels, self._pixels)
        if self._mask is not None:
            mask = self._mask[..., None]
            pixels = self.source_pixels + mask * (pixels - self.source_pixels)
        return pixels.astype(np.float32)

    def crop(self, canvas: np.ndarray, scale: Scale) -> np.ndarray:
        """The picture of a scale's canvas, without its margin."""
        margin = self.settings.margin
        return canvas[margin : margin + scale.height, margin : margin + scale.width]

    def paint_draft(
        self,
        size: tuple[int, int] | None = None,
        on_level: Callable[[np.ndarray, int], None] | None = None,
        steadiness: Steadiness | None = None,
    ) -> np.ndarray:
        """The picture in the style, without an optimizer.

        Args:
            size: `(height, width)`, by default that of the result.
            on_level: called after each level with the picture and the number of levels.
            steadiness: what the frames of a video before this one hand on.

        Returns:
            `(height, width, 3)` of that size.
        """
        height, width = size = size or (self.height, self.width)
        content = self._resized(self._pixels, size)
        statistics = self.style.draft_statistics(max(size), content)

        def after_level(canvas: np.ndarray) -> None:
            if on_level is not None:
                on_level(canvas[:height, :width], len(statistics))

        canvas = draft_painter().paint(
            on_canvas(content),
            statistics,
            strength=self.settings.strength,
            transform=self.settings.transform,
            mask=self._mask_at(size),
            seed=self.settings.seed,
            steadiness=steadiness,
            on_level=after_level,
        )
        return canvas[:height, :width]

    @functools.cached_property
    def draft(self) -> np.ndarray:
        """What the optimiser starts from.

        It is painted at the coarsest scale, which takes a quarter of the time or less, unless it
        may become the result for want of time.
        """
        return self.paint_draft(self.sizes[0] if self.settings.budget is None else None)

    @functools.cached_property
    def starts_from_draft(self) -> bool:
        """Whether the draft is the start of the optimizer."""
        if self.settings.init != "fast":
            return False
        # Of a style of one colour the draft is flat: the optimiser could not find back.
        return bool(self.draft.std() >= _FLAT * self._pixels.std())

    def aligned_draft(self, size: tuple[int, int]) -> np.ndarray:
        """The draft at a size, with its colours ending where the content's edges are.

        The draft itself has bright seams along roofs and towers, which an optimiser never gets rid
        of. Strokes it paints anew anyway.
        """
        height, width = self.draft.shape[:2]
        radius = max(1, round(max(height, width) * _ALIGNING_RADIUS))
        guide = self._resized(self._pixels, (height, width)) @ LUMA
        aligned = guided_filter(self.draft, guide, radius, _ALIGNING_EPSILON)
        # At little strength there are few strokes to paint anew, and much of the content to keep.
        mixed = self.draft + self.settings.strength * (aligned - self.draft)
        return self._resized(mixed, size)

    def _refined(self, image: np.ndarray, content: np.ndarray) -> np.ndarray:
        """An enlarged picture with the fine texture that a coarser scale could not hold."""
        if self.tiling is not None:
            # What the coarser scale took.
            give_back_memory()
        height, width = image.shape[:2]
        statistics = self.style.draft_statistics(max(height, width), self._pixels)
        painted = draft_painter().paint(
            on_canvas(image),
            {level: one for level, one in statistics.items() if level <= _FINE_LEVELS},
            strength=self.settings.strength,
            transform=self.settings.transform,
            mask=self._mask_at((height, width)),
            content=on_canvas(content),
            seed=self.settings.seed,
            tile=self.tile,
        )
        return painted[:height, :width]

    def prepare(
        self, scale: Scale, image: np.ndarray | None, carried: Carried | None = None
    ) -> "ScaleOptimizer":
        """The optimizer of a scale.

        Args:
            scale: its size and steps.
            image: the result of the scale before, or where a frame is to start; None for neither.
            carried: what the frame before hands on, which the result is to be near.
        """
        style, settings, size = self.style, self.settings, (scale.height, scale.width)
        content = self._resized(self._pixels, size)
        canvas = on_canvas(content, settings.margin)
        mask = self._mask_at(size, settings.margin)
        if image is None:
            initial = self._initial(canvas, size)
        else:
            enlarged = self._enlarged(image, content, refines=carried is None)
            initial = on_canvas(enlarged, settings.margin)
        tiled = style.tiled(canvas)
        if tiled is None:
            activations = style.activations(canvas)
            measure = functools.partial(style.statistics_of, activations, mask)
        else:
            activations = {style.content_layer: tiled.maps(canvas)}
            measure = functools.partial(tiled.statistics, canvas, mask)
        target = style.target(measure, max(size), content)
        # In tiles `keep` says where style is measured, since its mask is that of the pixels.
        loss = style.loss(canvas, activations, target, None if tiled else mask)
        if carried is not None:
            weight = on_canvas(_STEADINESS * carried.trust, settings.margin)
            loss.hold(on_canvas(carried.image, settings.margin), weight)
        from cnnkit.tasks.stylize.scale_optimizer import ScaleOptimizer

        optimizer = ScaleOptimizer(
            initial,
            loss,
            scale.steps,
            settings,
            None if mask is None else (canvas, mask),
            style.note,
            tiled.evaluate if tiled else style.evaluator(loss),
            memory=_MEMORY_OF_STEPS[tiled is not None],
        )
        del activations, measure
        give_back_memory()
        return optimizer

    def _initial(self, canvas: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        if self.starts_from_draft:
            return on_canvas(self.aligned_draft(size), self.settings.margin)
        if self.settings.init == "noise":
            random = np.random.default_rng(self.settings.seed)
            noise = random.normal(canvas.mean(axis=(0, 1)), 0.2, canvas.shape)
            return np.clip(noise, 0.0, 1.0).astype(np.float32)
        if self.settings.init == "style":
            return cover_size(self.style.pictures[0][0].pixels, *canvas.shape[:2])
        return canvas

    def _enlarged(self, image: np.ndarray, content: np.ndarray, refines: bool) -> np.ndarray:
        """The result of a scale as the start of the next one."""
        size = content.shape[:2]
        enlarged = resize(image, *size)
        if self.settings.init in ("fast", "content"):
            # What the coarser scale could not hold of the content, as far as it is to stay.
            lost = content - resize(resize(content, *image.shape[:2]), *size)
            enlarged += (1.0 - self.settings.strength) * lost
        enlarged = np.clip(enlarged, 0.0, 1.0)
        if refines and self.starts_from_draft:
            enlarged = self._refined(enlarged, content)
        return enlarged


def plain_settings(settings: StylizeSettings) -> dict[str, Any]:
    """The settings as JSON types."""
    return json.loads(json.dumps({**asdict(settings), "style_layers": dict(settings.style_layers)}))
