"""What every painting starts from: coordinates, colours, noise, cut pieces and light."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

_SHADES = 2049


def coordinates(size: int) -> tuple[np.ndarray, np.ndarray]:
    """`(y, x)` of every pixel centre of a square canvas, float32 `(size, size)` in [0, 1]."""
    if size < 4:
        raise ValueError(f"Expected a canvas of at least 4 pixels a side. Received: {size}")
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.meshgrid(line, line, indexing="ij")


def pigments(*codes: str) -> np.ndarray:
    """Colours from hexadecimal codes.

    >>> pigments("#ff0000", "#0000ff")
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    return np.array(
        [[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in codes], dtype=np.float32
    )


def gradient(palette: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The colour at `position` (0 first, 1 last) along a palette `(colours, 3)`.

    >>> gradient(pigments("#000000", "#ffffff"), np.array([0.0, 0.25, 2.0]))[:, 0]
    array([0.  , 0.25, 1.  ], dtype=float32)
    """
    # One lookup in a fine table is three times as fast as mixing two colours at each pixel.
    steps = np.linspace(0, len(palette) - 1, _SHADES)
    knots = np.arange(len(palette))
    table = np.stack([np.interp(steps, knots, channel) for channel in palette.T], axis=-1)
    index = np.clip(np.asarray(position) * (_SHADES - 1) + 0.5, 0, _SHADES - 1).astype(np.int32)
    return table.astype(np.float32)[index]


def mix(under: np.ndarray, over: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """`over`, a picture or one colour, laid on `under` where `cover` `(height, width)` is 1."""
    return under + (over - under) * cover[..., None]


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; falls instead when `low > high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def noise(
    rng: np.random.Generator,
    size: int,
    cell: float,
    octaves: int = 3,
    stretch: float = 1.0,
) -> np.ndarray:
    """Smooth random texture, mean 0 and standard deviation 1, float32 `(size, size)`.

    Args:
        rng: where the randomness comes from.
        size: side of the canvas in pixels.
        cell: size of the largest blobs, as a share of the side.
        octaves: each adds blobs of half the size and half the strength.
        stretch: how many times wider than high the blobs are.
    """
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        rows = max(2, round(2**octave / cell) + 1)
        columns = max(2, round(2**octave / (cell * stretch)) + 1)
        lattice = rng.standard_normal((rows, columns)).astype(np.float32)
        blobs = Image.fromarray(lattice).resize((size, size), Image.Resampling.BICUBIC)
        total += np.asarray(blobs) * 0.5**octave
    return (total - total.mean()) / max(float(total.std()), 1e-6)


def shrink(array: np.ndarray, factor: int) -> np.ndarray:
    """The mean of every `factor` x `factor` block: what antialiases a picture drawn larger."""
    height, width = array.shape[0] // factor, array.shape[1] // factor
    blocks = array.reshape(height, factor, width, factor, *array.shape[2:])
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def number_pieces(*keys: np.ndarray) -> np.ndarray:
    """Numbers the pieces that a picture is cut into: 0, 1, 2, ... for each combination of keys.

    >>> number_pieces(np.array([5, 5, 9, 9]), np.array([0, 1, 0, 0]))
    array([0, 1, 2, 2])
    """
    number = np.zeros(keys[0].shape, np.int64)
    for key in keys:
        key = key.astype(np.int64)
        key -= key.min()
        number = number * (int(key.max()) + 1) + key
        # Close the gaps before the next key. A table is faster than np.unique's sort.
        present = np.zeros(int(number.max()) + 1, bool)
        present[number] = True
        number = (np.cumsum(present) - 1)[number]
    return number


def piece_means(pieces: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean of `values` `(height, width, channels)` over each piece: `(pieces, channels)`."""
    flat = pieces.ravel()
    count = np.maximum(np.bincount(flat), 1)
    channels = [np.bincount(flat, values[..., c].ravel()) for c in range(values.shape[-1])]
    return (np.stack(channels, axis=-1) / count[:, None]).astype(np.float32)


def distance_to_border(pieces: np.ndarray) -> np.ndarray:
    """How far every pixel is from the nearest seam between two pieces, in pixels."""
    seam = np.zeros(pieces.shape, bool)
    across = pieces[:, 1:] != pieces[:, :-1]
    down = pieces[1:] != pieces[:-1]
    seam[:, 1:] |= across
    seam[:, :-1] |= across
    seam[1:] |= down
    seam[:-1] |= down
    return ndimage.distance_transform_edt(~seam).astype(np.float32)


def raking_light(relief: np.ndarray, strength: float) -> np.ndarray:
    """How much lighter (positive) or darker a surface gets in light from the upper left.

    Args:
        relief: height of the surface `(height, width)`.
        strength: gain of the slope; the result saturates at -1 and 1.
    """
    down, right = np.gradient(relief)
    return np.tanh(strength * (down + right))


def vary(rng: np.random.Generator, colours: np.ndarray, light: float, tint: float) -> np.ndarray:
    """Each colour a little lighter or darker and a little off in hue, within [0, 1]."""
    shape = colours.shape[:-1]
    gain = 1 + light * rng.standard_normal((*shape, 1))
    shift = tint * rng.standard_normal((*shape, 3))
    return np.clip(colours * gain + shift, 0, 1).astype(np.float32)


def finish(pixels: np.ndarray) -> np.ndarray:
    """The painting as float32 in [0, 1]."""
    return np.clip(pixels, 0, 1).astype(np.float32)


def lookup(table: Sequence[float] | np.ndarray, index: np.ndarray) -> np.ndarray:
    """`table[index]` with indices of any size and sign wrapped around."""
    table = np.asarray(table, dtype=np.float32)
    return table[index.astype(np.int64) % len(table)]


class Cartoon:
    """The full-size drawing of a work put together from pieces: where each is cut, and its colour.

    Args:
        size: side of the drawing in pixels.
    """

    def __init__(self, size: int):
        self.subject = np.zeros((size, size), np.int32)
        self.design = np.zeros((size, size, 3), np.float32)
        self._keys = np.zeros((2, size, size), np.int32)
        self._subjects = 0

    def draw(
        self,
        where: np.ndarray,
        first: np.ndarray | float,
        second: np.ndarray | float,
        palette: np.ndarray,
        position: np.ndarray | float,
    ) -> None:
        """Draws one subject over what is there.

        Args:
            where: its pixels, boolean.
            first: pieces are cut where this number changes,
            second: or this one.
            palette: colours `(colours, 3)`.
            position: along the palette, 0 to 1.
        """
        self._subjects += 1
        spot = np.nonzero(where)
        self.subject[spot] = self._subjects
        for key, value in zip(self._keys, (first, second), strict=True):
            key[spot] = value[spot] if isinstance(value, np.ndarray) else value
        place = position[spot] if isinstance(position, np.ndarray) else np.float32(position)
        self.design[spot] = gradient(palette, place)

    @property
    def pieces(self) -> np.ndarray:
        """The number of the piece that each pixel belongs to."""
        return number_pieces(self.subject, *self._keys)
