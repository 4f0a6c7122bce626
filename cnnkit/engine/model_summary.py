"""A Keras model in numbers: shapes, weights, work, and what each unit sees of the input."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from cnnkit.engine.layer_summary import LayerSummary, NetworkSummary, field_columns
from cnnkit.ops.convolution import (
    ReceptiveField,
    output_arithmetic,
    padding_of,
    weights_arithmetic,
)

# Operations that look at one place at a time, by name of their class.
_POINTWISE = frozenset(
    (
        *("InputLayer", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Identity"),
        *("BatchNormalization", "LayerNormalization", "LocalResponseNormalization"),
        *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        *("GaussianNoise", "GaussianDropout", "Rescaling", "Normalization", "Cast", "Clip"),
        *("Add", "Subtract", "Multiply", "Divide", "Average", "Maximum", "Minimum", "Concatenate"),
        *("TrueDivide", "Power", "Square", "Sqrt", "Absolute", "Negative", "Exp", "Log"),
        *("Relu", "Relu6", "Sigmoid", "Tanh", "Silu", "Gelu", "HardSigmoid", "HardSwish"),
    )
)
_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D")
_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
_SEPARABLE = ("SeparableConv1D", "SeparableConv2D")
_TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
_POOLS = tuple(f"{kind}Pooling{axes}D" for kind in ("Max", "Average") for axes in (1, 2, 3))
_GLOBAL = tuple(f"Global{pool}" for pool in _POOLS)

# Along each axis; None where it is not known.
Fields = tuple[ReceptiveField, ...] | None
# Without the batch; None for an axis of any size.
_Shape = tuple[Any, ...]
# What is known of a tensor: names of the layers that it comes from, and its fields.
_Known = tuple[tuple[str, ...], Fields]


def summarize_model(model: keras.Model, name: str | None = None) -> NetworkSummary:
    """Goes through a functional or sequential model in the order of computation.

    The receptive field is that of the farthest of all paths. It is not known behind operations
    that are none of Keras' usual ones, behind transposed convolutions, and where paths of
    different stride meet.

    Args:
        model: with one input; give it its size, or multiply-adds cannot be counted.
        name: what to call it; its own name by default.

    Returns:
        A `NetworkSummary`; layers of models inside the model are called "model/layer".

    Raises:
        ValueError: a model with several inputs, or with a structure that Keras does not know.

    Example:

    >>> inputs = keras.Input((14, 14, 3))
    >>> model = keras.Model(inputs, keras.layers.Conv2D(16, 5, name="conv")(inputs))
    >>> layer = summarize_model(model).layers[-1]
    >>> layer.name, layer.parameters, layer.multiply_adds, layer.receptive_field
    ('conv', 1216, 120000, (5, 5))
    """
    inputs = getattr(model, "inputs", None)
    if not inputs or len(inputs) != 1:
        raise ValueError(
            "expected a functional or sequential model with one input. "
            f"Received: {type(model).__name__} with {len(inputs or ())} inputs"
        )
    shape = tuple(inputs[0].shape[1:])
    own: _Known = ((), (ReceptiveField(),) * max(0, len(shape) - 1))
    known = {id(inputs[0]): own}
    layers: list[LayerSummary] = []
    _walk(model, known, "", layers)
    return NetworkSummary(name or model.name, shape, tuple(layers))


def _walk(
    model: keras.Model, known: dict[int, _Known], prefix: str, layers: list[LayerSummary]
) -> None:
    # A sequential model has a graph too, but does not show its operations.
    graph = model if hasattr(model, "operations") else keras.Model(model.inputs, model.outputs)
    # The layers may have been called in other graphs too, which their `input` would be of.
    nodes = {id(node.operation): node for row in graph._nodes_by_depth.values() for node in row}
    for operation in graph.operations:
        if isinstance(operation, keras.layers.InputLayer):
            continue
        inputs = nodes[id(operation)].input_tensors
        outputs = nodes[id(operation)].output_tensors
        before = [known.get(id(tensor), ((), None)) for tensor in inputs]
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            inner = dict(zip(map(id, operation.inputs), before, strict=True))
            _walk(operation, inner, f"{prefix}{operation.name}/", layers)
            for outside, inside in zip(outputs, operation.outputs, strict=True):
                known[id(outside)] = inner.get(id(inside), ((), None))
            continue
        layer, fields = _summarize(operation, inputs, outputs[0], before, prefix)
        layers.append(layer)
        for tensor in outputs:
            known[id(tensor)] = ((layer.name,), fields)


def _summarize(
    operation: Any, inputs: Sequence[Any], output: Any, before: Sequence[_Known], prefix: str
) -> tuple[LayerSummary, Fields]:
    kind = type(operation).__name__
    shapes: list[Any] = [tuple(tensor.shape[1:]) for tensor in inputs]
    output_shape = tuple(output.shape[1:])
    parameters = operation.count_params() if isinstance(operation, keras.layers.Layer) else 0
    kernel, stride, dilation = _window(operation, kind, len(output_shape) - 1)
    work, lines = _work(operation, kind, shapes[0], output_shape, kernel, parameters)
    if kernel and kind not in _TRANSPOSED and None not in shapes[0][:-1]:
        lines = [*_size_lines(operation, shapes[0], kernel, stride, dilation), *lines]
    if kind == "Flatten" and None not in output_shape:
        lines = [f"size: {'*'.join(map(str, shapes[0]))} = {output_shape[0]:,}"]
    fields = _fields(operation, kind, shapes[0], before, kernel, stride, dilation)
    layer = LayerSummary(
        f"{prefix}{operation.name}",
        kind,
        output_shape,
        parameters,
        work,
        **field_columns(fields),
        inputs=tuple(name for names, _ in before for name in names),
        kernel=kernel,
        stride=stride,
        arithmetic=tuple(lines),
    )
    return layer, fields


def _window(operation: Any, kind: str, axes: int) -> tuple[tuple[int, ...], ...]:
    """Kernel, stride and dilation along each axis; empty for what has none."""
    if kind in _POOLS:
        return _each(operation.pool_size, axes), _each(operation.strides, axes), (1,) * axes
    if kind in (*_CONVOLUTIONS, *_DEPTHWISE, *_SEPARABLE, *_TRANSPOSED):
        return (
            _each(operation.kernel_size, axes),
            _each(operation.strides, axes),
            _each(operation.dilation_rate, axes),
        )
    return (), (), ()


def _each(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _work(
    operation: Any,
    kind: str,
    shape: _Shape,
    output_shape: _Shape,
    kernel: tuple[int, ...],
    parameters: int,
) -> tuple[int | None, list[str]]:
    """Multiply-adds, and the lines that tell where weights and work come from."""
    places = output_shape[:-1]
    if kind in _CONVOLUTIONS or kind == "Dense":
        # A dense layer is a convolution whose kernel is one place.
        groups, bias = getattr(operation, "groups", 1), operation.use_bias
        sees = (*kernel, shape[-1])
        if None in places:
            return None, []
        work = math.prod(places) * math.prod(sees) // groups * output_shape[-1]
        lines = weights_arithmetic(places, sees, output_shape[-1], groups=groups, bias=bias)
        return work, lines
    if kind in (*_DEPTHWISE, *_SEPARABLE, *_TRANSPOSED):
        # A transposed convolution spreads each place of its input over a whole window.
        used = shape[:-1] if kind in _TRANSPOSED else places
        if None in used:
            return None, []
        weights = sum(
            math.prod(weight.shape) for weight in operation.weights if weight.name != "bias"
        )
        return math.prod(used) * weights, []
    is_known = kind in _POINTWISE or not parameters
    return (0 if is_known else None), []


def _size_lines(
    layer: Any,
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> list[str]:
    if layer.padding not in ("valid", "same") or layer.data_format != "channels_last":
        return []
    lines = [
        output_arithmetic(n, f, stride=s, padding=layer.padding, dilation=d)
        for n, f, s, d in zip(shape[:-1], kernel, stride, dilation, strict=True)
    ]
    return [f"size: {line}" for line in dict.fromkeys(lines)]


def _fields(
    operation: Any,
    kind: str,
    shape: _Shape,
    before: Sequence[_Known],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Fields:
    several = [fields for _, fields in before if fields is not None]
    fields = _farthest(several) if len(several) == len(before) else None
    if fields is None or getattr(operation, "data_format", "channels_last") != "channels_last":
        return None
    is_map = len(shape) - 1 == len(fields)
    if not is_map:
        # All places are in each number already; only what keeps it so is known.
        return fields if kind in _POINTWISE or kind in ("Dense", "Flatten") else None
    if kind in _POINTWISE or kind == "Dense":
        return fields
    if kind == "Flip":
        return fields if operation.axis in (-1, len(shape)) else None
    if kind in _GLOBAL or kind == "Flatten":
        if None in shape[:-1]:
            return None
        return tuple(field.union(n) for field, n in zip(fields, shape[:-1], strict=True))
    if kind.startswith("ZeroPadding") or kind == "Pad":
        return _shifted(fields, _places_before(operation, kind, len(fields)))
    if kind.startswith("Cropping"):
        cropped = operation.cropping
        first = [cropped[0]] if kind == "Cropping1D" else [pair[0] for pair in cropped]
        return _shifted(fields, [-places for places in first])
    if not kernel or kind in _TRANSPOSED:
        return None
    through = []
    for field, n, f, s, d in zip(fields, shape[:-1], kernel, stride, dilation, strict=True):
        if operation.padding == "causal":
            places = d * (f - 1)
        elif operation.padding == "same" and n is None:
            # With a stride the padding depends on the size.
            if s > 1:
                return None
            places = d * (f - 1) // 2
        else:
            places = padding_of(n or f, f, stride=s, padding=operation.padding, dilation=d)[0]
        through.append(field.through(f, stride=s, padding=places, dilation=d))
    return tuple(through)


def _farthest(several: Sequence[tuple[ReceptiveField, ...]]) -> Fields:
    """The fields of units that see what all of several units see."""
    if len({len(fields) for fields in several}) != 1:
        return None
    joined = []
    for axis in zip(*several, strict=True):
        if len({field.jump for field in axis}) != 1:
            return None
        start = min(field.start for field in axis)
        end = max(field.start + field.size for field in axis)
        joined.append(ReceptiveField(end - start, axis[0].jump, start))
    return tuple(joined)


def _places_before(operation: Any, kind: str, axes: int) -> list[int]:
    if kind == "Pad":
        # The batch comes first and the channels last.
        return [pair[0] for pair in operation.pad_width[1:-1]]
    return [operation.padding[0]] if axes == 1 else [pair[0] for pair in operation.padding]


def _shifted(fields: Sequence[ReceptiveField], places: Sequence[int]) -> Fields:
    return tuple(
        field.through(1, padding=count) for field, count in zip(fields, places, strict=True)
    )
