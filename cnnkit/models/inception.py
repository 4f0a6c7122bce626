"""GoogLeNet, the first Inception network (Szegedy et al. 2014)."""

from collections.abc import Sequence
from typing import Any

import keras

from cnnkit.models._arguments import check_classes, check_input_shape
from cnnkit.models._local_response import LocalResponseNormalization

# Table 1 of the paper: filters of 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
# The share of each auxiliary loss in the loss (section 5 of the paper).
AUXILIARY_LOSS_WEIGHT = 0.3

# After these modules hang the auxiliary heads, before these a pooling halves the maps.
_AUXILIARY_AFTER = ("4a", "4d")
_POOL_BEFORE = ("4a", "5a")
_SMALLEST = 32
# The pooling of 5 in the auxiliary heads needs 5 places after four steps of stride 2.
_SMALLEST_WITH_HEADS = 65


def build_inception(
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    *,
    auxiliary: bool = False,
    local_response: bool = True,
    dropout: float = 0.4,
    name: str = "inception",
) -> keras.Model:
    """Builds GoogLeNet: nine modules that look with windows of 1, 3 and 5 at once.

    A module joins four branches: 1x1; 3x3; 5x5; and a 3x3 maximum. 1x1 convolutions narrow what
    the larger windows see, which keeps the network at 7 million weights. All convolutions end in a
    ReLU, and pad so that the size is kept or halved, rounded up.

    Args:
        input_shape: `(height, width, channels)`, at least 32 pixels each way, 65 with auxiliary
            heads.
        classes: number of classes.
        auxiliary: add the two heads of the paper that help to train the lower layers; they are
            left out where the network is used. Their losses count by `AUXILIARY_LOSS_WEIGHT`.
        local_response: normalise after the first pooling and before the second.
        dropout: share of the last 1024 numbers that is left out in training.
        name: of the model.

    Returns:
        A `keras.Model`: `(batch, height, width, channels)` -> probabilities `(batch, classes)`.
        With auxiliary heads, a dict of three such: "predictions", "auxiliary1", "auxiliary2".
        With the default shape it has 6,998,552 weights, with the heads 13,378,280.

    Raises:
        ValueError: a shape that is too small, or no class.

    Example:

    >>> model = build_inception((64, 64, 3), classes=10)
    >>> model.get_layer("inception_5b").output.shape
    (None, 2, 2, 1024)
    """
    smallest = _SMALLEST_WITH_HEADS if auxiliary else _SMALLEST
    input_shape = check_input_shape(input_shape, axes=2, smallest=smallest)
    check_classes(classes)
    layers = keras.layers
    x = inputs = keras.Input(input_shape, name="picture")
    x = _convolution(x, 64, 7, "conv1", strides=2)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    if local_response:
        x = LocalResponseNormalization(name="norm1")(x)
    x = _convolution(x, 64, 1, "conv2_reduce")
    x = _convolution(x, 192, 3, "conv2")
    if local_response:
        x = LocalResponseNormalization(name="norm2")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool2")(x)
    outputs = {}
    for module, filters in MODULES.items():
        if module in _POOL_BEFORE:
            x = layers.MaxPooling2D(3, 2, padding="same", name=f"pool{int(module[0]) - 1}")(x)
        x = _module(x, filters, f"inception_{module}")
        if auxiliary and module in _AUXILIARY_AFTER:
            head = f"auxiliary{_AUXILIARY_AFTER.index(module) + 1}"
            outputs[head] = _auxiliary_head(x, classes, head)
    x = layers.GlobalAveragePooling2D(name="pool5")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, {"predictions": x, **outputs} if auxiliary else x, name=name)


def _module(x: Any, filters: Sequence[int], name: str) -> Any:
    one, reduce_three, three, reduce_five, five, projection = filters
    branches = [
        _convolution(x, one, 1, f"{name}_1x1"),
        _convolution(
            _convolution(x, reduce_three, 1, f"{name}_3x3_reduce"), three, 3, f"{name}_3x3"
        ),
        _convolution(_convolution(x, reduce_five, 1, f"{name}_5x5_reduce"), five, 5, f"{name}_5x5"),
        _convolution(
            keras.layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x),
            projection,
            1,
            f"{name}_pool_projection",
        ),
    ]
    return keras.layers.Concatenate(name=name)(branches)


def _auxiliary_head(x: Any, classes: int, name: str) -> Any:
    layers = keras.layers
    x = layers.AveragePooling2D(5, 3, name=f"{name}_pool")(x)
    x = _convolution(x, 128, 1, f"{name}_conv")
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(1024, activation="relu", name=f"{name}_fc")(x)
    x = layers.Dropout(0.7, name=f"{name}_dropout")(x)
    return layers.Dense(classes, activation="softmax", name=name)(x)


def _convolution(x: Any, filters: int, size: int, name: str, strides: int = 1) -> Any:
    return keras.layers.Conv2D(
        filters, size, strides=strides, padding="same", activation="relu", name=name
    )(x)
