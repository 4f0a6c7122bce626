"""Pictures of different sizes in one array, and views of them: crops, enlarged, reduced, beside
each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

Tensor = Any

# Numbers of a placement, see `sample_placements`.
PLACEMENT = 10


@dataclass(frozen=True, eq=False)
class PackedPictures:
    """Pictures one after the other, each followed by itself at half of its size, and so on.

    Attributes:
        values: uint8 `(M, channels)`, the pixels of all, row by row.
        table: int32 `(N, levels, 3)`: where a level of a picture begins, its height and its width.
    """

    values: np.ndarray
    table: np.ndarray

    @classmethod
    def pack(cls, pictures: Iterable[np.ndarray], levels: int) -> "PackedPictures":
        """Packs pictures.

        Args:
            pictures: each uint8 `(H, W, channels)`.
            levels: of each; a side of one pixel is not halved.

        Raises:
            ValueError: there are no pictures, or they have 2^31 pixels and more.

        Example:

        >>> packed = PackedPictures.pack([np.zeros((4, 6, 3), np.uint8)], levels=2)
        >>> packed.table.tolist(), packed.values.shape
        ([[[0, 4, 6], [24, 2, 3]]], (30, 3))
        """
        parts, table, begin = [], [], 0
        for picture in pictures:
            rows = []
            for _ in range(levels):
                height, width = picture.shape[:2]
                rows.append((begin, height, width))
                begin += height * width
                if begin >= 2**31:
                    raise ValueError("there must be less than 2^31 pixels")
                parts.append(picture.reshape(height * width, -1))
                picture = _halve(picture)
            table.append(rows)
        return cls(np.concatenate(parts), np.array(table, np.int32))


def _halve(pixels: np.ndarray) -> np.ndarray:
    """Means of two by two pixels; a last odd row or column is left out."""
    for axis in (0, 1):
        count = pixels.shape[axis]
        if count > 1:
            first, second = (
                pixels.take(range(begin, count // 2 * 2, 2), axis).astype(np.uint16)
                for begin in (0, 1)
            )
            pixels = ((first + second + 1) // 2).astype(np.uint8)
    return pixels


def sample_placements(
    values: Tensor, table: Tensor, placements: Tensor, side: int, grey: float
) -> Tensor:
    """Squares on which pictures lie, sampled bilinearly at the level that has about their size.

    Args:
        values: of `PackedPictures`.
        table: the same.
        placements: float32 `(B, K, 10)`; those of a square do not overlap: the number of the
            picture; 1 where it is mirrored, else 0; left, top, right and bottom of the part of the
            square that it fills; left, top, width and height of the whole picture as it lies
            there, parts that are not seen too. Rows of a part of no size are no pictures.
        side: of the squares, in pixels.
        grey: what is where no picture lies.

    Returns:
        float32 `(B, side, side, channels)` of the values' range.
    """
    ops = keras.ops
    levels = table.shape[1]
    whole = placements[..., 8] * placements[..., 9]
    rows = ops.cast(placements[..., 0], "int32")
    sizes = ops.cast(ops.take(table[:, 0, 1:], rows, axis=0), "float32")
    shrink = sizes[..., 0] * sizes[..., 1] / ops.maximum(whole, 1.0)
    level = ops.floor(0.5 * ops.log2(ops.maximum(shrink, 1.0)) + 0.5)
    level = ops.cast(ops.minimum(level, levels - 1.0), "int32")
    entries = ops.take(ops.reshape(table, (-1, 3)), rows * levels + level, axis=0)
    (low_y, high_y, part_y), (low_x, high_x, part_x) = _neighbours(placements, entries, side)
    inside = _inside(placements, side)

    def pick(of_rows: Tensor, of_columns: Tensor) -> Tensor:
        """The sum of a number of the row and one of the column, of the picture that lies there."""
        both = of_rows[:, :, :, None] + of_columns[:, :, None, :]
        return ops.sum(ops.where(inside, both, ops.zeros_like(both)), axis=1)

    width, begin = entries[..., 2, None], entries[..., 0, None]
    top_left, top_right, bottom_left, bottom_right = (
        ops.cast(ops.take(values, pick(begin + y * width, x), axis=0), "float32")
        for y in (low_y, high_y)
        for x in (low_x, high_x)
    )
    across = pick(ops.zeros_like(part_y), part_x)[..., None]
    down = pick(part_y, ops.zeros_like(part_x))[..., None]
    top = top_left + across * (top_right - top_left)
    bottom = bottom_left + across * (bottom_right - bottom_left)
    filled = ops.any(inside, axis=1)[..., None]
    return ops.where(filled, top + down * (bottom - top), grey)


def sample_nearest(
    values: Tensor, table: Tensor, placements: Tensor, side: int, nothing: int, step: int = 1
) -> Tensor:
    """The same of the nearest values, which are not to be mixed, at every so manieth pixel.

    Args:
        values: of `PackedPictures`, of one channel.
        table: the same; the first level is taken.
        placements: see `sample_placements`.
        side: of the squares, in pixels.
        nothing: what is where no picture lies.
        step: pixels from one that is sampled to the next; the first is `step // 2`.

    Returns:
        uint8 `(B, side / step, side / step)`.
    """
    ops = keras.ops
    entries = ops.take(table[:, 0], ops.cast(placements[..., 0], "int32"), axis=0)
    (y, _, down), (x, _, across) = (
        tuple(one[..., step // 2 :: step] for one in parts)
        for parts in _neighbours(placements, entries, side)
    )
    y, x = (low + ops.cast(part >= 0.5, "int32") for low, part in ((y, down), (x, across)))
    inside = _inside(placements, side)[..., step // 2 :: step, step // 2 :: step]
    width, begin = entries[..., 2, None], entries[..., 0, None]
    both = (begin + y * width)[:, :, :, None] + x[:, :, None, :]
    index = ops.sum(ops.where(inside, both, ops.zeros_like(both)), axis=1)
    found = ops.cast(ops.take(values[:, 0], index, axis=0), "int32")
    return ops.cast(ops.where(ops.any(inside, axis=1), found, nothing), "uint8")


def _inside(placements: Tensor, side: int) -> Tensor:
    """bool `(B, K, side, side)`: the pixels of the square that each picture fills."""
    ops = keras.ops
    centres = ops.convert_to_tensor(np.arange(side, dtype=np.float32) + 0.5)
    left, top, right, bottom = (placements[..., number, None] for number in range(2, 6))
    in_rows = ops.logical_and(centres > top, centres < bottom)
    in_columns = ops.logical_and(centres > left, centres < right)
    return ops.logical_and(in_rows[:, :, :, None], in_columns[:, :, None, :])


def _neighbours(
    placements: Tensor, entries: Tensor, side: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For the rows and the columns of the squares, where they lie in each picture.

    Returns:
        Twice, each `(B, K, side)`: the pixel before, int32; the one after; and how far it is from
        the first to the second, in [0, 1].
    """
    ops = keras.ops
    centres = ops.convert_to_tensor(np.arange(side, dtype=np.float32) + 0.5)
    found = []
    for axis in (1, 0):
        begin, length = placements[..., 6 + axis, None], placements[..., 8 + axis, None]
        count = ops.cast(entries[..., 2 - axis, None], "float32")
        at = (centres - begin) * count / ops.maximum(length, 1.0) - 0.5
        if axis == 0:
            at = ops.where(placements[..., 1, None] > 0.5, count - 1.0 - at, at)
        at = ops.minimum(ops.maximum(at, 0.0), count - 1.0)
        low = ops.floor(at)
        high = ops.minimum(low + 1.0, count - 1.0)
        found.append((ops.cast(low, "int32"), ops.cast(high, "int32"), at - low))
    return found
