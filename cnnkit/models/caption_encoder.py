"""What a captioner sees of a picture with EfficientNet-Lite0, as one vector.

The network's weights stay where they come from; a captioner's file has the decoder alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit.data.imagenet import SeenName, name_seen
from cnnkit.data.text import NAME, Vocabulary

if TYPE_CHECKING:
    import keras

ENCODER = "efficientnet-lite0"
# Side of the pictures, in pixels: a little more than the network was trained with, so that what is
# small in a scene is seen.
SIDE = 256
_STRIDE, _CHANNELS, _POOLED, _NAMES, _SUREST = 32, 320, 1280, 1000, 5


@dataclass(frozen=True)
class SeenParts:
    """The parts of what the encoder says of a picture, in their order.

    Attributes:
        pooled: features of the whole picture.
        names: probabilities of ImageNet's classes.
        surest: the largest of them once more, in their order: how sure the classifier is tells
            whether there is one thing to be named.
        grid: rows, columns and channels of the maps that attention looks at.
    """

    pooled: int
    names: int
    surest: int
    grid: tuple[int, int, int]

    @property
    def whole(self) -> int:
        """Numbers that are of the whole picture."""
        return self.pooled + self.names + self.surest

    @property
    def size(self) -> int:
        """All numbers together.

        >>> seen_parts(256).size
        22765
        """
        return self.whole + math.prod(self.grid)

    def names_of(self, seen: Any) -> Any:
        """The probabilities of ImageNet's classes `(..., 1000)` in what is seen `(..., size)`."""
        return seen[..., self.pooled : self.pooled + self.names]


def seen_parts(side: int = SIDE) -> SeenParts:
    """What the encoder says of square pictures.

    >>> seen_parts(64)
    SeenParts(pooled=1280, names=1000, surest=5, grid=(2, 2, 320))
    """
    places = math.ceil(side / _STRIDE)
    return SeenParts(_POOLED, _NAMES, _SUREST, (places, places, _CHANNELS))


def build_lite0_encoder(side: int = SIDE) -> "keras.Model":
    """EfficientNet-Lite0 as a captioner's encoder, frozen.

    Args:
        side: of the pictures, at least 32 pixels.

    Returns:
        A `keras.Model`: RGB in [0, 1] `(batch, side, side, 3)` -> `(batch, size)`, laid out as
        `seen_parts` says: pooled features, probabilities of ImageNet's 1,000 classes, the five
        largest of these, and the deepest maps before the last convolution, row by row.

    Raises:
        ValueError: pictures that are too small.
        WeightsError: the package that carries the weights is missing or damaged.
    """
    import keras

    picture, whole, grid = lite0_tensors(side)
    layers = keras.layers
    seen = layers.Concatenate(name="seen")([whole, layers.Flatten(name="places")(grid)])
    model = keras.Model(picture, seen, name="encoder")
    model.trainable = False
    return model


def lite0_tensors(side: int = SIDE) -> tuple[Any, Any, Any]:
    """The input of EfficientNet-Lite0, what it says of the whole picture, and its maps.

    Args:
        side: see `build_lite0_encoder`.

    Returns:
        Tensors of one graph: `(batch, side, side, 3)`, `(batch, 2285)` and `(batch, rows, columns,
        320)`.
    """
    import keras

    from cnnkit.models.efficientnet_lite import (
        POOLED_LAYER,
        build_trained_efficientnet_lite0,
        feature_layers,
    )

    network = build_trained_efficientnet_lite0((side, side, 3))
    pooled, names = network.get_layer(POOLED_LAYER).output, network.outputs[0]
    surest, _ = keras.ops.top_k(names, _SUREST)
    whole = keras.layers.Concatenate(name="whole")([pooled, names, surest])
    return network.inputs[0], whole, network.get_layer(feature_layers()[_STRIDE]).output


def seen_tensors(side: int = SIDE) -> tuple[Any, Any, Any]:
    """What `build_lite0_encoder` says as an input, and its parts, for a decoder without encoder.

    Args:
        side: of the encoder's pictures.

    Returns:
        Tensors of one graph: `(batch, size)`, `(batch, 2285)` and `(batch, rows, columns, 320)`.
    """
    import keras

    parts = seen_parts(side)
    seen = keras.Input((parts.size,), name="picture_encoding")
    return (
        seen,
        seen[:, : parts.whole],
        keras.ops.reshape(seen[:, parts.whole :], (-1, *parts.grid)),
    )


def names_seen(
    encodings: np.ndarray, settings: Mapping[str, Any], vocabulary: Vocabulary
) -> list[SeenName]:
    """What stands for `NAME` in sentences about pictures.

    Args:
        encodings: `(N, D)`, what the encoder says of each picture.
        settings: of the captioner's file.
        vocabulary: of the captioner; without `NAME` nothing is looked for.
    """
    if NAME not in vocabulary.tokens or settings.get("backbone") != ENCODER:
        return [SeenName("", 1.0)] * len(encodings)
    return [name_seen(one) for one in seen_parts(settings["side"]).names_of(encodings)]
