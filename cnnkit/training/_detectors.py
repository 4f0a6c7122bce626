"""Detectors to be trained: on the shipped network, or taken over from a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.data.boxes import COCO_CLASSES
from cnnkit.errors import UsageError
from cnnkit.losses.detection import AlignedDetectionLoss, YoloV1Loss, encode_cells
from cnnkit.models.darknet import build_darknet
from cnnkit.models.detector import (
    SCALE,
    STAGES,
    STRIDES,
    BoxesAtPoints,
    build_detector,
    grid_points,
    with_scores,
)
from cnnkit.models.imitation import Imitation, last_maps
from cnnkit.models.unrolled import unroll_model
from cnnkit.models.vgg import build_feature_network
from cnnkit.models.yolo import build_yolov1, take_over_pretrained, with_boxes
from cnnkit.models.yolo_fastest import yolo_fastest_sections
from cnnkit.options import DEFAULT_DETECTOR, DETECTORS, DetectTrainOptions
from cnnkit.training._detect_batches import encode_objects
from cnnkit.weights import locate
from cnnkit.weights.darknet_format import DarknetWeights
from cnnkit.weights.keras_file import load_keras_file

# The activations that the detector sees, at stride 4. To go deeper would double its time.
_MAP = "block3_conv1"
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
    options: DetectTrainOptions,
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
        return _build(options, classes, known_classes)
    finally:
        keras.config.set_dtype_policy(before)


def _build(
    options: DetectTrainOptions, classes: Sequence[str], known_classes: Sequence[str]
) -> TrainableDetector:
    if options.model == "yolov1":
        return _build_yolov1(options, len(classes))
    built, backbone = _build_compact(len(classes), options.freeze)
    if options.model == DEFAULT_DETECTOR:
        _take_over(built, str(locate(DEFAULT_DETECTOR)), classes, COCO_CLASSES)
    elif options.model != "compact":
        _take_over(built, options.model, classes, known_classes)
    side = options.side
    return TrainableDetector(
        built if options.teacher is None else _imitating(built, options),
        with_scores(built),
        AlignedDetectionLoss(grid_points(side, side)),
        encode_objects(_MOST_OBJECTS),
        backbone,
        is_scaled=options.model != "compact",
    )


def build_shipped() -> keras.Model:
    """The shipped detector with its weights, before the scores, under the dtype policy of now.

    Returns:
        A `keras.Model` as `build_detector` makes it.
    """
    built, _ = _build_compact(len(COCO_CLASSES), freeze=False)
    _take_over(built, str(locate(DEFAULT_DETECTOR)), COCO_CLASSES, COCO_CLASSES)
    return built


def _imitating(built: keras.Model, options: DetectTrainOptions) -> keras.Model:
    """The same detector, with a loss beside its own: what it sees as another one does."""
    name = str(options.teacher)
    path = locate(name) if name in DETECTORS else Path(name)
    if path.suffix == ".keras":
        teacher = load_keras_file(path, "--teacher")
    else:
        teacher = build_darknet(yolo_fastest_sections(), DarknetWeights(path), name)
    teacher.trainable = False
    pixels = built.inputs[0]
    try:
        wanted = last_maps(teacher, STRIDES)
    except ValueError:
        raise UsageError(
            f"{options.teacher} has no maps of strides 8, 16 and 32; give another --teacher"
        ) from None
    wanted = keras.Model(teacher.inputs[0], wanted, name="teacher")(pixels)
    own = [built.get_layer(name).output for name in STAGES]
    predictions = Imitation(options.imitation, name="imitation")([built.outputs[0], *own, *wanted])
    return keras.Model(pixels, predictions, name=built.name)


def _build_yolov1(options: DetectTrainOptions, classes: int) -> TrainableDetector:
    side = options.side
    model = build_yolov1(classes, size=side, width=options.width, batch_normalization=True)
    if options.pretrained is not None:
        _take_over_convolutions(model, options.pretrained)
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
    classes: int, freeze: bool
) -> tuple[keras.Model, tuple[keras.layers.Layer, ...]]:
    """A new detector on the shipped network, and the layers of that."""
    network = build_feature_network("compact", [_MAP]).model
    inputs = keras.Input((None, None, 3), name="picture")
    found: dict[str, Any] = {}
    unroll_model(network, [inputs], found)
    built = build_detector(inputs, found[_MAP], classes)
    names = {layer.name for layer in network.layers}
    backbone = tuple(layer for layer in built.layers if layer.name in names and layer.weights)
    for layer in backbone:
        layer.trainable = not freeze
    return built, backbone


def _take_over(
    built: keras.Model, model: str, classes: Sequence[str], known_classes: Sequence[str]
) -> None:
    """Puts the weights of a file into a new detector."""
    loaded = load_keras_file(model, "--model")
    if not any(isinstance(layer, BoxesAtPoints) for layer in getattr(loaded, "layers", ())):
        raise UsageError(f"{model} is no detector of 'cnnkit train detect'; give another --model")
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
        if [one.shape for one in given] != [one.shape for one in values]:
            raise UsageError(f"{model} has another layer {layer.name!r}; train it anew")
        layer.set_weights(given)
