"""The steps of a deconvnet (Zeiler & Fergus 2014): from what a layer says back to what it saw.

Each step but the rectification is the adjoint of the step of the network that it undoes,
`<A x, y> = <x, A' y>`: a convolution goes back with its filters turned by 180 degrees and
transposed, a maximum to the place that it was taken from (the switch), and padding to the pixels
that were repeated in it. Maps are `(batch, height, width, channels)` tensors of Keras.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

Pair = tuple[int, int]
# Rows before and after, columns before and after.
Pads = Sequence[Pair]
_NO_PADS = ((0, 0), (0, 0))


def rectify(maps: Any) -> Any:
    """Keeps what is positive: only what drives a unit goes further down, not what holds it back."""
    return ops.relu(maps)


def transposed_convolution(
    maps: Any,
    kernel: Any,
    size: Pair,
    *,
    strides: Pair = (1, 1),
    pads: Pads = _NO_PADS,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Any:
    """The adjoint of a convolution.

    Args:
        maps: `(batch, height, width, filters)`.
        kernel: of the convolution, `(rows, columns, channels / groups, filters)`.
        size: height and width of what the convolution was given.
        strides: of the convolution.
        pads: rows added before and after, and columns; see `convolution.padding_of`.
        dilation: places between its weights.
        groups: into which channels and filters are divided.

    Returns:
        `(batch, *size, channels)`.

    Example:

    >>> kernel = np.array([1.0, 2.0, 3.0], "float32").reshape(1, 3, 1, 1)
    >>> back = transposed_convolution(ops.ones((1, 1, 1, 1)), kernel, (1, 3))
    >>> ops.convert_to_numpy(back).ravel().tolist()
    [1.0, 2.0, 3.0]
    """
    kernel = _dilated(ops.convert_to_tensor(kernel), dilation)
    parts = []
    for part, weights in zip(
        ops.split(maps, groups, axis=-1), ops.split(kernel, groups, axis=-1), strict=True
    ):
        parts.append(ops.conv_transpose(part, weights, strides=strides, padding="valid"))
    spread = parts[0] if groups == 1 else ops.concatenate(parts, axis=-1)
    return _cut(spread, size, pads)


def transposed_depthwise_convolution(
    maps: Any,
    kernel: Any,
    size: Pair,
    *,
    strides: Pair = (1, 1),
    pads: Pads = _NO_PADS,
    dilation: Pair = (1, 1),
) -> Any:
    """The adjoint of a depthwise convolution: each channel goes back through its own kernel.

    Args:
        maps: `(batch, height, width, channels)`.
        kernel: of the convolution, `(rows, columns, channels, 1)`.
        size: height and width of what the convolution was given.
        strides: of the convolution.
        pads: rows added before and after, and columns; see `convolution.padding_of`.
        dilation: places between its weights.

    Returns:
        `(batch, *size, channels)`.

    Example:

    >>> kernel = np.array([1.0, 2.0, 3.0], "float32").reshape(1, 3, 1, 1)
    >>> back = transposed_depthwise_convolution(ops.ones((1, 1, 1, 1)), kernel, (1, 3))
    >>> ops.convert_to_numpy(back).ravel().tolist()
    [1.0, 2.0, 3.0]
    """
    kernel = _dilated(ops.convert_to_tensor(kernel), dilation)
    rows, columns = kernel.shape[:2]
    edges = ((0, 0), (rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0))
    spread = ops.pad(_interleaved(maps, strides), edges)
    return _cut(ops.depthwise_conv(spread, ops.flip(kernel, axis=(0, 1))), size, pads)


def max_switches(
    maps: Any, window: Pair, *, strides: Pair | None = None, pads: Pads = _NO_PADS
) -> Any:
    """Which place of its window each maximum is taken from.

    Args:
        maps: `(batch, height, width, channels)`, what the pooling is given.
        window: rows and columns of the pooling.
        strides: of the pooling; its window by default.
        pads: rows added before and after, and columns.

    Returns:
        int `(batch, pooled height, pooled width, channels)`: the place in reading order, of equals
        the first.

    Example:

    >>> maps = ops.reshape(ops.array([1.0, 3.0, 2.0, 0.0]), (1, 2, 2, 1))
    >>> ops.convert_to_numpy(max_switches(maps, (2, 2))).ravel().tolist()
    [1]
    """
    strides = strides or window
    size = (maps.shape[1], maps.shape[2])
    lowest = float(np.finfo(np.float32).min)
    padded = ops.pad(maps, ((0, 0), *pads, (0, 0)), mode="constant", constant_values=lowest)
    counts = _pooled(size, window, strides, pads)
    places = [
        padded[
            :,
            row : row + (counts[0] - 1) * strides[0] + 1 : strides[0],
            column : column + (counts[1] - 1) * strides[1] + 1 : strides[1],
        ]
        for row, column in _offsets(window)
    ]
    return ops.argmax(ops.stack(places), axis=0)


def max_unpooling(
    maps: Any,
    switches: Any,
    size: Pair,
    window: Pair,
    *,
    strides: Pair | None = None,
    pads: Pads = _NO_PADS,
) -> Any:
    """Puts each value back to where the maximum was; the adjoint of pooling with these switches.

    Args:
        maps: `(batch, pooled height, pooled width, channels)`.
        switches: of `max_switches`, of the same shape.
        size: height and width before the pooling.
        window: rows and columns of the pooling.
        strides: of the pooling; its window by default.
        pads: rows added before and after, and columns.

    Returns:
        `(batch, *size, channels)`, 0 where no maximum was; where windows overlap, the sum.

    Example:

    >>> back = max_unpooling(ops.full((1, 1, 1, 1), 5.0), ops.ones((1, 1, 1, 1)), (2, 2), (2, 2))
    >>> ops.convert_to_numpy(back).ravel().tolist()
    [0.0, 5.0, 0.0, 0.0]
    """
    strides = strides or window
    switches = ops.cast(switches, "int32")
    parts = [
        maps * ops.cast(switches == place, maps.dtype) for place in range(window[0] * window[1])
    ]
    return _scattered(parts, size, window, strides, pads)


def average_unpooling(
    maps: Any, size: Pair, window: Pair, *, strides: Pair | None = None, pads: Pads = _NO_PADS
) -> Any:
    """Shares each value out among the places of its window; the adjoint of average pooling.

    Args:
        maps: `(batch, pooled height, pooled width, channels)`.
        size: height and width before the pooling.
        window: rows and columns of the pooling.
        strides: of the pooling; its window by default.
        pads: rows added before and after, and columns; not counted in the average, as in Keras.

    Returns:
        `(batch, *size, channels)`.

    Example:

    >>> back = average_unpooling(ops.full((1, 1, 1, 1), 8.0), (2, 2), (2, 2))
    >>> ops.convert_to_numpy(back).ravel().tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    strides = strides or window
    inside = [
        np.array(
            [
                sum(before <= unit * stride + place < before + n for place in range(f))
                for unit in range(count)
            ],
            np.float32,
        )
        for n, f, stride, (before, _), count in zip(
            size, window, strides, pads, _pooled(size, window, strides, pads), strict=True
        )
    ]
    shared = maps / ops.convert_to_tensor(np.outer(*inside)[None, :, :, None], maps.dtype)
    return _scattered([shared] * (window[0] * window[1]), size, window, strides, pads)


