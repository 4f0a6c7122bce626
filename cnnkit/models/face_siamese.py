"""Small networks to train on one's own faces: an encoder from scratch, and a head for pairs.

Only layers of Keras, so that a saved model needs no code of ours to be read.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cnnkit.ops.alignment import CHIP_SIZE

# What is cut from each side of a chip: the rest, halved, is what the trunk sees.
CROP = 11
TRUNK_SIZE = (CHIP_SIZE - 2 * CROP) // 2
WIDTHS = (16, 32, 64, 128)
EMBEDDING_SIZE = 128


def build_face_trunk(
    widths: Sequence[int] = WIDTHS,
    embedding_size: int = EMBEDDING_SIZE,
    dropout: float = 0.5,
    seed: int | None = None,
) -> keras.Model:
    """Builds the part of the encoder that is trained.

    Every picture is brought to mean 0 and variance 1, which takes out the exposure. Each block
    halves it. The last is flattened, not averaged: in an upright face places mean something.

    Args:
        widths: filters of each block.
        embedding_size: D.
        dropout: share of the flattened activations that training leaves out.
        seed: of the initial weights and of the dropout.

    Returns:
        A `keras.Model`, RGB `(N, 64, 64, 3)` in 0..255 -> `(N, D)` of unit length.

    >>> build_face_trunk().output_shape
    (None, 128)
    """
    random = np.random.default_rng(seed)
    inputs = keras.Input((TRUNK_SIZE, TRUNK_SIZE, 3), name="rgb")
    # Epsilon is one grey level: a picture of one colour becomes zeros, not amplified noise.
    x = keras.layers.LayerNormalization(
        axis=(1, 2, 3), epsilon=1.0, center=False, scale=False, name="standardize"
    )(inputs)
    for index, width in enumerate(widths, start=1):
        if index == 1:
            # A stride where a pool would cost half of the whole time.
            x = _convolution(x, width, 5, 2, f"block{index}_conv", random)
            continue
        x = _convolution(x, width, 3, 1, f"block{index}_conv", random)
        x = keras.layers.MaxPooling2D(2, name=f"block{index}_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dropout(dropout, seed=seed, name="dropout")(x)
    x = keras.layers.Dense(embedding_size, kernel_initializer=_initializer(random), name="dense")(x)
    outputs = keras.layers.UnitNormalization(name="embedding")(x)
    return keras.Model(inputs, outputs, name="trunk")


def _convolution(
    x: Any, width: int, size: int, stride: int, name: str, random: np.random.Generator
) -> Any:
    x = keras.layers.Conv2D(
        width,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(random),
        name=name,
    )(x)
    # An average over few batches: small runs must be able to use it too.
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _initializer(random: np.random.Generator) -> keras.initializers.Initializer:
    return keras.initializers.HeNormal(seed=int(random.integers(2**31)))


def build_siamese_encoder(trunk: keras.Model | None = None) -> keras.Model:
    """Builds an encoder of chips around a trunk: the middle of the chip at half its size.

    Args:
        trunk: of `build_face_trunk`; a new one by default.

    Returns:
        A `keras.Model`, chips `(N, 150, 150, 3)` in 0..255, RGB, see `alignment.extract_chip` ->
        embeddings `(N, D)` of unit length. It shares the trunk's weights.

    >>> build_siamese_encoder().input_shape
    (None, 150, 150, 3)
    """
    trunk = trunk or build_face_trunk()
    inputs = keras.Input((CHIP_SIZE, CHIP_SIZE, 3), name="rgb")
    x = keras.layers.Cropping2D(CROP, name="crop")(inputs)
    x = keras.layers.AveragePooling2D(2, name="shrink")(x)
    return keras.Model(inputs, trunk(x), name="face_encoder")


def build_pair_head(features: int) -> keras.Model:
    """Builds the logistic regression that weighs how two embeddings differ.

    `logit(different) = w . features + b` with no weight below 0, so that a larger difference never
    makes "same" more likely; `w . features` is a distance, zero for equal embeddings.

    Args:
        features: F, see `pair_features`.

    Returns:
        A `keras.Model`, `(N, F)` -> logits `(N, 1)` that the two are different people.

    >>> build_pair_head(3).count_params()
    4
    """
    inputs = keras.Input((features,), name="features")
    outputs = keras.layers.Dense(
        1,
        kernel_initializer="ones",
        kernel_constraint=keras.constraints.NonNeg(),
        name="logit",
    )(inputs)
    return keras.Model(inputs, outputs, name="pair_head")
