"""Reads the files of dlib's face models as plain NumPy arrays, without dlib.

Three kinds of file are known: the residual network that turns a face into 128 numbers, the
convolutional (MMOD) face detector, and the regression trees of the shape predictor. They are
written by dlib's own `serialize`, whose parts are read here one for one:

- an integer is a control byte (sign 0x80, length in the low four bits) and that many bytes;
- a float is two such integers, mantissa and binary exponent, or ASCII text in very old files;
- a tensor is a version, four sizes and raw little-endian float32;
- a network is wrapped outside in: all versions come first, then the payloads inside out.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit.errors import WeightsError

if TYPE_CHECKING:
    from typing_extensions import Self

# Raise it whenever what is made of a file changes: converted copies are then made again.
CONVERSION = 1

_INFINITY, _MINUS_INFINITY, _NOT_A_NUMBER = 32000, 32001, 32002

# The wrappers of each network from the output to the input, in dlib's own order; "tag" and "skip"
# carry no numbers. A block is written here as its C++ template reads.
_RESIDUAL = ("relu", "add_prev", "affine", "con", "relu", "affine", "con", "tag")
_RESIDUAL_DOWN = (
    *("relu", "add_prev", "avg_pool", "skip", "tag"),
    *("affine", "con", "relu", "affine", "con", "tag"),
)
_ENCODER_WRAPPERS = (
    *("fc", "avg_pool"),
    *_RESIDUAL_DOWN,
    *(_RESIDUAL * 2 + _RESIDUAL_DOWN),
    *(_RESIDUAL * 2 + _RESIDUAL_DOWN),
    *(_RESIDUAL * 3 + _RESIDUAL_DOWN),
    *(_RESIDUAL * 3),
    *("max_pool", "relu", "affine", "con"),
)
_DETECTOR_WRAPPERS = ("con", *(("relu", "affine", "con") * 6))


@dataclass(frozen=True, eq=False)
class Convolution:
    """One convolution with the scaling after it folded in.

    Attributes:
        kernel: float32 `(height, width, in, out)`.
        bias: float32 `(out,)`.
        stride: in pixels.
        padding: zeros on every side, in pixels.
    """

    kernel: np.ndarray
    bias: np.ndarray
    stride: int
    padding: int


class _Stored:
    """Weights that go into one file of arrays and come back from it."""

    convolutions: tuple[Convolution, ...]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All fields as arrays, for `numpy.savez`."""
        arrays = {}
        for name, value in vars(self).items():
            if name != "convolutions":
                arrays[name] = np.asarray(value)
                continue
            for index, convolution in enumerate(value):
                for part, array in vars(convolution).items():
                    arrays[f"convolutions/{index}/{part}"] = np.asarray(array)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Self":
        """What `to_arrays` made them of."""
        fields: dict[str, Any] = {}
        convolutions: dict[int, dict[str, Any]] = {}
        for key, array in arrays.items():
            value = tuple(array.tolist()) if key == "mean_rgb" else array
            if not array.ndim:
                value = array.item()
            if key.startswith("convolutions/"):
                _, index, part = key.split("/")
                convolutions.setdefault(int(index), {})[part] = value
            else:
                fields[key] = value
        if convolutions:
            fields["convolutions"] = tuple(
                Convolution(**convolutions[index]) for index in range(len(convolutions))
            )
        return cls(**fields)


@dataclass(frozen=True, eq=False)
class FaceEncoderWeights(_Stored):
    """The residual network: a chip of a face in, 128 numbers out.

    Attributes:
        convolutions: 29 of them, in forward order: the stem, then two for each of 14 blocks.
        projection: float32 `(256, 128)`, the last layer, which has no bias.
        mean_rgb: what is taken off pixels in 0..255.
        size: height and width of the chip, in pixels.
    """

    convolutions: tuple[Convolution, ...]
    projection: np.ndarray
    mean_rgb: tuple[float, float, float]
    size: int


