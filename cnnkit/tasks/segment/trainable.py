"""FCNs to be trained: what of them trains, and the scale of what the backbone gives."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from cnnkit import weights as weights_table
from cnnkit.errors import UsageError
from cnnkit.models import deeplab
from cnnkit.models.detector import STAGES, STRIDES
from cnnkit.models.distillation import FusedFeatureDistillation, LogitDistillation
from cnnkit.models.efficientnet_lite import build_features, feature_layers
from cnnkit.models.fcn import (
    COMPACT_LAYERS,
    EnlargeBilinearly,
    PadToStride,
    build_fcn_compact,
    build_fcn_stages,
    build_fcn_vgg,
    take_dense_weights,
)
from cnnkit.models.feature_pyramid import SEGMENTER_STRIDES, build_pyramid_segmenter
from cnnkit.models.mobilenet_v2 import MAPS, build_trained_mobilenet_v2
from cnnkit.models.unrolled import unroll_model
from cnnkit.models.vgg import (
    VGG16_CONVOLUTIONS,
    build_feature_network,
    build_vgg_classifier,
    load_imagenet_weights,
)
from cnnkit.tasks.detect.trainable import build_shipped
from cnnkit.tasks.segment.batches import COARSE, FEATURE_STEP
from cnnkit.tasks.segment.settings import PYRAMIDS, TrainSettings
from cnnkit.tasks.segment.teacher_maps import TeacherMaps
from cnnkit.weights.keras_file import load_keras_file

# Layers that give the maps of EfficientNet-Lite0, with the stride behind it.
MAP = "map"


def build_segmenter(
    settings: TrainSettings, variant: str, classes: int, policy: str = "float32"
) -> keras.Model:
    """A segmenter with the trained weights of its backbone.

    Raises:
        WeightsError: these are not here.
    """
    backbone, dropout = settings.backbone, settings.head_dropout
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((None, None, 3), name="picture")
        maps = _backbone_maps(backbone, PadToStride(name="pad_to_stride")(inputs), variant)
        if backbone == "compact":
            return build_fcn_compact(inputs, maps, variant, classes, dropout=dropout)
        if variant in PYRAMIDS:
            return build_pyramid_segmenter(inputs, maps, classes, dropout=dropout)
        if backbone != "vgg16":
            # Of the detector as it was called before there were others.
            name = f"fcn{variant}-{'detector' if backbone == 'coco80' else backbone}"
            return build_fcn_stages(inputs, maps, variant, classes, dropout=dropout, name=name)
        model = build_fcn_vgg(inputs, maps, variant, classes, dropout=dropout)
    finally:
        keras.config.set_dtype_policy(before)
    if weights_table.is_available("vgg16-classifier"):
        take_dense_weights(model, load_classifier())
    return model


def _backbone_maps(backbone: str, pixels: Any, variant: str) -> dict[int, Any]:
    """The maps that a segmenter is built on, by their stride.

    Args:
        backbone: one of `settings.BACKBONES`.
        pixels: tensor of pictures whose sides are multiples of 32.
        variant: of the segmenter.

    Raises:
        WeightsError: the weights are not here.
    """
    found: dict[str, Any] = {}
    if backbone == "compact":
        # 32s and 16s do without block4_conv4, which is on the way to block5_conv1.
        unroll_model(build_feature_network("compact", [COMPACT_LAYERS[16]]).model, [pixels], found)
        return {stride: found[layer] for stride, layer in COMPACT_LAYERS.items()}
    if backbone == "vgg16":
        unroll_model(build_feature_network("vgg16", ["block5_conv3"]).model, [pixels], found)
        deepest = keras.layers.MaxPooling2D(2, name="block5_pool")(found["block5_conv3"])
        return {32: deepest, 16: found["block4_pool"], 8: found["block3_pool"]}
    if backbone == "efficientnet-lite0":
        names = feature_layers()
        finest = PYRAMIDS.get(variant, STRIDES[0])
        strides = [stride for stride in SEGMENTER_STRIDES if stride >= finest]
        network, _ = build_features([names[stride] for stride in strides])
        unroll_model(network, [pixels], found)
        return {
            stride: keras.layers.Identity(name=f"{MAP}{stride}")(found[names[stride]])
            for stride in strides
        }
    network, layers = (
        (build_shipped(), STAGES)
        if backbone == "coco80"
        else (build_trained_mobilenet_v2(), [MAPS[stride] for stride in STRIDES])
    )
    stages = [network.get_layer(name).output for name in layers]
    stages = unroll_model(keras.Model(network.inputs[0], stages), [pixels])
    return dict(zip(STRIDES, stages, strict=True))


def load_classifier() -> keras.Model:
    """VGG-16 whole, whose dense layers are trained too, where the user fetched it."""
    classifier = build_vgg_classifier(VGG16_CONVOLUTIONS)
    load_imagenet_weights(classifier)
    return classifier


def build_coarse(model: keras.Model, variant: str, inputs: Any) -> keras.Model:
    """An FCN up to scores four pixels apart, to be trained; the layers are the model's.

    Args:
        model: an FCN, for pictures whose sides are multiples of 32.
        variant: of it.
        inputs: tensors of its graph to begin with.

    Returns:
        A `keras.Model`: these -> scores `(B, H / 4, W / 4, classes)`.
    """
    last = PYRAMIDS[variant] if variant in PYRAMIDS else int(variant[:-1])
    scores = model.get_layer(f"upscore_{last}_pixels").input
    if last > COARSE:
        enlarge = EnlargeBilinearly(last // COARSE, dtype="float32", name="upscore_coarse")
        scores = enlarge(scores)
    return keras.Model(inputs, scores, name=f"{model.name}-coarse")


def load_teacher(settings: TrainSettings, classes: int, policy: str) -> keras.Model:
    """The teacher of a training.

    Args:
        settings: of the training, with a teacher.
        classes: number of classes.
        policy: dtype policy of its layers.

    Raises:
        UsageError: the teacher does not score these classes in maps.
        WeightsError: its file cannot be loaded.
    """
    if str(settings.teacher).endswith(deeplab.SUFFIX):
        side = deeplab.SIDE if settings.teacher_sees == "pictures" else None
        teacher = deeplab.build_deeplab(str(settings.teacher), COARSE, side)
    else:
        teacher = load_keras_file(str(settings.teacher), "--teacher")
    if len(teacher.outputs) != 1 or len(teacher.inputs) != 1:
        raise UsageError(
            f"{settings.teacher} has several inputs or outputs; give another --teacher"
        )
    shape = teacher.outputs[0].shape
    if len(shape) != 4 or shape[-1] != classes:
        raise UsageError(
            f"{settings.teacher} does not score {classes} classes at each place; give another "
            "--teacher"
        )
    teacher.trainable = False
    for layer in teacher.layers:
        # These take its time; a file has the policy that it was written with.
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            layer.dtype_policy = policy
    return teacher


def with_teacher(model: keras.Model, settings: TrainSettings, teacher: keras.Model) -> keras.Model:
    """The same network, with a loss beside its own: the teacher's scores of each crop.

    Args:
        model: as `build_coarse` makes it.
        settings: of the training.
        teacher: see `load_teacher`.
    """
    pixels = model.inputs[0]
    seen, size = pixels, teacher.inputs[0].shape[1:3]
    if None not in size:
        seen = keras.ops.image.resize(pixels, size, interpolation="bilinear")
    scores = LogitDistillation(settings.distillation, name="distillation")(
        [model.outputs[0], teacher(seen)]
    )
    return keras.Model(pixels, scores, name=model.name)


def with_teacher_maps(
    model: keras.Model, whole: keras.Model, settings: TrainSettings, maps: TeacherMaps
) -> keras.Model:
    """The same network, with losses beside its own: what a teacher said of the pictures.

    Args:
        model: as `build_coarse` makes it.
        whole: the FCN that it was made of.
        settings: of the training.
        maps: of the teacher.

    Returns:
        A `keras.Model`: what `MaskBatches` give with these maps -> scores.
    """

    def inputs(kept: np.ndarray, step: int) -> list[Any]:
        side = settings.crop // step
        return [keras.Input((side, side, kept.shape[-1])), keras.Input((side, side))]

    given = inputs(maps.scores, COARSE)
    scores = LogitDistillation(settings.distillation, name="distillation")(
        [model.outputs[0], *given]
    )
    if maps.features is not None:
        # What the scores are made of, at each stride that has some.
        layers = {layer.name: layer for layer in whole.layers}
        strides = [stride for stride in (32, 16, 8) if f"score_{stride}" in layers]
        features = inputs(maps.features, FEATURE_STEP)
        given += features
        scores = FusedFeatureDistillation(
            settings.distill_features,
            [stride // FEATURE_STEP for stride in strides],
            name="feature_distillation",
        )([scores, *features, *(layers[f"score_{stride}"].input for stride in strides)])
    return keras.Model([model.inputs[0], *given], scores, name=model.name)


def feature_statistics(
    model: keras.Model, batches: Iterable[np.ndarray]
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Mean and variance of what the compact backbone gives.

    Args:
        model: as `build_fcn_compact` makes it.
        batches: pictures `(B, H, W, 3)`.

    Returns:
        Stride -> mean and variance `(channels,)`.
    """
    taps = keras.Model(
        model.inputs[0],
        {layer.name: layer.input for layer in model.layers if layer.name.startswith("scale_")},
    )
    count: dict[str, int] = {}
    total: dict[str, np.ndarray] = {}
    squares: dict[str, np.ndarray] = {}
    for batch in batches:
        for name, maps in taps(batch, training=False).items():
            values = keras.ops.convert_to_numpy(keras.ops.cast(maps, "float32"))
            flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
            count[name] = count.get(name, 0) + len(flat)
            total[name] = total.get(name, 0.0) + flat.sum(axis=0)
            squares[name] = squares.get(name, 0.0) + (flat**2).sum(axis=0)
    found = {}
    for name in count:
        mean = total[name] / count[name]
        variance = np.maximum(squares[name] / count[name] - mean**2, 1e-6)
        stride = int(name.removeprefix("scale_"))
        found[stride] = mean.astype(np.float32), variance.astype(np.float32)
    return found
