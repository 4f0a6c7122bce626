"""dlib's convolutional face detector (MMOD, King 2015) for pictures of any size.

The network gives one score for each window of 80x80 pixels, in steps of 8 pixels. Faces of other
sizes are found in a pyramid of smaller pictures, which `tiles` lays out side by side, so that one
pass of the network sees them all. Faces smaller than 80 pixels need an enlarged picture.
"""

from dataclasses import dataclass

import keras
import numpy as np

from cnnkit.ops.boxes import enclosing_overlap, non_maximum_suppression
from cnnkit.ops.tiles import TilePlan
from cnnkit.weights.converted import load_converted
from cnnkit.weights.dlib_format import CONVERSION, FaceDetectorWeights, read_face_detector

STRIDE = 8
# Centre of the first window: the kernels of the three strided convolutions reach 2 pixels beyond
# their centre, ((0 * 2 + 2) * 2 + 2) * 2 + 2.
FIRST_CENTRE = 14

# (filters, kernel, stride) of each convolution, see `mmod_human_face_detector.dat`.
_CONVOLUTIONS = (
    *((16, 5, 2), (32, 5, 2), (32, 5, 2)),
    *((45, 5, 1), (45, 5, 1), (45, 5, 1)),
    (1, 9, 1),
)


def window_count(side: int) -> int:
    """Windows along a side of a canvas.

    >>> [window_count(side) for side in (28, 29, 36, 37)]
    [0, 1, 1, 2]
    """
    for _, kernel, stride in _CONVOLUTIONS:
        if stride > 1:
            side = (side - kernel) // stride + 1
    return side


@keras.saving.register_keras_serializable("cnnkit")
class WithinCanvas(keras.layers.Layer):
    """Zeros where a canvas has ended, as if the picture ended there: `(x, counts)` -> x.

    So canvases of many sizes can be laid on larger ones of a few sizes, and nothing changes.
    `counts` `(batch, 2)` has the rows and columns of x that count.
    """

    def call(self, x, counts):
        for axis in (1, 2):
            places = keras.ops.arange(keras.ops.shape(x)[axis], dtype="int32")
            inside = places[None] < counts[:, axis - 1 : axis]
            inside = keras.ops.expand_dims(inside, (2, 3) if axis == 1 else (1, 3))
            x = x * keras.ops.cast(inside, x.dtype)
        return x

    def compute_output_shape(self, x_shape, counts_shape):
        return x_shape


@dataclass(frozen=True, eq=False)
class Detections:
    """Faces in a picture, best first.

    Attributes:
        boxes_xyxy: int64 `(N, 4)` in pixels of the picture; right and bottom lie just outside, and
            a box may reach over the edge of the picture.
        scores: float32 `(N,)`; the larger the surer, about 0 to 1.1.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray


def load_face_detector_weights() -> FaceDetectorWeights:
    """dlib's weights for `build_face_detector`.

    Raises:
        WeightsError: the package `face_recognition_models` is missing or damaged.
    """
    return load_converted(
        "face-detector", CONVERSION, read_face_detector, FaceDetectorWeights.from_arrays
    )


def build_face_detector(weights: FaceDetectorWeights | None = None) -> keras.Model:
    """Builds the fully convolutional network.

    Args:
        weights: as read from dlib's file; None leaves them random, with dlib's mean colour.

    Returns:
        A frozen `keras.Model`: RGB `(batch, height, width, 3)`, floats in 0..255, at least 29
        pixels each way, and int32 `(batch, 2)`, rows and columns of windows that count (see
        `window_count`) -> scores `(batch, rows, columns)` of the windows that `decode_scores`
        turns into boxes; those beyond the ones that count mean nothing.

    Raises:
        ValueError: the weights are those of another network.

    >>> build_face_detector().count_params()
    180711
    """
    mean = weights.mean_rgb if weights else (122.782, 117.001, 104.298)
    inputs = keras.Input((None, None, 3), name="rgb")
    counts = keras.Input((2,), dtype="int32", name="windows")
    x = keras.layers.Rescaling(1.0 / 256.0, [-value / 256.0 for value in mean], name="scale")(
        inputs
    )
    layers = []
    for index, (filters, kernel, stride) in enumerate(_CONVOLUTIONS, start=1):
        layer = keras.layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="valid" if stride > 1 else "same",
            activation="relu" if index < len(_CONVOLUTIONS) else None,
            kernel_initializer="glorot_uniform" if weights is None else "zeros",
            name=f"conv{index}",
        )
        layers.append(layer)
        if stride == 1:
            x = WithinCanvas(name=f"within{index}")(x, counts)
        x = layer(x)
    model = keras.Model([inputs, counts], x[..., 0], name="face_detector")
    if weights is not None:
        if len(layers) != len(weights.convolutions):
            raise ValueError(
                f"{len(layers)} convolutions were expected. Received: {len(weights.convolutions)}"
            )
        for layer, convolution in zip(layers, weights.convolutions, strict=True):
            layer.set_weights([convolution.kernel, convolution.bias])
    model.trainable = False
    return model


def decode_scores(
    scores: np.ndarray, plan: TilePlan, window: int, overlap: float, threshold: float = 0.0
) -> Detections:
    """Turns the scores of a tiled pyramid into boxes of faces.

    Args:
        scores: `(rows, columns)` of one canvas.
        plan: how the canvas was laid out.
        window: side of the square that one score stands for, in pixels of the canvas.
        overlap: largest `boxes.enclosing_overlap` of two faces.
        threshold: faces score higher than this.

    Returns:
        `Detections` in pixels of the picture that `plan` was made for.
    """
    rows, columns = np.nonzero(scores > threshold)
    found = scores[rows, columns]
    centres = np.stack([columns, rows], axis=-1) * float(STRIDE) + FIRST_CENTRE
    # dlib's boxes include their last pixel: half of `window - 1` on either side of a pixel.
    reach = (window - 1) / 2.0
    corners = np.stack([centres - reach, centres + reach], axis=1)
    corners = np.floor(plan.to_picture(centres, corners) + 0.5).astype(np.int64)
    boxes_xyxy = np.concatenate([corners[:, 0], corners[:, 1] + 1], axis=-1)
    kept = non_maximum_suppression(boxes_xyxy, found, overlap, enclosing_overlap)
    return Detections(boxes_xyxy[kept], found[kept])