@dataclass(frozen=True, eq=False)
class FaceDetectorWeights(_Stored):
    """The fully convolutional face detector.

    Attributes:
        convolutions: seven, in forward order; the last one gives the score.
        mean_rgb: what is taken off pixels in 0..255.
        window: side of the square that one score stands for, in pixels.
        overlap: largest overlap of two faces, see `boxes.enclosing_overlap`.
    """

    convolutions: tuple[Convolution, ...]
    mean_rgb: tuple[float, float, float]
    window: int
    overlap: float


@dataclass(frozen=True, eq=False)
class ShapePredictorWeights(_Stored):
    """Cascades of regression trees that move points onto a face (Kazemi & Sullivan 2014).

    C cascades of T trees with N inner nodes and N + 1 leaves; P points; F pixels per cascade.

    Attributes:
        initial_shape: float32 `(P, 2)`, x and y in the unit square of the face's box.
        anchors: int32 `(C, F)`, the point that each pixel hangs on.
        offsets: float32 `(C, F, 2)`, from that point to the pixel.
        first: int32 `(C, T, N)`, the pixel of which the second is subtracted.
        second: int32 `(C, T, N)`.
        thresholds: float32 `(C, T, N)`; a larger difference goes to child 2n + 1, else 2n + 2.
        leaves: float32 `(C, T, N + 1, P, 2)`, what is added to the shape.
    """

    initial_shape: np.ndarray
    anchors: np.ndarray
    offsets: np.ndarray
    first: np.ndarray
    second: np.ndarray
    thresholds: np.ndarray
    leaves: np.ndarray


class _Damage(Exception):
    """What is wrong with the bytes; the door of this file adds the file's name and the remedy."""


def read_face_encoder(path: str | Path) -> FaceEncoderWeights:
    """Reads `dlib_face_recognition_resnet_model_v1.dat`.

    Raises:
        WeightsError: the file is missing, damaged, cut off or of another kind.
    """
    with _naming(path, "face recognition network"):
        reader = _Reader(Path(path).read_bytes())
        reader.expect_integer("version of the loss", 1)
        if reader.text(("loss_metric_", "loss_metric_2")) == "loss_metric_2":
            reader.skip_floats(2)
        layers, mean_rgb, sides = _read_network(reader, _ENCODER_WRAPPERS, "sized")
        reader.finish()
        convolutions = _fold(layers)
        projection = next(layer.values for layer in layers if layer.kind == "fc")
        if projection.shape[0] != convolutions[-1].bias.size or sides[0] != sides[1]:
            raise _Damage("its layers do not fit together")
        return FaceEncoderWeights(convolutions, projection, mean_rgb, sides[0])


def read_face_detector(path: str | Path) -> FaceDetectorWeights:
    """Reads `mmod_human_face_detector.dat`.

    Raises:
        WeightsError: the file is missing, damaged, cut off or of another kind.
    """
    with _naming(path, "face detector"):
        reader = _Reader(Path(path).read_bytes())
        reader.expect_integer("version of the loss", 1)
        reader.text(("loss_mmod_",))
        reader.expect_integer("version of the options", 1)
        width, height = reader.integer(), reader.integer()
        # Two costs and an overlap that only training needs.
        reader.skip_floats(3)
        overlap, _covered = reader.real(), reader.real()
        reader.skip_floats(2)
        layers, mean_rgb, _ = _read_network(reader, _DETECTOR_WRAPPERS, "pyramid")
        reader.finish()
        convolutions = _fold(layers)
        if width != height or not 0 < width <= 1000 or not 0.0 < overlap <= 1.0:
            raise _Damage(f"it detects {width}x{height} pixels with overlap {overlap}")
        if convolutions[-1].bias.size != 1:
            raise _Damage("its last layer is no single score")
        return FaceDetectorWeights(convolutions, mean_rgb, width, overlap)


def read_shape_predictor(path: str | Path) -> ShapePredictorWeights:
    """Reads `shape_predictor_5_face_landmarks.dat`, or that of another number of points.

    Raises:
        WeightsError: the file is missing, damaged, cut off or of another kind.
    """
    with _naming(path, "shape predictor"):
        return _read_shape_predictor(_Integers(Path(path).read_bytes()))


