"""Noise for pictures."""

import math

import numpy as np
from scipy import ndimage


def smooth_noise(height: int, width: int, sigma: float, seed: int = 0) -> np.ndarray:
    """White Gaussian noise smoothed with a Gaussian, brought back to variance 1.

    The Gaussian leaves `1 / (4 pi sigma^2)` of the variance of white noise; the edges wrap around.

    Args:
        height: in pixels.
        width: in pixels.
        sigma: of the Gaussian, in pixels; 1 or more, below which the formula is rough.
        seed: of the noise.

    Returns:
        float32 `(height, width)`, mean 0 and variance 1 where it is large beside `sigma`.

    Example:

    >>> noise = smooth_noise(400, 500, sigma=2.0)
    >>> noise.shape, round(float(noise.std()), 1)
    ((400, 500), 1.0)
    """
    noise = np.random.default_rng(seed).standard_normal((height, width), np.float32)
    noise = ndimage.gaussian_filter(noise, sigma, mode="wrap")
    return noise * np.float32(2.0 * math.sqrt(math.pi) * sigma)
