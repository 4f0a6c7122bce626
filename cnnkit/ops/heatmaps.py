"""Maps of a network's units laid back over the picture that they looked at."""

from collections.abc import Sequence

import numpy as np


def unit_centres(count: int, pixels: int, field: tuple[int, int, int] | None = None) -> np.ndarray:
    """Where along an axis the middles of the units' receptive fields are, in pixels.

    Args:
        count: number of units.
        pixels: of the axis.
        field: size, jump and start of a `ReceptiveField`; None, or one that does not move, spreads
            them evenly.

    Returns:
        float64 `(count,)`; the first pixel's middle is 0.

    >>> unit_centres(2, 8).tolist(), unit_centres(2, 8, (3, 2, 1)).tolist()
    ([1.5, 5.5], [2.0, 4.0])
    """
    if field is None or not field[1]:
        return (np.arange(count) + 0.5) * pixels / count - 0.5
    size, jump, start = field
    return start + np.arange(count) * jump + (size - 1) / 2.0


def spread_map(
    values: np.ndarray,
    centres: Sequence[np.ndarray],
    input_size: tuple[int, int],
    size: tuple[int, int],
) -> np.ndarray:
    """Interpolates a map over a picture: bilinear between the centres, even beyond the outermost.

    Args:
        values: `(rows, columns)`.
        centres: of the rows and of the columns, in pixels of what the network saw, increasing.
        input_size: height and width of what the network saw.
        size: height and width of the picture, of which the network saw the whole.

    Returns:
        float32 array of that size.

    Example:

    >>> spread_map(np.array([[0.0, 4.0]]), [[0.0], [1.0, 5.0]], (1, 7), (1, 7)).tolist()
    [[0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 4.0]]
    """
    rows, columns = (
        _interpolation(np.asarray(centre, float), before, after)
        for centre, before, after in zip(centres, input_size, size, strict=True)
    )
    return (rows @ np.asarray(values, np.float64) @ columns.T).astype(np.float32)


def _interpolation(centres: np.ndarray, before: int, after: int) -> np.ndarray:
    """Matrix `(after, centres)` of linear interpolation at the pixels of a resized axis."""
    places = (np.arange(after) + 0.5) * before / after - 0.5
    return np.stack([np.interp(places, centres, one) for one in np.eye(len(centres))], axis=1)
