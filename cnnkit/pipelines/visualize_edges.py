"""Slide one kernel, or one pooling window, over a picture."""

from pathlib import Path

import numpy as np

from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.ops.color import LUMA
from cnnkit.ops.convolution import (
    KERNELS,
    POOLS,
    convolve_image,
    output_arithmetic,
    padding_of,
    parse_kernel,
    pool_image,
)
from cnnkit.results import FilteredImage

PADDINGS = ("valid", "same")


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


def visualize_edges(
    picture: Picture,
    kernel: str = "vertical",
    *,
    pool: str | None = None,
    size: int = 2,
    stride: int | None = None,
    padding: str = "valid",
    flip: bool = False,
) -> FilteredImage:
    """Convolves the grey of a picture with a kernel, or pools its colours.

    Args:
        picture: sRGB in [0, 1].
        kernel: see `read_kernel`.
        pool: "max" or "average" instead of a convolution.
        size: of the pooling window.
        stride: of the window; 1 for a convolution and `size` for a pooling by default.
        padding: "valid" or "same".
        flip: turn the kernel first, which makes it what mathematicians call a convolution.

    Returns:
        A `FilteredImage`.

    Raises:
        UsageError: arguments out of range, or a window that does not fit into the picture.

    Example:

    >>> found = visualize_edges(Picture(np.zeros((6, 8, 3), np.float32)), "sobel")
    >>> found.output.shape, found.arithmetic[1]
    ((4, 6), '(8 + 2*0 - 3)/1 + 1 = 6')
    """
    if padding not in PADDINGS:
        raise UsageError(f"--padding must be valid or same, not {padding!r}")
    if pool is not None and pool not in POOLS:
        raise UsageError(f"--pool must be max or average, not {pool!r}")
    weights = None if pool else read_kernel(kernel)
    window = (size, size) if pool else weights.shape
    step = stride if stride is not None else (size if pool else 1)
    try:
        if pool:
            image = picture.pixels
            output = pool_image(image, size, stride=step, padding=padding, pool=pool)
        else:
            image = picture.pixels @ LUMA
            output = convolve_image(image, weights, stride=step, padding=padding, flip=flip)
        sides = list(zip(image.shape[:2], window, strict=True))
        arithmetic = [output_arithmetic(n, f, stride=step, padding=padding) for n, f in sides]
        pads = [padding_of(n, f, stride=step, padding=padding) for n, f in sides]
    except ValueError as error:
        raise UsageError(str(error)) from None
    if weights is not None and flip:
        weights = weights[::-1, ::-1]
    name = f"{pool} of {size} x {size}" if pool else (kernel if kernel in KERNELS else "kernel")
    return FilteredImage(
        image, output, weights, name, tuple(window), step, tuple(pads), tuple(arithmetic)
    )


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        # A row of numbers may be longer than a name of a file can be.
        return False
