"""Layers of a TensorFlow Lite network, with real numbers where the file has 8 bits."""

from typing import Any

import keras

from cnnkit.errors import WeightsError
from cnnkit.models._depthwise import DepthwiseConv2D
from cnnkit.weights.tflite_format import Operator, TFLiteNetwork


@keras.saving.register_keras_serializable(package="cnnkit")
class SpreadOver(keras.layers.Layer):
    """Gives every place of some maps the same numbers.

    Input: `(batch, 1, 1, channels)`, and maps `(batch, height, width, any)`; output `(batch,
    height, width, channels)`.
    """

    def call(self, inputs):
        x, maps = inputs
        return x + keras.ops.zeros_like(maps[..., :1])

    def compute_output_shape(self, input_shape):
        x, maps = input_shape
        return (*maps[:3], x[3])


def lay_out(
    network: TFLiteNetwork, pixels: Any, last_channels: int
) -> tuple[Any, list[tuple[keras.layers.Layer, list[Any]]]]:
    """Puts the layers of a network on pictures, up to the scores of its classes.

    The numbers between layers are not rounded. What is cut off at zero in the file is cut off at
    zero, and at the largest number of the 8 bits, which is six where it was trained so.

    Args:
        network: of the file.
        pixels: RGB in [0, 1], any size.
        last_channels: number of classes; the first convolution of so many is the last layer.

    Returns:
        The scores `(B, h, w, classes)`, and layers with the weights that they are to be given when
        the model is built.

    Raises:
        WeightsError: the network has an operation that is not known, or no such scores.
    """
    layers = keras.layers
    first = network.tensors[network.inputs[0]]
    # The ends of its 8 bits are those of a pixel's.
    signed = layers.Rescaling(first.most - first.least, first.least, name="signed")(pixels)
    found: dict[int, Any] = {network.inputs[0]: signed}
    whole = None
    weights: list[tuple[keras.layers.Layer, list[Any]]] = []
    for number, one in enumerate(network.operators):
        name = f"{one.kind}{number}"
        x = found[one.inputs[0]]
        if one.kind in ("convolution", "depthwise"):
            layer, values = _convolution(one, network, name)
            x = layer(x)
            weights.append((layer, values))
            if one.kind == "convolution" and x.shape[-1] == last_channels:
                return x, weights
            result = network.tensors[one.output]
            if result.least == 0.0:
                x = layers.ReLU(result.most, name=f"{name}_relu")(x)
        elif one.kind == "add":
            x = layers.Add(name=name)([x, found[one.inputs[1]]])
        elif one.kind == "average_pool":
            whole = x
            x = layers.GlobalAveragePooling2D(keepdims=True, name=name)(x)
        elif one.kind == "resize_bilinear":
            # Only of averages of the whole picture.
            if whole is None or network.tensors[one.inputs[0]].shape[1:3] != (1, 1):
                raise WeightsError(f"operator {number}, {one.kind}, is not known here")
            x = SpreadOver(name=name)([x, whole])
        elif one.kind == "concatenation":
            x = layers.Concatenate(name=name)([found[source] for source in one.inputs])
        elif one.kind != "quantize":
            raise WeightsError(f"operator {number}, {one.kind}, is not known here")
        found[one.output] = x
    raise WeightsError(f"the network has no scores of {last_channels} classes")


def _convolution(
    one: Operator, network: TFLiteNetwork, name: str
) -> tuple[keras.layers.Layer, list[Any]]:
    kernel, bias = network.weights_of(one)
    options = {"padding": one.padding, "dilation_rate": one.dilation, "name": name}
    if one.kind == "depthwise":
        layer = DepthwiseConv2D(len(kernel), one.stride, **options)
    else:
        layer = keras.layers.Conv2D(len(bias), len(kernel), one.stride, **options)
    return layer, [kernel, bias]
