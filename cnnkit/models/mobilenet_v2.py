"""MobileNet-V2 (Sandler, Howard, Zhu, Zhmoginov & Chen 2018)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from cnnkit.errors import WeightsError
from cnnkit.models._arguments import check_classes, check_input_shape
from cnnkit.models._depthwise import DepthwiseConv2D
from cnnkit.weights import locate
from cnnkit.weights.tflite_format import read_tflite

# Table 2 of the paper: how many times wider a block is inside, channels, blocks, first stride.
STAGES = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)
FIRST_CHANNELS, LAST_CHANNELS = 32, 1280
# What other networks take from it, by the pixels from one place to the next.
MAPS = {8: "block_5_add", 16: "block_12_add", 32: "block_16_project"}
# Five steps of stride 2.
_SMALLEST = 32
# Keras Applications', so that its weights give the same activations.
_EPSILON, _MOMENTUM = 1e-3, 0.999


def build_mobilenet_v2(
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    *,
    batch_normalization: bool = True,
    signed: bool = False,
    name: str = "mobilenet-v2",
) -> keras.Model:
    """Builds MobileNet-V2: blocks that are wide inside, where they look, and narrow between.

    A block widens its channels six times by a 1x1 convolution, looks at each of them with a 3x3
    kernel of its own, and narrows them again by a 1x1 convolution without activation; where it
    changes neither size nor channels it adds what it was given. A depthwise and a 1x1 convolution
    take about a ninth of the work of a 3x3 convolution.

    Layer names are those of Keras' MobileNetV2, which it equals weight for weight: 3,538,984 of
    them, the statistics of batch normalisation included.

    Args:
        input_shape: `(height, width, channels)`, at least 32 pixels each way.
        classes: number of classes.
        batch_normalization: behind each convolution; without it, each has a bias.
        signed: take pictures in [0, 1], and bring them to [-1, 1], which published weights expect.
        name: of the model.

    Returns:
        A `keras.Model`: `(batch, height, width, channels)` -> probabilities `(batch, classes)`.

    Raises:
        ValueError: a shape that is too small, or no class.

    Example:

    >>> build_mobilenet_v2((64, 64, 3), classes=10).get_layer("block_16_project").output.shape
    (None, 2, 2, 320)
    """
    input_shape = check_input_shape(input_shape, axes=2, smallest=_SMALLEST)
    check_classes(classes)
    layers = keras.layers
    x = inputs = keras.Input(input_shape, name="picture")
    if signed:
        x = layers.Rescaling(2.0, -1.0, name="signed")(x)

    def convolve(x: Any, layer: keras.layers.Layer, norm: str, active: str | None) -> Any:
        x = layer(x)
        if batch_normalization:
            x = layers.BatchNormalization(epsilon=_EPSILON, momentum=_MOMENTUM, name=norm)(x)
        return x if active is None else layers.ReLU(6.0, name=active)(x)

    options: dict[str, Any] = {"padding": "same", "use_bias": not batch_normalization}

    def plain(filters: int, size: int, stride: int, name: str) -> keras.layers.Layer:
        return layers.Conv2D(filters, size, stride, name=name, **options)

    def depthwise(stride: int, name: str) -> keras.layers.Layer:
        return DepthwiseConv2D(3, stride, name=name, **options)

    x = convolve(x, plain(FIRST_CHANNELS, 3, 2, "Conv1"), "bn_Conv1", "Conv1_relu")
    number = 0
    for wider, channels, blocks, first_stride in STAGES:
        for block in range(blocks):
            before = f"block_{number}" if number else "expanded_conv"
            stride, given = first_stride if block == 0 else 1, x
            if wider > 1:
                expand = plain(wider * x.shape[-1], 1, 1, f"{before}_expand")
                x = convolve(x, expand, f"{before}_expand_BN", f"{before}_expand_relu")
            look = depthwise(stride, f"{before}_depthwise")
            x = convolve(x, look, f"{before}_depthwise_BN", f"{before}_depthwise_relu")
            project = plain(channels, 1, 1, f"{before}_project")
            x = convolve(x, project, f"{before}_project_BN", None)
            if block:
                x = layers.Add(name=f"{before}_add")([given, x])
            number += 1
    x = convolve(x, plain(LAST_CHANNELS, 1, 1, "Conv_1"), "Conv_1_bn", "out_relu")
    x = layers.GlobalAveragePooling2D(name="global_average_pooling2d")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=name)


def build_trained_mobilenet_v2(input_shape: Sequence[int] = (224, 224, 3)) -> keras.Model:
    """Builds MobileNet-V2 with the weights that it learned on ImageNet.

    Args:
        input_shape: `(height, width, 3)`, at least 32 pixels each way; it learned 224.

    Returns:
        A `keras.Model`: RGB in [0, 1] -> probabilities of 1,000 classes.

    Raises:
        ValueError: a shape that is too small, or not of three channels.
        WeightsError: the weights are not here; the message says how to get them.
    """
    if input_shape[-1] != 3:
        raise ValueError(f"input_shape must have 3 channels. Received: {tuple(input_shape)}")
    path = locate("mobilenet-v2")
    model = build_mobilenet_v2(input_shape, batch_normalization=False, signed=True)
    load_quantized_weights(model, path)
    return model


def load_quantized_weights(model: keras.Model, path: str | Path) -> None:
    """Gives a network the weights of its published TensorFlow Lite file, as real numbers.

    Args:
        model: of `build_mobilenet_v2` without batch normalisation, for the 1,000 classes of
            ImageNet; the file has a class before them that means none, which is left out.
        path: of `mobilenet_v2_1.0_224_quant.tflite`.

    Raises:
        WeightsError: the file cannot be read, or is of another network.
    """
    network = read_tflite(path)
    kinds = ("convolution", "depthwise")
    found = [one for one in network.operators if one.kind in kinds]
    taken = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    wanted = [layer for layer in model.layers if isinstance(layer, taken)]
    if len(found) != len(wanted):
        raise WeightsError(f"{path} is not the mobilenet-v2 file: it has {len(found)} convolutions")
    for layer, one in zip(wanted, found, strict=True):
        kernel, bias = network.weights_of(one)
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = kernel[0, 0, :, 1:], bias[1:]
        if [one.shape for one in (kernel, bias)] != [tuple(one.shape) for one in layer.weights]:
            raise WeightsError(f"{path} is not the mobilenet-v2 file: {layer.name} is another one")
        layer.set_weights([kernel, bias])
