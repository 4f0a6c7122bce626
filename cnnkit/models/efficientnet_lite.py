"""EfficientNet-Lite0 to 4 (Tan & Le 2019; the Lite variants by Google, 2020).

The paper's network is found by search at one size, B0, and made larger by *compound scaling*:
width, depth and resolution grow together. Lite is that network for small machines: without
squeeze-and-excitation blocks, with ReLU6 in the place of swish, and with the first and the last
convolution, and the number of blocks in the first and the last stage, at the size of B0.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.errors import WeightsError
from cnnkit.models._arguments import check_choice, check_classes, check_input_shape
from cnnkit.models._depthwise import DepthwiseConv2D
from cnnkit.weights import fingerprint, locate
from cnnkit.weights.torch_format import read_torch_tensors


@dataclass(frozen=True)
class Scale:
    """How much larger than B0 a network is.

    Attributes:
        width: channels, as a multiple of B0's.
        depth: blocks of a stage, as a multiple of B0's.
        resolution: of the pictures that it was made for, in pixels.
        dropout: share of the last layer's inputs that is left out in training.
    """

    width: float
    depth: float
    resolution: int
    dropout: float


# The compound scaling, from `efficientnet_lite_builder.py` of tensorflow/tpu.
SCALES = {
    "efficientnet-lite0": Scale(width=1.0, depth=1.0, resolution=224, dropout=0.2),
    "efficientnet-lite1": Scale(width=1.0, depth=1.1, resolution=240, dropout=0.2),
    "efficientnet-lite2": Scale(width=1.1, depth=1.2, resolution=260, dropout=0.3),
    "efficientnet-lite3": Scale(width=1.2, depth=1.4, resolution=280, dropout=0.3),
    "efficientnet-lite4": Scale(width=1.4, depth=1.8, resolution=300, dropout=0.3),
}


@dataclass(frozen=True)
class _Stage:
    """One row of the paper's table 1: blocks of one kind, the first of which has the stride."""

    expansion: int
    kernel_size: int
    channels: int
    blocks: int
    stride: int


_STAGES = (
    _Stage(expansion=1, kernel_size=3, channels=16, blocks=1, stride=1),
    _Stage(expansion=6, kernel_size=3, channels=24, blocks=2, stride=2),
    _Stage(expansion=6, kernel_size=5, channels=40, blocks=2, stride=2),
    _Stage(expansion=6, kernel_size=3, channels=80, blocks=3, stride=2),
    _Stage(expansion=6, kernel_size=5, channels=112, blocks=3, stride=1),
    _Stage(expansion=6, kernel_size=5, channels=192, blocks=4, stride=2),
    _Stage(expansion=6, kernel_size=3, channels=320, blocks=1, stride=1),
)
_STEM_CHANNELS, _TOP_CHANNELS = 32, 1280
# The last stage before each halving, by the pixels from one place to the next.
_LAST_STAGE_OF_STRIDE = {2: 1, 4: 2, 8: 3, 16: 5, 32: 7}
_SMALLEST_SIDE = 32
_EPSILON, _MOMENTUM = 1e-3, 0.99
# The networks were trained on `(x - 127) / 128`, x from 0 to 255.
_MEAN, _DEVIATION = 127.0, 128.0

TOP_LAYER, POOLED_LAYER = "top_activation", "avg_pool"


