"""Feature maps of a picture, layer by layer."""

import keras
import numpy as np

from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.tasks.visualize.network import ViewedNetwork, load_viewed_network
from cnnkit.tasks.visualize.results import ActivationMaps
from cnnkit.tasks.visualize.settings import ActivationSettings


def visualize_activations(
    picture: Picture,
    layer: str,
    settings: ActivationSettings | None = None,
    *,
    model: ViewedNetwork | str = "compact",
    pixels: str = "unit",
) -> ActivationMaps:
    """Computes the activations of a layer, those with the highest mean first.

    Args:
        picture: of any size; networks of a fixed size see the whole of it, stretched.
        layer: name of a layer, see `ViewedNetwork.resolve`; of maps, or dense.
        settings: which channels.
        model: see `load_viewed_network`.
        pixels: what a file's network expects, see `load_viewed_network`.

    Returns:
        An `ActivationMaps`.

    Raises:
        UsageError: no such layer or channel.
        WeightsError: the network's weights are not here.

    Example:

    >>> picture = Picture(np.ones((32, 48, 3), np.float32))
    >>> found = visualize_activations(picture, "block2_conv1", ActivationSettings(maps=3))
    >>> found.maps.shape, len(found.means)
    ((16, 24, 3), 32)
    """
    settings = settings or ActivationSettings()
    network = load_viewed_network(model, pixels)
    layer = network.resolve(layer)
    rank = len(network.outputs[layer].shape)
    if rank not in (2, 4):
        shape = tuple(network.outputs[layer].shape[1:])
        raise UsageError(f"{layer} has outputs of shape {shape}, no maps and no vector")
    image = network.input_of(picture, settings.size)
    values = keras.ops.convert_to_numpy(network.submodel([layer])(image)[layer])[0]
    is_map = rank == 4
    values = values if is_map else values[None, None]
    places = (0, 1)
    means, peaks = values.mean(places), values.max(places)
    if settings.channels is None:
        chosen = np.argsort(-means, kind="stable")[: settings.maps]
    else:
        chosen = np.array(settings.channels, int)
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
        settings.channels is None,
        (image.shape[1], image.shape[2]),
        network.name,
        picture,
    )
