"""A small convolutional network for signals: one axis, any number of channels."""

from collections.abc import Sequence

import keras

from cnnkit.models._arguments import check_classes, check_input_shape, smallest_input


def build_convnet1d(
    input_shape: Sequence[int] = (128, 1),
    classes: int = 10,
    *,
    filters: Sequence[int] = (16, 32),
    kernel_size: int = 5,
    pool_size: int = 2,
    name: str = "convnet1d",
) -> keras.Model:
    """Builds convolutions along time, each with a pooling, and an average before the softmax.

    The average over all places lets the same weights serve signals of any length.

    Args:
        input_shape: `(length, channels)`, such as one channel of an electrocardiogram or three of
            an accelerometer.
        classes: number of classes.
        filters: of each convolution.
        kernel_size: of each convolution, which pads nothing.
        pool_size: of the maximum after each convolution; 1 for none.
        name: of the model.

    Returns:
        A `keras.Model`: `(batch, length, channels)` -> probabilities `(batch, classes)`.

    Raises:
        ValueError: a signal too short for the convolutions, or no class or convolution.

    Example:

    >>> model = build_convnet1d((14, 1), pool_size=1)
    >>> [model.get_layer(layer).output.shape[1:] for layer in ("conv1", "conv2")]
    [(10, 16), (6, 32)]
    """
    smallest = smallest_input(filters, kernel_size, pool_size)
    input_shape = check_input_shape(input_shape, axes=1, smallest=smallest)
    check_classes(classes)
    layers = keras.layers
    x = inputs = keras.Input(input_shape, name="signal")
    for number, count in enumerate(filters, start=1):
        x = layers.Conv1D(count, kernel_size, activation="relu", name=f"conv{number}")(x)
        if pool_size > 1:
            x = layers.MaxPooling1D(pool_size, name=f"pool{number}")(x)
    x = layers.GlobalAveragePooling1D(name="average")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=name)
