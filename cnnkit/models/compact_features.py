"""What pictures are told apart by on the compact network: pooled activations of several layers."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from cnnkit.errors import UsageError
from cnnkit.models.unrolled import unroll_model
from cnnkit.models.vgg import COMPACT_LAST_LAYER

# What the classes of the compact network are told by: averages and maxima over the whole picture,
# and the maxima over its quarters, which say where things are. Found on Caltech-101.
WHOLE_LAYERS = {
    "block3_conv4": ("mean", "max"),
    "block4_conv4": ("mean", "max"),
    COMPACT_LAST_LAYER: ("mean",),
}
_COMPACT_STRIDE = 16


def compact_features(network: keras.Model, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """The input, what the classes are told by, and the deepest maps of a compact feature network.

    Args:
        network: with the layers of `WHOLE_LAYERS`; RGB `(N, height, width, 3)` in [0, 1].
        shape: of the pictures, `(height, width, 3)`, see `check_compact_shape`.

    Returns:
        Tensors of Keras: the input, `(N, features)`, and `(N, height / 16, width / 16, channels)`.
    """
    layers = keras.layers
    inputs = keras.Input(shape, name="picture")
    found: dict[str, Any] = {}
    unroll_model(network, [inputs], found)
    # With batch normalisation the activations are those behind it.
    maps = {layer: found.get(f"{layer}_relu", found.get(layer)) for layer in WHOLE_LAYERS}
    pools = {"mean": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
    parts = [
        pools[kind](name=f"{layer}_{kind}")(maps[layer])
        for layer, kinds in WHOLE_LAYERS.items()
        for kind in kinds
    ]
    deepest = maps[COMPACT_LAST_LAYER]
    quarter = tuple(math.ceil(side / 2) for side in deepest.shape[1:3])
    grid = layers.MaxPooling2D(quarter, padding="same", name="quarters")(deepest)
    parts.append(layers.Flatten(name="quarters_max")(grid))
    return inputs, layers.Concatenate(name="features")(parts), deepest


def check_compact_shape(shape: tuple[int, ...]) -> None:
    """Refuses shapes that the compact network cannot see.

    Raises:
        UsageError: it is one.
    """
    if len(shape) != 3 or shape[-1] != 3 or min(shape[:2]) < 2 * _COMPACT_STRIDE:
        raise UsageError(
            f"compact takes pictures of 3 channels and {2 * _COMPACT_STRIDE} pixels or more a "
            f"side, not {sizes_of(shape)}"
        )


def sizes_of(shape: Sequence[int | None]) -> str:
    """A shape for messages.

    >>> sizes_of((None, 8, 3))
    'anyx8x3'
    """
    return "x".join("any" if size is None else str(size) for size in shape)
