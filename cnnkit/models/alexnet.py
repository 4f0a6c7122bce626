"""AlexNet (Krizhevsky, Sutskever & Hinton 2012), in two towers or in one."""

from collections.abc import Sequence

import keras

from cnnkit.models._arguments import check_choice, check_classes, check_input_shape
from cnnkit.models._local_response import LocalResponseNormalization

# conv1 and three poolings of 3 with stride 2 leave one place of 67: (67 - 11) / 4 + 1 = 15, then
# 7, 3 and 1.
_SMALLEST = 67


def build_alexnet(
    input_shape: Sequence[int] = (227, 227, 3),
    classes: int = 1000,
    *,
    towers: int = 2,
    hidden: int = 4096,
    dropout: float = 0.5,
    name: str = "alexnet",
) -> keras.Model:
    """Builds AlexNet: five convolutions, overlapping pooling, three dense layers, dropout.

    The paper spread the network over two graphics cards. conv2, conv4 and conv5 there see only the
    maps of their own card: a convolution in two groups. Departures from the paper: it says 224
    pixels, but only 227 give its 55 x 55 maps; its last layers are trained like the rest, with
    Keras' initial weights.

    Args:
        input_shape: `(height, width, channels)`, at least 67 pixels each way.
        classes: number of classes.
        towers: 2 as in the paper (60,965,224 weights), or 1 (62,378,344).
        hidden: units of the first two dense layers.
        dropout: share of them that is left out in training.
        name: of the model.

    Returns:
        A `keras.Model`: `(batch, height, width, channels)` -> probabilities `(batch, classes)`.

    Raises:
        ValueError: a shape that is too small, no class, or neither one tower nor two.

    Example:

    >>> model = build_alexnet(classes=10, hidden=64)
    >>> model.get_layer("conv1").output.shape
    (None, 55, 55, 96)
    """
    input_shape = check_input_shape(input_shape, axes=2, smallest=_SMALLEST)
    check_classes(classes)
    check_choice("towers", towers, (1, 2))
    layers = keras.layers
    x = inputs = keras.Input(input_shape, name="picture")
    x = layers.Conv2D(96, 11, strides=4, activation="relu", name="conv1")(x)
    x = LocalResponseNormalization(name="norm1")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = _convolution(256, 5, towers, "conv2")(x)
    x = LocalResponseNormalization(name="norm2")(x)
    x = layers.MaxPooling2D(3, 2, name="pool2")(x)
    x = _convolution(384, 3, 1, "conv3")(x)
    x = _convolution(384, 3, towers, "conv4")(x)
    x = _convolution(256, 3, towers, "conv5")(x)
    x = layers.MaxPooling2D(3, 2, name="pool5")(x)
    x = layers.Flatten(name="flatten")(x)
    for dense in ("fc6", "fc7"):
        x = layers.Dense(hidden, activation="relu", name=dense)(x)
        x = layers.Dropout(dropout, name=f"{dense}_dropout")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=name)


def _convolution(filters: int, size: int, groups: int, name: str) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        filters, size, padding="same", groups=groups, activation="relu", name=name
    )
