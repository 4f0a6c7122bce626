"""LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998) for small grey pictures."""

from collections.abc import Sequence

import keras

from cnnkit.models._arguments import check_classes, check_input_shape

# Two convolutions of 5 and two poolings of 2 leave one place of 16: ((16 - 4) / 2 - 4) / 2.
_SMALLEST = 16


def build_lenet5(
    input_shape: Sequence[int] = (32, 32, 1),
    classes: int = 10,
    *,
    activation: str = "tanh",
    name: str = "lenet5",
) -> keras.Model:
    """Builds LeNet-5: two convolutions, each with a pooling, and three dense layers.

    The layers bear the paper's names. Departures from it: C3 sees all six maps of S2, not a chosen
    few of them; S2 and S4 average without weights of their own; the last layer is a softmax, not
    radial basis functions; tanh is not stretched.

    Args:
        input_shape: `(height, width, channels)`, at least 16 pixels each way; the paper has 32.
        classes: number of classes.
        activation: "tanh" as in the paper, or another of Keras'.
        name: of the model.

    Returns:
        A `keras.Model`: `(batch, height, width, channels)` -> probabilities `(batch, classes)`.
        With the default shape it has 61,706 weights.

    Raises:
        ValueError: a shape that is too small, or no class.

    Example:

    >>> build_lenet5().count_params()
    61706
    """
    input_shape = check_input_shape(input_shape, axes=2, smallest=_SMALLEST)
    check_classes(classes)
    layers = keras.layers
    x = inputs = keras.Input(input_shape, name="picture")
    x = layers.Conv2D(6, 5, activation=activation, name="C1")(x)
    x = layers.AveragePooling2D(2, name="S2")(x)
    x = layers.Conv2D(16, 5, activation=activation, name="C3")(x)
    x = layers.AveragePooling2D(2, name="S4")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, activation=activation, name="C5")(x)
    x = layers.Dense(84, activation=activation, name="F6")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=name)
