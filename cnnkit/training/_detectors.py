"""Detectors to be trained: on the shipped network, or taken over from a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cnnkit.errors import UsageError
from cnnkit.losses.detection import AlignedDetectionLoss, YoloV1Loss, encode_cells
from cnnkit.models.detector import BoxesAtPoints, build_detector, grid_points, with_scores
from cnnkit.models.unrolled import unroll_model
from cnnkit.models.vgg import COMPACT_LAST_LAYER, build_feature_network
from cnnkit.models.yolo import build_yolov1, take_over_pretrained, with_boxes
from cnnkit.options import DetectTrainOptions
from cnnkit.training._detect_batches import encode_objects
from cnnkit.weights.keras_file import load_keras_file

# The activations that the detector sees, by their stride.
_MAPS = {8: "block4_conv4", 16: COMPACT_LAST_LAYER}
_SCALES = ("scale_8", "scale_16")
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
        layers = [self.model.get_layer(name) for name in _SCALES]
        network = keras.Model(self.model.inputs[0], [layer.input for layer in layers])
        sums = [[0, 0.0, 0.0] for _ in layers]
        for begin in range(0, len(examples), _CHUNK):
            maps = network(examples[begin : begin + _CHUNK], training=False)
            for one, values in zip(sums, maps, strict=True):
                values = keras.ops.convert_to_numpy(values).astype(np.float64)
                values = values.reshape(-1, values.shape[-1])
                one[0] += len(values)
                one[1] = one[1] + values.sum(axis=0)
                one[2] = one[2] + (values**2).sum(axis=0)
        for layer, (count, total, squares) in zip(layers, sums, strict=True):
            mean = total / count
            layer.set_weights([mean, np.maximum(squares / count - mean**2, 1e-6)])


def build_trainable(
    options: DetectTrainOptions, classes: Sequence[str], known_classes: Sequence[str] = ()
) -> TrainableDetector:
    """A detector as the options say.

    Args:
        options: of a `.keras` file all weights are taken over, those of the classes where the names
            are the same.
        classes: names of the classes.
        known_classes: those of the file.

    Raises:
        UsageError: a file that is no such detector.
        WeightsError: the file cannot be loaded.
    """
    if options.model == "yolov1":
        return _build_yolov1(options, len(classes))
    built, backbone = _build_compact(len(classes), options.freeze)
    if options.model != "compact":
        _take_over(built, options.model, classes, known_classes)
    side = options.side
    return TrainableDetector(
        built,
        with_scores(built),
        AlignedDetectionLoss(grid_points(side, side)),
        encode_objects(_MOST_OBJECTS),
        backbone,
        is_scaled=options.model != "compact",
    )


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
    network = build_feature_network("compact", list(_MAPS.values())).model
    inputs = keras.Input((None, None, 3), name="picture")
    found: dict[str, Any] = {}
    unroll_model(network, [inputs], found)
    maps = {stride: found[layer] for stride, layer in _MAPS.items()}
    built = build_detector(inputs, maps, classes)
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
