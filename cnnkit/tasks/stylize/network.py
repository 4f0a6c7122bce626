"""Networks of drafts, in Keras."""

from pathlib import Path

import keras

from cnnkit.engine.networks import BuiltNetworks
from cnnkit.models._decoder_levels import entrance
from cnnkit.models.decoder import load_decoder
from cnnkit.models.vgg import build_feature_network
from cnnkit.tasks.stylize.settings import DECODER_LEVELS


def build(backbone: Path, decoder: Path) -> BuiltNetworks:
    """The compact backbone and its decoders, with average pooling.

    "encode" gives the activations of all levels, by the names of their layers; "encode1" and so on
    those of one level, and "decode1" and so on make a picture of them.

    Args:
        backbone: its weights, for the hash alone.
        decoder: weights of the decoders.

    Raises:
        WeightsError: a file is damaged.
    """
    network = build_feature_network(
        "compact", [entrance(level) for level in DECODER_LEVELS], "average"
    )
    layers, inputs = network.model.output, network.model.inputs[0]
    models = {"encode": network.model}
    for level in DECODER_LEVELS:
        models[f"encode{level}"] = keras.Model(inputs, layers[entrance(level)])
        models[f"decode{level}"] = load_decoder(level, decoder)
    return BuiltNetworks(models, {"name": network.name, "hash": network.hash})
