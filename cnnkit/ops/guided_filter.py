"""The guided filter (He, Sun & Tang 2010): smooths a picture, but not over the edges of another."""

import numpy as np


def guided_filter(image: np.ndarray, guide: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """The picture that is, around every pixel, an affine function of the guide.

    In each window `w` the picture is fitted as `a I + b` with `a = cov(I, p) / (var(I) + epsilon)`
    and `b = mean(p) - a mean(I)`; a pixel gets the mean of what its windows say. So the result has
    edges where the guide has them, and nowhere else.

    Args:
        image: p, `(height, width, channels)`, float.
        guide: I, `(height, width)`, of the same range as the image.
        radius: windows are squares of `2 radius + 1` pixels.
        epsilon: variance of the guide below which an area counts as flat.

    Returns:
        `(height, width, channels)`, float32.

    Example: what is proportional to the guide stays so.

    >>> guide = np.repeat([0.0, 1.0], 8)[None].repeat(16, axis=0)
    >>> filtered = guided_filter(0.5 * guide[..., None], guide, radius=2, epsilon=1e-6)
    >>> bool(np.abs(filtered[..., 0] - 0.5 * guide).max() < 1e-3)
    True
    """
    from scipy.ndimage import uniform_filter

    def mean(plane: np.ndarray) -> np.ndarray:
        return uniform_filter(plane, 2 * radius + 1, mode="nearest")

    guide = np.asarray(guide, np.float64)
    guide_mean = mean(guide)
    variance = mean(guide * guide) - guide_mean**2
    result = np.empty(image.shape, np.float32)
    for channel in range(image.shape[-1]):
        plane = np.asarray(image[..., channel], np.float64)
        plane_mean = mean(plane)
        slope = (mean(plane * guide) - plane_mean * guide_mean) / (variance + epsilon)
        offset = plane_mean - slope * guide_mean
        result[..., channel] = mean(slope) * guide + mean(offset)
    return result
