"""A pyramid of ever smaller pictures on one canvas, laid out as dlib does.

Each level is 5/6 the size of the one before. The levels stand below one another, and where there
is room the last ones go up again on the right, with one colour between them. One pass of a
convolutional network over the canvas sees all sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GAP = 10
MARGIN = 11
_LEAST_HEIGHT = 5
# A point of a level lies in the next larger one at 6/5 of its coordinates plus this.
_RATIO, _SHIFT = 6.0 / 5.0, 0.3


@dataclass(frozen=True)
class TilePlan:
    """Where each level lies on the canvas.

    Attributes:
        height: of the canvas, in pixels.
        width: of the canvas, in pixels.
        tiles: `(left, top, width, height)` of each level, largest first.
    """

    height: int
    width: int
    tiles: tuple[tuple[int, int, int, int], ...]

    def to_picture(self, points_xy: np.ndarray, corners_xy: np.ndarray) -> np.ndarray:
        """Maps points of the canvas to the picture.

        Args:
            points_xy: `(N, 2)`, each decides by the nearest tile which level it belongs to.
            corners_xy: `(N, K, 2)`, further points of those levels.

        Returns:
            `(N, K, 2)` in pixels of the picture.
        """
        tiles = np.array(self.tiles, np.float64)
        begin, end = tiles[:, :2], tiles[:, :2] + tiles[:, 2:] - 1.0
        points = np.asarray(points_xy, np.float64)[:, None]
        away = np.maximum(np.maximum(begin - points, points - end), 0.0)
        level = np.argmin((away * away).sum(axis=-1), axis=1)
        scale = _RATIO**level
        # p -> 6/5 p + 0.3, `level` times: a geometric series.
        shift = _SHIFT * (scale - 1.0) / (_RATIO - 1.0)
        corners = np.asarray(corners_xy, np.float64) - begin[level][:, None]
        return corners * scale[:, None, None] + shift[:, None, None]


def plan_tiles(height: int, width: int, least_side: int = 1) -> TilePlan:
    """Lays out the pyramid of a picture.

    Args:
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        least_side: levels whose longer side is shorter are left out.

    Returns:
        A `TilePlan`. With `least_side` 1 it is that of dlib, pixel by pixel.

    >>> plan_tiles(60, 60).tiles[:3]
    ((11, 11, 60, 60), (11, 81, 50, 50), (11, 141, 41, 41))
    """
    sizes = [(width, height)]
    while True:
        width, height = width * 5 // 6, height * 5 // 6
        if width == 0 or height < _LEAST_HEIGHT or max(width, height) < least_side:
            break
        sizes.append((width, height))

    first_width, first_height = sizes[0]
    # dlib takes off one gap too many here; the layout depends on it.
    total = sum(height + GAP for _, height in sizes) - 2 * GAP
    column, previous_width = 0, 0
    for width, height in sizes:
        fits_beside = width <= first_width - previous_width - GAP
        if fits_beside and (column - first_height) * 2 >= total - first_height:
            break
        column += height + GAP
        previous_width = width
    column -= GAP

    tiles: list[tuple[int, int, int, int]] = []
    top = MARGIN
    while top < column + MARGIN and len(tiles) < len(sizes):
        width, height = sizes[len(tiles)]
        tiles.append((MARGIN, top, width, height))
        top += height + GAP
    bottom = top - GAP
    for width, height in sizes[len(tiles) :]:
        left, top = MARGIN + first_width - width, bottom - height
        if top < MARGIN + first_height:
            break
        tiles.append((left, top, width, height))
        bottom = top - GAP
    return TilePlan(column + 2 * MARGIN, first_width + 2 * MARGIN, tuple(tiles))


def draw_tiles(
    pixels: np.ndarray,
    plan: TilePlan,
    height: int = 0,
    width: int = 0,
    background: Sequence[float] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    """Draws the pyramid of a picture onto its canvas.

    Args:
        pixels: uint8 `(height, width, 3)`, the picture that the plan was made for.
        plan: from `plan_tiles`.
        height: at least this high a canvas, empty below.
        width: at least this wide a canvas, empty on the right.
        background: what is where no level lies; dlib has its mean colour there.

    Returns:
        float32 `(height, width, 3)` in 0..255, not rounded: each level is made of the one before.
    """
    canvas = np.empty((max(height, plan.height), max(width, plan.width), 3), np.float32)
    canvas[:] = np.asarray(background, np.float32)
    level = np.asarray(pixels, np.float32)
    for index, (left, top, width, height) in enumerate(plan.tiles):
        if index:
            level = stretch(level, height, width)
        canvas[top : top + height, left : left + width] = level
    return canvas


def enlarge(pixels: np.ndarray) -> np.ndarray:
    """Twice the size, as dlib's `pyramid_up`; the inverse of `alignment.halve` in its geometry.

    Args:
        pixels: uint8 `(height, width, 3)`.

    Returns:
        uint8 `(2 height + 1, 2 width + 2, 3)`.

    >>> enlarge(np.zeros((4, 5, 3), np.uint8)).shape
    (9, 12, 3)
    """
    height, width = pixels.shape[:2]
    larger = stretch(np.asarray(pixels, np.float32), 2 * height + 1, 2 * width + 2)
    # Rounded down, but not where a sum is a hair below a whole number.
    return (larger + 1e-3).astype(np.uint8)


def to_small(points_xy: np.ndarray) -> np.ndarray:
    """Maps points of an enlarged picture to the one before.

    >>> to_small(np.array([2.5, 1.5])).tolist()
    [0.0, 0.0]
    """
    return np.asarray(points_xy, np.float64) / 2.0 - [1.25, 0.75]


def stretch(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes bilinearly without a filter, the corner pixels staying where they are.

    Sample `(x, y)` is taken at `x (w - 1) / (width - 1)`, as dlib's `resize_image` does.

    Args:
        pixels: float32 `(h, w, C)`.
        height: new height.
        width: new width.

    Returns:
        float32 `(height, width, C)`.

    >>> stretch(np.float32([[[0], [2], [4]]]), 1, 5)[0, :, 0].tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    for axis, size in enumerate((height, width)):
        first, second, part = _samples(pixels.shape[axis], size)
        before, after = pixels.take(first, axis), pixels.take(second, axis)
        after -= before
        after *= part[:, None] if axis else part[:, None, None]
        after += before
        pixels = after
    return pixels


def _samples(before: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels that each new one lies between, and how far it is from the first."""
    places = np.arange(size) * ((before - 1) / max(size - 1, 1))
    first = np.minimum(places.astype(int), before - 1)
    second = np.minimum(first + 1, before - 1)
    return first, second, (places - first).astype(np.float32)
