"""DeepLab v3 on MobileNet-V2 (Chen et al. 2017; Sandler et al. 2018), from its published file.

The network looks at a picture 16 pixels apart, beginning at the first one, with holes in the
kernels of its last stage; what it sees there goes together with the mean of all places.

Departures from the file, which takes squares of 513 pixels: pictures of any size, grey beyond their
right and lower borders up to a multiple of 16 and one more; real numbers for those of 8 bits.
"""

from pathlib import Path

import keras

from cnnkit.data._class_names import VOC_CLASSES
from cnnkit.errors import WeightsError
from cnnkit.models._tflite_layers import lay_out
from cnnkit.weights.tflite_format import read_tflite

STRIDE = 16
# Of the pictures that it was trained on.
SIDE = 513
# What its file is called by; others are Keras'.
SUFFIX = ".tflite"
# Of 255: what the network was trained to see beyond a picture's borders.
GREY = 127


@keras.saving.register_keras_serializable(package="cnnkit")
class PadToGrid(keras.layers.Layer):
    """Adds grey on the right and below until the sides are multiples of 16 and one more.

    Input: RGB in [0, 1] `(batch, height, width, 3)`.
    """

    def call(self, inputs):
        x = inputs
        for axis in (1, 2):
            sizes = list(keras.ops.shape(x))
            sizes[axis] = (1 - sizes[axis]) % STRIDE
            if isinstance(sizes[axis], int) and not sizes[axis]:
                continue
            grey = keras.ops.full(sizes, GREY / 255, x.dtype)
            x = keras.ops.concatenate([x, grey], axis=axis)
        return x

    def compute_output_shape(self, input_shape):
        sides = (None if side is None else side + (1 - side) % STRIDE for side in input_shape[1:3])
        return (input_shape[0], *sides, input_shape[3])


@keras.saving.register_keras_serializable(package="cnnkit")
class EnlargeFromGrid(keras.layers.Layer):
    """Scores of places between those of a grid, bilinearly.

    Args:
        step: pixels along a side of a place: 1 for scores of every pixel.

    Input: scores `(batch, h, w, classes)` of the pixels 0, 16, 32 ..., and the pictures `(batch,
    height, width, any)`; output `(batch, height / step, width / step, classes)`, rounded up, of
    the middles of such places.
    """

    def __init__(self, step: int = 1, **options):
        super().__init__(**options)
        self.step = step

    def call(self, inputs):
        x, pictures = inputs
        for axis in (1, 2):
            count = -(-keras.ops.shape(pictures)[axis] // self.step)
            pixels = (keras.ops.arange(count, dtype=x.dtype) + 0.5) * self.step - 0.5
            grid = keras.ops.arange(keras.ops.shape(x)[axis], dtype=x.dtype)
            apart = keras.ops.abs(pixels[:, None] / STRIDE - grid)
            # The same for each row, then for each column.
            rule = "pg,bgwc->bpwc" if axis == 1 else "pg,bhgc->bhpc"
            x = keras.ops.einsum(rule, keras.ops.maximum(1.0 - apart, 0.0), x)
        return x

    def compute_output_shape(self, input_shape):
        x, pictures = input_shape
        sides = (None if side is None else -(-side // self.step) for side in pictures[1:3])
        return (x[0], *sides, x[3])

    def get_config(self):
        return {**super().get_config(), "step": self.step}


def build_deeplab(path: str | Path, step: int = 1, side: int | None = None) -> keras.Model:
    """Builds DeepLab v3 on MobileNet-V2 with the weights of its file.

    Args:
        path: of `deeplabv3_mnv2_pascal_quant.tflite`.
        step: pixels along a side of the places that get scores; 1 for every pixel.
        side: of pictures that are squares; None for any size.

    Returns:
        A `keras.Model`: RGB in [0, 1] `(B, H, W, 3)` -> scores before the softmax of the 21 classes
        of Pascal VOC, `(B, H / step, W / step, 21)`, sides rounded up.

    Raises:
        WeightsError: the file cannot be read, or is of another network.
    """
    network = read_tflite(path)
    inputs = keras.Input((side, side, 3), name="picture")
    try:
        scores, weights = lay_out(network, PadToGrid(name="pad")(inputs), len(VOC_CLASSES))
    except WeightsError as error:
        raise WeightsError(f"{path} is not the deeplab file: {error}") from None
    enlarged = EnlargeFromGrid(step, dtype="float32", name="scores")([scores, inputs])
    model = keras.Model(inputs, enlarged, name="deeplab")
    for layer, values in weights:
        layer.set_weights(values)
    return model
