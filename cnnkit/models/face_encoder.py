"""dlib's face recognition network: a residual network of 29 convolutions, 128 numbers per face.

Two faces belong to one person if their embeddings are less than 0.6 apart. The architecture is
that of dlib's `dnn_face_recognition_ex.cpp`, a ResNet-34 (He et al. 2015) with half the filters
and fewer layers. The scaling after each convolution is folded into it, which changes nothing but
the rounding.
"""

from typing import Any

import keras

from cnnkit.weights.converted import load_converted
from cnnkit.weights.dlib_format import CONVERSION, FaceEncoderWeights, read_face_encoder

EMBEDDING_SIZE = 128

# Filters of each block; a block whose number of filters is new, and the last, halves the picture.
_BLOCKS = (
    *((32, False),) * 3,
    *((64, True), *((64, False),) * 3),
    *((128, True), *((128, False),) * 2),
    *((256, True), *((256, False),) * 2),
    (256, True),
)


def load_face_encoder_weights() -> FaceEncoderWeights:
    """dlib's weights for `build_face_encoder`.

    Raises:
        WeightsError: the package `face_recognition_models` is missing or damaged.
    """
    return load_converted(
        "face-encoder", CONVERSION, read_face_encoder, FaceEncoderWeights.from_arrays
    )


def build_face_encoder(weights: FaceEncoderWeights | None = None) -> keras.Model:
    """Builds the network that turns a chip of a face into an embedding.

    Args:
        weights: as read from dlib's file; None leaves them random, with dlib's mean colour.

    Returns:
        A frozen `keras.Model`: RGB chips `(batch, 150, 150, 3)`, floats in 0..255, see
        `alignment.extract_chip` -> embeddings `(batch, 128)`, not normalised to unit length.

    Raises:
        ValueError: the weights are those of another network.

    >>> build_face_encoder().count_params()
    5607488
    """
    mean = weights.mean_rgb if weights else (122.782, 117.001, 104.298)
    size = weights.size if weights else 150
    inputs = keras.Input((size, size, 3), name="rgb")
    x = keras.layers.Rescaling(1.0 / 256.0, [-value / 256.0 for value in mean], name="scale")(
        inputs
    )
    # Drawing random numbers takes longer than reading the weights that replace them.
    initializer = "glorot_uniform" if weights is None else "zeros"
    x = keras.layers.Conv2D(
        32, 7, strides=2, activation="relu", kernel_initializer=initializer, name="stem"
    )(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    for index, (filters, is_smaller) in enumerate(_BLOCKS, start=1):
        x = _block(x, filters, is_smaller, initializer, f"block{index}")
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    outputs = keras.layers.Dense(
        EMBEDDING_SIZE, use_bias=False, kernel_initializer=initializer, name="embedding"
    )(x)
    model = keras.Model(inputs, outputs, name="face_encoder")
    if weights is not None:
        _set_weights(model, weights)
    model.trainable = False
    return model


def _block(x: Any, filters: int, is_smaller: bool, initializer: str, name: str) -> Any:
    """`relu(shortcut + conv(relu(conv(x))))`, the shortcut pooled where the block is smaller."""
    branch = keras.layers.Conv2D(
        filters,
        3,
        strides=2 if is_smaller else 1,
        padding="valid" if is_smaller else "same",
        activation="relu",
        kernel_initializer=initializer,
        name=f"{name}_conv1",
    )(x)
    branch = keras.layers.Conv2D(
        filters, 3, padding="same", kernel_initializer=initializer, name=f"{name}_conv2"
    )(branch)
    shortcut = x
    if is_smaller:
        shortcut = keras.layers.AveragePooling2D(2, name=f"{name}_pool")(x)
        # dlib adds tensors of different sizes: zeros at the bottom, the right and the last
        # channels make them equal. Convolution and pooling round differently.
        shape = [
            max(one, other) for one, other in zip(branch.shape[1:], shortcut.shape[1:], strict=True)
        ]
        branch, shortcut = _pad_to(branch, shape), _pad_to(shortcut, shape)
    total = keras.layers.Add(name=f"{name}_add")([shortcut, branch])
    return keras.layers.ReLU(name=f"{name}_relu")(total)


def _pad_to(x: Any, shape: list[int]) -> Any:
    missing = [wanted - size for wanted, size in zip(shape, x.shape[1:], strict=True)]
    if not any(missing):
        return x
    return keras.ops.pad(x, [(0, 0), *((0, count) for count in missing)])


def _set_weights(model: keras.Model, weights: FaceEncoderWeights) -> None:
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    if len(layers) != len(weights.convolutions):
        raise ValueError(
            f"{len(layers)} convolutions were expected. Received: {len(weights.convolutions)}"
        )
    for layer, convolution in zip(layers, weights.convolutions, strict=True):
        layer.set_weights([convolution.kernel, convolution.bias])
    model.get_layer("embedding").set_weights([weights.projection])
