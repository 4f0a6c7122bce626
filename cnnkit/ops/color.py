"""Colour: light apart from hue, and one picture's colours on another. Lab by scikit-image."""

import warnings

import numpy as np

# A root of the covariance of the colours of photographs (ImageNet), RGB in rows, divided by its
# longest column; from lucid, the code of Olah et al., "Feature Visualization" (2017). Independent
# numbers times its transpose vary in light most, then from blue to orange, least in green.
COLOR_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOR_ROOT /= np.linalg.norm(COLOR_ROOT, axis=0).max()

# Luminance of linear-light primaries (ITU-R BT.709), applied to sRGB values as they are.
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def grey(image: np.ndarray) -> np.ndarray:
    """The picture's lightness (CIE L*) as a grey picture: `(H, W, 3)` in [0, 1] -> the same shape.

    >>> grey(np.full((1, 1, 3), 0.25, "float32")).round(2).tolist()
    [[[0.25, 0.25, 0.25]]]
    """
    from skimage.color import rgb2lab

    lab = rgb2lab(image)
    lab[..., 1:] = 0.0
    return _to_rgb(lab)


def with_chroma_of(image: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Lightness of one picture, hue and saturation of another (CIE L*a*b*).

    Args:
        image: `(H, W, 3)` in [0, 1], gives L*.
        colors: the same shape, gives a* and b*.

    Returns:
        `(H, W, 3)` float32 in [0, 1]; colours outside of sRGB are clipped.
    """
    from skimage.color import rgb2lab

    lab = rgb2lab(colors)
    lab[..., 0] = rgb2lab(image)[..., 0]
    return _to_rgb(lab)


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    from skimage.color import lab2rgb

    with warnings.catch_warnings():
        # scikit-image warns of colours that it clips; clipping is what is meant.
        warnings.filterwarnings("ignore", message="Conversion from CIE-LAB")
        return np.clip(lab2rgb(lab), 0.0, 1.0).astype(np.float32)


def match_lightness(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Shifts and scales a grey picture to the mean and deviation of another (Gatys et al. 2016)."""
    spread = image.std()
    gain = reference.std() / spread if spread > 1e-4 else 1.0
    return np.clip((image - image.mean()) * gain + reference.mean(), 0.0, 1.0).astype(np.float32)


def match_colors(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Gives a picture the colour histograms of another, channel by channel of CIE L*a*b*.

    In RGB the channels hang together: matching them one by one invents purple and yellow.

    Args:
        image: `(H, W, 3)` in [0, 1].
        reference: `(h, w, 3)` in [0, 1], of any size.

    Returns:
        `(H, W, 3)` float32 in [0, 1]; colours outside of sRGB are clipped.
    """
    from skimage.color import rgb2lab

    lab, target = rgb2lab(image), rgb2lab(reference)
    channels = [_match_histogram(lab[..., axis], target[..., axis]) for axis in range(3)]
    return _to_rgb(np.stack(channels, axis=-1))


def _match_histogram(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Like `skimage.exposure.match_histograms`, but a value that many pixels share goes to the
    middle of their ranks and not to the highest: a flat picture becomes no white one.
    """
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    levels, level_counts = np.unique(reference, return_counts=True)
    matched = np.interp(_middle_ranks(counts), _middle_ranks(level_counts), levels)
    return matched[index].reshape(values.shape)


def _middle_ranks(counts: np.ndarray) -> np.ndarray:
    """Share of pixels below each value, with half of those that have it."""
    return (np.cumsum(counts) - 0.5 * counts) / counts.sum()