def unpadding(maps: Any, pads: Pads, mode: str = "constant") -> Any:
    """The adjoint of padding: what was repeated adds up where it came from.

    Args:
        maps: `(batch, height, width, channels)`, padded.
        pads: rows added before and after, and columns.
        mode: "constant" (what was added came from nowhere), "reflect" (without repeating the
            edge), or "symmetric" (with it).

    Returns:
        `(batch, height - pads, width - pads, channels)`.

    Raises:
        ValueError: an unknown mode, or pads as wide as what is inside of them.

    Example:

    >>> row = ops.reshape(ops.array([1.0, 10.0, 100.0, 1000.0]), (1, 1, 4, 1))
    >>> inside = unpadding(row, ((0, 0), (1, 0)), "reflect")
    >>> ops.convert_to_numpy(inside).ravel().tolist()
    [10.0, 101.0, 1000.0]
    """
    if mode not in ("constant", "reflect", "symmetric"):
        raise ValueError(f"mode must be constant, reflect or symmetric. Received: {mode!r}")
    for axis, (before, after) in enumerate(pads, start=1):
        n = maps.shape[axis] - before - after
        skip = 1 if mode == "reflect" else 0
        if mode != "constant" and max(before, after) > n - skip:
            raise ValueError(f"pads must be narrower than the inside. Received: {pads} around {n}")
        first, inside, last = ops.split(maps, [before, before + n], axis=axis)
        if mode != "constant":
            inside += _along(axis, ops.flip(first, axis), skip, n - skip - before)
            inside += _along(axis, ops.flip(last, axis), n - skip - after, skip)
        maps = inside
    return maps


