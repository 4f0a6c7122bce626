"""Depthwise convolution as a sum of shifted products."""

from typing import Any

import keras

Tensor = Any


def convolve_depthwise(
    x: Tensor, kernel: Tensor, stride: int = 1, padding: str = "valid", dilation: int = 1
) -> Tensor:
    r"""Filters each channel of maps with a kernel of its own.

    .. math:: y_{r, c, k} = \sum_{i, j} w_{i, j, k} \, x_{s r + d i, s c + d j, k}

    is computed as it stands there, one product of whole maps for each place of the kernel, which a
    compiler that fuses them reads and writes once. Where the backend's own operation is a grouped
    convolution, as on JAX, that takes several times as long.

    Args:
        x: `(B, H, W, C)`, of known H and W.
        kernel: `(h, w, C, 1)`.
        stride: s.
        padding: "valid", or "same" as TensorFlow has it.
        dilation: d, from one place of the kernel to the next.

    Returns:
        `(B, H', W', C)` of the type of `x`; sums are in 32 bits.

    Raises:
        ValueError: another padding, or several kernels for a channel.

    Example:

    >>> x = keras.ops.reshape(keras.ops.arange(9.0), (1, 3, 3, 1))
    >>> y = convolve_depthwise(x, keras.ops.ones((2, 2, 1, 1)))
    >>> keras.ops.convert_to_numpy(y)[0, ..., 0].tolist()  # 0 + 1 + 3 + 4 = 8
    [[8.0, 12.0], [20.0, 24.0]]
    """
    ops = keras.ops
    *extents, _, multiplier = kernel.shape
    if padding not in ("valid", "same") or multiplier != 1:
        raise ValueError(
            "padding must be 'valid' or 'same', and there must be one kernel for a channel. "
            f"Received: {padding!r}, {multiplier}"
        )
    spans = [(extent - 1) * dilation + 1 for extent in extents]
    if padding == "same":
        margins = []
        for side, extent in zip(x.shape[1:3], spans, strict=True):
            lacking = max((-(-side // stride) - 1) * stride + extent - side, 0)
            margins.append((lacking // 2, lacking - lacking // 2))
        x = ops.pad(x, ((0, 0), *margins, (0, 0)))
    rows, columns = (
        (side - extent) // stride * stride + 1
        for side, extent in zip(x.shape[1:3], spans, strict=True)
    )
    kernel = ops.cast(kernel, "float32")
    total: Tensor = 0.0
    for i in range(extents[0]):
        for j in range(extents[1]):
            top, left = dilation * i, dilation * j
            shifted = x[:, top : top + rows : stride, left : left + columns : stride]
            total = total + ops.cast(shifted, "float32") * kernel[i, j, :, 0]
    return ops.cast(total, x.dtype)