@contextlib.contextmanager
def _naming(path: str | Path, what: str) -> Iterator[None]:
    try:
        yield
    except (_Damage, OSError) as error:
        reason = (error.strerror or error) if isinstance(error, OSError) else error
        raise WeightsError(
            f"{path} cannot be read as dlib's {what} ({reason}); "
            "run: pip install --force-reinstall face_recognition_models"
        ) from None


# Networks ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Layer:
    """One layer as it stands in the file."""

    kind: str
    values: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    stride: int = 1
    padding: int = 0


class _Reader:
    """Takes dlib's parts from the front of some bytes."""

    def __init__(self, data: bytes):
        self._data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        begin, end = self.position, self.position + count
        if count < 0 or end > len(self._data):
            raise _Damage(f"cut off at byte {len(self._data)}")
        self.position = end
        return self._data[begin:end]

    def finish(self) -> None:
        left = len(self._data) - self.position
        if left:
            raise _Damage(f"{left} bytes too many at its end")

    def integer(self) -> int:
        control = self.take(1)[0]
        length = control & 0x0F
        if control & 0x70 or not 1 <= length <= 8:
            raise _Damage(f"no integer at byte {self.position - 1}")
        magnitude = int.from_bytes(self.take(length), "little")
        return -magnitude if control & 0x80 else magnitude

    def expect_integer(self, what: str, *expected: int) -> int:
        received = self.integer()
        if received not in expected:
            raise _Damage(f"{what}: expected {' or '.join(map(str, expected))}, not {received}")
        return received

    def real(self) -> float:
        if self.position < len(self._data) and self._data[self.position] & 0x70:
            end = self._data.find(b" ", self.position, self.position + 64)
            try:
                value = float(self._data[self.position : end])
            except ValueError:
                raise _Damage(f"no number at byte {self.position}") from None
            self.position = end + 1
            return value
        mantissa, exponent = self.integer(), self.integer()
        special = {_INFINITY: np.inf, _MINUS_INFINITY: -np.inf, _NOT_A_NUMBER: np.nan}
        if exponent in special:
            return special[exponent]
        if abs(exponent) > 2000:
            raise _Damage(f"no number before byte {self.position}")
        with np.errstate(over="ignore", under="ignore"):
            return float(np.ldexp(float(mantissa), exponent))

    def skip_floats(self, count: int) -> None:
        for _ in range(count):
            self.real()

    def boolean(self) -> bool:
        byte = self.take(1)
        if byte not in (b"0", b"1"):
            raise _Damage(f"no yes or no at byte {self.position - 1}")
        return byte == b"1"

    def text(self, expected: tuple[str, ...]) -> str:
        length = self.integer()
        received = self.take(length) if 0 <= length <= 64 else b"?"
        if received not in [name.encode() for name in expected]:
            raise _Damage(f"expected {' or '.join(expected)} before byte {self.position}")
        return received.decode()

    def sizes(self) -> tuple[int, int, int, int]:
        sizes = (self.integer(), self.integer(), self.integer(), self.integer())
        if any(not 0 <= size <= len(self._data) for size in sizes):
            raise _Damage(f"impossible sizes {sizes} before byte {self.position}")
        return sizes

    def tensor(self) -> np.ndarray:
        self.expect_integer("version of a tensor", 2)
        samples, channels, rows, columns = self.sizes()
        data = self.take(4 * samples * channels * rows * columns)
        return np.frombuffer(data, "<f4").reshape(samples, channels, rows, columns)

    def shape(self) -> tuple[int, int, int, int]:
        self.expect_integer("version of a shape", 1)
        return self.sizes()


