"""Style transfer without optimisation: statistics carried over at four depths, one after another.

Universal style transfer (Li, Fang, Yang, Wang, Lu & Yang 2017): from the deepest level to the
shallowest the picture is encoded, its activations get the style's mean and covariance, and a
decoder makes a picture of them. Departures:
- the linear map is the one that carries one Gaussian to the other at least cost (Lu, Zhao, Yao,
  Cao & Gan 2019, "A closed-form solution to universal style transfer"); whitening and colouring
  one after the other would also turn the activations;
- the target at a smaller `strength` lies on the shortest path between the statistics, as in the
  optimiser, and what decoding loses of the picture is put back in proportion;
- only a part of the deepest level's way is gone, since there the content dissolves into blobs;
- the picture gets a faint grain first: on flat skies and walls the texture of the style would
  otherwise grow from the picture's edges and from the blocks of its JPEG, as a lattice;
- AdaIN (Huang & Belongie 2017), which looks at each channel by itself, is the cheap variant.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.engine.networks import Networks, NetworkSource
from cnnkit.models._decoder_levels import entrance
from cnnkit.ops.cover import Tile, cover
from cnnkit.ops.noise import smooth_noise
from cnnkit.tasks.stylize.layer_statistics import (
    LayerStatistics,
    feature_transform,
    interpolate_statistics,
    mask_at,
)
from cnnkit.tasks.stylize.settings import DECODER_LEVELS
from cnnkit.weights import locate

# How far around a pixel the encoder and the decoder of a level look together, rounded up to
# whole positions of the deepest layer.
OVERLAPS = {1: 16, 2: 16, 3: 32, 4: 80}
# How much of the way to the style each level goes; chosen by looking at pictures.
SHARES = {1: 1.0, 2: 1.0, 3: 1.0, 4: 0.5}
# Standard deviation of the grain, and that of the Gaussian that it is smoothed with, in pixels: the
# least that breaks the lattice. At strength 0 there is none.
_GRAIN = 3.0 / 255.0
_GRAIN_SIZE = 2.0
# Larger pictures are worked on in tiles of this side, without the overlap.
TILE = 1024


class Steadiness:
    """What the frames of a video before one hand on to it: nothing, as it is of a picture alone."""

    def grain(self, height: int, width: int, seed: int) -> np.ndarray:
        """The grain of a picture before it is painted, `(height, width)` of variance 1."""
        return smooth_noise(height, width, _GRAIN_SIZE, seed)

    def smooth(self, name: str, found: LayerStatistics) -> LayerStatistics:
        """What a picture is painted by, for what is measured of it under a name."""
        return found

    def blend(self, level: int, picture: np.ndarray) -> np.ndarray:
        """What goes on to the next level, for what a level has painted."""
        return picture


class DraftPainter:
    """The compact backbone, its decoders, and the statistics that go from one to the other.

    Attributes:
        engine: what computes.
        name: of the backbone.
        hash: SHA-256 of the weights.
        conversion_seconds: see `Networks`.

    Args:
        tile: side of a tile in pixels, a multiple of 16; pictures that are no larger, with the
            overlap, are worked on as a whole.
    """

    def __init__(self, tile: int = TILE):
        self._tile = tile
        networks = Networks(
            NetworkSource(
                "drafts",
                "cnnkit.tasks.stylize.network:build",
                (locate("compact"), locate("decoder")),
            ),
            beside_keras=True,
        )
        self.engine, self.conversion_seconds = networks.engine, networks.conversion_seconds
        self.name, self.hash = networks.facts["name"], networks.facts["hash"]
        self._encode_all = networks["encode"]
        self._encode = {level: networks[f"encode{level}"] for level in DECODER_LEVELS}
        self._decode = {level: networks[f"decode{level}"] for level in DECODER_LEVELS}

    def measure(
        self, canvas: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[int, LayerStatistics]:
        """Statistics of a picture at every level.

        Args:
            canvas: `(height, width, 3)` in [0, 1], sides multiples of 16.
            weights: `(height, width)`, how much each pixel counts.

        Returns:
            level -> moments of the activations, float64.
        """
        moments = {level: _Moments() for level in DECODER_LEVELS}
        for tile in self._tiles(canvas, max(DECODER_LEVELS)):
            maps = self._encode_all(canvas[tile.whole][None])
            for level in DECODER_LEVELS:
                moments[level].add(maps[entrance(level)][0], tile, level, weights)
        return {level: moments[level].statistics() for level in DECODER_LEVELS}

    def paint(
        self,
        canvas: np.ndarray,
        style: Mapping[int, LayerStatistics],
        *,
        strength: float = 1.0,
        transform: str = "wct",
        mask: np.ndarray | None = None,
        content: np.ndarray | None = None,
        seed: int = 0,
        tile: int | None = None,
        steadiness: "Steadiness | None" = None,
        on_level: Callable[[np.ndarray], None] | None = None,
    ) -> np.ndarray:
        """Gives a picture the statistics of a style.

        Args:
            canvas: `(height, width, 3)` in [0, 1], sides multiples of 16. Not changed.
            style: level -> statistics; levels that are missing are left out.
            strength: 0 gives the picture back, 1 has the style's statistics.
            transform: "wct", or "adain" for each channel by itself.
            mask: `(height, width)` in [0, 1]: where, and where the picture is measured.
            content: canvas whose statistics a smaller strength starts from; `canvas` by default.
            seed: of the grain.
            tile: side of smaller tiles, for less memory.
            steadiness: what the frames of a video before this one hand on.
            on_level: called with the canvas after each level.

        Returns:
            float32 `(height, width, 3)` in [0, 1].
        """
        if strength == 0.0:
            return canvas.copy()
        steadiness = steadiness or Steadiness()
        own = {}
        if strength < 1.0:
            own = {
                level: steadiness.smooth(f"content{level}", found)
                for level, found in self.measure(
                    canvas if content is None else content, mask
                ).items()
            }
        height, width = canvas.shape[:2]
        noise = steadiness.grain(height, width, seed)
        amount = np.float32(strength * _GRAIN)
        if mask is not None:
            amount = amount * mask[..., None]
        picture = np.clip(canvas + amount * noise[..., None], 0.0, 1.0)
        for level in sorted(style, reverse=True):
            share = strength * SHARES[level]
            change = _Change(style[level], own.get(level), share, transform)
            tiles = list(self._tiles(picture, level, tile))
            picture = self._paint_level(picture, tiles, level, change, mask, steadiness)
            picture = steadiness.blend(level, picture)
            if on_level is not None:
                on_level(picture)
        return picture

    def _paint_level(
        self,
        canvas: np.ndarray,
        tiles: Sequence[Tile],
        level: int,
        change: "_Change",
        mask: np.ndarray | None,
        steadiness: "Steadiness",
    ) -> np.ndarray:
        moments = _Moments()
        maps: np.ndarray = np.empty(0, np.float32)
        for tile in tiles:
            maps = self._encode[level](canvas[tile.whole][None])[0]
            moments.add(maps, tile, level, mask)
        found = steadiness.smooth(f"level{level}", moments.statistics())
        matrix, offset = change.transform_of(found)
        result = np.empty_like(canvas)
        for tile in tiles:
            if len(tiles) > 1:
                maps = self._encode[level](canvas[tile.whole][None])[0]
            changed = maps @ matrix + offset
            if mask is not None:
                height, width = maps.shape[:2]
                weights = mask_at(mask[tile.whole], height, width)[..., None]
                changed = maps + weights * (changed - maps)
            pixels = self._decode[level](changed[None])[0]
            if change.share < 1.0:
                lost = canvas[tile.whole] - self._decode[level](maps[None])[0]
                pixels = pixels + np.float32(1.0 - change.share) * lost
            result[tile.core] = np.clip(pixels[tile.inner()], 0.0, 1.0)
        return result

    def _tiles(self, canvas: np.ndarray, level: int, side: int | None = None) -> Iterator[Tile]:
        side = self._tile if side is None else min(side, self._tile)
        height, width = canvas.shape[:2]
        return cover(height, width, side, OVERLAPS[level])


@dataclass(frozen=True)
class _Change:
    """What a level is to do: go `share` of the way from the content's statistics to the style's.

    Attributes:
        style: where the way ends.
        content: where it starts; None for the picture as it comes to the level.
        share: in [0, 1].
        transform: see `feature_transform`.
    """

    style: LayerStatistics
    content: LayerStatistics | None
    share: float
    transform: str

    def transform_of(self, found: LayerStatistics) -> tuple[np.ndarray, np.ndarray]:
        """The affine map for activations whose statistics are `found`."""
        start = found if self.content is None else self.content
        target = interpolate_statistics(start, self.style, self.share)
        return feature_transform(found, target, self.transform)


@functools.cache
def draft_painter() -> DraftPainter:
    """The one that all drafts of a process share."""
    return DraftPainter()


class _Moments:
    """Adds up first and second moments over tiles, in float64."""

    def __init__(self) -> None:
        self._count: float = 0.0
        # Arrays from the first tile on.
        self._sum: Any = 0.0
        self._products: Any = 0.0

    def add(self, maps: np.ndarray, tile: Tile, level: int, weights: np.ndarray | None) -> None:
        """Adds the core of a tile's activations `(height, width, C)`."""
        step = 2 ** (level - 1)
        flat = maps[tile.inner(step)].reshape(-1, maps.shape[-1]).astype(np.float64)
        if weights is None:
            self._count += len(flat)
            self._sum = self._sum + flat.sum(axis=0)
            self._products = self._products + flat.T @ flat
            return
        core = weights[tile.core]
        share = mask_at(core, core.shape[0] // step, core.shape[1] // step).reshape(-1, 1)
        self._count += float(share.sum())
        self._sum = self._sum + (share * flat).sum(axis=0)
        self._products = self._products + (share * flat).T @ flat

    def statistics(self) -> LayerStatistics:
        count = max(self._count, 1e-12)
        return LayerStatistics(self._sum / count, self._products / count)
