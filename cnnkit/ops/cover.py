"""Covers a large canvas by tiles that see enough of what lies around them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """A part of a canvas.

    Attributes:
        core: rows and columns that the tile answers for.
        whole: rows and columns that it has to see for that.
    """

    core: tuple[slice, slice]
    whole: tuple[slice, slice]

    def inner(self, step: int = 1) -> tuple[slice, slice]:
        """The core within the whole, in positions of `step` pixels."""
        return tuple(
            slice((core.start - whole.start) // step, (core.stop - whole.start) // step)
            for core, whole in zip(self.core, self.whole, strict=True)
        )


def cover(height: int, width: int, side: int, overlap: int) -> Iterator[Tile]:
    """Tiles whose cores lie side by side and fill the canvas.

    All tiles see parts of one shape, since each further shape costs an engine time and memory.

    Args:
        height: of the canvas, in pixels.
        width: of the canvas, in pixels.
        side: of a core, at most; at the edges of the canvas, where there is less to see around it,
            a core may be larger by `overlap`.
        overlap: what a tile sees on each side of its core, at least, where the canvas has as much.

    Yields:
        Each `Tile`, row by row. Its edges are multiples of what divides all four arguments.

    Example:

    >>> [tile.whole[1] for tile in cover(4, 8, 4, 1)]
    [slice(0, 5, None), slice(3, 8, None)]
    >>> [tile.core[1] for tile in cover(4, 8, 4, 1)]
    [slice(0, 4, None), slice(4, 8, None)]
    """
    step = math.gcd(height, width, side, overlap)
    for row in _spans(height, side, overlap, step):
        for column in _spans(width, side, overlap, step):
            yield Tile(*zip(row, column, strict=True))


def _spans(length: int, side: int, overlap: int, step: int) -> Iterator[tuple[slice, slice]]:
    """Core and whole of the tiles along one side of a canvas."""
    count = max(1, math.ceil((length - 2 * overlap) / side))
    core = math.ceil((length - 2 * overlap) / count / step) * step
    whole = min(length, core + 2 * overlap)
    starts = [min(index * core, length - whole) for index in range(count)]
    bounds = [0, *(start + overlap for start in starts[1:]), length]
    for index, start in enumerate(starts):
        yield slice(bounds[index], bounds[index + 1]), slice(start, start + whole)