def _read_network(
    reader: _Reader, wrappers: tuple[str, ...], input_kind: str
) -> tuple[list[_Layer], tuple[float, float, float], tuple[int, int]]:
    """Reads layers in forward order, the mean colour, and the input's sides (0 if any do)."""
    versions = []
    for wrapper in wrappers[:-1]:
        allowed = (1,) if wrapper in ("tag", "skip") else (1, 2)
        versions.append(reader.expect_integer(f"version of {wrapper}", *allowed))
    first_version = reader.expect_integer("version of the first layer", 2, 3)

    sides = (0, 0)
    if input_kind == "sized":
        reader.text(("input_rgb_image_sized",))
        mean_rgb = (reader.real(), reader.real(), reader.real())
        sides = (reader.integer(), reader.integer())
    else:
        tag = reader.text(("input_rgb_image_pyramid", "input_rgb_image_pyramid2"))
        mean_rgb = (reader.real(), reader.real(), reader.real())
        if tag.endswith("2"):
            reader.expect_integer("padding between the levels", 10)
            reader.expect_integer("padding around the levels", 11)

    layers = [_read_layer(reader, wrappers[-1])]
    _skip_state(reader, with_gradient=True)
    if first_version == 3:
        reader.expect_integer("number of copies of a sample", 1)
    for wrapper, version in zip(wrappers[-2::-1], versions[::-1], strict=True):
        if wrapper not in ("tag", "skip"):
            layers.append(_read_layer(reader, wrapper))
            _skip_state(reader, with_gradient=version == 2)
    return layers, mean_rgb, sides


def _skip_state(reader: _Reader, with_gradient: bool) -> None:
    """Three flags and the tensors that training left behind."""
    for _ in range(3):
        reader.boolean()
    for _ in range(3 if with_gradient else 2):
        reader.tensor()


def _read_layer(reader: _Reader, kind: str) -> _Layer:
    if kind == "con":
        return _read_convolution(reader)
    if kind == "affine":
        return _read_affine(reader)
    if kind == "fc":
        return _read_projection(reader)
    if kind in ("max_pool", "avg_pool"):
        reader.text((f"{kind}_2",))
        for _ in range(6):
            reader.integer()
    elif kind == "relu":
        if reader.text(("relu_", "relu_2")) == "relu_2":
            reader.boolean()
    else:
        reader.text(("add_prev_",))
    return _Layer(kind)


def _read_convolution(reader: _Reader) -> _Layer:
    tag = reader.text(("con_4", "con_5", "con_6"))
    parameters = reader.tensor().ravel()
    filters, rows, columns = reader.integer(), reader.integer(), reader.integer()
    strides = (reader.integer(), reader.integer())
    paddings = (reader.integer(), reader.integer())
    shape, bias_shape = reader.shape(), reader.shape()
    reader.skip_floats(4)
    uses_bias = reader.boolean() if tag in ("con_5", "con_6") else True
    if tag == "con_6" and reader.boolean():
        raise _Damage("a convolution has a ReLU of its own")
    count = math.prod(shape)
    biases = math.prod(bias_shape) if uses_bias else 0
    is_whole = (
        parameters.size == count + biases
        and shape[0] == filters
        and shape[2:] == (rows, columns)
        and biases in (0, filters)
        and strides[0] == strides[1] >= 1
        and paddings[0] == paddings[1] >= 0
    )
    if not is_whole:
        raise _Damage(f"a convolution before byte {reader.position} has impossible sizes")
    # (out, in, rows, columns) -> (rows, columns, in, out)
    kernel = parameters[:count].reshape(shape).transpose(2, 3, 1, 0)
    bias = parameters[count:] if biases else np.zeros(filters, np.float32)
    return _Layer("con", kernel, bias, strides[0], paddings[0])


