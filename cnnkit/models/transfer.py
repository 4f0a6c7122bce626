"""What of a network that comes trained learns again."""

import keras

from cnnkit.errors import UsageError
from cnnkit.models.detector import STAGES
from cnnkit.models.efficientnet_lite import is_feature_layer

# What the layers that come trained are called.
_PRETRAINED = (
    *(f"block{number}_" for number in range(1, 6)),
    *(f"{name}_" for name in STAGES),
    *("Conv1", "expanded_conv_", "block_"),
)
_CONVOLUTIONS = keras.layers.Conv2D, keras.layers.DepthwiseConv2D


def backbone_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The convolutions that come trained, in their order, each with its normalisation."""
    kinds = *_CONVOLUTIONS, keras.layers.BatchNormalization
    return [
        layer
        for layer in model.layers
        if isinstance(layer, kinds)
        and (layer.name.startswith(_PRETRAINED) or is_feature_layer(layer.name))
    ]


def freeze_backbone(model: keras.Model, transfer: str) -> None:
    """Lets train what "head", "last:N" or "all" says of the backbone.

    A normalisation goes with the convolution before it; where that does not train, the
    normalisation keeps its statistics in training too. Those of an EfficientNet-Lite always do:
    ImageNet's are better than those of a few small batches, and a step costs less.

    Raises:
        UsageError: N is more than there are layers.
    """
    layers = backbone_layers(model)
    convolutions = [layer for layer in layers if isinstance(layer, _CONVOLUTIONS)]
    trained = {"head": 0, "all": len(convolutions)}.get(transfer)
    if trained is None:
        trained = int(transfer.removeprefix("last:"))
        if trained > len(convolutions):
            raise UsageError(
                f"{model.name} has {len(convolutions)} layers with trained weights, "
                f"fewer than the {trained} of {transfer}"
            )
    begin = layers.index(convolutions[-trained]) if trained else len(layers)
    for index, layer in enumerate(layers):
        keeps = isinstance(layer, keras.layers.BatchNormalization) and is_feature_layer(layer.name)
        layer.trainable = index >= begin and not keeps
