"""A one-stage detector without anchors, on the first activations of a trained network.

Every place of three maps (strides 8, 16 and 32) tells the distances from its point to the four
sides of a box, as FCOS does (Tian et al. 2019), and a score for each class, which says how likely
the class is and how well the box fits at once (Feng et al., TOOD, 2021).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from cnnkit.models._anchor_boxes import AnchorBoxes

STRIDES = (8, 16, 32)
# Layers that give what the detector makes of a picture at these strides, and the one that centres
# and scales what it is given.
STAGES = tuple(f"stage{stride}" for stride in STRIDES)
SCALE = "scale_4"
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
    fine: Any,
    classes: int,
    *,
    widths: Sequence[int] = (96, 160, 256),
    depths: Sequence[int] = (2, 4, 3),
    neck: int = 80,
    name: str = "detector",
) -> keras.Model:
    """Builds a detector on the first maps of another network.

    They are first centred and scaled by a normalisation that is not trained: fill it with the
    statistics of the training data. Three stages of residual blocks halve them, the last one looks
    around with maxima over windows of three sizes (He et al. 2014, in the form of YOLOv5); what the
    coarse stages saw goes back down to the finer ones (Lin et al., Feature Pyramid Networks, 2017);
    each has a branch for classes and one for boxes.

    Args:
        inputs: `keras.Input` of the network, RGB in [0, 1].
        fine: activations at stride 4, a tensor of the network's graph.
        classes: number of classes.
        widths: channels of the three stages.
        depths: blocks of the three stages.
        neck: channels of the branches.
        name: of the model.

    Returns:
        A `keras.Model`: `(B, H, W, 3)` -> `(B, N, 4 + classes)`: a box in pixels of the input, and
        the logits of the classes, for each of the places of `grid_points`. H and W are multiples
        of 32. The layers `STAGES` give the stages.

    Raises:
        ValueError: no class, or other than three stages.

    Example:

    >>> inputs = keras.Input((None, None, 3))
    >>> fine = keras.layers.Conv2D(4, 4, 4)(inputs)
    >>> model = build_detector(inputs, fine, 2, widths=(8, 8, 8), depths=(1, 1, 1), neck=8)
    >>> tuple(model(np.zeros((1, 64, 32, 3))).shape)  # 8 x 4 + 4 x 2 + 2 x 1 places
    (1, 42, 6)
    """
    _check(classes, widths, depths)
    levels = _see_levels(fine, STRIDES, widths, depths, neck)
    layers = keras.layers
    boxes, scores = [], []
    for stride in STRIDES:
        branches = {
            branch: separable(levels[stride], neck, f"{branch}{stride}_0")
            for branch in ("class", "box")
        }
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


def build_anchor_detector(
    inputs: Any,
    fine: Any,
    classes: int,
    anchors: Mapping[int, Sequence[Sequence[float]]],
    features: Mapping[int, int],
    *,
    widths: Sequence[int] = (96, 160, 256),
    depths: Sequence[int] = (2, 4, 3),
    neck: int = 128,
    name: str = "detector",
) -> keras.Model:
    """Builds a detector whose boxes are changes of anchors, on the stages of `build_detector`.

    What it ends with is that of YOLOv3 (Redmon & Farhadi 2018): features, and of these, without an
    activation between, boxes, how sure each is, and classes. A network that gives the features of
    another detector can take over the layer behind them as it is (Chen et al., "Knowledge
    Distillation with the Reused Teacher Classifier", 2022).

    Args:
        inputs: `keras.Input` of the network, RGB in [0, 1].
        fine: activations at stride 4, a tensor of the network's graph.
        classes: number of classes.
        anchors: stride -> width and height in pixels of each anchor; the strides are the last two
            of `STRIDES`, or all.
        features: stride -> channels of its features.
        widths: channels of the three stages.
        depths: blocks of the three stages.
        neck: channels of the branches.
        name: of the model.

    Returns:
        A `keras.Model` like that of `build_detector`; there are as many predictions for a place as
        anchors, see `anchor_points`. For each stride the layers "features16" and "grid16" (of 16)
        give the features and what the anchors' boxes are told with.

    Raises:
        ValueError: no class, or other than three stages.

    Example:

    >>> inputs = keras.Input((None, None, 3))
    >>> fine = keras.layers.Conv2D(4, 4, 4)(inputs)
    >>> small = {"widths": (8, 8, 8), "depths": (1, 1, 1), "neck": 8}
    >>> anchors, features = {16: [(20, 20)], 32: [(50, 50), (90, 60)]}, {16: 4, 32: 6}
    >>> model = build_anchor_detector(inputs, fine, 3, anchors, features, **small)
    >>> tuple(model(np.zeros((1, 64, 32, 3))).shape)  # 4 x 2 places, and 2 x 1 of 2 anchors
    (1, 12, 7)
    """
    _check(classes, widths, depths)
    levels = _see_levels(fine, sorted(anchors), widths, depths, neck)
    output = predict_with_anchors(levels, classes, anchors, features, neck)
    return keras.Model(inputs, output, name=name)


def predict_with_anchors(
    levels: Mapping[int, Any],
    classes: int,
    anchors: Mapping[int, Sequence[Sequence[float]]],
    features: Mapping[int, int],
    width: int,
) -> Any:
    """The end of a detector with anchors.

    Args:
        levels: stride -> map, tensors of the network's graph.
        classes: see `build_anchor_detector`, like the next two.
        anchors: the same.
        features: the same.
        width: channels of the two convolutions before the features.

    Returns:
        Boxes and logits, a tensor `(B, N, 4 + classes)`.
    """
    found = []
    for stride, sizes in sorted(anchors.items()):
        x = levels[stride]
        for number in range(2):
            x = separable(x, width, f"head{stride}_{number}")
        x = keras.layers.Conv2D(features[stride], 1, dtype="float32", name=f"features{stride}")(x)
        start = np.zeros((len(sizes), 5 + classes), np.float32)
        start[:, 4] = np.log(_PRIOR / (1 - _PRIOR))
        x = keras.layers.Conv2D(
            start.size,
            1,
            bias_initializer=keras.initializers.Constant(start.reshape(-1)),
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name=f"grid{stride}",
        )(x)
        boxes = AnchorBoxes(sizes, stride, logits=True, dtype="float32", name=f"boxes{stride}")
        found.append(boxes(x))
    return keras.layers.Concatenate(axis=1, dtype="float32", name=PREDICTIONS)(found)


def anchor_points(
    height: int, width: int, anchors: Mapping[int, Sequence[Sequence[float]]]
) -> np.ndarray:
    """The points of all predictions of `build_anchor_detector`, in their order.

    Args:
        height: of the picture, a multiple of the largest stride.
        width: the same.
        anchors: as that takes them.

    Returns:
        float32 `(N, 3)`: x, y and the stride.

    >>> anchor_points(32, 32, {32: [(8, 8), (9, 5)]}).tolist()
    [[16.0, 16.0, 32.0], [16.0, 16.0, 32.0]]
    """
    return np.concatenate(
        [
            np.repeat(grid_points(height, width, [stride]), len(sizes), axis=0)
            for stride, sizes in sorted(anchors.items())
        ]
    )


def _check(classes: int, widths: Sequence[int], depths: Sequence[int]) -> None:
    if classes < 1 or len(widths) != len(STRIDES) or len(depths) != len(STRIDES):
        raise ValueError(
            "there must be at least 1 class, and widths and depths of 3 stages. Received: "
            f"{classes}, {widths}, {depths}"
        )


def _see_levels(
    fine: Any, strides: Sequence[int], widths: Sequence[int], depths: Sequence[int], neck: int
) -> dict[int, Any]:
    """The stages on a network's first maps, and what they saw put together at these strides."""
    layers = keras.layers
    x = layers.BatchNormalization(center=False, scale=False, trainable=False, name=SCALE)(fine)
    stages = {}
    for stride, width, depth in zip(STRIDES, widths, depths, strict=True):
        x = convolve(x, width, f"stage{stride}_in", kernel=3, stride=2)
        for block in range(depth):
            x = _residual(x, f"stage{stride}_{block}")
        if stride == STRIDES[-1]:
            x = pool_around(x, f"stage{stride}_around")
        x = layers.Identity(name=f"stage{stride}")(x)
        stages[stride] = x
    levels: dict[int, Any] = {}
    for stride in reversed(strides):
        x = convolve(stages[stride], neck, f"neck{stride}")
        if 2 * stride in levels:
            above = layers.UpSampling2D(2, name=f"neck{stride}_up")(levels[2 * stride])
            x = layers.Add(name=f"neck{stride}_add")([x, above])
            x = convolve(x, neck, f"neck{stride}_out", kernel=3)
        levels[stride] = x
    return levels


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


def convolve(x: Any, width: int, name: str, kernel: int = 1, stride: int = 1) -> Any:
    """A convolution, a normalisation and SiLU."""
    layers = keras.layers
    x = layers.Conv2D(width, kernel, stride, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.97, name=f"{name}_bn")(x)
    return layers.Activation("silu", name=f"{name}_silu")(x)


def separable(x: Any, width: int, name: str, stride: int = 1) -> Any:
    """A depthwise 5x5 convolution and one of 1x1, see `convolve`."""
    x = keras.layers.DepthwiseConv2D(
        5, stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    return convolve(x, width, name)


def _residual(x: Any, name: str) -> Any:
    """A residual block that is narrow inside (He et al. 2016)."""
    width = x.shape[-1]
    y = convolve(x, width // 2, f"{name}_reduce")
    y = convolve(y, width, f"{name}_expand", kernel=3)
    return keras.layers.Add(name=f"{name}_add")([x, y])


def pool_around(x: Any, name: str) -> Any:
    """Beside what is at a place, the largest of what is around it, in three windows."""
    layers = keras.layers
    width = x.shape[-1]
    seen = [convolve(x, width // 2, f"{name}_reduce")]
    for window in range(3):
        pool = layers.MaxPooling2D(5, 1, padding="same", name=f"{name}_{window}")
        seen.append(pool(seen[-1]))
    return convolve(layers.Concatenate(name=f"{name}_all")(seen), width, f"{name}_expand")
