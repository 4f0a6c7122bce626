"""Turns a face upright and cuts it out as a chip of fixed size, pixel for pixel as dlib does.

Points are `(x, y)` in pixels, of pixel centres: `(0, 0)` is the middle of the first pixel. The
steps follow dlib's `get_face_chip_details` and `extract_image_chip`.
"""

import math

import numpy as np

CHIP_SIZE = 150
CHIP_PADDING = 0.25

# Where the five points lie in the unit square of an upright face: outer and inner corner of the
# subject's left eye, of the right eye, base of the nose.
FIVE_POINTS = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)


def fit_similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rotation, uniform scale and shift that map points best onto others (Umeyama 1991).

    It minimises `sum |A s + b - t|^2` over `A = c R`. In the plane this is a regression of complex
    numbers: with centred `s` and `t`, `c e^(i angle) = sum(conj(s) t) / sum |s|^2`, which is never
    a reflection.

    Args:
        source: `(..., P, 2)`.
        target: `(..., P, 2)`.

    Returns:
        `A` `(..., 2, 2)` and `b` `(..., 2)`, float64. Points that all coincide give the shift
        alone, with `A` zero.

    >>> linear, shift = fit_similarity(np.array([[0, 0], [1, 0]]), np.array([[5, 5], [5, 7]]))
    >>> (linear.round(6) + 0.0).tolist(), shift.tolist()
    ([[0.0, -2.0], [2.0, 0.0]], [5.0, 5.0])
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_mean, target_mean = source.mean(axis=-2), target.mean(axis=-2)
    s, t = source - source_mean[..., None, :], target - target_mean[..., None, :]
    power = (s * s).sum(axis=(-2, -1))
    power = np.where(power > 0.0, power, 1.0)
    real = (s * t).sum(axis=(-2, -1)) / power
    imaginary = (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0]).sum(axis=-1) / power
    linear = np.stack(
        [np.stack([real, -imaginary], axis=-1), np.stack([imaginary, real], axis=-1)], axis=-2
    )
    return linear, target_mean - (linear @ source_mean[..., None])[..., 0]


def chip_points(size: int = CHIP_SIZE, padding: float = CHIP_PADDING) -> np.ndarray:
    """Where the five points lie in a chip, `(5, 2)` in its pixels.

    Args:
        size: height and width of the chip in pixels.
        padding: around the unit square of the face, as a part of it.

    >>> chip_points()[4].round(3).tolist()
    [74.011, 87.78]
    """
    return (padding + FIVE_POINTS) / (2.0 * padding + 1.0) * size


