"""Covers a large canvas by tiles that see enough of what lies around them."""

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

    Args:
        height: of the canvas, in pixels.
        width: of the canvas, in pixels.
        side: of a core. A canvas that a tile could see as a whole is one tile.
        overlap: what a tile sees on each side of its core, where the canvas has as much.

    Yields:
        Each `Tile`, row by row.

    Example:

    >>> [tile.whole[1] for tile in cover(4, 8, 4, 1)]
    [slice(0, 5, None), slice(3, 8, None)]
    """
    if max(height, width) <= side + 2 * overlap:
        side = max(height, width)
    for top in range(0, height, side):
        for left in range(0, width, side):
            core = slice(top, min(top + side, height)), slice(left, min(left + side, width))
            whole = tuple(
                slice(max(0, part.start - overlap), min(limit, part.stop + overlap))
                for part, limit in zip(core, (height, width), strict=True)
            )
            yield Tile(core, whole)