def build_efficientnet_lite(
    variant: str = "efficientnet-lite0",
    input_shape: Sequence[int | None] | None = None,
    classes: int = 1000,
    *,
    rescale: bool = True,
    dropout: float | None = None,
    drop_connect: float = 0.2,
) -> keras.Model:
    """Builds an EfficientNet-Lite.

    A block is MobileNet-V2's: a 1x1 convolution widens, a depthwise convolution looks at each
    channel, a 1x1 convolution without activation narrows, and the input is added where neither
    size nor channels change. Layers are named as in Keras' EfficientNet.

    Trainable weights of the five, with 1,000 classes: 4,652,008; 5,416,680; 6,092,072; 8,197,096;
    13,006,568.

    Args:
        variant: one of `SCALES`.
        input_shape: `(height, width, channels)`, at least 32 pixels a side, or None for sides of
            any size; the variant's own resolution by default.
        classes: number of classes.
        rescale: take pictures in [0, 1], and bring them to the range that the published weights
            were trained on, about [-1, 1].
        dropout: share of the last layer's inputs that is left out in training; the variant's own
            by default.
        drop_connect: probability with which training leaves out the last block (stochastic depth,
            Huang et al. 2016), growing linearly from the first block on.

    Returns:
        A `keras.Model`: `(batch, height, width, channels)` -> probabilities `(batch, classes)`.

    Raises:
        ValueError: an unknown variant, a shape that is too small, or no class.

    Example:

    >>> build_efficientnet_lite(input_shape=(64, 64, 3), classes=10).output_shape
    (None, 10)
    """
    check_choice("variant", variant, tuple(SCALES))
    check_classes(classes)
    scale = SCALES[variant]
    shape = tuple(input_shape or (scale.resolution, scale.resolution, 3))
    check_input_shape([_SMALLEST_SIDE if side is None else side for side in shape], 2, 32)
    layers = keras.layers
    x = inputs = keras.Input(shape, name="picture")
    if rescale:
        x = layers.Rescaling(255.0 / _DEVIATION, -_MEAN / _DEVIATION, name="rescale")(x)

    x = _normalized(
        layers.Conv2D(_STEM_CHANNELS, 3, 2, padding="same", use_bias=False, name="stem_conv")(x),
        "stem_bn",
        "stem_activation",
    )
    names = [name for stage in range(1, len(_STAGES) + 1) for name in _block_names(stage, scale)]
    for number, stage in enumerate(_STAGES, start=1):
        for name in _block_names(number, scale):
            stride = stage.stride if name.endswith("a") else 1
            share = drop_connect * names.index(name) / len(names)
            x = _block(x, stage, _scaled_channels(stage.channels, scale), stride, share, name)
    x = _normalized(
        layers.Conv2D(_TOP_CHANNELS, 1, padding="same", use_bias=False, name="top_conv")(x),
        "top_bn",
        TOP_LAYER,
    )
    x = layers.GlobalAveragePooling2D(name=POOLED_LAYER)(x)
    x = layers.Dropout(scale.dropout if dropout is None else dropout, name="top_dropout")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=variant)


def _scaled_channels(channels: int, scale: Scale) -> int:
    """A multiple of 8 near `width * channels`, and not below nine tenths of it."""
    wanted = scale.width * channels
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _block_names(number: int, scale: Scale) -> list[str]:
    """The blocks of a stage, counted from 1: "block2a", "block2b"."""
    blocks = _STAGES[number - 1].blocks
    if 1 < number < len(_STAGES):
        blocks = math.ceil(scale.depth * blocks)
    return [f"block{number}{chr(ord('a') + index)}" for index in range(blocks)]


def _normalized(x: Any, name: str, activation: str | None = None) -> Any:
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, momentum=_MOMENTUM, name=name)(x)
    return x if activation is None else keras.layers.ReLU(6.0, name=activation)(x)


