"""Detectors to be trained: on the shipped network, or taken over from a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.data._class_names import COCO_CLASSES
from cnnkit.errors import UsageError
from cnnkit.models._anchor_boxes import AnchorBoxes
from cnnkit.models.darknet import build_darknet
from cnnkit.models.detector import (
    PREDICTIONS,
    SCALE,
    STAGES,
    STRIDES,
    anchor_points,
    build_anchor_detector,
    build_detector,
    grid_points,
    with_scores,
)
from cnnkit.models.distillation import (
    DetectionDistillation,
    FeatureDistillation,
    detection_heads,
    last_maps,
)
from cnnkit.models.efficientnet_lite import build_features, feature_layers, is_feature_layer
from cnnkit.models.fcn import start_from
from cnnkit.models.feature_pyramid import build_pyramid_detector
from cnnkit.models.unrolled import unroll_model
from cnnkit.models.vgg import build_feature_network
from cnnkit.models.yolo import build_yolov1, take_over_pretrained, with_boxes
from cnnkit.models.yolo_fastest import ANCHORS, FEATURES, yolo_fastest_sections
from cnnkit.runtime import has_accelerator
from cnnkit.tasks.detect.batches import encode_objects
from cnnkit.tasks.detect.loss import AlignedDetectionLoss, YoloV1Loss, encode_cells
from cnnkit.tasks.detect.settings import DEFAULT_DETECTOR, DETECTORS, TrainSettings
from cnnkit.weights import locate
from cnnkit.weights.darknet_format import DarknetWeights
from cnnkit.weights.keras_file import load_keras_file

# The activations that the detector sees, at stride 4. To go deeper would double its time.
_MAP = "block3_conv1"
# What a new detector on EfficientNet-Lite0 is called.
_LITE = "efficientnet-lite0"
# Examples that go through the network at a time for the statistics of its activations.
_CHUNK = 8
# Objects of a scene that are learned at most.
_MOST_OBJECTS = 60


@dataclass(frozen=True, eq=False)
class TrainableDetector:
    """A detector, and which of its layers come trained.

    Attributes:
        model: pictures -> what is trained.
        scored: pictures -> boxes in pixels and scores, on the same layers.
        loss: of `model`.
        encode: boxes in pixels `(n, 4)` and `(n, 2)` rows of class and weight -> what `loss` takes.
        backbone: the layers of the network below, in their order.
        is_scaled: whether its activations are centred and scaled already.
    """

    model: keras.Model
    scored: keras.Model
    loss: keras.losses.Loss
    encode: Callable[[np.ndarray, np.ndarray], np.ndarray]
    backbone: tuple[keras.layers.Layer, ...]
    is_scaled: bool

    def set_scales(self, examples: np.ndarray) -> None:
        """Centres and scales the activations of the network below by those for some examples.

        Args:
            examples: float32 `(N, H, W, 3)` in [0, 1].
        """
        layer = self.model.get_layer(SCALE)
        network = keras.Model(self.model.inputs[0], layer.input)
        count, total, squares = 0, 0.0, 0.0
        for begin in range(0, len(examples), _CHUNK):
            maps = network(examples[begin : begin + _CHUNK], training=False)
            values = keras.ops.convert_to_numpy(maps).astype(np.float64)
            values = values.reshape(-1, values.shape[-1])
            count += len(values)
            total = total + values.sum(axis=0)
            squares = squares + (values**2).sum(axis=0)
        mean = total / count
        layer.set_weights([mean, np.maximum(squares / count - mean**2, 1e-6)])


def build_trainable(
    settings: TrainSettings,
    classes: Sequence[str],
    known_classes: Sequence[str] = (),
    policy: str = "float32",
) -> TrainableDetector:
    """A detector as the options say.

    Args:
        options: of the shipped detector or a `.keras` file all weights are taken over, those of the
            classes where the names are the same.
        classes: names of the classes.
        known_classes: those of the file.
        policy: dtype policy of the layers.

    Raises:
        UsageError: a file that is no such detector.
        WeightsError: the file cannot be loaded.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return _build(settings, classes, known_classes)
    finally:
        keras.config.set_dtype_policy(before)


def _build(
    settings: TrainSettings, classes: Sequence[str], known_classes: Sequence[str]
) -> TrainableDetector:
    if settings.model == "yolov1":
        return _build_yolov1(settings, len(classes))
    loaded: keras.Model | None = None
    if settings.model not in ("anchors", "compact", _LITE):
        loaded = _load_detector(settings.model)
        known_classes = COCO_CLASSES if settings.model == DEFAULT_DETECTOR else known_classes
    has_anchors = settings.model in ("anchors", _LITE)
    if loaded is not None:
        has_anchors = _has_anchors(loaded)
    if settings.model == _LITE or (loaded is not None and _is_on_lite(loaded)):
        built, backbone = _build_on_lite(len(classes), freeze=settings.freeze)
    else:
        built, backbone = _build_compact(
            len(classes), freeze=settings.freeze, has_anchors=has_anchors
        )
    if loaded is not None:
        _take_over(built, loaded, settings.model, classes, known_classes)
    elif settings.pretrained is not None:
        _take_over_stages(built, settings.pretrained)
    side = settings.side
    points = anchor_points(side, side, ANCHORS) if has_anchors else grid_points(side, side)
    return TrainableDetector(
        built if settings.teacher is None else _taught(built, settings),
        with_scores(built),
        AlignedDetectionLoss(points, weight=settings.labels),
        encode_objects(_MOST_OBJECTS),
        backbone,
        is_scaled=SCALE not in {layer.name for layer in built.layers}
        or loaded is not None
        or settings.pretrained is not None,
    )