def _read_affine(reader: _Reader) -> _Layer:
    """A gain and an offset per channel, or a batch normalisation made into that."""
    tag = reader.text(("affine_", "affine_2", "bn_con2"))
    parameters = reader.tensor().ravel()
    shapes = (reader.shape(), reader.shape())
    channels = math.prod(shapes[0])
    if parameters.size != 2 * channels or shapes[0] != shapes[1]:
        raise _Damage(f"a scaling before byte {reader.position} has impossible sizes")
    gain, offset = parameters[:channels], parameters[channels:]
    if tag == "bn_con2":
        _means, _inverses, running_mean, running_variance = (
            reader.tensor().ravel() for _ in range(4)
        )
        reader.integer()
        reader.integer()
        reader.skip_floats(4)
        epsilon = reader.real()
        if running_mean.size != channels or running_variance.size != channels:
            raise _Damage(f"a normalisation before byte {reader.position} has impossible sizes")
        variance = np.maximum(running_variance.astype(np.float64) + epsilon, 1e-30)
        gain = gain / np.sqrt(variance)
        offset = offset - gain * running_mean
    else:
        reader.expect_integer("mode of a scaling", 0)
        if tag == "affine_2" and reader.boolean():
            gain, offset = np.ones_like(gain), np.zeros_like(offset)
    return _Layer("affine", gain, offset)


def _read_projection(reader: _Reader) -> _Layer:
    tag = reader.text(("fc_2", "fc_3"))
    outputs, inputs = reader.integer(), reader.integer()
    parameters = reader.tensor().ravel()
    reader.shape()
    reader.shape()
    # 1 is FC_NO_BIAS.
    reader.expect_integer("bias of the last layer", 1)
    reader.skip_floats(4)
    if tag == "fc_3":
        reader.boolean()
    if inputs < 1 or outputs < 1 or parameters.size != inputs * outputs:
        raise _Damage(f"the last layer before byte {reader.position} has impossible sizes")
    return _Layer("fc", parameters.reshape(inputs, outputs).copy())


def _fold(layers: list[_Layer]) -> tuple[Convolution, ...]:
    """Convolutions in forward order, each with the scaling that follows it.

    `gain (w*x + b) + offset` is the convolution with kernel `w gain` and bias `b gain + offset`.
    """
    convolutions: list[Convolution] = []
    channels = 3
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        if layer.kind != "con":
            continue
        kernel, bias = layer.values.astype(np.float64), layer.bias.astype(np.float64)
        if after is not None and after.kind == "affine":
            if after.values.size != bias.size:
                raise _Damage("its layers do not fit together")
            kernel, bias = kernel * after.values, bias * after.values + after.bias
        if kernel.shape[2] != channels:
            raise _Damage("its layers do not fit together")
        channels = kernel.shape[3]
        convolutions.append(
            Convolution(
                np.ascontiguousarray(kernel, np.float32),
                bias.astype(np.float32),
                layer.stride,
                layer.padding,
            )
        )
    return tuple(convolutions)


# Shape predictors ----------------------------------------------------------------------------


class _Integers:
    """A file that is nothing but integers, decoded all at once: there are millions of them."""

    def __init__(self, data: bytes):
        starts = []
        position, size = 0, len(data)
        while position < size:
            starts.append(position)
            position += 1 + (data[position] & 0x0F)
        if position != size:
            raise _Damage(f"cut off at byte {size}")
        codes = np.frombuffer(data, np.uint8)
        begins = np.array(starts, np.int64)
        controls = codes[begins]
        lengths = controls & 0x0F
        wrong = np.flatnonzero((controls & 0x70 != 0) | (lengths < 1) | (lengths > 7))
        if wrong.size:
            raise _Damage(f"no integer at byte {begins[wrong[0]]}")
        values = np.zeros(begins.size, np.int64)
        for byte in range(int(lengths.max(initial=0))):
            has = lengths > byte
            values[has] |= codes[begins[has] + 1 + byte].astype(np.int64) << (8 * byte)
        self._values = np.where(controls & 0x80, -values, values)
        self.position = 0

    def take(self, count: int) -> np.ndarray:
        begin, end = self.position, self.position + count
        if count < 0 or end > self._values.size:
            raise _Damage(f"it ends where {count} more numbers were expected")
        self.position = end
        return self._values[begin:end]

    def one(self) -> int:
        return int(self.take(1)[0])

    def count(self, what: str) -> int:
        """A number of things, which cannot be more than the numbers that are left."""
        received = self.one()
        if not 1 <= received <= self._values.size - self.position:
            raise _Damage(f"an impossible number of {what}: {received}")
        return received

    def finish(self) -> None:
        left = self._values.size - self.position
        if left:
            raise _Damage(f"{left} numbers too many at its end")


