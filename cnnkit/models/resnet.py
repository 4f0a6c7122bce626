"""Residual networks (He, Zhang, Ren & Sun 2015) of 18, 34 and 50 layers."""

from collections.abc import Sequence
from typing import Any

import keras

from cnnkit.models._arguments import check_choice, check_classes, check_input_shape

# Blocks of each stage (table 1 of the paper), and whether a block is a bottleneck.
RESNETS = {18: ((2, 2, 2, 2), False), 34: ((3, 4, 6, 3), False), 50: ((3, 4, 6, 3), True)}
SHORTCUTS = ("projection", "zero_padding", "all_projections", "none")

_STAGE_WIDTHS = (64, 128, 256, 512)
# A bottleneck widens its maps by this.
_EXPANSION = 4
# Five steps of stride 2.
_SMALLEST = 32
# Keras Applications', so that its weights give the same activations.
_EPSILON = 1.001e-5


def build_resnet(
    depth: int = 18,
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    *,
    shortcut: str = "projection",
    use_bias: bool = False,
    name: str | None = None,
) -> keras.Model:
    """Builds a residual network: blocks that add to what they are given.

    `a[l+2] = relu(z[l+2] + a[l])`, `z` after batch normalisation. Where a stage begins, `a[l]` has
    half of the channels and twice the size of `z[l+2]`; the shortcut then is

    - "projection": a 1x1 convolution with stride 2, elsewhere the identity (the paper's option B);
    - "zero_padding": every second place, with zeros for the new channels: no weights (option A);
    - "all_projections": a 1x1 convolution everywhere (option C);
    - "none": nothing is added at all, the plain network that the paper compares with.

    Layer names are those of Keras' ResNet50, which `depth=50, use_bias=True` equals weight for
    weight: 25,636,712 of them, the statistics of batch normalisation included.

    Args:
        depth: 18, 34 or 50.
        input_shape: `(height, width, channels)`, at least 32 pixels each way.
        classes: number of classes.
        shortcut: see above.
        use_bias: give the convolutions biases, which the batch normalisation behind them makes
            superfluous.
        name: of the model; "resnet18" by default.

    Returns:
        A `keras.Model`: `(batch, height, width, channels)` -> probabilities `(batch, classes)`.

    Raises:
        ValueError: an unknown depth or shortcut, a shape that is too small, or no class.

    Example:

    >>> model = build_resnet(18, (64, 64, 3), classes=10)
    >>> model.get_layer("conv5_block2_out").output.shape
    (None, 2, 2, 512)
    """
    check_choice("depth", depth, tuple(RESNETS))
    check_choice("shortcut", shortcut, SHORTCUTS)
    input_shape = check_input_shape(input_shape, axes=2, smallest=_SMALLEST)
    check_classes(classes)
    stages, is_bottleneck = RESNETS[depth]
    layers = keras.layers
    x = inputs = keras.Input(input_shape, name="picture")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = _convolution(x, 64, 7, 2, "conv1", use_bias)
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1_pool")(x)
    for stage, (blocks, width) in enumerate(zip(stages, _STAGE_WIDTHS, strict=True), start=2):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and stage > 2 else 1
            before = f"conv{stage}_block{block}"
            branch = _bottleneck if is_bottleneck else _basic
            z = branch(x, width, stride, before, use_bias)
            if shortcut != "none":
                a = _shortcut(x, z.shape[-1], stride, before, shortcut, use_bias)
                z = layers.Add(name=f"{before}_add")([a, z])
            x = layers.Activation("relu", name=f"{before}_out")(z)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=name or f"resnet{depth}")


def _basic(x: Any, width: int, stride: int, before: str, use_bias: bool) -> Any:
    """Two 3x3 convolutions."""
    x = _padded_convolution(x, width, stride, f"{before}_1", use_bias)
    x = keras.layers.Activation("relu", name=f"{before}_1_relu")(x)
    return _padded_convolution(x, width, 1, f"{before}_2", use_bias)


def _bottleneck(x: Any, width: int, stride: int, before: str, use_bias: bool) -> Any:
    """A 3x3 convolution between two 1x1, of which the first narrows and the last widens."""
    x = _convolution(x, width, 1, stride, f"{before}_1", use_bias)
    x = keras.layers.Activation("relu", name=f"{before}_1_relu")(x)
    x = _padded_convolution(x, width, 1, f"{before}_2", use_bias)
    x = keras.layers.Activation("relu", name=f"{before}_2_relu")(x)
    return _convolution(x, _EXPANSION * width, 1, 1, f"{before}_3", use_bias)


def _shortcut(
    x: Any, channels: int, stride: int, before: str, shortcut: str, use_bias: bool
) -> Any:
    has_same_shape = stride == 1 and x.shape[-1] == channels
    if shortcut == "all_projections" or (shortcut == "projection" and not has_same_shape):
        return _convolution(x, channels, 1, stride, f"{before}_0", use_bias)
    if has_same_shape:
        return x
    if stride > 1:
        # A window of one place: every second one is kept as it is.
        x = keras.layers.MaxPooling2D(1, stride, name=f"{before}_0_subsample")(x)
    return keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])))


def _padded_convolution(x: Any, filters: int, stride: int, name: str, use_bias: bool) -> Any:
    """A 3x3 convolution with one zero on each side, whatever the stride.

    "same" would pad only behind where the stride is 2 and the size even.
    """
    if stride == 1:
        return _convolution(x, filters, 3, 1, name, use_bias, padding="same")
    x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return _convolution(x, filters, 3, stride, name, use_bias)


def _convolution(
    x: Any,
    filters: int,
    size: int,
    stride: int,
    name: str,
    use_bias: bool,
    padding: str = "valid",
) -> Any:
    x = keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)
