"""A one-stage detector without anchors, on the activations of a trained network.

Every place of three maps (strides 8, 16 and 32) tells the distances from its point to the four
sides of a box, as FCOS does (Tian et al. 2019), and a score for each class, which says how likely
the class is and how well the box fits at once (Feng et al., TOOD, 2021).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

STRIDES = (8, 16, 32)
PREDICTIONS = "predictions"

# Before training each class has this probability everywhere, so that the many places without an
# object do not swamp the first steps (Lin et al., Focal Loss, 2017).
_PRIOR = 0.01


@keras.saving.register_keras_serializable("cnnkit")
class BoxesAtPoints(keras.layers.Layer):
    r"""Turns a map of distances into boxes around the points of its places.

    .. math:: (l, t, r, b) = \mathrm{softplus}(x) s, \quad
        \mathrm{box} = (p_x - l, p_y - t, p_x + r, p_y + b)

    with the point of place (row, column) at ((column + 0.5) s, (row + 0.5) s).

    Args:
        stride: s, pixels of the picture for a place.

    Call: `(B, H, W, 4)` -> `(B, H W, 4)`, `(left, top, right, bottom)` in pixels.
    """

    def __init__(self, stride: int, **settings: Any):
        # Pixels up to some hundreds: 16 bits would round them.
        super().__init__(**{**settings, "dtype": "float32"})
        self.stride = stride

    def call(self, distances: Any) -> Any:
        ops = keras.ops
        height, width = ops.shape(distances)[1:3]
        x = (ops.cast(ops.arange(width), "float32") + 0.5) * self.stride
        y = (ops.cast(ops.arange(height), "float32") + 0.5) * self.stride
        x = ops.broadcast_to(x[None, :], (height, width))
        y = ops.broadcast_to(y[:, None], (height, width))
        points = ops.reshape(ops.stack([x, y, x, y], axis=-1), (1, -1, 4))
        sides = ops.softplus(ops.cast(distances, "float32")) * self.stride
        sides = ops.reshape(sides, (-1, height * width, 4))
        return points + sides * ops.convert_to_tensor([-1.0, -1.0, 1.0, 1.0])

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        count = None if None in shape[1:3] else shape[1] * shape[2]
        return shape[0], count, 4

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stride": self.stride}


def grid_points(height: int, width: int, strides: Sequence[int] = STRIDES) -> np.ndarray:
    """The points of all places for a picture, in the order of the detector's predictions.

    Args:
        height: of the picture, a multiple of the largest stride.
        width: the same.
        strides: of the maps.

    Returns:
        float32 `(N, 3)`: x, y and the stride.

    >>> grid_points(16, 16, (8, 16))[[0, 1, 4]].tolist()
    [[4.0, 4.0, 8.0], [12.0, 4.0, 8.0], [8.0, 8.0, 16.0]]
    """
    parts = []
    for stride in strides:
        x = (np.arange(width // stride) + 0.5) * stride
        y = (np.arange(height // stride) + 0.5) * stride
        x, y = np.meshgrid(x, y)
        parts.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], axis=-1))
    return np.concatenate(parts).astype(np.float32)


def build_detector(
    inputs: Any,
    maps: Mapping[int, Any],
    classes: int,
    *,
    width: int = 96,
    depths: tuple[int, int] = (3, 2),
    name: str = "detector",
) -> keras.Model:
    """Builds a detector on the maps of another network.

    Each map is first centred and scaled by a normalisation that is not trained: fill it with the
    statistics of the training data. Blocks at strides 16 and 32 see further; what they saw goes
    back down to the finer maps; each map has a branch for classes and one for boxes.

    Args:
        inputs: `keras.Input` of the network, RGB in [0, 1].
        maps: stride 8 and 16 -> activations, tensors of the network's graph.
        classes: number of classes.
        width: channels of the branches.
        depths: blocks at strides 16 and 32.
        name: of the model.

    Returns:
        A `keras.Model`: `(B, H, W, 3)` -> `(B, N, 4 + classes)`: a box in pixels of the input, and
        the logits of the classes, for each of the places of `grid_points`. H and W are multiples
        of 32.

    Raises:
        ValueError: maps of other strides, or no class.

    Example:

    >>> inputs = keras.Input((None, None, 3))
    >>> maps = {s: keras.layers.Conv2D(4, s, s)(inputs) for s in (8, 16)}
    >>> model = build_detector(inputs, maps, 2, width=8)
    >>> tuple(model(np.zeros((1, 64, 32, 3))).shape)  # 8 x 4 + 4 x 2 + 2 x 1 places
    (1, 42, 6)
    """
    if sorted(maps) != [8, 16] or classes < 1:
        raise ValueError(
            f"maps must be of strides 8 and 16, classes at least 1. Received: {sorted(maps)}, "
            f"{classes}"
        )
    layers = keras.layers
    fine, middle = (
        layers.BatchNormalization(center=False, scale=False, trainable=False, name=f"scale_{s}")(
            maps[s]
        )
        for s in (8, 16)
    )
    wide, wider = width * 3 // 2, width * 2
    middle = _convolve(middle, wide, "stage16_in")
    for block in range(depths[0]):
        middle = _inverted(middle, f"stage16_{block}")
    coarse = _separable(middle, wider, "stage32_in", stride=2)
    for block in range(depths[1]):
        coarse = _inverted(coarse, f"stage32_{block}")
    levels = {32: _convolve(coarse, width, "neck32")}
    for stride, x in ((16, middle), (8, fine)):
        above = layers.UpSampling2D(2, name=f"neck{stride}_up")(levels[2 * stride])
        x = layers.Add(name=f"neck{stride}_add")([_convolve(x, width, f"neck{stride}"), above])
        levels[stride] = _separable(x, width, f"neck{stride}_out")
    boxes, scores = [], []
    for stride in STRIDES:
        branches = {}
        for branch in ("class", "box"):
            x = levels[stride]
            for number in range(2):
                x = _separable(x, width, f"{branch}{stride}_{number}")
            branches[branch] = x
        logits = layers.Conv2D(
            classes,
            1,
            bias_initializer=keras.initializers.Constant(float(np.log(_PRIOR / (1 - _PRIOR)))),
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name=f"class{stride}",
        )(branches["class"])
        scores.append(
            layers.Reshape((-1, classes), dtype="float32", name=f"logits{stride}")(logits)
        )
        distances = layers.Conv2D(
            4,
            1,
            # Boxes begin about three strides wide.
            bias_initializer=keras.initializers.Constant(1.2),
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name=f"box{stride}",
        )(branches["box"])
        boxes.append(BoxesAtPoints(stride, name=f"boxes{stride}")(distances))
    whole = [
        layers.Concatenate(axis=1, dtype="float32", name=kind)(parts)
        for kind, parts in (("boxes", boxes), ("logits", scores))
    ]
    output = layers.Concatenate(axis=-1, dtype="float32", name=PREDICTIONS)(whole)
    return keras.Model(inputs, output, name=name)


def with_scores(model: keras.Model) -> keras.Model:
    """A detector that gives probabilities instead of logits; its layers are those of `model`.

    Args:
        model: gives `(B, N, 4 + classes)`, boxes and logits.

    Returns:
        A `keras.Model` of the same shape, with scores in [0, 1].
    """
    predictions = model.outputs[0]
    scores = keras.layers.Activation("sigmoid", dtype="float32", name="scores")(
        predictions[..., 4:]
    )
    detections = keras.layers.Concatenate(axis=-1, dtype="float32", name="detections")(
        [predictions[..., :4], scores]
    )
    return keras.Model(model.inputs[0], detections, name=model.name)


def without_scores(model: keras.Model) -> keras.Model:
    """What `with_scores` was given, to be trained further.

    Raises:
        ValueError: the model has no layer of such predictions.
    """
    return keras.Model(model.inputs[0], model.get_layer(PREDICTIONS).output, name=model.name)


def _convolve(x: Any, width: int, name: str, kernel: int = 1, activation: bool = True) -> Any:
    layers = keras.layers
    x = layers.Conv2D(width, kernel, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return layers.Activation("silu", name=f"{name}_silu")(x) if activation else x


def _separable(x: Any, width: int, name: str, stride: int = 1) -> Any:
    """A depthwise 5x5 convolution and one of 1x1."""
    x = keras.layers.DepthwiseConv2D(
        5, stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    return _convolve(x, width, name)


def _inverted(x: Any, name: str) -> Any:
    """A residual block that is wide inside (Sandler et al., MobileNetV2, 2018)."""
    layers = keras.layers
    width = x.shape[-1]
    y = _convolve(x, 2 * width, f"{name}_expand")
    y = layers.DepthwiseConv2D(5, padding="same", use_bias=False, name=f"{name}_depthwise")(y)
    y = layers.BatchNormalization(momentum=0.9, name=f"{name}_depthwise_bn")(y)
    y = layers.Activation("silu", name=f"{name}_depthwise_silu")(y)
    return layers.Add(name=f"{name}_add")(
        [x, _convolve(y, width, f"{name}_project", activation=False)]
    )
