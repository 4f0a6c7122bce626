"""Captioners to be trained: a decoder on the compact network."""

import math
from typing import Any

import keras

from cnnkit.models.captioner import build_captioner
from cnnkit.models.vgg import build_feature_network
from cnnkit.options import CaptionTrainOptions
from cnnkit.training._classifiers import WHOLE_LAYERS, check_compact_shape, compact_features
from cnnkit.training._segment_networks import freeze_backbone

# Places along each side that attention looks at.
_PLACES = 5


def build_trainable_captioner(options: CaptionTrainOptions, vocabulary_size: int) -> keras.Model:
    """A captioner with a random decoder on the trained compact network.

    Args:
        options: of the training.
        vocabulary_size: words and signs.

    Raises:
        UsageError: pictures that are too small for the network, or more layers to train than it
            has.
    """
    shape = (options.size, options.size, 3)
    check_compact_shape(shape)
    network = build_feature_network("compact", [*WHOLE_LAYERS]).model
    picture, features, deepest = compact_features(network, shape)
    pool = math.ceil(deepest.shape[1] / _PLACES)
    grid: Any = keras.layers.AveragePooling2D(pool, padding="same", name="grid_mean")(deepest)
    model = build_captioner(
        picture,
        features,
        grid,
        vocabulary_size,
        cell=options.cell,
        units=options.units,
        embedding=options.embedding,
        attention=options.attention,
        dropout=options.dropout,
    )
    freeze_backbone(model, options.transfer)
    return model