def halve(pixels: np.ndarray) -> np.ndarray:
    """Half the size after a binomial blur [1 4 6 4 1], as dlib's `pyramid_down<2>`.

    Pixel `(r, c)` of the result is the blurred pixel `(2 r + 2, 2 c + 2)`, rounded down.

    Args:
        pixels: uint8 `(height, width, channels)`.

    Returns:
        uint8 `((height - 3) // 2, (width - 3) // 2, channels)`; empty for small pictures.

    >>> halve(np.full((9, 8, 3), 7, np.uint8)).shape
    (3, 2, 3)
    """
    for axis in (0, 1):
        count = max(0, (pixels.shape[axis] - 3) // 2)
        values = np.moveaxis(pixels, axis, 0).astype(np.int32)
        taps = [values[begin : begin + 2 * count : 2][:count] for begin in range(5)]
        sums = taps[0] + 4 * taps[1] + 6 * taps[2] + 4 * taps[3] + taps[4]
        pixels = np.moveaxis(sums, 0, axis)
    return (pixels // 256).astype(np.uint8)


def extract_chip(
    pixels: np.ndarray,
    landmarks_xy: np.ndarray,
    size: int = CHIP_SIZE,
    padding: float = CHIP_PADDING,
) -> np.ndarray:
    """Cuts out a face, upright and in the middle of a square.

    The face is turned so that its five points fit `chip_points`, halved while it is more than
    twice too large, then sampled bilinearly and rounded down. What lies outside of the picture is
    black.

    Args:
        pixels: uint8 `(height, width, 3)`.
        landmarks_xy: `(5, 2)`, in the order of `FIVE_POINTS`.
        size: height and width of the chip in pixels.
        padding: around the unit square of the face, as a part of it.

    Returns:
        uint8 `(size, size, 3)`.

    Raises:
        ValueError: the picture is not uint8 RGB, or there are not five points.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise ValueError(
            "pixels must be uint8 (height, width, channels). "
            f"Received: {pixels.dtype} {pixels.shape}"
        )
    if np.shape(landmarks_xy) != FIVE_POINTS.shape:
        raise ValueError(f"landmarks_xy must be (5, 2). Received: {np.shape(landmarks_xy)}")
    linear, shift = fit_similarity(chip_points(size, padding), landmarks_xy)
    angle = math.atan2(linear[1, 0], linear[0, 0])
    scale = math.hypot(linear[1, 0], linear[0, 0])
    centre = linear @ np.array([size / 2.0, size / 2.0]) + shift
    half = (size * scale - 1.0) / 2.0
    # Top left and bottom right of the square before it is turned about its centre.
    square = np.array([centre - half, centre + half])

    levels, grow, smaller = 0, 2, _halved(square)
    while _area(smaller) > size * size:
        levels, grow, smaller = levels + 1, grow * 2 + 2, _halved(smaller)
    # Only the neighbourhood is halved; lround is away from zero at .5, as here for what is inside.
    corners = _turned_corners(square, angle)
    height, width = pixels.shape[:2]
    low = np.floor(corners.min(axis=0) - grow + 0.5)
    high = np.floor(corners.max(axis=0) + grow + 0.5)
    left, top = np.clip(low, 0, [width, height]).astype(int)
    right, bottom = np.clip(high, -1, [width - 1, height - 1]).astype(int) + 1
    crop = pixels[top:bottom, left:right]
    square = square - [left, top]
    for _ in range(levels):
        crop, square = halve(crop), _halved(square)

    top_left, top_right, bottom_left = _turned_corners(square, angle)[:3]
    steps = np.arange(size) / (size - 1.0)
    down, across = bottom_left - top_left, top_right - top_left
    x = top_left[0] + steps[None, :] * across[0] + steps[:, None] * down[0]
    y = top_left[1] + steps[None, :] * across[1] + steps[:, None] * down[1]
    return sample_bilinear(crop, x, y)


def sample_bilinear(pixels: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear samples rounded down; 0 where one of the four neighbours lies outside.

    Args:
        pixels: uint8 `(height, width, channels)`.
        x: column of each sample, of any shape.
        y: row of each sample, of the same shape.

    Returns:
        uint8 `(..., channels)`.

    >>> ramp = np.array([[[0], [9]], [[100], [109]]], np.uint8)
    >>> sample_bilinear(ramp, np.array([0.5, 1.5]), np.array([0.0, 0.0])).tolist()
    [[4], [0]]
    """
    height, width = pixels.shape[:2]
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    inside = (column >= 0) & (row >= 0) & (column < width - 1) & (row < height - 1)
    if not inside.any():
        return np.zeros((*inside.shape, pixels.shape[2]), np.uint8)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    right, below = (x - column)[..., None], (y - row)[..., None]
    flat = pixels.reshape(height * width, -1)
    at = row * width + column
    upper = (1.0 - right) * flat[at] + right * flat[at + 1]
    lower = (1.0 - right) * flat[at + width] + right * flat[at + width + 1]
    values = (1.0 - below) * upper + below * lower
    return np.where(inside[..., None], values, 0.0).astype(np.uint8)


def _halved(square: np.ndarray) -> np.ndarray:
    """Where a square of a picture lies in the halved one; the constants are dlib's."""
    return square / 2.0 - [1.25, 0.75]


def _area(square: np.ndarray) -> float:
    width, height = square[1] - square[0] + 1.0
    return width * height


def _turned_corners(square: np.ndarray, angle: float) -> np.ndarray:
    """Corners in the order top left, top right, bottom left, bottom right; `(4, 2)`."""
    (left, top), (right, bottom) = square
    centre = (square[0] + square[1]) / 2.0
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]]) - centre
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return corners @ turn.T + centre
