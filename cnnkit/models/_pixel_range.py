"""What a model expects of its pixels, by the layers at its beginning that rescale them."""

from typing import Any

import keras
import numpy as np

# What a network may expect of pixels: factor and offset that make them of pixels in [0, 1].
PIXELS = {"unit": (1.0, 0.0), "byte": (255.0, 0.0), "signed": (2.0, -1.0)}

# They change the scale of no pixel.
_PASSED = (
    "InputLayer", "Identity", "Dropout", "Resizing", "CenterCrop", "ZeroPadding2D", "Cropping2D",
    "GetItem", "Cast", "Flip", "Pipeline", "AutoContrast",
)  # fmt: skip
# Beyond this, a network is fed numbers that no training began with.
_LARGEST = 12.0
# A larger mean that is taken away is one of bytes.
_UNIT_MEAN = 2.0


def expected_pixels(model: keras.Model) -> str | None:
    """Pixels that a model was trained on, as `PIXELS` names them.

    Layers at the beginning that rescale say so: `Rescaling`, `Normalization`, a batch
    normalization, and arithmetic with constants. What they come to together is `a x + b`: a model
    that takes 127.5 to 0, or 255 to 1, was trained on bytes.

    Args:
        model: of pictures, channels last; models in it are looked into.

    Returns:
        None where no layer rescales, or what there is cannot be understood.

    Example:

    >>> layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1)]
    >>> expected_pixels(keras.Sequential(layers))
    'byte'
    """
    if len(getattr(model, "inputs", None) or ()) != 1:
        return None
    factor, offset = np.float64(1.0), np.float64(0.0)
    for operation in _operations(model):
        step = _affine(operation)
        if step is None:
            break
        factor, offset = step[0] * factor, step[0] * offset + step[1]
    factor, offset = float(np.mean(factor)), float(np.mean(offset))
    if not np.isfinite([factor, offset]).all() or factor <= 0:
        return None
    if abs(factor - 1) < 1e-2 and abs(offset) < 1e-2:
        return None
    zero = -offset / factor
    if zero > _UNIT_MEAN or (zero > -0.5 and 255 * factor <= _LARGEST):
        return "byte"
    return "unit" if zero > -0.5 else "signed"


def _operations(model: keras.Model) -> list[Any]:
    """The operations of a model, and of the models in it, first ones first."""
    graph = model if hasattr(model, "operations") else keras.Model(model.inputs, model.outputs)
    found = []
    for operation in graph.operations:
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            found += _operations(operation)
        else:
            found.append(operation)
    return found


def _affine(operation: Any) -> tuple[Any, Any] | None:
    """Factor and offset of an operation; None where it is no rescaling of pixels."""
    kind = type(operation).__name__
    if kind in _PASSED or kind.startswith("Random"):
        return 1.0, 0.0
    if isinstance(operation, keras.layers.Rescaling):
        return np.asarray(operation.scale, float), np.asarray(operation.offset, float)
    if isinstance(operation, keras.layers.Normalization):
        if getattr(operation, "mean", None) is None:
            return None
        mean = keras.ops.convert_to_numpy(operation.mean).ravel()
        deviation = np.maximum(keras.ops.convert_to_numpy(operation.variance).ravel() ** 0.5, 1e-7)
        if operation.invert:
            return deviation, mean
        return 1.0 / deviation, -mean / deviation
    if isinstance(operation, keras.layers.BatchNormalization):
        return _normalization(operation)
    return _arithmetic(operation, kind)


def _normalization(layer: keras.layers.BatchNormalization) -> tuple[Any, Any]:
    mean, variance = (
        keras.ops.convert_to_numpy(one) for one in (layer.moving_mean, layer.moving_variance)
    )
    factor = 1.0 / np.sqrt(variance + layer.epsilon)
    # Trained factors and offsets say nothing of the pixels: only the statistics do.
    return factor, -mean * factor


def _arithmetic(operation: Any, kind: str) -> tuple[Any, Any] | None:
    """Of `x / 255`, `x * 2`, `x - 1` and the like in the graph of a functional model."""
    if kind not in ("TrueDivide", "Divide", "Multiply", "Subtract", "Add"):
        return None
    nodes = getattr(operation, "_inbound_nodes", ())
    arguments = nodes[0].arguments.args if nodes else ()
    constants = [one for one in arguments if not isinstance(one, keras.KerasTensor)]
    # The pixels come first: nobody divides by them.
    if len(arguments) != 2 or len(constants) != 1 or constants[0] is arguments[0]:
        return None
    try:
        constant = np.asarray(constants[0], float)
    except (TypeError, ValueError):
        return None
    if kind in ("TrueDivide", "Divide"):
        return 1.0 / constant, 0.0
    if kind == "Multiply":
        return constant, 0.0
    return 1.0, constant if kind == "Add" else -constant
