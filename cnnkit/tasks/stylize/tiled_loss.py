"""The loss of style transfer, looked at tile by tile: large pictures in the memory of a small one.

Style is a matter of moments, which are sums over positions. So the tiles of a picture are looked at
once to add up the moments of all; these give the style loss and its slopes. Then each tile is
looked at again, and the slopes go back through the network to its pixels. Since every tile sees as
much around its core as the network does, value and gradient are those of the whole picture, but for
rounding; there are no seams.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cnnkit.engine.model_summary import summarize_model
from cnnkit.models.generated_image import composite
from cnnkit.ops.cover import Tile, cover
from cnnkit.ops.gradients import value_and_gradient, value_for_any_size
from cnnkit.ops.statistics import moments
from cnnkit.tasks.stylize.layer_statistics import LayerStatistics, mask_at
from cnnkit.tasks.stylize.loss import layer_loss, total_variation
from cnnkit.tasks.stylize.settings import StylizeSettings

# A tile that is looked at twice, once with its gradient, beside one that is looked at once with it:
# looking takes a third of both.
_TWO_LOOKS = 4.0 / 3.0


@dataclass(frozen=True)
class Tiling:
    """How canvases are cut into tiles for a network.

    Attributes:
        side: of a core, in pixels; a multiple of the largest stride.
        overlap: pixels that a tile sees around its core, the same.
        strides: layer -> pixels of the picture for a position of its maps.
    """

    side: int
    overlap: int
    strides: Mapping[str, int]

    @property
    def pixels(self) -> int:
        """Of the largest tile."""
        return (self.side + 2 * self.overlap) ** 2

    def tiles(self, height: int, width: int) -> list[Tile]:
        """Of a canvas; one alone where it sees all of it."""
        return list(cover(height, width, self.side, self.overlap))

    def is_whole(self, height: int, width: int) -> bool:
        return len(self.tiles(height, width)) == 1

    def work(self, height: int, width: int) -> float:
        """Of a step, as a multiple of that without tiles."""
        tiles = self.tiles(height, width)
        if len(tiles) == 1:
            return 1.0
        seen = sum(math.prod(part.stop - part.start for part in tile.whole) for tile in tiles)
        return _TWO_LOOKS * seen / (height * width)


def find_tiling(model: keras.Model, side: int) -> Tiling | None:
    """How the tiles of a feature network have to lie.

    Args:
        model: RGB `(B, H, W, 3)` -> dict of layer to maps.
        side: wanted of a core, in pixels; rounded to what the strides allow.

    Returns:
        A `Tiling`, or None where it is not known what the network's layers see, or where they have
        no position at the edges.
    """
    known = {layer.name: layer for layer in summarize_model(model).layers}
    strides, reach = {}, 0
    for name in model.output:
        layer = known.get(name)
        if layer is None:
            return None
        sizes, jumps, starts = layer.receptive_field, layer.jump, layer.start
        if sizes is None or jumps is None or starts is None or len(set(jumps)) != 1:
            return None
        strides[name] = jumps[0]
        for size, jump, start in zip(sizes, jumps, starts, strict=True):
            reach = max(reach, -start, start + size - jump)
    step = math.lcm(*strides.values())
    seen = model(np.zeros((1, 4 * step, 4 * step, 3), np.float32))
    if any(seen[name].shape[1] * stride != 4 * step for name, stride in strides.items()):
        return None
    return Tiling(max(1, round(side / step)) * step, math.ceil(reach / step) * step, strides)


class TiledLoss:
    """`StylizeLoss` in the memory of one tile, for any canvas and any targets.

    Args:
        network: RGB `(1, height, width, 3)` in [0, 1] -> dict of layer to maps, to be compiled.
        tiling: of the canvases.
        settings: weights and kind of the losses.
        content_layer: the network's output for the content loss.
        layers: its outputs for the style loss.
    """

    def __init__(
        self,
        network: Callable[[Any], Mapping[str, Any]],
        tiling: Tiling,
        settings: StylizeSettings,
        content_layer: str,
        layers: Iterable[str],
    ):
        self.tiling, self._settings = tiling, settings
        kind, layers = settings.style_loss, list(layers)

        def moments_of(seen: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
            joined = {}
            for layer in layers:
                mean, gram = moments(seen[layer][0], weights[layer][..., 0])
                joined[layer] = keras.ops.concatenate([gram, mean[None]], axis=0)
            return joined

        def look(pixels: Any, weights: Any) -> Any:
            return moments_of(network(pixels[None]), weights)

        def part(pixels: Any, weights: Any, slopes: Any, content: Any) -> Any:
            seen = network(pixels[None])
            found = moments_of(seen, weights)
            style = sum(keras.ops.sum(slopes[layer] * found[layer]) for layer in layers)
            away = seen[content_layer][0] - content["maps"]
            lost = 0.5 * content["scale"] * keras.ops.sum(content["core"] * away**2)
            return settings.content_weight * lost + settings.style_weight * style, lost

        def generated(pixels: Any, keep: Any) -> Any:
            return composite(pixels, keep, settings.strength)

        self._generated = value_for_any_size(generated)
        # `composite` is linear: this leads a gradient back through it.
        self._lead_back = value_and_gradient(
            lambda pixels, keep, slope: keras.ops.sum(generated(pixels, keep) * slope),
            any_size=True,
        )
        self._look = value_for_any_size(look)
        self._see = value_for_any_size(lambda pixels: network(pixels[None])[content_layer][0])
        self._part = value_and_gradient(part, has_aux=True, any_size=True)
        self._layer = value_and_gradient(
            lambda joined, own: layer_loss(joined[-1], joined[:-1], own, kind), any_size=True
        )
        self._variation = value_and_gradient(total_variation, any_size=True)
        self._layers, self._content_layer = layers, content_layer

    def maps(self, canvas: np.ndarray) -> np.ndarray:
        """The maps of the content layer, as the network gives them for the whole canvas."""
        step = self.tiling.strides[self._content_layer]
        result = np.zeros(0, np.float32)
        for tile in self.tiling.tiles(*canvas.shape[:2]):
            found = self._see(canvas[tile.whole])
            if not result.size:
                height, width = (side // step for side in canvas.shape[:2])
                result = np.empty((height, width, found.shape[-1]), np.float32)
            result[_at(tile.core, step)] = found[tile.inner(step)]
        return result

    def statistics(
        self, canvas: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, LayerStatistics]:
        """Of the style layers; `weights` `(height, width)` says how much each pixel counts."""
        joined, _ = self._moments(canvas, weights)
        return {layer: LayerStatistics(values[-1], values[:-1]) for layer, values in joined.items()}

    def evaluate(
        self, image: np.ndarray, keep: Sequence[Any], targets: Mapping[str, Any]
    ) -> tuple[tuple[float, dict[str, float]], np.ndarray]:
        """As what `compile_loss` gives; style is measured where `keep` lets the picture be."""
        settings = self._settings
        mask = np.asarray(keep[1])[..., 0] if keep else None
        shown = self._generated(image, keep)
        joined, shares = self._moments(shown, mask)
        style, slopes = 0.0, {}
        for layer, values in joined.items():
            value, slopes[layer] = self._layer(values.astype(np.float32), targets["layers"][layer])
            style += value
        tv, gradient = self._variation(shown)
        gradient = np.asarray(settings.tv_weight * settings.strength * gradient)
        content, step = 0.0, self.tiling.strides[self._content_layer]
        for tile, share in zip(self.tiling.tiles(*image.shape[:2]), shares, strict=True):
            core = self._core(tile, None)[self._content_layer]
            (_, lost), change = self._part(
                shown[tile.whole],
                self._core(tile, mask),
                {layer: np.float32(share[layer]) * slopes[layer] for layer in self._layers},
                {
                    "maps": targets["content"][_at(tile.whole, step)],
                    "scale": targets["content_scale"],
                    "core": core,
                },
            )
            content += float(lost)
            gradient[tile.whole] += change
        value = settings.content_weight * content + settings.style_weight * style
        value += settings.tv_weight * settings.strength * tv
        if "held" in targets:
            held = {name: np.asarray(one) for name, one in targets["held"].items()}
            away = shown - held["picture"]
            value += float(np.sum(held["weight"] * away**2))
            gradient += 2.0 * held["weight"] * away
        _, gradient = self._lead_back(image, keep, gradient)
        return (value, {"content": content, "style": style, "tv": tv}), gradient

    def _moments(
        self, canvas: np.ndarray, mask: np.ndarray | None
    ) -> tuple[dict[str, np.ndarray], list[dict[str, float]]]:
        """Gram matrix and, as the last row, mean of each style layer over the canvas, float64; and
        for each tile the share that its positions have in these.
        """
        sums: dict[str, Any] = dict.fromkeys(self._layers, 0.0)
        counts: list[dict[str, float]] = []
        for tile in self.tiling.tiles(*canvas.shape[:2]):
            weights = self._core(tile, mask)
            counts.append({layer: float(weights[layer].sum()) for layer in self._layers})
            found = self._look(canvas[tile.whole], weights)
            for layer in self._layers:
                sums[layer] = sums[layer] + counts[-1][layer] * found[layer].astype(np.float64)
        totals = {
            layer: max(sum(count[layer] for count in counts), 1e-12) for layer in self._layers
        }
        shares = [{layer: count[layer] / totals[layer] for layer in count} for count in counts]
        return {layer: sums[layer] / totals[layer] for layer in self._layers}, shares

    def _core(self, tile: Tile, mask: np.ndarray | None) -> dict[str, np.ndarray]:
        """How much each position of a tile counts, by layer, `(height, width, 1)`: outside of the
        core nothing.
        """
        height, width = (part.stop - part.start for part in tile.whole)
        weights = {}
        for layer, step in self.tiling.strides.items():
            core = np.zeros((height // step, width // step), np.float32)
            seen = tile.inner(step)
            core[seen] = 1.0 if mask is None else mask_at(mask[tile.core], *core[seen].shape)
            weights[layer] = core[..., None]
        return weights


def _at(part: Sequence[slice], step: int) -> tuple[slice, ...]:
    """A part of a canvas in positions of `step` pixels."""
    return tuple(slice(one.start // step, one.stop // step) for one in part)