def _to_floats(mantissas: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    if np.any(np.abs(exponents) > 2000):
        raise _Damage("a number that is not finite")
    with np.errstate(over="ignore", under="ignore"):
        values = np.ldexp(mantissas.astype(np.float64), exponents.astype(np.int32))
        return values.astype(np.float32)


def _pairs_to_floats(pairs: np.ndarray) -> np.ndarray:
    """`(..., 2 n)` of mantissa, exponent, mantissa, ... -> `(..., n)`."""
    return _to_floats(pairs[..., 0::2], pairs[..., 1::2])


def _read_shape_predictor(numbers: _Integers) -> ShapePredictorWeights:
    if numbers.one() != 1:
        raise _Damage("unknown version")
    # dlib writes the sizes of a matrix as negative numbers.
    rows, columns = -numbers.one(), -numbers.one()
    if columns != 1 or rows < 2 or rows % 2:
        raise _Damage(f"its initial shape has {rows}x{columns} numbers")
    initial_shape = _pairs_to_floats(numbers.take(2 * rows)).reshape(-1, 2)

    cascades = numbers.count("cascades")
    forests = []
    for _ in range(cascades):
        trees = numbers.count("trees")
        forests.append(_read_forest(numbers, trees, rows))
    if len({forest[0].shape for forest in forests}) != 1:
        raise _Damage("its cascades differ in size")
    first, second, thresholds, leaves = (np.stack(parts) for parts in zip(*forests, strict=True))

    if numbers.count("lists of anchors") != cascades:
        raise _Damage("its cascades have not one list of anchors each")
    anchors = [numbers.take(numbers.count("anchors")) for _ in range(cascades)]
    if numbers.count("lists of offsets") != cascades:
        raise _Damage("its cascades have not one list of offsets each")
    offsets = [
        _pairs_to_floats(numbers.take(4 * numbers.count("offsets"))).reshape(-1, 2)
        for _ in range(cascades)
    ]
    numbers.finish()
    pixels = anchors[0].size
    if any(one.size != pixels for one in anchors) or any(len(one) != pixels for one in offsets):
        raise _Damage("its cascades differ in their pixels")
    indices = np.stack(anchors)
    if indices.min() < 0 or indices.max() >= len(initial_shape):
        raise _Damage("a pixel hangs on no point")
    for nodes in (first, second):
        if nodes.min() < 0 or nodes.max() >= pixels:
            raise _Damage("a tree looks at no pixel")
    return ShapePredictorWeights(
        initial_shape,
        indices.astype(np.int32),
        np.stack(offsets),
        first.astype(np.int32),
        second.astype(np.int32),
        thresholds,
        leaves,
    )


def _read_forest(
    numbers: _Integers, trees: int, rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Trees of one size, so that each takes as many numbers as the first."""
    begin = numbers.position
    nodes = numbers.count("splits")
    if nodes & (nodes + 1):
        raise _Damage(f"a tree of {nodes} splits is not full")
    numbers.position = begin
    # A split is two pixels and a threshold (two integers); a leaf two sizes and `rows` floats.
    splits_end = 1 + 4 * nodes
    per_leaf = 2 + 2 * rows
    size = splits_end + 1 + per_leaf * (nodes + 1)
    table = numbers.take(trees * size).reshape(trees, size)
    splits = table[:, 1:splits_end].reshape(trees, nodes, 4)
    leaves = table[:, splits_end + 1 :].reshape(trees, nodes + 1, per_leaf)
    is_regular = (
        (table[:, 0] == nodes).all()
        and (table[:, splits_end] == nodes + 1).all()
        and (leaves[..., 0] == -rows).all()
        and (leaves[..., 1] == -1).all()
    )
    if not is_regular:
        raise _Damage("its trees differ in size")
    return (
        splits[..., 0],
        splits[..., 1],
        _to_floats(splits[..., 2], splits[..., 3]),
        _pairs_to_floats(leaves[..., 2:]).reshape(trees, nodes + 1, -1, 2),
    )
