"""Slide one kernel, or one pooling window, over a picture."""

from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.ops.color import LUMA
from cnnkit.ops.convolution import (
    KERNELS,
    convolve_image,
    output_arithmetic,
    padding_of,
    parse_kernel,
    pool_image,
)
from cnnkit.tasks.visualize.results import FilteredImage
from cnnkit.tasks.visualize.settings import EdgeSettings


def read_kernel(text: str) -> np.ndarray:
    """A kernel by name, from its numbers, or from a file of numbers, one row a line.

    Raises:
        UsageError: none of these.

    >>> read_kernel("sobel").tolist()
    [[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]
    """
    try:
        if text not in KERNELS and _is_file(text):
            return parse_kernel(Path(text).read_text(encoding="utf-8"))
        return parse_kernel(text)
    except OSError as error:
        raise UsageError(f"{text} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"--kernel: {error}") from None


def visualize_edges(picture: Picture, settings: EdgeSettings | None = None) -> FilteredImage:
    """Convolves the grey of a picture with a kernel, or pools its colours.

    Args:
        picture: sRGB in [0, 1].
        settings: the kernel, see `read_kernel`, or the pooling window.

    Returns:
        A `FilteredImage`.

    Raises:
        UsageError: a kernel that cannot be read, or a window that does not fit into the picture.

    Example:

    >>> picture = Picture(np.zeros((6, 8, 3), np.float32))
    >>> found = visualize_edges(picture, EdgeSettings(kernel="sobel"))
    >>> found.output.shape, found.arithmetic[1]
    ((4, 6), '(8 + 2*0 - 3)/1 + 1 = 6')
    """
    settings = settings or EdgeSettings()
    pool, padding = settings.pool, settings.padding
    weights: np.ndarray | None = None
    try:
        if pool is not None:
            side = settings.size or 2
            window, stride = (side, side), settings.stride or side
            name = f"{pool} of {side} x {side}"
            image = picture.pixels
            output = pool_image(image, side, stride=stride, padding=padding, pool=pool)
        else:
            kernel = settings.kernel or "vertical"
            weights = read_kernel(kernel)
            window, stride = (weights.shape[0], weights.shape[1]), settings.stride or 1
            name = kernel if kernel in KERNELS else "kernel"
            image = picture.pixels @ LUMA
            output = convolve_image(
                image, weights, stride=stride, padding=padding, flip=settings.flip
            )
            if settings.flip:
                weights = weights[::-1, ::-1]
        (height, width), (rows, columns) = image.shape[:2], window
        slide: dict[str, Any] = {"stride": stride, "padding": padding}
        arithmetic = (
            output_arithmetic(height, rows, **slide),
            output_arithmetic(width, columns, **slide),
        )
        pads = padding_of(height, rows, **slide), padding_of(width, columns, **slide)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return FilteredImage(
        image, output, weights, name, window, stride, pads, padding, pool, arithmetic
    )


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        # A row of numbers may be longer than a name of a file can be.
        return False