def build_shipped() -> keras.Model:
    """The shipped detector with its weights, before the scores, under the dtype policy of now.

    Returns:
        A `keras.Model` as `build_detector` makes it.
    """
    loaded = _load_detector(DEFAULT_DETECTOR)
    if _is_on_lite(loaded):
        built, _ = _build_on_lite(len(COCO_CLASSES))
    else:
        built, _ = _build_compact(len(COCO_CLASSES), has_anchors=_has_anchors(loaded))
    _take_over(built, loaded, DEFAULT_DETECTOR, COCO_CLASSES, COCO_CLASSES)
    return built


def _taught(built: keras.Model, settings: TrainSettings) -> keras.Model:
    """The same detector, with a loss beside its own: to see or answer as another one does."""
    name = str(settings.teacher)
    path = locate(name) if name in DETECTORS else Path(name)
    if path.suffix == ".keras":
        teacher = load_keras_file(path, "--teacher")
    else:
        policy = keras.config.dtype_policy()
        # With float16's 11 bits its answers are the same to a share of 5e-5 of their variance,
        # with bfloat16's 8 to 4e-3. Processors are slow with it.
        is_fast = has_accelerator() and policy.compute_dtype != "float32"
        keras.config.set_dtype_policy("mixed_float16" if is_fast else "float32")
        teacher = build_darknet(yolo_fastest_sections(), DarknetWeights(path), name)
        keras.config.set_dtype_policy(policy)
    teacher.trainable = False
    if _has_anchors(built):
        return _answering(built, teacher, settings)
    pixels = built.inputs[0]
    try:
        wanted = last_maps(teacher, STRIDES)
    except ValueError:
        raise UsageError(
            f"{settings.teacher} has no maps of strides 8, 16 and 32; give another --teacher"
        ) from None
    wanted = keras.Model(teacher.inputs[0], wanted, name="teacher")(pixels)
    own = [built.get_layer(name).output for name in STAGES]
    predictions = FeatureDistillation(settings.distillation, name="distillation")(
        [built.outputs[0], *own, *wanted]
    )
    return keras.Model(pixels, predictions, name=built.name)


def _answering(built: keras.Model, teacher: keras.Model, settings: TrainSettings) -> keras.Model:
    """A detector of anchors with a teacher of the same."""
    own, theirs = detection_heads(built), detection_heads(teacher)
    is_same = own.keys() == theirs.keys() and all(
        own[stride].layer.anchors == theirs[stride].layer.anchors
        and own[stride].convolution.kernel.shape == theirs[stride].convolution.kernel.shape
        for stride in own
    )
    if not is_same:
        raise UsageError(
            f"{settings.teacher} has other anchors or classes; give another --teacher, or --model "
            "compact"
        )
    if settings.model in ("anchors", _LITE):
        # What reads the teacher's features reads those that are to be like them.
        for stride, one in own.items():
            one.convolution.set_weights(theirs[stride].convolution.get_weights())
    pixels = built.inputs[0]
    wanted = [tensor for stride in own for tensor in theirs[stride].tensors]
    wanted = keras.Model(teacher.inputs[0], wanted, name="teacher")(pixels)
    told = [tensor for one in own.values() for tensor in one.tensors]
    anchors = len(own[STRIDES[-1]].layer.anchors)
    distillation = DetectionDistillation(anchors, settings.distillation, name="distillation")
    return keras.Model(pixels, distillation([built.outputs[0], *told, *wanted]), name=built.name)


def _build_yolov1(settings: TrainSettings, classes: int) -> TrainableDetector:
    side = settings.side
    model = build_yolov1(classes, size=side, width=settings.width, batch_normalization=True)
    if settings.pretrained is not None:
        _take_over_convolutions(model, settings.pretrained)
    cells = model.output_shape[1]

    def encode(boxes_xyxy: np.ndarray, more: np.ndarray) -> np.ndarray:
        return encode_cells(boxes_xyxy, more[:, 0].astype(int), cells, classes, side)

    return TrainableDetector(model, with_boxes(model), YoloV1Loss(), encode, (), is_scaled=True)


def _take_over_convolutions(detector: keras.Model, pretrained: str) -> None:
    """The paper's second phase begins with what the first one learned."""
    classifier = load_keras_file(pretrained, "--pretrained")
    try:
        count = take_over_pretrained(detector, classifier)
    except ValueError:
        raise UsageError(
            f"{pretrained} has convolutions of another width; give the same --width"
        ) from None
    if not count:
        raise UsageError(
            f"{pretrained} is no classifier of 'cnnkit train classify --model yolov1'; give "
            "another --pretrained"
        )


