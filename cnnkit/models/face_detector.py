"""dlib's convolutional face detector (MMOD, King 2015) for pictures of any size.

The network gives one score for each window of 80x80 pixels, in steps of 8 pixels. Faces of other
sizes are found in a pyramid of smaller pictures, which `tiles` lays out side by side, so that one
pass of the network sees them all. Faces smaller than 80 pixels need an enlarged picture.
"""

import keras

from cnnkit.models._face_windows import CONVOLUTIONS
from cnnkit.weights.converted import load_converted
from cnnkit.weights.dlib_format import CONVERSION, FaceDetectorWeights, read_face_detector


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
        `_face_windows.window_count`) -> scores `(batch, rows, columns)` of the windows, which
        `decode_scores` there turns into boxes; those beyond the ones that count mean nothing.

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
    for index, (filters, kernel, stride) in enumerate(CONVOLUTIONS, start=1):
        layer = keras.layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="valid" if stride > 1 else "same",
            activation="relu" if index < len(CONVOLUTIONS) else None,
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