def _along(axis: int, maps: Any, before: int, after: int) -> Any:
    """Adds zeros on both sides of an axis of `(batch, height, width, channels)`."""
    pads = [(0, 0)] * 4
    pads[axis] = (before, after)
    return ops.pad(maps, pads)


def _offsets(window: Pair) -> list[Pair]:
    return [(row, column) for row in range(window[0]) for column in range(window[1])]


def _pooled(size: Pair, window: Pair, strides: Pair, pads: Pads) -> Pair:
    height, width = (
        (n + before + after - f) // stride + 1
        for n, f, stride, (before, after) in zip(size, window, strides, pads, strict=True)
    )
    return height, width


def _dilated(kernel: Any, dilation: Pair) -> Any:
    """The kernel with the zeros between its weights written out."""
    if tuple(dilation) == (1, 1):
        return kernel
    rows, columns, channels, filters = kernel.shape
    spread = _interleaved(ops.reshape(kernel, (1, rows, columns, channels * filters)), dilation)
    size = [d * (f - 1) + 1 for f, d in zip((rows, columns), dilation, strict=True)]
    return ops.reshape(spread[0, : size[0], : size[1]], (*size, channels, filters))


def _interleaved(maps: Any, strides: Pair) -> Any:
    """Puts `stride - 1` zeros behind each row and each column."""
    _, height, width, channels = maps.shape
    if tuple(strides) == (1, 1):
        return maps
    cells = ops.reshape(maps, (-1, height, 1, width, 1, channels))
    apart = ((0, 0), (0, 0), (0, strides[0] - 1), (0, 0), (0, strides[1] - 1), (0, 0))
    return ops.reshape(
        ops.pad(cells, apart), (-1, height * strides[0], width * strides[1], channels)
    )


def _scattered(parts: Sequence[Any], size: Pair, window: Pair, strides: Pair, pads: Pads) -> Any:
    """Sums maps of values for each place of the windows, at those places."""
    total = None
    for (row, column), part in zip(_offsets(window), parts, strict=True):
        spread = _interleaved(part, strides)
        edges = ((0, 0), (row, window[0] - 1 - row), (column, window[1] - 1 - column), (0, 0))
        spread = ops.pad(spread, edges)
        total = spread if total is None else total + spread
    return _cut(total, size, pads)


def _cut(maps: Any, size: Pair, pads: Pads) -> Any:
    """What lies at the original pixels: off with the padding, and zeros where no window came."""
    (top, _), (left, _) = pads
    maps = maps[:, top : top + size[0], left : left + size[1]]
    missing = [(0, n - have) for n, have in zip(size, maps.shape[1:3], strict=True)]
    return ops.pad(maps, ((0, 0), *missing, (0, 0)))


def contrast_normalized(maps: np.ndarray, share: float = 0.99) -> np.ndarray:
    """A reconstruction as a picture: 0 becomes middle grey.

    Args:
        maps: `(height, width, channels)`.
        share: of the values that are not 0, so many are drawn as they are; the few larger ones,
            which would make all others pale, are cut off at black and white.

    Returns:
        float32 in [0, 1].

    Example:

    >>> contrast_normalized(np.array([[[-1.0], [0.0], [2.0]]])).ravel().tolist()
    [0.25, 0.5, 1.0]
    """
    maps = np.asarray(maps, np.float32)
    sizes = np.sort(np.abs(maps[maps != 0.0]))
    if not sizes.size:
        return np.full_like(maps, 0.5)
    most = sizes[min(sizes.size - 1, int(share * sizes.size))]
    return np.clip(0.5 + 0.5 * maps / most, 0.0, 1.0)
