"""Pictures put together at random, with their boxes, for the training of detectors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.data.letterbox import GREY, fill_canvas
from cnnkit.ops.boxes import Letterbox, areas

# Of an object, what must still be seen, and its shorter side in pixels.
_LEAST_SEEN, _LEAST_SIDE = 0.35, 4.0

# uint8 picture, boxes as parts of it, and rows of further numbers for each box.
Boxed = tuple[np.ndarray, np.ndarray, np.ndarray]


def fit_scene(boxed: Boxed, size: int) -> Boxed:
    """One picture in the middle of a square, whole and in its proportions.

    Args:
        boxed: picture `(H, W, 3)`, boxes `(n, 4)` as parts of it, and `(n, k)` more.
        size: of the square.

    Returns:
        The square, the boxes in its pixels, and the same rows of more.
    """
    pixels, boxes, more = boxed
    frame = Letterbox.fit(*pixels.shape[:2], size)
    return fill_canvas(pixels, frame), frame.from_parts(boxes), more


@dataclass(frozen=True, eq=False)
class Placed:
    """A picture as it lies on a scene.

    Attributes:
        picture: whatever was drawn.
        mirrored: left for right.
        seen: left, top, right and bottom of what is seen of it, in pixels of the scene.
        whole: left, top, width and height of all of it, in the same pixels.
    """

    picture: Any
    mirrored: bool
    seen: tuple[int, int, int, int]
    whole: tuple[int, int, int, int]


# A picture or what stands for it, its height and width, boxes as parts of it, and rows of more.
Drawn = tuple[Any, tuple[int, int], np.ndarray, np.ndarray]


def compose_scene(
    take: Callable[[], Boxed],
    size: int,
    random: np.random.Generator,
    *,
    mosaic: float = 0.75,
    scale: float = 0.5,
    horizontal_flip: float = 0.5,
) -> Boxed:
    """A scene of one picture, or a mosaic of several, painted.

    Args:
        take: draws a picture with its boxes.
        size: side of the scene in pixels.
        random: where all draws come from.
        mosaic: see `plan_scene`.
        scale: the same.
        horizontal_flip: the same.

    Returns:
        uint8 `(size, size, 3)`, boxes in pixels of it, and the rows of more of those that are left.
    """

    def draw() -> Drawn:
        pixels, boxes, more = take()
        return pixels, pixels.shape[:2], boxes, more

    placed, boxes, more = plan_scene(
        draw, size, random, mosaic=mosaic, scale=scale, horizontal_flip=horizontal_flip
    )
    canvas = np.full((size, size, 3), GREY, np.uint8)
    for one in placed:
        paint(canvas, one)
    return canvas, boxes, more


def plan_scene(
    draw: Callable[[], Drawn],
    size: int,
    random: np.random.Generator,
    *,
    mosaic: float = 0.75,
    scale: float = 0.5,
    horizontal_flip: float = 0.5,
) -> tuple[list[Placed], np.ndarray, np.ndarray]:
    """Where pictures lie on a scene of one, or on a mosaic of several in rows and columns.

    Mosaics (Bochkovskiy et al., YOLOv4, 2020) show objects smaller, in other places, and beside
    objects that they are never seen with; here they have 2 to 9 pictures.

    Args:
        draw: draws a picture with its boxes.
        size: side of the scene in pixels.
        random: where all draws come from.
        mosaic: share of the scenes that are mosaics.
        scale: by how much sizes differ, as a natural logarithm each way.
        horizontal_flip: share of the pictures that are mirrored.

    Returns:
        The pictures, boxes in pixels of the scene, and the rows of more of those that are left.
    """
    rows, columns = 1, 1
    if random.random() < mosaic:
        rows, columns = _GRIDS[random.integers(len(_GRIDS))]
    placed, boxes, more = [], [], []
    down = _cuts(rows, size, random)
    for row in range(rows):
        across = _cuts(columns, size, random)
        for column in range(columns):
            tile = across[column], down[row], across[column + 1], down[row + 1]
            one, found, kept = _place(draw(), tile, random, scale, horizontal_flip)
            placed.append(one)
            boxes.append(found)
            more.append(kept)
    return placed, np.concatenate(boxes), np.concatenate(more)


_GRIDS = ((1, 2), (2, 1), (2, 2), (2, 2), (2, 3), (3, 2), (3, 3))
# Pictures of a scene, at most.
MOST_PLACED = max(rows * columns for rows, columns in _GRIDS)


def _cuts(parts: int, size: int, random: np.random.Generator) -> list[int]:
    """Borders of parts of about the same size."""
    cuts = [round((part + random.uniform(-0.25, 0.25)) * size / parts) for part in range(1, parts)]
    return [0, *cuts, size]


def _place(
    drawn: Drawn,
    tile: Sequence[int],
    random: np.random.Generator,
    scale: float,
    horizontal_flip: float,
) -> tuple[Placed, np.ndarray, np.ndarray]:
    """Lays a picture into a part of the scene, cut off at its borders."""
    picture, (height, width), boxes, more = drawn
    left, top, right, bottom = tile
    mirrored = random.random() < horizontal_flip
    if mirrored:
        boxes = np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], axis=-1)
    shares = (right - left) / width, (bottom - top) / height
    # Between what shows the whole picture and what leaves no place empty.
    factor = min(shares) + random.random() * (max(shares) - min(shares))
    factor *= np.exp(random.uniform(-scale, 0.6 * scale))
    stretch = np.exp(random.uniform(-0.2, 0.2) * min(1.0, scale))
    wide, high = (max(8, round(side)) for side in (width * factor * stretch, height * factor))
    x = round(left + random.random() * (right - left - wide))
    y = round(top + random.random() * (bottom - top - high))
    seen = max(left, x), max(top, y), min(right, x + wide), min(bottom, y + high)
    whole = boxes * [wide, high, wide, high] + [x, y, x, y]
    clipped = np.clip(whole, seen[:2] * 2, seen[2:] * 2)
    sides = (clipped[:, 2:] - clipped[:, :2]).min(axis=-1, initial=np.inf)
    good = (areas(clipped) >= _LEAST_SEEN * areas(whole)) & (sides >= _LEAST_SIDE)
    return Placed(picture, mirrored, seen, (x, y, wide, high)), clipped[good], more[good]


def paint(
    canvas: np.ndarray,
    placed: Placed,
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> None:
    """Paints a picture, or a mask, onto a scene.

    Args:
        canvas: uint8 `(size, size, 3)` or `(size, size)`; changed.
        placed: with the pixels of the picture.
        resampling: of Pillow.
    """
    pixels = placed.picture
    if placed.mirrored:
        pixels = pixels[:, ::-1]
    height, width = pixels.shape[:2]
    (left, top, right, bottom), (x, y, wide, high) = placed.seen, placed.whole
    # The part that is seen alone is resized.
    seen = np.array([left - x, top - y, right - x, bottom - y])
    source = seen * np.tile([width / wide, height / high], 2)
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (right - left, bottom - top),
        resampling,
        tuple(np.clip(source, 0, [width, height, width, height]).tolist()),
        # Classes are not to be mixed.
        reducing_gap=None if resampling == Image.Resampling.NEAREST else 2.0,
    )
    canvas[top:bottom, left:right] = np.asarray(image)
