"""The kernels of a convolution as pictures."""

from typing import Any

import keras
import numpy as np

from cnnkit.errors import UsageError
from cnnkit.tasks.visualize.network import ViewedNetwork, load_viewed_network
from cnnkit.tasks.visualize.results import FilterPictures
from cnnkit.tasks.visualize.settings import FilterSettings

_KINDS = ("Conv2D",)


def visualize_filters(
    settings: FilterSettings | None = None,
    *,
    model: ViewedNetwork | str = "compact",
    pixels: str = "unit",
) -> FilterPictures:
    """The kernels of a layer; those of the first in colour, as they act on the picture.

    Whatever a network does to the picture first, as long as it is the same at each pixel and
    linear but for an offset (another order or scale of the channels), is part of the kernels: a
    unit's kernel is in RGB, however the network was trained.

    Args:
        settings: which kernels.
        model: see `load_viewed_network`.
        pixels: what a file's network expects, see `load_viewed_network`.

    Returns:
        A `FilterPictures`.

    Raises:
        UsageError: no such layer or unit, or a layer without kernels.
        WeightsError: the network's weights are not here.

    Example:

    >>> found = visualize_filters()
    >>> found.layer, found.kernels.shape
    ('block1_conv1', (16, 3, 3, 3))
    """
    settings = settings or FilterSettings()
    input_channel = settings.channel
    network = load_viewed_network(model, pixels)
    convolutions = [one.name for one in network.summary.layers if one.kind in _KINDS]
    if not convolutions:
        raise UsageError(f"{network.name} has no convolution")
    layer = convolutions[0] if settings.layer is None else network.resolve(settings.layer)
    if layer not in convolutions:
        raise UsageError(
            f"{layer} has no kernels; {network.name} has convolutions in: {', '.join(convolutions)}"
        )
    tensor = network.outputs[layer]
    history = tensor._keras_history
    convolution = history.operation
    # (H, W, in, out) -> (out, H, W, in)
    kernels = np.moveaxis(keras.ops.convert_to_numpy(convolution.kernel), -1, 0)
    units = tuple(range(len(kernels))) if settings.units is None else settings.units
    wrong = [unit for unit in units if not 0 <= unit < len(kernels)]
    if wrong:
        raise UsageError(f"{layer} has the filters 0 to {len(kernels) - 1}, not {wrong[0]}")
    channels = kernels.shape[-1]
    source = convolution._inbound_nodes[history.node_index].input_tensors[0]
    mixing = _mixing(network, source) if input_channel is None else None
    if mixing is not None:
        kernels = kernels @ mixing
    elif channels > 1:
        if input_channel is not None and not 0 <= input_channel < channels:
            raise UsageError(
                f"{layer} has the input channels 0 to {channels - 1}, not {input_channel}"
            )
        kernels = _one_channel(kernels, input_channel)
    return FilterPictures(
        layer,
        np.ascontiguousarray(kernels[list(units)], np.float32),
        units,
        channels,
        input_channel,
        network.name,
    )


def _one_channel(kernels: np.ndarray, channel: int | None) -> np.ndarray:
    """Of each kernel one channel, by default that with the largest norm: `(out, H, W, 1)`."""
    if channel is not None:
        return kernels[..., channel, None]
    strongest = np.square(kernels).sum(axis=(1, 2)).argmax(axis=-1)
    return np.take_along_axis(kernels, strongest[:, None, None, None], axis=-1)


def _mixing(network: ViewedNetwork, source: Any) -> np.ndarray | None:
    """How a layer's input comes from the picture: `(input channels, picture's channels)`.

    Measured and not read from the layers, so that any scaling or reordering will do. None where
    the input is something else than the picture, pixel by pixel.
    """
    picture = network.model.inputs[0]
    if source is picture:
        return np.eye(network.channels)
    model = keras.Model(picture, source)
    channels = network.channels
    size = network.input_size or (8, 8)
    grey = np.full((1, *size, channels), 0.5, np.float32)
    probes = np.repeat(grey, channels + 1, axis=0)
    row, column = size[0] // 2, size[1] // 2
    for channel in range(channels):
        probes[channel, row, column, channel] += 0.25
    seen = keras.ops.convert_to_numpy(model(probes)).astype(np.float64)
    if seen.ndim != 4:
        return None
    changes = (seen[:-1] - seen[-1]) / 0.25  # (C, h, w, in)
    # Padding may shift the pixel, but not spread it.
    places = np.argwhere(np.abs(changes).max(axis=(0, 3)) > 1e-6)
    if len(places) != 1:
        return None
    mixing = changes[:, places[0][0], places[0][1]].T
    # A layer before it that bends (a ReLU, say) would answer a step twice as large otherwise.
    probes[:-1] = 0.5 + 0.5 * (probes[:-1] - 0.5)
    half = keras.ops.convert_to_numpy(model(probes)).astype(np.float64)
    is_linear = np.allclose(half[:-1] - half[-1], 0.125 * changes, rtol=1e-3, atol=1e-3)
    return mixing if is_linear else None
