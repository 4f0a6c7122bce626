"""Colour: light apart from hue, and one picture's colours on another. Maths by scikit-image."""

import numpy as np


def grey(image: np.ndarray) -> np.ndarray:
    """The picture's lightness (CIE L*) as a grey picture: `(H, W, 3)` in [0, 1] -> the same shape.

    >>> grey(np.full((1, 1, 3), 0.25, "float32")).round(2).tolist()
    [[[0.25, 0.25, 0.25]]]
    """
    from skimage.color import lab2rgb, rgb2lab

    lab = rgb2lab(image)
    lab[..., 1:] = 0.0
    return np.clip(lab2rgb(lab), 0.0, 1.0).astype(np.float32)


def with_chroma_of(image: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Lightness of one picture, hue and saturation of another (CIE L*a*b*).

    Args:
        image: `(H, W, 3)` in [0, 1], gives L*.
        colors: the same shape, gives a* and b*.

    Returns:
        `(H, W, 3)` float32 in [0, 1]; colours outside of sRGB are clipped.
    """
    from skimage.color import lab2rgb, rgb2lab

    lab = rgb2lab(colors)
    lab[..., 0] = rgb2lab(image)[..., 0]
    return np.clip(lab2rgb(lab), 0.0, 1.0).astype(np.float32)


def match_lightness(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Shifts and scales a grey picture to the mean and deviation of another (Gatys et al. 2016)."""
    spread = image.std()
    gain = reference.std() / spread if spread > 1e-4 else 1.0
    return np.clip((image - image.mean()) * gain + reference.mean(), 0.0, 1.0).astype(np.float32)


def match_colors(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Gives a picture the colour histograms of another, channel by channel.

    Args:
        image: `(H, W, 3)` in [0, 1].
        reference: `(h, w, 3)` in [0, 1], of any size.

    Returns:
        `(H, W, 3)` float32 in [0, 1].
    """
    from skimage.exposure import match_histograms

    return np.clip(match_histograms(image, reference, channel_axis=-1), 0, 1).astype(np.float32)
