"""A style, measured once for any number of pictures, and the networks that see it."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit import weights as weights_table
from cnnkit.engine.choice import configure_keras
from cnnkit.models._backbones import resolve_backbone
from cnnkit.models._decoder_levels import entrance
from cnnkit.ops.color import grey, match_colors, match_lightness
from cnnkit.runtime import has_fast_bfloat16
from cnnkit.tasks.stylize.draft import draft_painter
from cnnkit.tasks.stylize.layer_statistics import (
    LayerStatistics,
    interpolate_statistics,
    mask_at,
    mix_statistics,
)
from cnnkit.tasks.stylize.pictures import digest_of, fit_long_side, on_canvas, read_styles
from cnnkit.tasks.stylize.settings import StylizeSettings

if TYPE_CHECKING:
    from cnnkit.models.vgg import FeatureNetwork
    from cnnkit.tasks.stylize.loss import StylizeLoss
    from cnnkit.tasks.stylize.scale_optimizer import Evaluate
    from cnnkit.tasks.stylize.tiled_loss import TiledLoss, Tiling

# What "auto" falls back to, where memory or time do not allow more.
SMALL_BACKBONE = "compact"
# Sides of the picture that the loss is compiled on, at most: such a step takes next to no time.
_COMPILED_SIDE = 128
# Standard deviation of a style of one colour, at most, and the strength that it can have.
_ONE_COLOUR = 0.02
_ONE_COLOUR_STRENGTH = 0.7
# Largest difference of the channels of a picture without colour: what JPEG's rounding leaves.
_GREY = 2.5 / 255.0


class Style:
    """Style pictures with their statistics, and the networks that they are seen with.

    Args:
        style_image: see `cnnkit.stylize`.
        settings: see `StylizeSettings`.
        on_note: see `cnnkit.stylize`.

    Attributes:
        settings: as they were given; the strength may be lower.
        pictures: of the style, with their weights.
        backbone: name of the networks that the optimizer sees with.
        note: takes a line of text for the user.
    """

    def __init__(
        self,
        style_image: Any,
        settings: StylizeSettings | None = None,
        on_note: Callable[[str], None] | None = None,
    ):
        self.settings = settings or StylizeSettings()
        self.note = on_note or _say_nothing
        self.pictures = read_styles(style_image)
        self._keep_from_vanishing()
        self._statistics: dict[tuple[Any, ...], Mapping[Any, LayerStatistics]] = {}
        self._evaluate: Evaluate | None = None
        self._compiling: Future[Any] | None = None
        self._tiled: TiledLoss | None = None
        # Drafts are painted with networks of their own, and need no Keras where OpenVINO runs them.
        self.backbone = SMALL_BACKBONE
        if self.settings.quality != "draft":
            configure_keras()
            self.backbone = resolve_backbone(self.settings.backbone)
            # Weights that are not there are told before anything else is.
            self.network  # noqa: B018
            self._note_backbone()

    def _note_backbone(self) -> None:
        given = self.settings.backbone
        if given == "auto" and self.backbone == SMALL_BACKBONE:
            self.note(
                f"backbone: {self.backbone}, for want of VGG-16's weights; "
                f"{weights_table.remedy(weights_table.entry('vgg16-hed'))}"
            )
        elif self.backbone != given:
            self.note(f"backbone: {self.backbone}; choose another with --backbone")

    @functools.cached_property
    def is_grey(self) -> bool:
        """Whether the styles are without any colour, and their colours are wanted.

        They give pictures without colour, where an optimiser alone would leave coloured specks.
        """
        return self.settings.preserve_color == "none" and all(
            float(np.ptp(style.pixels, axis=-1).max()) < _GREY for style, _ in self.pictures
        )

    @property
    def is_small(self) -> bool:
        """Whether none of the networks has VGG's full width."""
        return "vgg" not in self.backbone or self.backbone.endswith(".keras")

    @property
    def may_be_smaller(self) -> bool:
        """Whether the compact network alone may take the place of the networks."""
        settings = self.settings
        is_free = settings.backbone == "auto" and settings.quality != "draft"
        return is_free and self.backbone != SMALL_BACKBONE

    def use_backbone(self, backbone: str) -> None:
        """Has pictures be seen with other networks from now on, see `resolve_backbone`."""
        if backbone == self.backbone:
            return
        self.backbone = backbone
        for name in ("network", "style_layers", "content_layer", "frozen_network", "_see"):
            self.__dict__.pop(name, None)
        self._evaluate = self._tiled = None

    def _keep_from_vanishing(self) -> None:
        """Lowers the strength for a style of one colour, of which the whole would be one colour."""
        spread = max(style.pixels.std(axis=(0, 1)).max() for style, _ in self.pictures)
        if spread < _ONE_COLOUR and self.settings.strength > _ONE_COLOUR_STRENGTH:
            self.settings = dataclasses.replace(self.settings, strength=_ONE_COLOUR_STRENGTH)
            self.note(
                "the style picture is of one colour, in which the content would vanish: "
                f"strength {_ONE_COLOUR_STRENGTH} is taken"
            )

    @functools.cached_property
    def network(self) -> "FeatureNetwork":
        """The networks whose feature maps the losses compare."""
        from cnnkit.models.vgg import build_feature_network

        layers = {layer for layer, weight in self.settings.style_layers.items() if weight > 0}
        return build_feature_network(
            self.backbone,
            sorted(layers | {self.settings.content_layer}),
            self.settings.pooling,
            "bfloat16" if has_fast_bfloat16() else "float32",
        )

    @functools.cached_property
    def style_layers(self) -> Mapping[str, float]:
        """Weights of the network's outputs within the style loss: all networks count the same."""
        return {
            output: weight
            for layer, weight in self.settings.style_layers.items()
            if weight > 0
            for output in self.network.outputs_of(layer)
        }

    @functools.cached_property
    def content_layer(self) -> str:
        """The network's output for the content loss: of several networks, that of the first."""
        return self.network.outputs_of(self.settings.content_layer)[0]

    @functools.cached_property
    def frozen_network(self) -> Callable[[Any], Mapping[str, Any]]:
        """The networks with constant weights, for functions that are compiled around them."""
        from cnnkit.ops.inference import with_constant_weights

        return with_constant_weights(self.network.model)

    @functools.cached_property
    def _see(self) -> Callable[[np.ndarray], Mapping[str, np.ndarray]]:
        from cnnkit.ops.inference import compile_inference

        return compile_inference(self.network.model, "float32")

    def tiling(self, side: int) -> "Tiling | None":
        """How canvases are cut into tiles of a side; None where that is not known."""
        if self.settings.chosen_optimizer != "lbfgs":
            return None
        from cnnkit.tasks.stylize.tiled_loss import find_tiling

        return find_tiling(self.network.model, side)

    def use_tiles(self, tiling: "Tiling | None") -> None:
        """Has canvases that are larger than a tile be seen in tiles from now on, or none."""
        if tiling is None:
            self._tiled = None
        elif self._tiled is None or self._tiled.tiling != tiling:
            from cnnkit.tasks.stylize.tiled_loss import TiledLoss

            self._tiled = TiledLoss(
                self.frozen_network, tiling, self.settings, self.content_layer, self.style_layers
            )

    def tiled(self, canvas: np.ndarray) -> "TiledLoss | None":
        """The loss that goes through a canvas in tiles; None for one seen as a whole."""
        if self._tiled is None or self._tiled.tiling.is_whole(*canvas.shape[:2]):
            return None
        # One thread at a time calls the network's layers.
        self._end_compiling()
        return self._tiled

    def activations(self, canvas: np.ndarray) -> Mapping[str, np.ndarray]:
        """Feature maps of a canvas `(height, width, 3)`, by layer."""
        return {layer: maps[0] for layer, maps in self._see(canvas[None]).items()}

    def loss(
        self,
        canvas: np.ndarray,
        activations: Mapping[str, np.ndarray],
        style: Mapping[str, LayerStatistics],
        mask: np.ndarray | None,
    ) -> "StylizeLoss":
        """The loss of a canvas.

        Args:
            canvas: of the content, `(height, width, 3)`.
            activations: of this canvas.
            style: statistics to reach, of `target`.
            mask: `(height, width)`, where style is measured.
        """
        from cnnkit.tasks.stylize.loss import StylizeLoss

        settings = self.settings
        return StylizeLoss(
            self.frozen_network,
            canvas,
            self.content_layer,
            style,
            self.style_layers,
            style_loss=settings.style_loss,
            alpha=settings.content_weight,
            beta=settings.style_weight,
            # It fights the noise of painting, not what the content is made of.
            gamma=settings.tv_weight * settings.strength,
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
        if self.settings.chosen_optimizer != "lbfgs" or self._evaluate:
            yield
            return
        from cnnkit.ops.inference import compiles_each_size

        if compiles_each_size():
            yield
            return
        # Made here, once: both threads use them.
        self._see, self.frozen_network  # noqa: B018
        height, width = min(height, _COMPILED_SIDE), min(width, _COMPILED_SIDE)
        with ThreadPoolExecutor(1, "compile") as pool:
            self._compiling = pool.submit(self._compile, height, width, is_masked)
            yield
        self._end_compiling()

    def _end_compiling(self) -> None:
        if self._compiling is not None:
            compiling, self._compiling = self._compiling, None
            self._evaluate = compiling.result()

    def _compile(self, height: int, width: int, is_masked: bool) -> "Evaluate":
        """The loss of a grey picture, looked at once: TensorFlow compiles at the first look."""
        from cnnkit.tasks.stylize.scale_optimizer import compile_loss

        canvas = on_canvas(np.full((height, width, 3), 0.5, np.float32), self.settings.margin)
        mask = np.ones(canvas.shape[:2], np.float32) if is_masked else None
        activations = self.activations(canvas)
        loss = self.loss(canvas, activations, self.statistics_of(activations, mask), mask)
        evaluate = compile_loss(loss, self.settings.strength)
        evaluate(canvas, () if mask is None else (canvas, mask[..., None]), loss.targets)
        return evaluate

    def evaluator(self, loss: "StylizeLoss") -> "Evaluate | None":
        """The compiled loss that all scales of all pictures share; None if the optimizer has none.

        Args:
            loss: of any of them: they differ in their targets alone.
        """
        if self.settings.chosen_optimizer != "lbfgs":
            return None
        self._end_compiling()
        if self._evaluate is None:
            from cnnkit.tasks.stylize.scale_optimizer import compile_loss

            self._evaluate = compile_loss(loss, self.settings.strength)
        return self._evaluate

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

    def draft_statistics(
        self, long_side: int, content: np.ndarray
    ) -> Mapping[int, LayerStatistics]:
        """Statistics of the style at the levels of a draft; see `style_statistics`."""
        found = self._merged("draft", long_side, content, draft_painter().measure)
        wanted = {
            level for level in found if self.settings.style_layers.get(entrance(level), 0.0) > 0
        }
        # A start for an optimiser that looks at other layers may have all of them.
        return {level: found[level] for level in wanted or found}

    def _merged(
        self,
        network: str,
        long_side: int,
        content: np.ndarray,
        measure: Callable[[np.ndarray, np.ndarray | None], Mapping[Any, LayerStatistics]],
    ) -> Mapping[Any, LayerStatistics]:
        """Statistics of all styles together, measured once for each size."""
        adapts = self.settings.preserve_color in ("luminance", "histogram")
        key = (network, self.backbone, long_side, digest_of(content) if adapts else None)
        if key in self._statistics:
            return self._statistics[key]
        parts = [measure(*canvases) for canvases in self._style_canvases(long_side, content)]
        shares = [weight for _, weight in self.pictures]
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
        settings = self.settings
        for style, _ in self.pictures:
            # Enlarging a style picture only blurs it; beyond its own size it stays as it is.
            native = max(style.height, style.width)
            target = round(min(long_side, native) * settings.style_scale)
            pixels = fit_long_side(style.pixels, target)
            if settings.preserve_color == "histogram":
                pixels = match_colors(pixels, content)
            elif settings.preserve_color == "luminance":
                pixels = match_lightness(grey(pixels), grey(content))
            weights = None if style.alpha is None else on_canvas(fit_long_side(style.alpha, target))
            yield on_canvas(pixels), weights

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
        """Statistics of the style layers; `weights` `(height, width)` of the pixels."""
        from cnnkit.tasks.stylize.loss import layer_statistics

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
        if self.settings.strength >= 1.0:
            return style
        own = measure()
        return {
            layer: interpolate_statistics(own[layer], style[layer], self.settings.strength)
            for layer in style
        }


def _say_nothing(text: str) -> None:
    pass
