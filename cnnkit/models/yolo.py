"""YOLOv1 (Redmon et al. 2016): one network that looks once and tells all boxes.

The picture is divided into S x S cells. Each cell tells B boxes, how sure it is of each, and the
probabilities of C classes, given that there is an object whose middle lies in the cell.
"""

from typing import Any

import keras

# Filters and sizes of the convolutions, block by block; "pool" halves the map. A stride of 2 is
# marked. The first 20 are pretrained as a classifier.
_BLOCKS: tuple[tuple[Any, ...], ...] = (
    ((64, 7, 2), "pool"),
    ((192, 3, 1), "pool"),
    ((128, 1, 1), (256, 3, 1), (256, 1, 1), (512, 3, 1), "pool"),
    (*((256, 1, 1), (512, 3, 1)) * 4, (512, 1, 1), (1024, 3, 1), "pool"),
    (*((512, 1, 1), (1024, 3, 1)) * 2,),
)
_LAST: tuple[tuple[int, int, int], ...] = ((1024, 3, 1), (1024, 3, 2), (1024, 3, 1), (1024, 3, 1))
_HIDDEN = 4096
_STRIDE = 64
PRETRAINED_CONVOLUTIONS = 20


@keras.saving.register_keras_serializable("cnnkit")
class CellBoxes(keras.layers.Layer):
    r"""Turns the answers of all cells into boxes in pixels and scores.

    A box of the cell (row, column) with the answer (x, y, u, v, c) has its middle at
    ((column + x) s, (row + y) s) for cells of s pixels, and is u^2 wide and v^2 high, as parts of
    the picture: the network answers with square roots, as the loss compares them. Its score for a
    class is c times the probability of the class.

    Args:
        boxes: B.
        size: side of the picture in pixels.

    Call: `(N, S, S, 5 B + C)` -> `(N, S S B, 4 + C)`.
    """

    def __init__(self, boxes: int, size: int, **settings: Any):
        super().__init__(**settings)
        self.boxes, self.size = boxes, size

    def call(self, answers: Any) -> Any:
        ops = keras.ops
        cells, count = answers.shape[1], self.boxes
        classes = answers.shape[-1] - 5 * count
        box = ops.reshape(answers[..., : 5 * count], (-1, cells, cells, count, 5))
        columns = ops.cast(ops.arange(cells), "float32")[None, None, :, None]
        rows = ops.cast(ops.arange(cells), "float32")[None, :, None, None]
        x = (box[..., 0] + columns) * (self.size / cells)
        y = (box[..., 1] + rows) * (self.size / cells)
        half_wide = box[..., 2] ** 2 * (self.size / 2)
        half_high = box[..., 3] ** 2 * (self.size / 2)
        edges = ops.stack([x - half_wide, y - half_high, x + half_wide, y + half_high], axis=-1)
        scores = box[..., 4:] * answers[..., None, 5 * count :]
        found = ops.concatenate([edges, ops.clip(scores, 0.0, 1.0)], axis=-1)
        return ops.reshape(found, (-1, cells * cells * count, 4 + classes))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape[0], shape[1] * shape[2] * self.boxes, shape[-1] - 5 * self.boxes + 4

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "boxes": self.boxes, "size": self.size}


