"""A picture as a network takes it, and layers before their activation."""

from typing import Any

import numpy as np

from cnnkit.images import Picture, fit_size, resize
from cnnkit.ops.color import LUMA

# The VGG family halves five times; what is smaller would leave no place in its last layers.
_SMALLEST_SIDE = 32


def fit_picture(
    picture: Picture, size: tuple[int, int] | None, channels: int, long_side: int
) -> np.ndarray:
    """A picture of a size, or of its own shape where `size` is None.

    The shape is kept but for sides below 32 pixels, which are stretched to that.

    Args:
        picture: sRGB.
        size: height and width.
        channels: 3, or 1 for grey.
        long_side: at most, without a size.

    Returns:
        float32 `(height, width, channels)` in [0, 1].
    """
    height, width = picture.pixels.shape[:2]
    if size is None:
        fitted = fit_size(height, width, min(long_side, max(height, width)))
        size = max(_SMALLEST_SIDE, fitted[0]), max(_SMALLEST_SIDE, fitted[1])
    pixels = picture.pixels if channels == 3 else (picture.pixels @ LUMA)[..., None]
    return np.clip(resize(pixels, *size), 0.0, 1.0)


def linear_output(tensor: Any) -> Any:
    """What a layer computes before its activation function; the tensor itself where it has none.

    Args:
        tensor: output of a layer in the graph of a model.

    Returns:
        A tensor of the same graph: the input of a ReLU or softmax, or the output of a copy of the
        layer without its own activation. The copy has the same weights, not shared.
    """
    import keras

    history = tensor._keras_history
    layer = history.operation
    before = layer._inbound_nodes[history.node_index].input_tensors
    if type(layer).__name__ in ("ReLU", "Relu", "LeakyReLU", "Softmax", "Activation", "Sigmoid"):
        return before[0]
    if getattr(layer, "activation", keras.activations.linear) is keras.activations.linear:
        return tensor
    settings = {**layer.get_config(), "activation": "linear", "name": f"{layer.name}_linear"}
    copy = type(layer).from_config(settings)
    output = copy(before[0])
    copy.set_weights(layer.get_weights())
    return output
