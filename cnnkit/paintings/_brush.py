"""A brush: thousands of curved strokes laid in order, resolved to one stroke per pixel."""

from dataclasses import dataclass

import numpy as np

# Distance between the points of a stroke, in pixels: below 1/sqrt(2) no pixel is missed.
_SPACING = 0.68


@dataclass(frozen=True)
class Laid:
    """What a layer of strokes left on the canvas; arrays are `(height, width)`.

    Attributes:
        stroke: number of the topmost stroke, or -1 where the canvas is bare.
        along: place along that stroke, 0 at its start and 1 at its end.
        across: place across it, -1 at one edge and 1 at the other.
    """

    stroke: np.ndarray
    along: np.ndarray
    across: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        return self.stroke >= 0


def trace(
    angle: np.ndarray, starts: np.ndarray, lengths: np.ndarray, steps: int = 10
) -> np.ndarray:
    """Follows a field of directions from the middle of each stroke to both ends.

    Args:
        angle: direction in radians at each pixel `(height, width)`; 0 points right, pi/2 down.
        starts: middles of the strokes `(strokes, 2)` as y, x in pixels.
        lengths: of the strokes `(strokes,)` in pixels.
        steps: number of straight pieces of a stroke, even.

    Returns:
        float32 `(strokes, steps + 1, 2)`: the points of each stroke as y, x in pixels.
    """
    height, width = angle.shape
    paths = np.empty((len(starts), steps + 1, 2), np.float32)
    middle = steps // 2
    paths[:, middle] = starts
    stride = (lengths / steps)[:, None]
    for sign, numbers in ((-1, range(middle, 0, -1)), (1, range(middle, steps))):
        for number in numbers:
            here = paths[:, number]
            row = np.clip(here[:, 0], 0, height - 1).astype(np.int32)
            column = np.clip(here[:, 1], 0, width - 1).astype(np.int32)
            heading = angle[row, column]
            step = np.stack([np.sin(heading), np.cos(heading)], axis=-1)
            paths[:, number + sign] = here + sign * stride * step
    return paths


def lay(shape: tuple[int, int], paths: np.ndarray, widths: np.ndarray, taper: float = 8.0) -> Laid:
    """Lays strokes one over the other, the first lowest.

    Args:
        shape: `(height, width)` of the canvas.
        paths: points of the strokes `(strokes, points, 2)` as y, x in pixels.
        widths: full width of each stroke in pixels `(strokes,)`.
        taper: how blunt the ends are; 2 is an ellipse, 8 a round brush, 1 a leaf.

    Returns:
        For each pixel the topmost stroke and the place on it.
    """
    points = paths.shape[1]
    lengths = np.linalg.norm(np.diff(paths, axis=1), axis=-1).sum(axis=1)
    along_count = max(points, int(np.ceil(lengths.max() / _SPACING)) + 1)
    across_count = max(3, int(np.ceil(widths.max() / _SPACING)) + 1)
    along = np.linspace(0, 1, along_count, dtype=np.float32)
    across = np.linspace(-1, 1, across_count, dtype=np.float32)

    place = along * (points - 1)
    low = np.minimum(place.astype(np.int32), points - 2)
    share = (place - low)[None, :, None]
    tangents = np.gradient(paths, axis=1)
    normals = np.stack([tangents[..., 1], -tangents[..., 0]], axis=-1)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    blunt = (1 - np.abs(2 * along - 1) ** taper) ** (0.5 if taper > 1 else 1.0)

    top = np.full(shape[0] * shape[1], -1, np.int64)
    per_stroke = along_count * across_count
    codes = np.arange(per_stroke, dtype=np.int64).reshape(along_count, across_count)
    block = max(1, 1_500_000 // per_stroke)
    for begin in range(0, len(paths), block):
        some = slice(begin, begin + block)
        spine = paths[some][:, low] * (1 - share) + paths[some][:, low + 1] * share
        side = normals[some][:, low] * (1 - share) + normals[some][:, low + 1] * share
        side *= (0.5 * widths[some, None] * blunt)[..., None]
        row = (spine[..., 0, None] + side[..., 0, None] * across).astype(np.int32)
        column = (spine[..., 1, None] + side[..., 1, None] * across).astype(np.int32)
        inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        number = np.arange(begin, begin + len(row), dtype=np.int64)
        code = number[:, None, None] * per_stroke + codes
        # Of repeated indices NumPy keeps the last: later strokes cover earlier ones.
        top[(row * shape[1] + column)[inside]] = code[inside]
    bare = top < 0
    stroke, rest = np.divmod(np.maximum(top, 0), per_stroke)
    step, lane = np.divmod(rest, across_count)
    return Laid(
        np.where(bare, -1, stroke).reshape(shape).astype(np.int32),
        along[step].reshape(shape),
        across[lane].reshape(shape),
    )


def bristles(
    rng: np.random.Generator, laid: Laid, strokes: int, hairs: int = 24, length: int = 6
) -> np.ndarray:
    """The furrows that the hairs of the brush leave, -1 to 1, `(height, width)`.

    Args:
        rng: where the randomness comes from.
        laid: the strokes.
        strokes: how many there are.
        hairs: across one stroke.
        length: how often a hair changes along a stroke.
    """
    table = rng.uniform(-1, 1, (min(strokes, 512), length, hairs)).astype(np.float32)
    row = laid.along * (length - 1)
    low = np.minimum(row.astype(np.int32), length - 2)
    share = row - low.astype(np.float32)
    hair = np.clip((laid.across + 1) * 0.5 * hairs, 0, hairs - 1).astype(np.int32)
    brush = laid.stroke % len(table)
    return table[brush, low, hair] * (1 - share) + table[brush, low + 1, hair] * share