def build_yolov1(
    classes: int = 20,
    *,
    size: int = 448,
    boxes: int = 2,
    width: float = 1.0,
    dropout: float = 0.5,
    batch_normalization: bool = False,
    name: str = "yolov1",
) -> keras.Model:
    """Builds YOLOv1: 24 convolutions and 2 dense layers, leaky ReLU 0.1 but after the last one.

    Args:
        classes: C.
        size: side of the pictures, a multiple of 64; S is a 64th of it, 7 in the paper.
        boxes: B.
        width: filters and hidden units, as a part of the paper's.
        dropout: share of the hidden units that is left out in training.
        batch_normalization: behind each convolution; not in the paper, but in the settings that
            its authors published later. It trains from random weights.
        name: of the model.

    Returns:
        A `keras.Model`: RGB `(N, size, size, 3)` in [0, 1] -> `(N, S, S, 5 B + C)`: for each box x
        and y of its middle in the cell, the square roots of its sides as parts of the picture, and
        how sure it is; then the classes.

    Raises:
        ValueError: a size that is no multiple of 64, or no class or box.

    Example:

    >>> model = build_yolov1(3, size=64, width=1 / 64)
    >>> model.output_shape
    (None, 1, 1, 13)
    """
    if size % _STRIDE or size < _STRIDE or classes < 1 or boxes < 1:
        raise ValueError(
            f"size must be a multiple of {_STRIDE}, classes and boxes at least 1. Received: "
            f"{size}, {classes}, {boxes}"
        )
    layers = keras.layers
    inputs = keras.Input((size, size, 3), name="picture")
    x = _pretrained_part(inputs, width, batch_normalization)
    for number, shape in enumerate(_LAST, PRETRAINED_CONVOLUTIONS + 1):
        x = _convolve(x, shape, width, f"conv{number}", batch_normalization)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(_part(_HIDDEN, width), name="dense1")(x)
    x = layers.LeakyReLU(0.1, name="dense1_leaky")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    cells = size // _STRIDE
    x = layers.Dense(cells * cells * (5 * boxes + classes), name="dense2")(x)
    x = layers.Reshape((cells, cells, 5 * boxes + classes), name="cells")(x)
    return keras.Model(inputs, x, name=name)


def build_yolov1_classifier(
    classes: int = 1000,
    *,
    size: int = 224,
    width: float = 1.0,
    batch_normalization: bool = False,
    name: str = "yolov1-classifier",
) -> keras.Model:
    """Builds what YOLOv1's first 20 convolutions are pretrained as.

    Args:
        classes: of the pictures.
        size: side of the pictures, a multiple of 32; half of the detector's in the paper.
        width: as of the detector.
        batch_normalization: as of the detector.
        name: of the model.

    Returns:
        A `keras.Model`: RGB `(N, size, size, 3)` in [0, 1] -> probabilities `(N, classes)`: the
        convolutions, an average over all places, and a dense layer.
    """
    layers = keras.layers
    inputs = keras.Input((size, size, 3), name="picture")
    x = _pretrained_part(inputs, width, batch_normalization)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=name)


def take_over_pretrained(detector: keras.Model, classifier: keras.Model) -> int:
    """Puts the weights of a classifier's convolutions into a detector.

    Args:
        detector: of `build_yolov1`.
        classifier: of `build_yolov1_classifier`, of the same width.

    Returns:
        The number of convolutions.
    """
    known = {layer.name: layer for layer in classifier.layers}
    count = 0
    for layer in detector.layers:
        if layer.weights and layer.name.startswith("conv") and layer.name in known:
            layer.set_weights(known[layer.name].get_weights())
            count += isinstance(layer, keras.layers.Conv2D)
    return count


def with_boxes(model: keras.Model, boxes: int = 2) -> keras.Model:
    """YOLOv1 with boxes in pixels and scores, as all detectors here give them.

    Args:
        model: of `build_yolov1`.
        boxes: B.

    Returns:
        A `keras.Model` on the same layers: pictures -> `(N, S S B, 4 + C)`.
    """
    size = model.inputs[0].shape[1]
    found = CellBoxes(boxes, size, name="detections")(model.outputs[0])
    return keras.Model(model.inputs[0], found, name=model.name)


def _pretrained_part(x: Any, width: float, batch_normalization: bool) -> Any:
    number = 0
    for block, parts in enumerate(_BLOCKS, 1):
        for part in parts:
            if part == "pool":
                x = keras.layers.MaxPooling2D(2, name=f"pool{block}")(x)
                continue
            number += 1
            x = _convolve(x, part, width, f"conv{number}", batch_normalization)
    return x


def _convolve(
    x: Any, shape: tuple[int, int, int], width: float, name: str, batch_normalization: bool
) -> Any:
    filters, size, stride = shape
    layers = keras.layers
    x = layers.Conv2D(
        _part(filters, width),
        size,
        stride,
        padding="same",
        use_bias=not batch_normalization,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    if batch_normalization:
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return layers.LeakyReLU(0.1, name=f"{name}_leaky")(x)


def _part(count: int, width: float) -> int:
    return max(1, round(count * width))
