"""From one unit of a trained network back to the pixels: a deconvnet along the network's graph."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from cnnkit.errors import UsageError
from cnnkit.ops.convolution import ReceptiveField, padding_of
from cnnkit.ops.deconvnet import (
    average_unpooling,
    max_switches,
    max_unpooling,
    rectify,
    transposed_convolution,
    transposed_depthwise_convolution,
    unpadding,
)
from cnnkit.ops.top_patches import cut_patch
from cnnkit.tasks.visualize.network import ViewedNetwork

# What of a signal goes on upwards is positive, or nearly so: on the way back it is rectified.
_RECTIFIERS = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "swish", "gelu", "softplus"),
    *("mish", "hard_silu", "hard_swish"),
)
_RECTIFIER_LAYERS = ("ReLU", "LeakyReLU", "ELU", "PReLU", "Relu", "Relu6", "Silu", "Gelu")
# As they are in prediction; a local normalisation is left as it is, as in the paper.
_PASSED = (
    *("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "Identity", "Cast"),
    "LocalResponseNormalization",
)


class Deconvnet:
    """Draws what in a picture drives a unit (Zeiler & Fergus 2014, section 2.1).

    The picture goes through the network, and each pooling notes where its maxima are from. At the
    layer everything but the one unit is set to zero. On the way back each pooling puts values to
    where their maxima were, each rectified layer is rectified again, and each convolution is
    transposed. Departures from the paper: what a ReLU6 cut off above passes as what lies below, and
    narrow layers without activation, as MobileNet-V2 has, rectify nothing, so that little of a
    picture can be made out behind many of them; padding goes back to the pixels that were repeated
    in it, batch normalisation scales, and biases play no part, as in the paper.

    Args:
        network: the network.
        layer: name of the layer that the units are of.

    Raises:
        UsageError: there is something between the pixels and the layer that it cannot go back
            through; the message says what.
    """

    def __init__(self, network: ViewedNetwork, layer: str):
        self._layer = layer
        self._top = network.outputs[layer]
        self._picture = network.model.inputs[0]
        self._nodes = _nodes_before(self._top)
        for node in self._nodes:
            reason = _refusal(node, is_top=node is self._nodes[-1])
            if reason:
                raise UsageError(
                    f"--deconv cannot go back through {reason}; choose a layer before it, or leave "
                    "out --deconv"
                )
        tensors = {id(tensor): tensor for tensor in (self._picture, self._top)}
        for node in self._nodes:
            tensors.update((id(tensor), tensor) for tensor in node.input_tensors)
        # A network that insists on a size cannot be given a part.
        self._is_shiftable = network.input_size is None and all(map(_shifts_along, self._nodes))
        self._keys = list(tensors)
        self._forward = keras.Model(self._picture, list(tensors.values()))

    def reconstruct(self, pixels: np.ndarray, places: Sequence[tuple[int, int, int]]) -> np.ndarray:
        """Goes back from some units, one by one.

        Args:
            pixels: uint8 `(height, width, channels)`.
            places: `(unit, row, column)` of each; row and column count in maps only.

        Returns:
            float32 `(places, height, width, channels)`, in units of [0, 1] pixels, positive where
            more light would drive the unit more.
        """
        picture = ops.convert_to_tensor(pixels[None].astype(np.float32) / 255.0)
        found = dict(zip(self._keys, self._forward(picture, training=False), strict=True))
        signal = np.zeros((len(places), *found[id(self._top)].shape[1:]), np.float32)
        for index, (unit, row, column) in enumerate(places):
            place = (index, row, column, unit) if signal.ndim == 4 else (index, unit)
            signal[place] = 1.0
        signals = {id(self._top): ops.convert_to_tensor(signal)}
        for node in reversed(self._nodes):
            arriving = signals.pop(id(node.output_tensors[0]), None)
            if arriving is None:
                continue
            values = [found[id(tensor)] for tensor in node.input_tensors]
            parts = _back(node, arriving, values, is_top=node is self._nodes[-1])
            for tensor, part in zip(node.input_tensors, parts, strict=True):
                before = signals.get(id(tensor))
                signals[id(tensor)] = part if before is None else before + part
        return ops.convert_to_numpy(signals[id(self._picture)])

    def reconstruct_patch(
        self,
        pixels: np.ndarray,
        place: tuple[int, int, int],
        fields: Sequence[ReceptiveField] | None,
    ) -> np.ndarray:
        """Goes back from one unit to what it sees.

        Where the layers work in the same way everywhere, only that part of the picture goes through
        the network, so that early layers take no time.

        Args:
            pixels: uint8 `(height, width, channels)`.
            place: `(unit, row, column)`.
            fields: what units of the layer see, of rows and of columns; None for everything.

        Returns:
            float32 `(rows, columns, channels)` as the fields say, 0 outside of the picture.
        """
        if fields is None:
            return self.reconstruct(pixels, [place])[0]
        unit, *unit_place = place
        spans = [field.places(index) for field, index in zip(fields, unit_place, strict=True)]
        begins = [0, 0]
        part = pixels
        if self._is_shiftable and all(field.jump for field in fields):
            # On from a whole number of steps, so that poolings see the same windows.
            begins = [
                max(0, begin) // field.jump * field.jump
                for (begin, _), field in zip(spans, fields, strict=True)
            ]
            part = pixels[begins[0] : spans[0][1], begins[1] : spans[1][1]]
            unit_place = [
                index - begin // field.jump
                for index, begin, field in zip(unit_place, begins, fields, strict=True)
            ]
        back = self.reconstruct(part, [(unit, unit_place[0], unit_place[1])])[0]
        rows, columns = (
            (begin - offset, end - offset)
            for (begin, end), offset in zip(spans, begins, strict=True)
        )
        return cut_patch(back, rows, columns)


def _shifts_along(node: Any) -> bool:
    """Whether the operation does the same everywhere, if shifted by whole steps."""
    operation = node.operation
    kind = type(operation).__name__
    if kind in ("Conv2D", "DepthwiseConv2D"):
        return operation.padding == "valid" or tuple(operation.strides) == (1, 1)
    if kind in ("MaxPooling2D", "AveragePooling2D"):
        return operation.padding == "valid"
    return kind not in (
        "Dense", "Flatten", "Reshape", "GlobalMaxPooling2D", "GlobalAveragePooling2D",
        "Cropping2D", "Flip",
    ) or (kind == "Flip" and operation.axis in (-1, 3))  # fmt: skip


def _nodes_before(top: Any) -> list[Any]:
    """The calls of operations between the picture and a tensor, in the order of computation."""
    nodes: list[Any] = []
    seen: set[int] = set()

    def visit(tensor: Any) -> None:
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if id(node) in seen or isinstance(operation, keras.layers.InputLayer):
            return
        seen.add(id(node))
        for before in node.input_tensors:
            visit(before)
        nodes.append(node)

    visit(top)
    return nodes


def _refusal(node: Any, is_top: bool) -> str | None:
    """What the deconvnet cannot go back through, or None."""
    operation = node.operation
    kind = type(operation).__name__
    name = f"{operation.name} ({kind})"
    if getattr(operation, "data_format", "channels_last") == "channels_first":
        return f"{name} with its channels first"
    activation = _activation(operation)
    if activation is not None and activation not in (*_RECTIFIERS, "linear") and not is_top:
        return f"{name}, whose {activation} does not rectify"
    tensors = len(node.input_tensors)
    if kind == "DepthwiseConv2D" and operation.depth_multiplier != 1:
        return f"{name} with several kernels for a channel"
    if kind in ("Multiply", "TrueDivide", "Divide") and tensors > 1:
        return f"{name}, a product of maps"
    if kind == "Pad":
        padded_elsewhere = any(operation.pad_width[axis] != (0, 0) for axis in (0, -1))
        if operation.mode not in ("constant", "reflect", "symmetric") or padded_elsewhere:
            return f"{name} with mode {operation.mode}"
    is_known = (
        kind in _BACK
        or kind in _PASSED
        or kind in _RECTIFIER_LAYERS
        or (is_top and kind in ("Softmax", "Sigmoid", "Tanh"))
    )
    return None if is_known and len(node.output_tensors) == 1 else name


def _activation(operation: Any) -> str | None:
    function = getattr(operation, "activation", None)
    return getattr(function, "__name__", None) if callable(function) else None


def _back(node: Any, signal: Any, values: Sequence[Any], is_top: bool) -> list[Any]:
    """The signal behind one operation, for each of its inputs."""
    operation = node.operation
    kind = type(operation).__name__
    if kind in _RECTIFIER_LAYERS or _activation(operation) in _RECTIFIERS:
        # At the top there is one unit, and what it says counts as positive.
        signal = rectify(signal)
    if kind in _BACK:
        return _BACK[kind](node, signal, values)
    return [signal]


def _size(value: Any) -> tuple[int, int]:
    return int(value.shape[1]), int(value.shape[2])


def _window(operation: Any, value: Any, f: Sequence[int]) -> dict[str, Any]:
    dilation = getattr(operation, "dilation_rate", (1, 1))
    strides = tuple(operation.strides)
    pads = tuple(
        padding_of(n, size, stride=stride, padding=operation.padding, dilation=d)
        for n, size, stride, d in zip(_size(value), f, strides, dilation, strict=True)
    )
    return {"strides": strides, "pads": pads}


def _convolution(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    layer, (value,) = node.operation, values
    return [
        transposed_convolution(
            signal,
            layer.kernel,
            _size(value),
            **_window(layer, value, layer.kernel_size),
            dilation=tuple(layer.dilation_rate),
            groups=layer.groups,
        )
    ]


def _depthwise(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    layer, (value,) = node.operation, values
    return [
        transposed_depthwise_convolution(
            signal,
            layer.kernel,
            _size(value),
            **_window(layer, value, layer.kernel_size),
            dilation=tuple(layer.dilation_rate),
        )
    ]


def _dense(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    return [ops.matmul(signal, ops.transpose(node.operation.kernel))]


def _max_pooling(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    layer, (value,) = node.operation, values
    window, options = tuple(layer.pool_size), _window(layer, value, layer.pool_size)
    switches = max_switches(value, window, **options)
    return [max_unpooling(signal, switches, _size(value), window, **options)]


def _average_pooling(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    layer, (value,) = node.operation, values
    options = _window(layer, value, layer.pool_size)
    return [average_unpooling(signal, _size(value), tuple(layer.pool_size), **options)]


def _global_pooling(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    (value,) = values
    window = _size(value)
    signal = ops.reshape(signal, (-1, 1, 1, value.shape[-1]))
    if "Max" in type(node.operation).__name__:
        return [max_unpooling(signal, max_switches(value, window), window, window)]
    return [average_unpooling(signal, window, window)]


def _reshaping(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    return [ops.reshape(signal, (-1, *values[0].shape[1:]))]


def _padding(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    operation = node.operation
    if isinstance(operation, keras.layers.ZeroPadding2D):
        return [unpadding(signal, operation.padding)]
    return [unpadding(signal, operation.pad_width[1:3], operation.mode)]


def _cropping(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    return [ops.pad(signal, ((0, 0), *node.operation.cropping, (0, 0)))]


def _batch_normalization(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    layer = node.operation
    gain = ops.rsqrt(layer.moving_variance + layer.epsilon)
    if layer.scale:
        gain = gain * layer.gamma
    return [signal * _along_axis(gain, layer.axis, signal)]


def _normalization(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    return [signal / ops.maximum(ops.sqrt(node.operation.variance), 1e-7)]


def _along_axis(gain: Any, axis: int, signal: Any) -> Any:
    shape = [1] * len(signal.shape)
    shape[axis] = -1
    return ops.reshape(gain, shape)


def _rescaling(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    return [signal * ops.convert_to_tensor(node.operation.scale, signal.dtype)]


def _sum(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    return [signal] * len(values)


def _difference(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    if len(values) == 2:
        return [signal, -signal]
    first_is_map = isinstance(node.arguments.args[0], keras.KerasTensor)
    return [signal if first_is_map else -signal]


def _mean(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    return [signal / len(values)] * len(values)


def _product(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    """By a number, or by one for each channel."""
    first, second = node.arguments.args
    factor = second if isinstance(first, keras.KerasTensor) else first
    return [signal * ops.convert_to_tensor(factor, signal.dtype)]


def _quotient(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    return [signal / ops.convert_to_tensor(node.arguments.args[1], signal.dtype)]


def _concatenation(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    axis = node.operation.axis
    ends = np.cumsum([value.shape[axis] for value in values])[:-1]
    return ops.split(signal, ends.tolist(), axis=axis)


def _flip(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    return [ops.flip(signal, axis=node.operation.axis)]


def _same(node: Any, signal: Any, values: Sequence[Any]) -> list[Any]:
    return [signal]


_BACK = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "Dense": _dense,
    "MaxPooling2D": _max_pooling,
    "AveragePooling2D": _average_pooling,
    "GlobalMaxPooling2D": _global_pooling,
    "GlobalAveragePooling2D": _global_pooling,
    "Flatten": _reshaping,
    "Reshape": _reshaping,
    "ZeroPadding2D": _padding,
    "Pad": _padding,
    "Cropping2D": _cropping,
    "BatchNormalization": _batch_normalization,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Activation": _same,
    "Add": _sum,
    "Subtract": _difference,
    "Average": _mean,
    "Multiply": _product,
    "TrueDivide": _quotient,
    "Divide": _quotient,
    "Concatenate": _concatenation,
    "Flip": _flip,
}