def _block(
    x: Any, stage: _Stage, channels: int, stride: int, drop_connect: float, name: str
) -> Any:
    layers, given = keras.layers, x
    if stage.expansion > 1:
        wide = stage.expansion * x.shape[-1]
        x = layers.Conv2D(wide, 1, padding="same", use_bias=False, name=f"{name}_expand_conv")(x)
        x = _normalized(x, f"{name}_expand_bn", f"{name}_expand_activation")
    x = DepthwiseConv2D(
        stage.kernel_size, stride, padding="same", use_bias=False, name=f"{name}_dwconv"
    )(x)
    x = _normalized(x, f"{name}_bn", f"{name}_activation")
    x = layers.Conv2D(channels, 1, padding="same", use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalized(x, f"{name}_project_bn")
    if stride == 1 and given.shape[-1] == channels:
        if drop_connect > 0:
            x = layers.Dropout(drop_connect, (None, 1, 1, 1), name=f"{name}_drop")(x)
        x = layers.Add(name=f"{name}_add")([x, given])
    return x


def feature_layers(variant: str = "efficientnet-lite0") -> dict[int, str]:
    """The deepest layer at each stride, before the last convolution.

    Args:
        variant: one of `SCALES`.

    Returns:
        Stride in pixels -> layer name, from 2 to 32. Channels of Lite0: 16, 24, 40, 112, 320;
        `TOP_LAYER` has 1,280 at stride 32.

    >>> feature_layers()
    {2: 'block1a_project_bn', 4: 'block2b_add', 8: 'block3b_add', 16: 'block5c_add',
     32: 'block7a_project_bn'}
    """
    check_choice("variant", variant, tuple(SCALES))
    found = {}
    for stride, number in _LAST_STAGE_OF_STRIDE.items():
        blocks = _block_names(number, SCALES[variant])
        found[stride] = f"{blocks[-1]}_{'add' if len(blocks) > 1 else 'project_bn'}"
    return found


def build_trained_efficientnet_lite0(
    input_shape: Sequence[int | None] | None = None, *, dropout: float | None = None
) -> keras.Model:
    """Builds EfficientNet-Lite0 with the weights that it learned on ImageNet.

    Args:
        input_shape: `(height, width, 3)`, at least 32 pixels a side, or None for sides of any size;
            `(224, 224, 3)` by default, which it learned.
        dropout: see `build_efficientnet_lite`.

    Returns:
        A `keras.Model`: RGB in [0, 1] -> probabilities of 1,000 classes `(batch, 1000)`. Blocks
        are not left out where it is trained further, unlike in its own training.

    Raises:
        ValueError: a shape that is too small, or not of three channels.
        WeightsError: the package that carries the weights is missing or damaged.
    """
    if input_shape is not None and input_shape[-1] != 3:
        raise ValueError(f"input_shape must have 3 channels. Received: {tuple(input_shape)}")
    path = locate("efficientnet-lite0")
    model = build_efficientnet_lite(input_shape=input_shape, dropout=dropout, drop_connect=0.0)
    load_torch_weights(model, path)
    return model


def build_features(
    layers: Sequence[str], input_shape: Sequence[int | None] = (None, None, 3)
) -> tuple[keras.Model, str]:
    """EfficientNet-Lite0 as a frozen feature network, trained on ImageNet.

    Args:
        layers: names such as those of `feature_layers`, `TOP_LAYER` or `POOLED_LAYER`; the network
            ends at the deepest of them.
        input_shape: see `build_trained_efficientnet_lite0`.

    Returns:
        A frozen `keras.Model`: RGB in [0, 1] `(batch, height, width, 3)` -> dict of layer name to
        `(batch, ceil(height / stride), ceil(width / stride), channels)`, or of `POOLED_LAYER`
        `(batch, 1280)`; and the SHA-256 of its weights.

    Raises:
        ValueError: no layers, or one that the network does not have.
        WeightsError: the package that carries the weights is missing or damaged.

    Example:

    >>> strides = feature_layers()
    >>> model, _ = build_features([strides[8], strides[16]])
    >>> [output.shape[-1] for output in model.outputs]
    [40, 112]
    """
    whole = build_trained_efficientnet_lite0(input_shape)
    known = [layer.name for layer in whole.layers]
    unknown = [name for name in layers if name not in known]
    if unknown or not layers:
        raise ValueError(f"layers must be among {known}. Received: {list(layers)}")
    outputs = {name: whole.get_layer(name).output for name in layers}
    model = keras.Model(whole.inputs[0], outputs, name=whole.name)
    model.trainable = False
    return model, fingerprint(locate("efficientnet-lite0"))


def is_feature_layer(name: str) -> bool:
    """Whether a layer of a network that was built on an EfficientNet-Lite is of that.

    >>> is_feature_layer("block2a_dwconv"), is_feature_layer("block6_conv1")
    (True, False)
    """
    return re.match(r"stem_|block[1-7][a-z]_", name) is not None


def load_torch_weights(model: keras.Model, path: str | Path) -> None:
    """Gives a network the weights of a PyTorch file with the names of EfficientNet-PyTorch.

    Args:
        model: of `build_efficientnet_lite`.
        path: of the `.pth` file.

    Raises:
        WeightsError: the file cannot be read, or is of another network.
    """
    tensors = read_torch_tensors(path)
    blocks: list[str] = []
    for layer in model.layers:
        if not layer.weights:
            continue
        block, _, part = layer.name.partition("_")
        if block.startswith("block") and block not in blocks:
            blocks.append(block)
        if block in blocks:
            prefix = f"_blocks.{blocks.index(block)}.{_TORCH_PARTS[part]}"
        else:
            prefix = _TORCH_LAYERS[layer.name]
        values = [
            _to_keras(tensors.pop(f"{prefix}.{name}", np.zeros(0)), layer)
            for name in _TORCH_WEIGHTS[type(layer)]
        ]
        if [value.shape for value in values] != [tuple(one.shape) for one in layer.weights]:
            raise WeightsError(f"{path} is not the file of {model.name}: {layer.name} differs")
        layer.set_weights(values)
    more = [name for name in tensors if not name.endswith(".num_batches_tracked")]
    if more:
        raise WeightsError(f"{path} is not the file of {model.name}: it has {more[0]} too")


# Names of EfficientNet-PyTorch by those of Keras, and of their weights in Keras' order.
_TORCH_LAYERS = {
    **{"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"},
    "predictions": "_fc",
}
_TORCH_PARTS = {
    **{"expand_conv": "_expand_conv", "expand_bn": "_bn0", "dwconv": "_depthwise_conv"},
    **{"bn": "_bn1", "project_conv": "_project_conv", "project_bn": "_bn2"},
}
_TORCH_WEIGHTS = {
    keras.layers.BatchNormalization: ("weight", "bias", "running_mean", "running_var"),
    keras.layers.Conv2D: ("weight",),
    DepthwiseConv2D: ("weight",),
    keras.layers.Dense: ("weight", "bias"),
}


def _to_keras(values: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    """Brings PyTorch's axes, outputs before inputs, into the order of Keras."""
    if values.ndim == 4:
        # (out, in, h, w), or (channels, 1, h, w) of a depthwise kernel.
        is_depthwise = isinstance(layer, DepthwiseConv2D)
        return values.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))
    return values.T
