"""The compact backbone run backwards: activations in, the picture that they are of out.

One decoder for each level, from `block<level>_conv1` down (Li, Fang, Yang, Wang, Lu & Yang 2017,
"Universal style transfer via feature transforms"): the backbone's convolutions mirrored, nearest
upsampling where it pools, reflection padding.
"""

from collections.abc import Sequence
from pathlib import Path

import keras

from cnnkit import weights as weights_table
from cnnkit.errors import WeightsError
from cnnkit.weights.convolutions import (
    Convolutions,
    read_convolutions,
    set_convolution_weights,
)


def build_decoder(
    level: int,
    widths: Sequence[int],
    convolutions: Sequence[int],
    *,
    extra: Sequence[int] | None = None,
    batch_normalization: bool = False,
    name: str | None = None,
) -> keras.Model:
    """Builds the decoder of one level.

    Args:
        level: it starts from `block<level>_conv1`.
        widths: filters of each block, those of the level as in the backbone.
        convolutions: convolutions of each block of the backbone.
        extra: filters of further convolutions before the last, which alone would be linear and
            could not undo what the first ReLU did; one of the first block's width by default.
        batch_normalization: put a batch normalisation between convolution and ReLU (for training;
            `convolution_weights` folds it away).
        name: of the model; "decoder<level>" by default.

    Returns:
        A `keras.Model`: activations `(batch, height, width, widths[level - 1])` -> RGB
        `(batch, height 2^(level - 1), width 2^(level - 1), 3)`, about [0, 1]: clip it.

    Raises:
        ValueError: a level that the backbone does not have.

    Example:

    >>> decoder = build_decoder(2, (4, 8), (1, 1))
    >>> tuple(decoder(keras.ops.zeros((1, 3, 5, 8))).shape)
    (1, 6, 10, 3)
    """
    if not 1 <= level <= len(widths):
        raise ValueError(f"level must be 1 to {len(widths)}. Received: {level}")
    inputs = keras.Input((None, None, widths[level - 1]), name="activations")
    x = inputs
    for block in range(level, 0, -1):
        # Of the deepest block the backbone has run but one convolution.
        count = 1 if block == level else convolutions[block - 1]
        for conv in range(count, 1, -1):
            x = _convolve(x, widths[block - 1], f"block{block}_conv{conv}", batch_normalization)
        if block > 1:
            x = _convolve(x, widths[block - 2], f"block{block}_conv1", batch_normalization)
            x = keras.layers.UpSampling2D(2, name=f"block{block - 1}_unpool")(x)
    for index, filters in enumerate(widths[:1] if extra is None else extra, 1):
        x = _convolve(x, filters, f"extra{index}", batch_normalization)
    # Pixels need more than the eight bits of bfloat16.
    x = _pad(x)
    x = keras.layers.Conv2D(3, 3, dtype="float32", name="block1_conv1")(x)
    return keras.Model(inputs, x, name=name or f"decoder{level}")


def load_decoder(level: int, path: str | Path | None = None) -> keras.Model:
    """A decoder of the compact backbone with average pooling, with its trained weights.

    Args:
        level: one of those that the file has, from 1; those up to 4 are shipped.
        path: of a file of `cnnkit train decoder`; the shipped one by default.

    Raises:
        WeightsError: the file is missing, damaged, or has no such level.
    """
    path = weights_table.locate("decoder") if path is None else Path(path)
    prefix = f"decoder{level}/"
    arrays = {
        layer.removeprefix(prefix): pair
        for layer, pair in read_convolutions(path).items()
        if layer.startswith(prefix)
    }
    if not arrays:
        raise WeightsError(f"{path} has no decoder of level {level}; train it")
    # Of each block the first convolution goes down to the next block's width.
    widths = [arrays[f"block{block}_conv1"][0].shape[3] for block in range(2, level + 1)]
    extra = [arrays[f"extra{index}"][0] for index in range(1, _count(arrays, "extra") + 1)]
    widths.append((arrays[f"block{level}_conv1"][0] if level > 1 else extra[0]).shape[2])
    counts = [_count(arrays, f"block{block}_conv") for block in range(1, level)] + [1]
    model = build_decoder(level, widths, counts, extra=[kernel.shape[3] for kernel in extra])
    set_convolution_weights(model, arrays)
    model.trainable = False
    return model


def _count(arrays: Convolutions, prefix: str) -> int:
    """How many convolutions have such a name."""
    return sum(layer.startswith(prefix) for layer in arrays)


def _convolve(x, filters: int, name: str, batch_normalization: bool):
    x = keras.layers.Conv2D(
        filters, 3, use_bias=not batch_normalization, kernel_initializer="he_normal", name=name
    )(_pad(x))
    if batch_normalization:
        x = keras.layers.BatchNormalization(momentum=0.97, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _pad(x):
    return keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
