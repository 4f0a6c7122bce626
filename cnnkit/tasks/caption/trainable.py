"""Captioners to be trained: a decoder on EfficientNet-Lite0 or on the compact network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from cnnkit.errors import UsageError
from cnnkit.models.caption_encoder import (
    ENCODER,
    build_lite0_encoder,
    lite0_tensors,
    seen_tensors,
)
from cnnkit.models.captioner import build_captioner, encoder_of
from cnnkit.models.compact_features import (
    WHOLE_LAYERS,
    check_compact_shape,
    compact_features,
)
from cnnkit.models.transfer import backbone_layers, freeze_backbone
from cnnkit.models.vgg import build_feature_network
from cnnkit.tasks.caption.settings import TrainSettings
from cnnkit.weights import fingerprint, locate

# Places along each side that attention looks at on the compact network.
_PLACES = 5


@dataclass(frozen=True, eq=False)
class TrainableCaptioner:
    """A captioner with a random decoder on a trained encoder.

    Attributes:
        model: as `build_captioner` makes it; where the encoder is not part of it, its first input
            is what the encoder says.
        encoder: pictures -> what it says of them, `(batch, D)`.
        pretrained: layers of `model` that come trained.
        settings: what the file says of the encoder.
    """

    model: keras.Model
    encoder: keras.Model
    pretrained: Sequence[keras.layers.Layer]
    settings: Mapping[str, Any]


def build_trainable_captioner(settings: TrainSettings, vocabulary_size: int) -> TrainableCaptioner:
    """A captioner to be trained.

    EfficientNet-Lite0 is no part of it while it stays as it is: its weights are those of a package
    that cnnkit needs anyway, and the file of the captioner is small.

    Args:
        settings: of the training.
        vocabulary_size: words and signs.

    Raises:
        UsageError: pictures that are too small for the network, or more layers to train than it
            has.
        WeightsError: the package that carries the weights is missing or damaged.
    """
    shape = (settings.side, settings.side, 3)
    about: dict[str, Any] = {"backbone": settings.backbone, "side": settings.side}
    is_apart = settings.backbone == ENCODER and settings.transfer == "head"
    if is_apart:
        picture, features, grid = seen_tensors(settings.side)
        about["backbone_hash"] = fingerprint(locate(ENCODER))
    elif settings.backbone == ENCODER:
        picture, features, grid = lite0_tensors(settings.side)
    else:
        check_compact_shape(shape)
        network = build_feature_network("compact", [*WHOLE_LAYERS]).model
        picture, features, deepest = compact_features(network, shape)
        pool = math.ceil(deepest.shape[1] / _PLACES)
        grid = keras.layers.AveragePooling2D(pool, padding="same", name="grid_mean")(deepest)
    before = {layer.name for layer in keras.Model(picture, [features, grid]).layers}
    model = build_captioner(
        picture,
        features,
        grid,
        vocabulary_size,
        cell=settings.cell,
        units=settings.units,
        embedding=settings.embedding,
        attention=settings.attention,
        dropout=settings.dropout,
    )
    if is_apart:
        return TrainableCaptioner(model, build_lite0_encoder(settings.side), (), about)
    if settings.backbone == ENCODER:
        known = [layer for layer in model.layers if layer.name in before and layer.weights]
        pretrained = _thaw_convolutions(known, settings.transfer)
    else:
        freeze_backbone(model, settings.transfer)
        pretrained = backbone_layers(model)
    return TrainableCaptioner(model, encoder_of(model), pretrained, about)


def _thaw_convolutions(
    layers: Sequence[keras.layers.Layer], transfer: str
) -> list[keras.layers.Layer]:
    """Lets the last convolutions train, as "last:N" or "all" says, and gives all convolutions.

    Normalisations keep their statistics, which come from a million pictures.
    """
    kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense
    convolutions = [layer for layer in layers if isinstance(layer, kinds)]
    count = len(convolutions)
    trained = count if transfer == "all" else int(transfer.removeprefix("last:"))
    if trained > count:
        raise UsageError(
            f"{ENCODER} has {count} layers with trained weights, fewer than the {trained} of "
            f"{transfer}"
        )
    for layer in layers:
        layer.trainable = False
    for layer in convolutions[count - trained :]:
        layer.trainable = True
    return convolutions
