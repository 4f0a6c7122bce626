"""A detector and a segmenter on a feature pyramid over a classifier's stages.

A classifier knows most about what things are in its coarse last stage, and most about where they
are in its fine ones. A *feature pyramid* (Lin et al. 2017) brings both together: from the coarsest
map down, each is enlarged twice and added to the next finer one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from cnnkit.models._arguments import check_classes
from cnnkit.models.detector import (
    STAGES,
    STRIDES,
    convolve,
    pool_around,
    predict_with_anchors,
    separable,
)
from cnnkit.models.fcn import CropToPicture, EnlargeBilinearly

# Strides of the maps that the segmenter takes; its scores are at the first that it is given.
SEGMENTER_STRIDES = (4, *STRIDES)


def build_pyramid_detector(
    inputs: Any,
    maps: Mapping[int, Any],
    classes: int,
    anchors: Mapping[int, Sequence[Sequence[float]]],
    features: Mapping[int, int],
    *,
    width: int = 128,
    name: str = "detector",
) -> keras.Model:
    """Builds a detector with anchors at strides 16 and 32 on the stages of a classifier.

    What is at stride 16 is told by all three stages: the coarse one enlarged, and the fine one
    halved, which a pyramid for stride 8 would take four times the time for. A second way leads up
    again (Liu et al., "Path Aggregation Network", 2018), so that large objects know about their
    borders. Other departures: 3x3 convolutions are depthwise 5x5 ones and 1x1 ones, which cost a
    tenth, and the coarsest map begins with maxima over three windows.

    Args:
        inputs: `keras.Input` of the network, RGB in [0, 1].
        maps: 8, 16 and 32 -> activations at that stride, tensors of the network's graph.
        classes: number of classes.
        anchors: 16 and 32 -> width and height in pixels of each anchor.
        features: 16 and 32 -> channels of the features before the last layer.
        width: channels of the pyramid.
        name: of the model.

    Returns:
        A `keras.Model` like that of `models.detector.build_anchor_detector`.

    Raises:
        ValueError: no class.

    Example:

    >>> import numpy as np
    >>> inputs = keras.Input((None, None, 3))
    >>> maps = {stride: keras.layers.AveragePooling2D(stride)(inputs) for stride in (8, 16, 32)}
    >>> anchors, features = {16: [(20, 20)], 32: [(50, 50), (90, 60)]}, {16: 4, 32: 6}
    >>> model = build_pyramid_detector(inputs, maps, 3, anchors, features, width=8)
    >>> tuple(model(np.zeros((1, 64, 32, 3))).shape)  # 4 x 2 places, and 2 x 1 of 2 anchors
    (1, 12, 7)
    """
    check_classes(classes)
    layers = keras.layers
    stages = {
        stride: layers.Identity(name=stage)(maps[stride])
        for stride, stage in zip(STRIDES, STAGES, strict=True)
    }
    coarse = pool_around(convolve(stages[32], width, "down32_in"), "down32_around")
    parts = [
        convolve(stages[16], width, "down16_in"),
        layers.UpSampling2D(2, name="down16_up")(coarse),
        separable(stages[8], width, "fine16", stride=2),
    ]
    levels = {16: separable(layers.Add(name="down16_add")(parts), width, "down16")}
    x = separable(levels[16], width, "up32_in", stride=2)
    levels[32] = separable(layers.Add(name="up32_add")([coarse, x]), width, "up32")
    output = predict_with_anchors(levels, classes, anchors, features, width)
    return keras.Model(inputs, output, name=name)


def build_pyramid_segmenter(
    inputs: Any,
    maps: Mapping[int, Any],
    classes: int = 21,
    *,
    widths: Mapping[int, int] | None = None,
    dropout: float = 0.1,
    name: str = "fpn",
) -> keras.Model:
    """Builds a segmenter whose scores come from a pyramid that ends at the finest map.

    The semantic branch of Kirillov et al., "Panoptic Feature Pyramid Networks" (2019). Departures:
    the way down itself carries the features that are scored, narrower where the maps are large;
    convolutions are separable; and the mean of the coarsest map is added to it at every place, as
    in ParseNet (Liu, Rabinovich & Berg 2015).

    Args:
        inputs: `keras.Input((None, None, 3))`, RGB in [0, 1].
        maps: 8, 16 and 32, and perhaps 4 -> what the stages give of `fcn.PadToStride()(inputs)`.
        classes: number of classes, the background among them.
        widths: stride -> channels of the pyramid; 192, 128, 96 and 64 by default.
        dropout: share of the coarsest maps left out in training.
        name: of the model.

    Returns:
        A `keras.Model`: `(batch, height, width, 3)` -> scores before the softmax `(batch, height,
        width, classes)`.

    Raises:
        ValueError: no class.

    Example:

    >>> import numpy as np
    >>> from cnnkit.models.fcn import PadToStride
    >>> inputs = keras.Input((None, None, 3))
    >>> x = PadToStride()(inputs)
    >>> maps = {s: keras.layers.AveragePooling2D(s)(x) for s in SEGMENTER_STRIDES}
    >>> model = build_pyramid_segmenter(inputs, maps, 5, widths=dict.fromkeys(maps, 8))
    >>> model(np.zeros((1, 37, 50, 3), np.float32)).shape
    TensorShape([1, 37, 50, 5])
    """
    check_classes(classes)
    layers = keras.layers
    widths = widths or {32: 192, 16: 128, 8: 96, 4: 64}
    whole = layers.GlobalAveragePooling2D(keepdims=True, name="context_mean")(maps[32])
    whole = layers.Conv2D(widths[32], 1, name="context")(whole)
    whole = layers.LayerNormalization(name="context_scale")(whole)
    x = convolve(maps[32], widths[32], "down32_in")
    x = layers.Add(name="context_add")([x, whole])
    x = separable(x, widths[32], "down32_0")
    x = separable(x, widths[32], "down32_1")
    x = layers.SpatialDropout2D(dropout, name="down32_dropout")(x)
    strides = [stride for stride in SEGMENTER_STRIDES if stride in maps]
    for stride in reversed(strides[:-1]):
        # Narrowed first: the same sum, on a quarter of the places.
        above = convolve(x, widths[stride], f"down{stride}_narrow")
        above = layers.UpSampling2D(2, name=f"down{stride}_up")(above)
        x = convolve(maps[stride], widths[stride], f"down{stride}_in")
        x = layers.Add(name=f"down{stride}_add")([x, above])
        x = separable(x, widths[stride], f"down{stride}")
    # In 32 bits also where the rest has 16.
    finest = strides[0]
    scores = layers.Conv2D(classes, 1, dtype="float32", name=f"score_{finest}")(x)
    enlarge = EnlargeBilinearly(finest, dtype="float32", name=f"upscore_{finest}_pixels")
    scores = enlarge(scores)
    return keras.Model(inputs, CropToPicture(name="crop_to_picture")([scores, inputs]), name=name)
