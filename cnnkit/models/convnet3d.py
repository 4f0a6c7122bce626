"""A small convolutional network for volumes: three axes, such as tomographies and short films."""

from collections.abc import Sequence

import keras

from cnnkit.models._arguments import check_classes, check_input_shape, smallest_input


def build_convnet3d(
    input_shape: Sequence[int] = (32, 32, 32, 1),
    classes: int = 10,
    *,
    filters: Sequence[int] = (16, 32),
    kernel_size: int = 5,
    pool_size: int = 2,
    name: str = "convnet3d",
) -> keras.Model:
    """Builds convolutions in space, each with a pooling, and an average before the softmax.

    The average over all places lets the same weights serve volumes of any size.

    Args:
        input_shape: `(depth, height, width, channels)`; depth may be time.
        classes: number of classes.
        filters: of each convolution.
        kernel_size: of each convolution, which pads nothing.
        pool_size: of the maximum after each convolution; 1 for none.
        name: of the model.

    Returns:
        A `keras.Model`: `(batch, depth, height, width, channels)` -> probabilities
        `(batch, classes)`.

    Raises:
        ValueError: a volume too small for the convolutions, or no class or convolution.

    Example:

    >>> model = build_convnet3d((14, 14, 14, 1), pool_size=1)
    >>> [model.get_layer(layer).output.shape[1:] for layer in ("conv1", "conv2")]
    [(10, 10, 10, 16), (6, 6, 6, 32)]
    """
    smallest = smallest_input(filters, kernel_size, pool_size)
    input_shape = check_input_shape(input_shape, axes=3, smallest=smallest)
    check_classes(classes)
    layers = keras.layers
    x = inputs = keras.Input(input_shape, name="volume")
    for number, count in enumerate(filters, start=1):
        x = layers.Conv3D(count, kernel_size, activation="relu", name=f"conv{number}")(x)
        if pool_size > 1:
            x = layers.MaxPooling3D(pool_size, name=f"pool{number}")(x)
    x = layers.GlobalAveragePooling3D(name="average")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=name)
