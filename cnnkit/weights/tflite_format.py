"""Networks of TensorFlow Lite: what a `.tflite` file of 8-bit numbers has in it, as real ones.

The file is a FlatBuffer. What is read follows `tensorflow/lite/schema/schema.fbs`, of which only
the fields of the layers below are known here.
"""

import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cnnkit.errors import WeightsError

_IDENTIFIER = b"TFL3"
# BuiltinOperator of the schema.
_KINDS = {
    **{0: "add", 1: "average_pool", 2: "concatenation", 3: "convolution", 4: "depthwise"},
    **{22: "reshape", 23: "resize_bilinear", 25: "softmax", 56: "arg_max", 114: "quantize"},
}
# TensorType of the schema.
_DTYPES = {2: np.dtype("<i4"), 3: np.dtype("u1"), 4: np.dtype("<i8")}
_PADDINGS = {0: "same", 1: "valid"}
# In the options of a layer, which field its dilation across is; padding and stride come first.
_DILATIONS = {"convolution": 4, "depthwise": 5}


@dataclass(frozen=True, eq=False)
class Tensor:
    """What goes from one operator to another, or a constant.

    Attributes:
        shape: as the file has it, with a batch of one.
        values: of a constant: float32, `(raw - zero) * scale`; None otherwise.
        least: the smallest number that 8 bits can stand for.
        most: the largest one.
    """

    shape: tuple[int, ...]
    values: np.ndarray | None
    least: float
    most: float


@dataclass(frozen=True)
class Operator:
    """One operation.

    Attributes:
        kind: such as "convolution"; "unknown 5" where it is not known here.
        inputs: numbers of tensors.
        output: number of a tensor.
        stride: in both directions.
        dilation: in both directions.
        padding: "same" or "valid".
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    stride: int = 1
    dilation: int = 1
    padding: str = "same"


@dataclass(frozen=True, eq=False)
class TFLiteNetwork:
    """A network as its file describes it.

    Attributes:
        tensors: by their numbers.
        operators: in the order in which they are run.
        inputs: numbers of tensors.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]

    def weights_of(self, operator: Operator) -> list[np.ndarray]:
        """Kernel `(h, w, inputs, filters)`, of a depthwise one `(h, w, channels, 1)`, and bias.

        Args:
            operator: a convolution.

        Raises:
            WeightsError: it has none in the file.
        """
        values = [self.tensors[number].values for number in operator.inputs[1:3] if number >= 0]
        if len(values) < 2 or any(one is None for one in values) or values[0].ndim != 4:
            raise WeightsError(f"a {operator.kind} layer has no weights in the file")
        kernel, bias = values
        # Filters come first in the file; of a depthwise kernel there is one.
        return [kernel.transpose(1, 2, 3, 0), bias]


def read_tflite(path: str | Path) -> TFLiteNetwork:
    """Reads the first graph of a file.

    Args:
        path: of the `.tflite` file.

    Raises:
        WeightsError: the file cannot be read, is damaged, or has numbers that are not of 8 bits.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None
    if data[4:8] != _IDENTIFIER:
        raise WeightsError(f"{path} is no TensorFlow Lite file; get it again")
    try:
        return _read_model(_Table(data, _uint32(data, 0)))
    except (struct.error, ValueError, IndexError, TypeError, KeyError, OverflowError):
        raise WeightsError(f"{path} is damaged, or no network of 8 bits; get it again") from None


def _read_model(model: "_Table") -> TFLiteNetwork:
    buffers = model.tables(4)
    # The kind of an operator had 8 bits first.
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
    graph = model.tables(2)[0]
    operators = []
    for one in graph.tables(3):
        number = codes[one.number(0, "I")]
        kind = _KINDS.get(number, f"unknown {number}")
        operator = Operator(kind, tuple(one.vector(1, "i4")), int(one.vector(2, "i4")[0]))
        if kind in _DILATIONS:
            options = one.table(4)
            operator = replace(
                operator,
                padding=_PADDINGS[options.number(0, "b")],
                stride=_square(options, 1),
                dilation=_square(options, _DILATIONS[kind], default=1),
            )
        operators.append(operator)
    tensors = tuple(_read_tensor(one, buffers) for one in graph.tables(0))
    # An input that is left out is -1.
    numbers = {number for one in operators for number in (*one.inputs, one.output)}
    if numbers and not -1 <= min(numbers) <= max(numbers) < len(tensors):
        raise ValueError("an operator takes a tensor that is not there")
    return TFLiteNetwork(tensors, tuple(operators), tuple(graph.vector(1, "i4")))


def _square(options: "_Table", field: int, default: int = 0) -> int:
    across, down = options.number(field, "i", default), options.number(field + 1, "i", default)
    if across != down:
        raise ValueError("strides and dilations must be as large across as down")
    return down


def _read_tensor(tensor: "_Table", buffers: list["_Table"]) -> Tensor:
    shape = tuple(int(side) for side in tensor.vector(0, "i4"))
    kind = _DTYPES.get(tensor.number(1, "b"))
    quantization = tensor.table(4)
    scales = zeros = ()
    if quantization is not None:
        scales, zeros = quantization.vector(2, "f4"), quantization.vector(3, "i8")
    scale, zero = (float(scales[0]), int(zeros[0])) if len(scales) == 1 else (1.0, 0)
    raw = buffers[tensor.number(2, "I")].vector(0, "u1")
    values = None
    if len(raw):
        if kind is None or len(scales) > 1:
            raise ValueError("constants must be whole numbers with one scale")
        numbers = raw.view(kind).reshape(shape).astype(np.int64)
        values = ((numbers - zero) * scale).astype(np.float32)
    return Tensor(shape, values, -zero * scale, (255 - zero) * scale)


class _Table:
    """A table of a FlatBuffer: fields by their numbers, each of which may be left out."""

    def __init__(self, data: bytes, place: int):
        self._data, self._place = data, place
        self._fields = place - struct.unpack_from("<i", data, place)[0]
        self._count = (struct.unpack_from("<H", data, self._fields)[0] - 4) // 2

    def _find(self, field: int) -> int:
        """Where a field is; 0 where it is left out."""
        if field >= self._count:
            return 0
        offset = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * field)[0]
        return self._place + offset if offset else 0

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A whole number, of a kind that `struct` knows."""
        place = self._find(field)
        return struct.unpack_from(f"<{kind}", self._data, place)[0] if place else default

    def table(self, field: int) -> "_Table | None":
        """A table inside this one."""
        place = self._find(field)
        return _Table(self._data, place + _uint32(self._data, place)) if place else None

    def vector(self, field: int, kind: str) -> np.ndarray:
        """Numbers, of a kind that NumPy knows; none where they are left out."""
        place = self._find(field)
        if not place:
            return np.zeros(0, kind)
        place += _uint32(self._data, place)
        return np.frombuffer(self._data, f"<{kind}", _uint32(self._data, place), place + 4)

    def tables(self, field: int) -> list["_Table"]:
        """The tables that a vector names."""
        place = self._find(field)
        if not place:
            return []
        place += _uint32(self._data, place)
        begins = range(place + 4, place + 4 + 4 * _uint32(self._data, place), 4)
        return [_Table(self._data, begin + _uint32(self._data, begin)) for begin in begins]


def _uint32(data: bytes, place: int) -> int:
    return struct.unpack_from("<I", data, place)[0]
