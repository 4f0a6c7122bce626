"""Pictures as spectra: what makes optimised pictures look like pictures and not like noise."""

import math
from typing import Any

import keras
import numpy as np
import scipy.fft

Tensor = Any


def frequencies(height: int, width: int) -> np.ndarray:
    """Frequency of each coefficient of a two-dimensional Fourier transform, in cycles per pixel.

    Returns:
        float64 `(height, width)`, in the order of `numpy.fft.fft2`.

    >>> frequencies(4, 1).ravel().tolist()
    [0.0, 0.25, 0.5, 0.25]
    """
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])


def photograph_spectrum(height: int, width: int) -> np.ndarray:
    """The amplitudes of photographs, which fall as `1 / frequency` (Field, 1987).

    Coefficients of one size times these make a picture with contrast at every scale, where equal
    steps on pixels would make mostly fine noise (Olah et al., "Feature Visualization", 2017). As
    there, the mean counts as the lowest frequency, and the pictures of all sizes are as bright.

    Returns:
        float64 `(height, width)`.
    """
    lowest = 1.0 / max(height, width)
    return math.sqrt(height * width) / np.maximum(frequencies(height, width), lowest)


def blur_spectrum(height: int, width: int, sigma: float) -> np.ndarray:
    """What a Gaussian blur leaves of each coefficient: `exp(-2 pi^2 sigma^2 frequency^2)`.

    Args:
        height: in pixels.
        width: in pixels.
        sigma: standard deviation of the blur, in pixels.

    Returns:
        float64 `(height, width)` in (0, 1].
    """
    return np.exp(-2.0 * (math.pi * sigma * frequencies(height, width)) ** 2)


def spectrum_to_planes(real: Tensor, imaginary: Tensor, scale: np.ndarray) -> Tensor:
    """Real planes from Fourier coefficients times a scale.

    Coefficients of any values will do: what would make the planes complex is left out.

    Args:
        real: `(..., height, width)`.
        imaginary: of the same shape.
        scale: `(height, width)`.

    Returns:
        `(..., height, width)`.
    """
    scale = np.asarray(scale, np.float32)
    return keras.ops.ifft2((real * scale, imaginary * scale))[0]


def filter_planes(planes: Tensor, scale: np.ndarray) -> Tensor:
    """Scales the Fourier coefficients of real planes; what leaves at one edge enters at the other.

    Args:
        planes: `(..., height, width)`.
        scale: `(height, width)`, equal for opposite frequencies.

    Returns:
        `(..., height, width)`.

    Example:

    >>> point = np.zeros((5, 5), "float32")
    >>> point[2, 2] = 1.0
    >>> blurred = keras.ops.convert_to_numpy(filter_planes(point, blur_spectrum(5, 5, 0.7)))
    >>> round(float(blurred.sum()), 4), bool(blurred[2, 2] > blurred[2, 1] > blurred[1, 1])
    (1.0, True)
    """
    # On TensorFlow, Keras' fft2 does not take its variables as tensors.
    planes = keras.ops.add(planes, 0.0)
    return spectrum_to_planes(*keras.ops.fft2((planes, keras.ops.zeros_like(planes))), scale)


def sobolev_gradient(gradient: np.ndarray, onset: float) -> np.ndarray:
    """The gradient of a function of pictures by the inner product of the Sobolev space `H^1/2`.

    Each coefficient of the cosine transform is divided by `sqrt(1 + (frequency / onset)^2)`: a
    step along it is smoother than one along the gradient of pixels, and goes as far in what is
    coarse (Neuberger, "Sobolev Gradients and Differential Equations", 1997). The edges mirror.

    Args:
        gradient: float32 `(height, width, channels)`.
        onset: frequency from which it is smoothed, in cycles per pixel.

    Returns:
        float32 of the same shape.

    Example:

    >>> point = np.zeros((9, 9, 1), "float32")
    >>> point[4, 4] = 1.0
    >>> smooth = sobolev_gradient(point, 0.05)
    >>> round(float(smooth.sum()), 4), bool(smooth[4, 4, 0] > smooth[4, 3, 0] > smooth[4, 2, 0] > 0)
    (1.0, True)
    """
    height, width = gradient.shape[:2]
    # A cosine's k-th coefficient has k half periods over the picture.
    frequency = np.hypot(np.arange(height)[:, None] / (2 * height), np.arange(width) / (2 * width))
    scale = (1.0 / np.sqrt(1.0 + np.square(frequency / onset))).astype(np.float32)
    spectrum = scipy.fft.dctn(gradient, axes=(0, 1), norm="ortho")
    spectrum *= scale[..., None]
    return scipy.fft.idctn(spectrum, axes=(0, 1), norm="ortho", overwrite_x=True)
