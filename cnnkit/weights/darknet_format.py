"""Networks of Darknet: the `.cfg` file that describes one, and its numbers in `.weights`."""

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cnnkit.errors import WeightsError

# Major, minor and revision, 32 bits each; the pictures seen follow, in 64 bits from version 0.2 on.
_HEADER, _NEW_VERSION = struct.Struct("<iii"), 2

# What AlexeyAB's Darknet and Yolo-Fastest add to a variance. The first Darknet adds 1e-6 to the
# standard deviation instead, which makes a difference only where the variance is tiny.
_EPSILON = 1e-5
# Of the numbers in a `.cfg` file; those of trainings, such as max_batches, go up to some millions.
_LARGEST = 1e9


@dataclass(frozen=True)
class Section:
    """A section of a `.cfg` file, such as a layer.

    Attributes:
        kind: its name, such as "convolutional".
        line: of the file, from 1.
        options: as they are written.
    """

    kind: str
    line: int
    options: dict[str, str] = field(default_factory=dict)

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number."""
        return int(self._number(name, default))

    def real(self, name: str, default: float = 0.0) -> float:
        """A number."""
        return self._number(name, default)

    def numbers(self, name: str) -> list[float]:
        """Numbers with commas between them; none where the option is missing."""
        text = self.options.get(name, "")
        try:
            numbers = [float(part) for part in text.split(",") if part.strip()]
        except ValueError:
            raise self._no_number(name) from None
        if not all(math.isfinite(number) and abs(number) <= _LARGEST for number in numbers):
            raise self._no_number(name)
        return numbers

    def text(self, name: str, default: str = "") -> str:
        """A word."""
        return self.options.get(name, default)

    def _number(self, name: str, default: float) -> float:
        try:
            number = float(self.options.get(name, default))
        except ValueError:
            raise self._no_number(name) from None
        if not math.isfinite(number) or abs(number) > _LARGEST:
            raise self._no_number(name)
        return number

    def _no_number(self, name: str) -> WeightsError:
        return WeightsError(f"[{self.kind}] in line {self.line}: {name} is no number that can be")


def read_sections(path: str | Path) -> list[Section]:
    """Reads a `.cfg` file; the first section describes the input.

    Raises:
        WeightsError: the file cannot be read, or is no such file.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None
    sections: list[Section] = []
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if text.startswith("[") and text.endswith("]"):
            sections.append(Section(text[1:-1].strip(), number))
        elif "=" in text and sections:
            name, value = text.split("=", 1)
            sections[-1].options[name.strip()] = value.strip()
        elif text and not text.startswith(";"):
            raise WeightsError(f"{path} is no Darknet .cfg file: line {number} is {text[:40]!r}")
    if not sections or sections[0].kind not in ("net", "network"):
        raise WeightsError(f"{path} is no Darknet .cfg file: it must begin with [net]")
    return sections


@dataclass(frozen=True, eq=False)
class DarknetConvolution:
    """A convolution with its batch normalisation folded in.

    Attributes:
        kernel: float32 `(height, width, in, out)`; of a depthwise one `(height, width, in, 1)`.
        bias: float32 `(out,)`.
    """

    kernel: np.ndarray
    bias: np.ndarray


class DarknetWeights:
    """The numbers of a `.weights` file, given out in their order.

    Args:
        path: of the file.

    Raises:
        WeightsError: the file cannot be read, or is too short for its header.
    """

    def __init__(self, path: str | Path):
        self._path = Path(path)
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None
        if len(data) < _HEADER.size + 4:
            raise WeightsError(f"{path} is no Darknet .weights file: it has {len(data)} bytes")
        major, minor, _ = _HEADER.unpack_from(data)
        begin = _HEADER.size + (8 if major * 10 + minor >= _NEW_VERSION else 4)
        if len(data) < begin or (len(data) - begin) % 4:
            raise WeightsError(f"{path} is no Darknet .weights file: it is cut off")
        self._numbers = np.frombuffer(data, "<f4", offset=begin)
        self._at = 0

    def take(self, count: int, where: str) -> np.ndarray:
        """The next numbers.

        Args:
            count: how many.
            where: what they are for, for the message that the file ends.
        """
        if count < 1:
            raise WeightsError(f"{where}: the .cfg makes it {count} numbers")
        values = self._numbers[self._at : self._at + count]
        if len(values) < count:
            raise WeightsError(
                f"{self._path} ends in {where}: it has {len(self._numbers):,} numbers; the .cfg "
                "needs more, so they do not belong together"
            )
        self._at += count
        return values

    def convolution(
        self, section: Section, inputs: int, where: str, is_depthwise: bool
    ) -> DarknetConvolution:
        """The next convolution: biases, perhaps scales, means and variances, then the kernels.

        Args:
            section: of the layer.
            inputs: channels that it sees.
            where: for messages.
            is_depthwise: one kernel for each channel.
        """
        filters, size = section.integer("filters", 1), section.integer("size", 1)
        if inputs < 1 or size < 1:
            raise WeightsError(f"{where}: kernels of {size}x{size} over {inputs} channels")
        bias = self.take(filters, where).astype(np.float64)
        scale = np.ones(filters)
        if section.integer("batch_normalize"):
            gamma, mean, variance = (self.take(filters, where).astype(float) for _ in range(3))
            # Of damaged numbers comes NaN, which the check of the kernel notices.
            with np.errstate(all="ignore"):
                scale = gamma / np.sqrt(variance + _EPSILON)
                bias = bias - mean * scale
        shape = filters, 1 if is_depthwise else inputs, size, size
        kernel = self.take(math.prod(shape), where).reshape(shape).astype(np.float64)
        with np.errstate(all="ignore"):
            kernel = (kernel * scale[:, None, None, None]).astype(np.float32)
            bias = bias.astype(np.float32)
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise WeightsError(f"{self._path} is damaged: {where} has weights that are not finite")
        # From (out, in, height, width).
        axes = (2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0)
        return DarknetConvolution(np.ascontiguousarray(kernel.transpose(axes)), bias)

    def finish(self) -> None:
        """Makes sure that all numbers were given out.

        Raises:
            WeightsError: some are left.
        """
        left = len(self._numbers) - self._at
        if left:
            raise WeightsError(
                f"{self._path} has {left:,} numbers more than the .cfg needs; they do not belong "
                "together"
            )


def anchors_of(section: Section) -> list[tuple[float, float]]:
    """Widths and heights of the boxes that a `[yolo]` or `[region]` section predicts.

    >>> anchors_of(Section("yolo", 1, {"anchors": "1,2, 3,4, 5,6", "mask": "0,2"}))
    [(1.0, 2.0), (5.0, 6.0)]
    """
    values = section.numbers("anchors")
    pairs = list(zip(values[::2], values[1::2], strict=True))
    mask = section.numbers("mask")
    return [pairs[int(index)] for index in mask] if mask else pairs
