"""What the units of a layer say to a picture."""

from collections.abc import Sequence

import keras
import numpy as np

from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.pipelines._network_input import network_input
from cnnkit.pipelines._networks import ViewedNetwork, load_viewed_network
from cnnkit.results import ActivationMaps

LONG_SIDE = 512
DEFAULT_MAPS = 24


def visualize_activations(
    picture: Picture,
    layer: str,
    *,
    model: str = "compact",
    pixels: str = "unit",
    maps: int = DEFAULT_MAPS,
    channels: Sequence[int] | None = None,
    size: int = LONG_SIDE,
) -> ActivationMaps:
    """Shows the activations of a layer, those with the highest mean first.

    Args:
        picture: of any size; networks of a fixed size see the whole of it, stretched.
        layer: name of a layer, see `ViewedNetwork.resolve`; of maps, or dense.
        model: one of `options.VIEWABLE`, a run or a `.keras` file.
        pixels: what a file's network expects, see `load_viewed_network`.
        maps: number of channels, the strongest.
        channels: these, in this order, instead of the strongest.
        size: long side at which a network that takes any size sees the picture, at most.

    Returns:
        An `ActivationMaps`.

    Raises:
        UsageError: no such layer or channel.
        WeightsError: the network's weights are not here.

    Example:

    >>> found = visualize_activations(
    ...     Picture(np.ones((32, 48, 3), np.float32)), "block2_conv1", maps=3
    ... )
    >>> found.maps.shape, len(found.means)
    ((16, 24, 3), 32)
    """
    network = load_viewed_network(model, pixels)
    return layer_activations(network, picture, layer, maps=maps, channels=channels, size=size)


def layer_activations(
    network: ViewedNetwork,
    picture: Picture,
    layer: str,
    *,
    maps: int = DEFAULT_MAPS,
    channels: Sequence[int] | None = None,
    size: int = LONG_SIDE,
) -> ActivationMaps:
    """`visualize_activations` of a network that is loaded already."""
    layer = network.resolve(layer)
    rank = len(network.outputs[layer].shape)
    if rank not in (2, 4):
        shape = tuple(network.outputs[layer].shape[1:])
        raise UsageError(f"{layer} has outputs of shape {shape}, no maps and no vector")
    image = network_input(network, picture, size)
    values = keras.ops.convert_to_numpy(network.submodel([layer])(image)[layer])[0]
    is_map = rank == 4
    values = values if is_map else values[None, None]
    places = (0, 1)
    means, peaks = values.mean(places), values.max(places)
    if channels is None:
        chosen = np.argsort(-means, kind="stable")[: max(1, maps)]
    else:
        chosen = np.array(list(channels), int)
        wrong = [channel for channel in chosen if not 0 <= channel < len(means)]
        if wrong:
            raise UsageError(f"{layer} has the channels 0 to {len(means) - 1}, not {wrong[0]}")
    return ActivationMaps(
        layer,
        tuple(int(channel) for channel in chosen),
        values[..., chosen],
        means,
        peaks,
        (values > 0).mean(places, dtype=np.float32),
        is_map,
        tuple(image.shape[1:3]),
        network.name,
    )