def _build_compact(
    classes: int, *, freeze: bool = False, has_anchors: bool
) -> tuple[keras.Model, tuple[keras.layers.Layer, ...]]:
    """A new detector on the shipped network, and the layers of that."""
    network = build_feature_network("compact", [_MAP]).model
    inputs = keras.Input((None, None, 3), name="picture")
    found: dict[str, Any] = {}
    unroll_model(network, [inputs], found)
    if has_anchors:
        built = build_anchor_detector(inputs, found[_MAP], classes, ANCHORS, FEATURES)
    else:
        built = build_detector(inputs, found[_MAP], classes)
    names = {layer.name for layer in network.layers}
    backbone = tuple(layer for layer in built.layers if layer.name in names and layer.weights)
    for layer in backbone:
        layer.trainable = not freeze
    return built, backbone


def _build_on_lite(
    classes: int, *, freeze: bool = False
) -> tuple[keras.Model, tuple[keras.layers.Layer, ...]]:
    """A new detector on EfficientNet-Lite0, and the layers of that.

    Its first blocks, up to stride 8, are frozen in any case, and its normalisations keep their
    statistics: a step costs half as much, and ImageNet's are better than those of a few scenes.
    """
    names = feature_layers()
    network, _ = build_features([names[stride] for stride in STRIDES])
    inputs = keras.Input((None, None, 3), name="picture")
    found: dict[str, Any] = {}
    unroll_model(network, [inputs], found)
    maps = {stride: found[names[stride]] for stride in STRIDES}
    built = build_pyramid_detector(inputs, maps, classes, ANCHORS, FEATURES)
    backbone = tuple(layer for layer in built.layers if is_feature_layer(layer.name))
    is_fine = True
    for layer in backbone:
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = not (freeze or is_fine or is_normalization)
        is_fine = is_fine and layer.name != names[STRIDES[0]]
    return built, backbone


def _is_on_lite(model: keras.Model) -> bool:
    return any(is_feature_layer(layer.name) for layer in model.layers)


def _load_detector(model: str, option: str = "--model") -> keras.Model:
    """A trained detector on the shipped network: that which is shipped too, or a file."""
    path = str(locate(model)) if model == DEFAULT_DETECTOR else model
    loaded = load_keras_file(path, option)
    names = {layer.name for layer in getattr(loaded, "layers", ())}
    if not names.issuperset({*STAGES, PREDICTIONS}):
        raise UsageError(f"{model} is no detector of 'cnnkit train detect'; give another {option}")
    return loaded


def _has_anchors(model: keras.Model) -> bool:
    return any(isinstance(layer, AnchorBoxes) for layer in model.layers)


def _take_over_stages(built: keras.Model, pretrained: str) -> None:
    """A detector begins with the stages of another, and what is before them."""
    stages = keras.Model(built.inputs[0], [built.get_layer(name).output for name in STAGES])
    missing = start_from(stages, _load_detector(pretrained, "--pretrained"))
    if missing:
        raise UsageError(
            f"{pretrained} has another layer {missing[0]!r}; give another --pretrained"
        )


def _take_over(
    built: keras.Model,
    loaded: keras.Model,
    model: str,
    classes: Sequence[str],
    known_classes: Sequence[str],
) -> None:
    """Puts the weights of a trained detector into a new one."""
    known = {layer.name: layer for layer in loaded.layers}
    shared = [
        (new, known_classes.index(name))
        for new, name in enumerate(classes)
        if name in known_classes
    ]
    for layer in built.layers:
        if not layer.weights:
            continue
        old, values = known.get(layer.name), layer.get_weights()
        if old is None:
            raise UsageError(f"{model} has no layer {layer.name!r}; train it anew")
        given = old.get_weights()
        if layer.name.removeprefix("class").isdigit():
            for new, before in shared:
                for value, source in zip(values, given, strict=True):
                    value[..., new] = source[..., before]
            given = values
        elif layer.name.removeprefix("grid").isdigit():
            for value, source in zip(values, given, strict=True):
                _take_over_anchors(value, source, len(classes), shared)
            given = values
        if [one.shape for one in given] != [one.shape for one in values]:
            raise UsageError(f"{model} has another layer {layer.name!r}; train it anew")
        layer.set_weights(given)


def _take_over_anchors(
    values: np.ndarray, source: np.ndarray, classes: int, shared: Sequence[tuple[int, int]]
) -> None:
    """Of what tells anchors' boxes, those and how sure they are, and the classes that are shared.

    Args:
        values: `(..., anchors (5 + classes))`, changed in place.
        source: the same of other classes.
        classes: of `values`.
        shared: pairs of a class and its place in the source.
    """
    new = values.reshape(*values.shape[:-1], -1, 5 + classes)
    old = source.reshape(*source.shape[:-1], new.shape[-2], -1)
    new[..., :5] = old[..., :5]
    for at, before in shared:
        new[..., 5 + at] = old[..., 5 + before]
