"""The arithmetic of convolution and pooling: sizes, weights, work, and what a unit sees.

Per axis, with size n, window f, stride s, padding p before and after, and dilation d:

    output = floor((n + p_before + p_after - f') / s) + 1,   f' = d (f - 1) + 1

"Convolution" is what networks mean by it, cross-correlation: the kernel is not flipped. All of it
is the same in one, two and three dimensions. Nothing here needs Keras.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

# "valid", "same" (as Keras pads: the output has ceil(n / s) places), or p on each side.
Padding = str | int


def effective_size(f: int, dilation: int = 1) -> int:
    """Places that a window spans when `dilation - 1` are left out between its weights.

    >>> effective_size(3), effective_size(3, dilation=2)
    (3, 5)
    """
    return dilation * (f - 1) + 1


def padding_of(
    size: int, f: int, *, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> tuple[int, int]:
    """How many places are added before and after an axis.

    For "same" and a stride of 1 that is `(f - 1) / 2` on each side if f is odd. Where the places
    cannot be shared evenly, the odd one comes after, as in Keras.

    Raises:
        ValueError: a size, window, stride or dilation below 1, or an unknown padding.

    >>> padding_of(14, 5, padding="same")
    (2, 2)
    >>> padding_of(224, 3, stride=2, padding="same")
    (0, 1)
    """
    if min(size, f, stride, dilation) < 1:
        raise ValueError(
            "size, f, stride and dilation must be at least 1. "
            f"Received: size={size}, f={f}, stride={stride}, dilation={dilation}"
        )
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max((math.ceil(size / stride) - 1) * stride + effective_size(f, dilation) - size, 0)
        return total // 2, total - total // 2
    if not isinstance(padding, int) or padding < 0:
        raise ValueError(
            f"padding must be 'valid', 'same' or a number from 0. Received: {padding!r}"
        )
    return padding, padding


def output_size(
    size: int, f: int, *, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> int:
    """Places along one axis after a convolution or pooling.

    Args:
        size: places before it.
        f: of the window.
        stride: step of the window.
        padding: "valid", "same", or places on each side.
        dilation: distance between the weights of the window.

    Returns:
        `floor((size + p_before + p_after - f') / stride) + 1`.

    Raises:
        ValueError: arguments out of range, or a window larger than the padded axis.

    Example:

    >>> output_size(14, 5), output_size(14, 5, padding="same"), output_size(227, 11, stride=4)
    (10, 14, 55)
    """
    before, after = padding_of(size, f, stride=stride, padding=padding, dilation=dilation)
    span = effective_size(f, dilation)
    if size + before + after < span:
        raise ValueError(
            f"a window that spans {span} must fit into the padded axis. "
            f"Received: size {size} with padding {before} and {after}"
        )
    return (size + before + after - span) // stride + 1


def output_arithmetic(
    size: int, f: int, *, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> str:
    """The formula of `output_size` with its numbers, as one would write it down.

    >>> output_arithmetic(14, 5)
    '(14 + 2*0 - 5)/1 + 1 = 10'
    >>> output_arithmetic(8, 3, stride=2)
    'floor((8 + 2*0 - 3)/2) + 1 = 3'
    """
    before, after = padding_of(size, f, stride=stride, padding=padding, dilation=dilation)
    result = output_size(size, f, stride=stride, padding=padding, dilation=dilation)
    padded = f"2*{before}" if before == after else f"{before} + {after}"
    span = effective_size(f, dilation)
    window = str(f) if dilation == 1 else f"({dilation}*({f} - 1) + 1)"
    quotient = f"({size} + {padded} - {window})/{stride}"
    if (size + before + after - span) % stride:
        quotient = f"floor({quotient})"
    return f"{quotient} + 1 = {result}"


def convolution_parameters(
    kernel: Sequence[int], channels: int, filters: int, *, groups: int = 1, bias: bool = True
) -> int:
    """Weights and biases of a convolution: `prod(kernel) * channels / groups * filters + filters`.

    >>> convolution_parameters((5, 5), 3, 16)
    1216
    """
    return math.prod(kernel) * (channels // groups) * filters + (filters if bias else 0)


def convolution_multiply_adds(
    output: Sequence[int], kernel: Sequence[int], channels: int, filters: int, *, groups: int = 1
) -> int:
    """Multiplications, each with its addition: one for each weight at each place of the output.

    >>> convolution_multiply_adds((10, 10), (5, 5), 3, 16)
    120000
    """
    return math.prod(output) * math.prod(kernel) * (channels // groups) * filters


def weights_arithmetic(
    output: Sequence[int],
    inputs: Sequence[int],
    units: int,
    *,
    groups: int = 1,
    bias: bool = True,
) -> list[str]:
    """How the weights and the work of a convolution or dense layer come about, in two lines.

    Args:
        output: places at which the weights are used; none for a dense layer.
        inputs: what one unit sees: the kernel and then the channels, or all that goes in.
        units: number of filters or units.
        groups: of a convolution.
        bias: whether each unit has one.

    >>> for line in weights_arithmetic((10, 10), (5, 5, 3), 16):
    ...     print(line)
    parameters: 5*5*3*16 + 16 = 1,216
    multiply-adds: 10*10 * 5*5*3*16 = 120,000
    """
    seen = "*".join(map(str, inputs)) + (f"/{groups}" if groups > 1 else "")
    weights = math.prod(inputs) // groups * units
    places = "*".join(map(str, output)) + " * " if output else ""
    biases = f" + {units}" if bias else ""
    total = weights + (units if bias else 0)
    return [
        f"parameters: {seen}*{units}{biases} = {total:,}",
        f"multiply-adds: {places}{seen}*{units} = {math.prod(output) * weights:,}",
    ]


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a layer see of the input, along one axis.

    Unit i sees the places from `start + i * jump` up to, not including, `start + i * jump + size`.
    Places before 0 and behind the end are padding.

    Attributes:
        size: places that one unit sees.
        jump: from one unit's first place to the next unit's.
        start: first place that unit 0 sees; negative where it sees padding.

    Example:

    >>> ReceptiveField().through(3, padding=1).through(2, stride=2).through(3)
    ReceptiveField(size=8, jump=2, start=-1)
    """

    size: int = 1
    jump: int = 1
    start: int = 0

    def through(
        self, f: int, *, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> "ReceptiveField":
        """What the units see after one convolution or pooling more.

        Args:
            f: of the window.
            stride: step of the window.
            padding: places before the axis; those behind do not matter.
            dilation: distance between the weights of the window.
        """
        return ReceptiveField(
            self.size + (effective_size(f, dilation) - 1) * self.jump,
            self.jump * stride,
            self.start - padding * self.jump,
        )

    def union(self, units: int) -> "ReceptiveField":
        """What one unit sees that looks at the first `units` of these, as a dense layer does.

        >>> ReceptiveField(size=3, jump=2, start=-1).union(4)
        ReceptiveField(size=9, jump=0, start=-1)
        """
        return ReceptiveField(self.size + (units - 1) * self.jump, 0, self.start)

    def places(self, unit: int) -> tuple[int, int]:
        """First place that a unit sees, and the one behind its last.

        >>> ReceptiveField(size=8, jump=2, start=-1).places(3)
        (5, 13)
        """
        begin = self.start + unit * self.jump
        return begin, begin + self.size


# Pictures -------------------------------------------------------------------------------------

_VERTICAL = ((1, 0, -1), (1, 0, -1), (1, 0, -1))
_SOBEL = ((1, 0, -1), (2, 0, -2), (1, 0, -1))
_SCHARR = ((3, 0, -3), (10, 0, -10), (3, 0, -3))

# Left minus right, or top minus bottom: positive where bright turns to dark in reading order.
KERNELS: Mapping[str, tuple[tuple[int, ...], ...]] = MappingProxyType(
    {
        "vertical": _VERTICAL,
        "horizontal": tuple(zip(*_VERTICAL, strict=True)),
        "sobel": _SOBEL,
        "sobel-horizontal": tuple(zip(*_SOBEL, strict=True)),
        "scharr": _SCHARR,
        "scharr-horizontal": tuple(zip(*_SCHARR, strict=True)),
        "laplacian": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    }
)
POOLS = ("max", "average")
_LARGEST_KERNEL = 101


def parse_kernel(text: str) -> np.ndarray:
    """A kernel by name, or from its numbers with ";" or a new line between rows.

    Args:
        text: such as "sobel" or "1 0 -1; 2 0 -2; 1 0 -1"; commas may stand for blanks.

    Returns:
        float64 `(rows, columns)`.

    Raises:
        ValueError: neither a name of `KERNELS` nor equally long rows of finite numbers.

    Example:

    >>> parse_kernel("0 1; -1 0").tolist()
    [[0.0, 1.0], [-1.0, 0.0]]
    """
    if text in KERNELS:
        return np.array(KERNELS[text], np.float64)
    rows = [row.replace(",", " ").split() for row in re.split(r"[;\n]", text)]
    rows = [row for row in rows if row]
    try:
        numbers = [[float(word) for word in row] for row in rows]
    except ValueError:
        numbers = []
    widths = {len(row) for row in numbers}
    finite = all(math.isfinite(number) for row in numbers for number in row)
    if len(widths) != 1 or not finite or max(len(numbers), *widths) > _LARGEST_KERNEL:
        raise ValueError(
            f"a kernel must be one of {', '.join(KERNELS)}, or rows of numbers, equally long and "
            f"at most {_LARGEST_KERNEL}, such as '1 0 -1; 1 0 -1; 1 0 -1'. Received: {text[:60]!r}"
        )
    return np.array(numbers, np.float64)


def convolve_image(
    image: np.ndarray,
    kernel: np.ndarray,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    flip: bool = False,
) -> np.ndarray:
    """Slides a kernel over a picture of one channel.

    `output[i, j] = sum_{u, v} kernel[u, v] * padded[i * stride + u, j * stride + v]`

    Args:
        image: `(height, width)`.
        kernel: `(rows, columns)`.
        stride: step of the kernel in both directions.
        padding: "valid", "same", or pixels on each side; what is added is 0.
        flip: turn the kernel by 180 degrees first, which makes it what mathematicians call a
            convolution.

    Returns:
        float64 `(output_size(height, rows), output_size(width, columns))`.

    Raises:
        ValueError: not two axes each, or a kernel that does not fit into the picture.

    Example:

    >>> image = np.array([[10, 10, 10, 0, 0, 0]] * 3)
    >>> convolve_image(image, np.array(KERNELS["vertical"])).tolist()
    [[0.0, 30.0, 30.0, 0.0]]
    """
    # Imported here: SciPy's signal processing takes longer to import than most commands run.
    from scipy.signal import correlate2d

    image, kernel = np.asarray(image, np.float64), np.asarray(kernel, np.float64)
    if image.ndim != 2 or kernel.ndim != 2:
        raise ValueError(
            "image and kernel must have the axes (height, width). "
            f"Received: {image.shape}, {kernel.shape}"
        )
    pads = _image_padding(image.shape, kernel.shape, stride, padding)
    kernel = kernel[::-1, ::-1] if flip else kernel
    return correlate2d(np.pad(image, pads), kernel, mode="valid")[::stride, ::stride]


def pool_image(
    image: np.ndarray,
    size: int,
    *,
    stride: int | None = None,
    padding: Padding = "valid",
    pool: str = "max",
) -> np.ndarray:
    """Takes the maximum or the average of each window of a picture.

    Padding counts neither for the maximum nor for the average, as in Keras.

    Args:
        image: `(height, width)` or `(height, width, channels)`.
        size: of the window in both directions.
        stride: step of the window; `size` by default.
        padding: "valid", "same", or pixels on each side, fewer than `size`.
        pool: "max" or "average".

    Returns:
        float64 `(output height, output width)`, with the channels if there are any.

    Raises:
        ValueError: an unknown pool, a window that does not fit, or one that could see nothing but
            padding.

    Example:

    >>> image = np.array([[1, 3, 2, 1], [2, 9, 1, 1], [1, 3, 2, 3], [5, 6, 1, 2]])
    >>> pool_image(image, 2).tolist()
    [[9.0, 2.0], [6.0, 3.0]]
    """
    if pool not in POOLS:
        raise ValueError(f"pool must be 'max' or 'average'. Received: {pool!r}")
    image = np.asarray(image, np.float64)
    if image.ndim not in (2, 3):
        raise ValueError(f"image must be (height, width[, channels]). Received: {image.shape}")
    if isinstance(padding, int) and padding >= size:
        raise ValueError(f"padding must be smaller than the window {size}. Received: {padding}")
    stride = size if stride is None else stride
    pads = _image_padding(image.shape[:2], (size, size), stride, padding)
    pads += ((0, 0),) * (image.ndim - 2)

    def windows(values: np.ndarray, fill: float) -> np.ndarray:
        padded = np.pad(values, pads, constant_values=fill)
        views = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))
        return views[::stride, ::stride]

    if pool == "max":
        return windows(image, -np.inf).max(axis=(-2, -1))
    return windows(image, 0.0).sum(axis=(-2, -1)) / windows(np.ones_like(image), 0.0).sum(
        axis=(-2, -1)
    )


def _image_padding(
    shape: Sequence[int], window: Sequence[int], stride: int, padding: Padding
) -> tuple[tuple[int, int], ...]:
    for n, f in zip(shape, window, strict=True):
        output_size(n, f, stride=stride, padding=padding)
    return tuple(
        padding_of(n, f, stride=stride, padding=padding) for n, f in zip(shape, window, strict=True)
    )
