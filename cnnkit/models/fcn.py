"""Fully convolutional networks that label every pixel (Long, Shelhamer & Darrell 2015).

FCN-32s scores what the deepest layer sees, 32 pixels apart, and enlarges the scores 32 times.
FCN-16s enlarges them twice, adds scores of the layer 16 pixels apart, and enlarges the sum 16
times; FCN-8s adds those 8 pixels apart too.

Departures from the paper's Caffe networks, which pad the picture by 100 pixels and cut the scores
at offsets of 19, 27 and 31: a picture is mirrored over its borders up to a multiple of 32, all
convolutions keep the size, and what was added is cut away again, so that any size comes back
exactly and in place. Scores are repeated over their border before they are enlarged, where zeros
would pull them down.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from cnnkit.models._arguments import check_choice, check_classes
from cnnkit.options import FCN_VARIANTS

STRIDE = 32

# What is taken from the compact network, by the pixels from one place to the next.
COMPACT_LAYERS = {8: "block4_conv4", 16: "block5_conv1"}


def bilinear_kernel(factor: int, channels: int) -> np.ndarray:
    r"""The kernel of a transposed convolution that enlarges each channel bilinearly.

    .. math:: w(y, x) = (1 - |y - c| / f) (1 - |x - c| / f)

    with the factor f, a kernel of 2 f places and its centre c = f - 1/2.

    Args:
        factor: how many times; even, or 1.
        channels: of the input and of the output.

    Returns:
        float32 `(2 * factor, 2 * factor, channels, channels)`.

    Raises:
        ValueError: a factor that is odd or below 1.

    Example:

    >>> bilinear_kernel(2, 1)[:, 0, 0, 0] * 4
    array([0.25, 0.75, 0.75, 0.25], dtype=float32)
    """
    if factor < 1 or (factor % 2 and factor > 1):
        raise ValueError(f"factor must be even, or 1. Received: {factor}")
    ramp = 1.0 - np.abs(np.arange(2 * factor) - (factor - 0.5)) / factor
    plane = np.outer(ramp, ramp).astype(np.float32)
    return plane[:, :, None, None] * np.eye(channels, dtype=np.float32)


@keras.saving.register_keras_serializable(package="cnnkit")
class PadToStride(keras.layers.Layer):
    """Mirrors pictures over their borders until their sides are multiples of a stride.

    Args:
        stride: in pixels.

    Input: `(batch, height, width, channels)`; output the same with larger sides. Half of what is
    added lies before the picture, the odd pixel after it.

    Example:

    >>> PadToStride(4)(np.arange(5.0).reshape(1, 1, 5, 1))[0, 0, :, 0].numpy().tolist()
    [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 3.0]
    """

    def __init__(self, stride: int = STRIDE, **options):
        super().__init__(**options)
        self.stride = stride

    def call(self, inputs):
        x = inputs
        for axis in (1, 2):
            if inputs.shape[axis] is not None and inputs.shape[axis] % self.stride == 0:
                continue
            size = keras.ops.shape(inputs)[axis]
            before = _padding(size, self.stride)[0]
            # Of numbers that are not negative: for others engines differ in what a remainder is.
            count = (size + self.stride - 1) // self.stride * self.stride
            places = keras.ops.arange(count, dtype="int32")
            # Mirrored as often as it takes: 0 1 2 3 -> 1 0 | 0 1 2 3 | 3 2.
            places = keras.ops.mod(places + (2 * size * self.stride - before), 2 * size)
            places = keras.ops.minimum(places, 2 * size - 1 - places)
            x = keras.ops.take(x, places, axis=axis)
        return x

    def compute_output_shape(self, input_shape):
        sides = (
            None if side is None else -(-side // self.stride) * self.stride
            for side in input_shape[1:3]
        )
        return (input_shape[0], *sides, input_shape[3])

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}


@keras.saving.register_keras_serializable(package="cnnkit")
class CropToPicture(keras.layers.Layer):
    """Cuts away what `PadToStride` added.

    Args:
        stride: of `PadToStride`.

    Input: what was made of the padded pictures, and the pictures before it.
    """

    def __init__(self, stride: int = STRIDE, **options):
        super().__init__(**options)
        self.stride = stride

    def call(self, inputs):
        x, picture = inputs
        if all(side is not None and side % self.stride == 0 for side in picture.shape[1:3]):
            return x
        height, width = keras.ops.shape(picture)[1], keras.ops.shape(picture)[2]
        top, left = (_padding(side, self.stride)[0] for side in (height, width))
        return x[:, top : top + height, left : left + width]

    def compute_output_shape(self, input_shape):
        x, picture = input_shape
        return (x[0], *picture[1:3], x[3])

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}


@keras.saving.register_keras_serializable(package="cnnkit")
class EnlargeBilinearly(keras.layers.Layer):
    """What a transposed convolution with `bilinear_kernel` comes to when it does not learn.

    The paper's last one does not. This one is ten times as fast, without the zeros between
    different classes, and repeats the border.

    Args:
        factor: how many times; even.

    Input: `(batch, height, width, channels)`; output `factor` times as high and as wide.

    Example:

    >>> EnlargeBilinearly(2)(np.array([0.0, 4.0]).reshape(1, 1, 2, 1))[0, 0, :, 0].numpy().tolist()
    [0.0, 1.0, 3.0, 4.0]
    """

    def __init__(self, factor: int, **options):
        super().__init__(**options)
        if factor < 2 or factor % 2:
            raise ValueError(f"factor must be even. Received: {factor}")
        self.factor = factor

    def call(self, inputs):
        return self._along(self._along(inputs, 1), 2)

    def _along(self, x, axis):
        sizes = list(keras.ops.shape(x))
        size = sizes[axis]
        ahead = (slice(None),) * axis
        # The places before and after each, repeated at the border.
        neighbours = (
            ([x[(*ahead, slice(0, 1))], x[(*ahead, slice(0, -1))]]),
            ([x[(*ahead, slice(1, None))], x[(*ahead, slice(-1, None))]]),
        )
        here = keras.ops.expand_dims(x, axis + 1)
        before, after = (
            keras.ops.expand_dims(keras.ops.concatenate(parts, axis=axis), axis + 1)
            for parts in neighbours
        )
        half = self.factor // 2
        # Of the first half of the new places, how near each is to the middle of the old one.
        near = 0.5 + (np.arange(half, dtype=np.float32) + 0.5) / self.factor
        near = keras.ops.cast(near.reshape((half,) + (1,) * (3 - axis)), x.dtype)
        far = keras.ops.flip(near, axis=0)
        x = keras.ops.concatenate(
            [here * near + before * (1 - near), here * far + after * (1 - far)], axis=axis + 1
        )
        sizes[axis] = size * self.factor
        return keras.ops.reshape(x, (-1, *sizes[1:]))

    def compute_output_shape(self, input_shape):
        sides = (None if side is None else side * self.factor for side in input_shape[1:3])
        return (input_shape[0], *sides, input_shape[3])

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def _padding(size: Any, stride: int) -> tuple[Any, Any]:
    """Pixels before and after a side that make it a multiple of the stride."""
    missing = (stride - size % stride) % stride
    return missing // 2, missing - missing // 2


def build_fcn_vgg(
    inputs: Any,
    maps: Mapping[int, Any],
    variant: str = "8s",
    classes: int = 21,
    *,
    hidden: int = 4096,
    dropout: float = 0.5,
    name: str | None = None,
) -> keras.Model:
    """Builds the FCN of the paper on the blocks of VGG-16: its dense layers as convolutions.

    Args:
        inputs: `keras.Input((None, None, 3))`, RGB in [0, 1].
        maps: 32, 16 and 8 -> what the fifth, fourth and third pooling give of
            `PadToStride()(inputs)`.
        variant: "32s", "16s" or "8s".
        classes: number of classes, the background among them.
        hidden: filters of fc6 (7x7) and fc7 (1x1).
        dropout: behind both, in training.
        name: of the model.

    Returns:
        A `keras.Model`: `(batch, height, width, 3)` -> scores before the softmax `(batch, height,
        width, classes)`. Scores of the skips start at zero, so that a network starts with what
        the one before it gives; see `start_from`.

    Raises:
        ValueError: an unknown variant, or no class.

    Example:

    >>> inputs = keras.Input((None, None, 3))
    >>> x = PadToStride()(inputs)
    >>> maps = {stride: keras.layers.MaxPooling2D(stride)(x) for stride in (8, 16, 32)}
    >>> build_fcn_vgg(inputs, maps, "8s", 4, hidden=2)(np.zeros((1, 37, 50, 3), np.float32)).shape
    TensorShape([1, 37, 50, 4])
    """
    check_choice("variant", variant, FCN_VARIANTS)
    check_classes(classes)
    layers, x = keras.layers, maps[32]
    for dense, kernel in (("fc6", 7), ("fc7", 1)):
        x = layers.Conv2D(hidden, kernel, padding="same", activation="relu", name=dense)(x)
        x = layers.Dropout(dropout, name=f"{dense}_dropout")(x)
    scores = _fuse(x, maps, variant, classes)
    scores = CropToPicture(name="crop_to_picture")([scores, inputs])
    return keras.Model(inputs, scores, name=name or f"fcn{variant}-vgg16")


def build_fcn_compact(
    inputs: Any,
    maps: Mapping[int, Any],
    variant: str = "8s",
    classes: int = 21,
    *,
    width: int = 192,
    skip_width: int = 64,
    dropout: float = 0.1,
    name: str | None = None,
) -> keras.Model:
    """Builds an FCN on the compact network, or another one that ends 16 pixels a place.

    The compact network ends at block5_conv1, where the paper's pool4 is. For the deepest scores it
    is pooled once more and seen by three 3x3 convolutions, in place of what the paper has from
    block5_conv2 to fc7. The skips are of block5_conv1 (16 pixels, the paper's pool4) and
    block4_conv4 (8 pixels, its pool3), each through a 3x3 convolution, since these layers were
    trained to describe textures and not objects.

    That network has no normalisation, and its activations are large: two layers, "scale_16" and
    "scale_8", bring them to mean 0 and variance 1 by statistics of the training data, see
    `set_feature_statistics`.

    Args:
        inputs: see `build_fcn_vgg`.
        maps: 16 and 8 -> what `COMPACT_LAYERS` give of `PadToStride()(inputs)`; 8 for "8s" alone.
        variant: "32s", "16s" or "8s".
        classes: number of classes, the background among them.
        width: filters of the deepest convolutions.
        skip_width: filters of the convolution of each skip.
        dropout: share of the deepest maps left out in training.
        name: of the model.

    Returns:
        A `keras.Model` like that of `build_fcn_vgg`.

    Raises:
        ValueError: an unknown variant, or no class.
    """
    check_choice("variant", variant, FCN_VARIANTS)
    check_classes(classes)
    layers = keras.layers
    # The deepest scores come from stride 16 too.
    scaled = {
        stride: layers.BatchNormalization(
            center=False, scale=False, trainable=False, name=f"scale_{stride}"
        )(maps[stride])
        for stride in {16, *_skip_strides(variant)}
    }
    x = layers.MaxPooling2D(2, name="block5_pool")(scaled[16])
    for number in (1, 2, 3):
        x = _convolve(x, width, f"block6_conv{number}")
    x = layers.SpatialDropout2D(dropout, name="block6_dropout")(x)
    scores = _score_pixels(inputs, x, scaled, variant, classes, skip_width)
    return keras.Model(inputs, scores, name=name or f"fcn{variant}-compact")


def build_fcn_stages(
    inputs: Any,
    maps: Mapping[int, Any],
    variant: str = "8s",
    classes: int = 21,
    *,
    width: int = 192,
    skip_width: int = 64,
    dropout: float = 0.1,
    name: str | None = None,
) -> keras.Model:
    """Builds an FCN on three stages of a network that knows objects: a detector, MobileNet-V2.

    The deepest scores are of two 3x3 convolutions, in place of fc6 and fc7. Between these the mean
    of the whole map is added at every place, as in ParseNet (Liu, Rabinovich & Berg 2015), so that
    each knows what the picture as a whole shows. There it is brought to length 1 and appended;
    here a 1x1 convolution brings it to the other's width, and what that gives to mean 0 and
    variance 1 over the channels. The skips are of the other stages, each through a 3x3
    convolution.

    Args:
        inputs: see `build_fcn_vgg`.
        maps: 32, 16 and 8 -> what the stages give of `PadToStride()(inputs)`.
        variant: "32s", "16s" or "8s".
        classes: number of classes, the background among them.
        width: filters of the deepest convolutions.
        skip_width: filters of the convolution of each skip.
        dropout: share of the deepest maps left out in training.
        name: of the model.

    Returns:
        A `keras.Model` like that of `build_fcn_vgg`.

    Raises:
        ValueError: an unknown variant, or no class.

    Example:

    >>> inputs = keras.Input((None, None, 3))
    >>> x = PadToStride()(inputs)
    >>> maps = {stride: keras.layers.AveragePooling2D(stride)(x) for stride in (8, 16, 32)}
    >>> model = build_fcn_stages(inputs, maps, "8s", 4, width=8, skip_width=6)
    >>> model(np.zeros((1, 37, 50, 3), np.float32)).shape
    TensorShape([1, 37, 50, 4])
    """
    check_choice("variant", variant, FCN_VARIANTS)
    check_classes(classes)
    layers = keras.layers
    whole = layers.GlobalAveragePooling2D(keepdims=True, name="context_mean")(maps[32])
    whole = layers.Conv2D(width, 1, name="context")(whole)
    whole = layers.LayerNormalization(name="context_scale")(whole)
    x = _convolve(maps[32], width, "block6_conv1")
    x = layers.Add(name="context_add")([x, whole])
    x = _convolve(x, width, "block6_conv2")
    x = layers.SpatialDropout2D(dropout, name="block6_dropout")(x)
    scores = _score_pixels(inputs, x, maps, variant, classes, skip_width)
    return keras.Model(inputs, scores, name=name or f"fcn{variant}-detector")


def _skip_strides(variant: str) -> list[int]:
    """Strides of the maps whose scores are added."""
    return [stride for stride in (16, 8) if stride >= int(variant[:-1])]


def _score_pixels(
    inputs: Any, deepest: Any, maps: Mapping[int, Any], variant: str, classes: int, skip_width: int
) -> Any:
    """Scores for every pixel, of the deepest maps and of skips through a 3x3 convolution each."""
    skips = {
        stride: _convolve(maps[stride], skip_width, f"skip_{stride}")
        for stride in _skip_strides(variant)
    }
    scores = _fuse(deepest, skips, variant, classes)
    return CropToPicture(name="crop_to_picture")([scores, inputs])


def _convolve(x: Any, width: int, name: str) -> Any:
    """3x3 convolution, normalisation, ReLU."""
    layers = keras.layers
    x = layers.Conv2D(
        width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    x = layers.BatchNormalization(momentum=0.97, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _fuse(deepest: Any, skips: Mapping[int, Any], variant: str, classes: int) -> Any:
    """Scores of the deepest maps, those of the skips added, enlarged to the pixels."""
    last = int(variant[:-1])
    scores = _score(deepest, classes, "score_32", "glorot_uniform")
    for stride in _skip_strides(variant):
        scores = _enlarge(scores, classes, f"upscore_{stride}")
        skip = _score(skips[stride], classes, f"score_{stride}", "zeros")
        scores = keras.layers.Add(name=f"fuse_{stride}")([scores, skip])
    return EnlargeBilinearly(last, dtype="float32", name=f"upscore_{last}_pixels")(scores)


def _score(x: Any, classes: int, name: str, initializer: str) -> Any:
    # In 32 bits also where the rest has 16.
    return keras.layers.Conv2D(
        classes, 1, kernel_initializer=initializer, dtype="float32", name=name
    )(x)


def _enlarge(x: Any, classes: int, name: str) -> Any:
    """Twice as large, by a transposed convolution that starts bilinear and learns."""
    x = keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    layer = keras.layers.Conv2DTranspose(
        classes, 4, strides=2, padding="same", use_bias=False, dtype="float32", name=name
    )
    x = layer(x)
    layer.kernel.assign(bilinear_kernel(2, classes))
    return keras.layers.Cropping2D(2, name=f"{name}_crop")(x)


def set_feature_statistics(
    model: keras.Model, statistics: Mapping[int, tuple[np.ndarray, np.ndarray]]
) -> None:
    """Tells an FCN on the compact backbone mean and variance of what the backbone gives.

    Args:
        model: as `build_fcn_compact` makes it.
        statistics: stride, 8 or 16 -> mean and variance `(channels,)`; strides that the model
            has not are passed over.
    """
    names = {layer.name for layer in model.layers}
    for stride, (mean, variance) in statistics.items():
        if f"scale_{stride}" in names:
            model.get_layer(f"scale_{stride}").set_weights([mean, variance])


def start_from(model: keras.Model, before: keras.Model) -> list[str]:
    """Starts a network from the weights of the one before it: 16s from 32s, 8s from 16s.

    Args:
        model: gets the weights of all layers that both have by the same name and shapes.
        before: may be of any size of picture.

    Returns:
        Names of the layers with weights that `model` alone has.

    Example:

    >>> inputs = keras.Input((None, None, 3))
    >>> x = PadToStride()(inputs)
    >>> maps = {stride: keras.layers.MaxPooling2D(stride)(x) for stride in (8, 16, 32)}
    >>> before, model = (build_fcn_vgg(inputs, maps, one, 3, hidden=4) for one in ("32s", "16s"))
    >>> start_from(model, before)
    ['upscore_16', 'score_16']
    """
    known = {layer.name: layer for layer in before.layers if layer.weights}
    new = []
    for layer in model.layers:
        if not layer.weights:
            continue
        other = known.get(layer.name)
        shapes = [weight.shape for weight in layer.weights]
        if other is None or [weight.shape for weight in other.weights] != shapes:
            new.append(layer.name)
        else:
            layer.set_weights(other.get_weights())
    return new


def take_dense_weights(model: keras.Model, classifier: keras.Model) -> None:
    """Turns the dense layers of a VGG-16 into the convolutions of an FCN, exactly.

    A dense layer on a 7 x 7 map is a 7 x 7 convolution at the map's one inner place: a network
    that is given a picture of the classifier's size says there what the classifier says.

    Args:
        model: as `build_fcn_vgg` makes it on VGG-16.
        classifier: as `build_vgg_classifier` makes it, with the same widths, for pictures whose
            last map is 7 x 7.

    Raises:
        ValueError: the layers do not fit each other.
    """
    for layer in classifier.layers:
        if isinstance(layer, keras.layers.Conv2D):
            model.get_layer(layer.name).set_weights(layer.get_weights())
    for dense, convolution in (("fc1", "fc6"), ("fc2", "fc7")):
        kernel, bias = classifier.get_layer(dense).get_weights()
        target = model.get_layer(convolution)
        shape = target.kernel.shape
        if math.prod(shape) != kernel.size or shape[-1] != kernel.shape[-1]:
            raise ValueError(
                f"{dense} must have the shape of {convolution}, {tuple(shape)}. "
                f"Received: {kernel.shape}"
            )
        target.set_weights([kernel.reshape(shape), bias])
