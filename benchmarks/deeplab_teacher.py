"""Builds a segmenter's teacher: DeepLab v3 on MobileNet-V2, from a quantised TFLite file.

    python benchmarks/deeplab_teacher.py FILE.tflite FILE.keras [--side 513] [--data DIR]

The Keras model takes RGB in [0, 1], squares of that side, which is a multiple of 16 and one more,
and gives scores of 21 classes four pixels apart: `cnnkit train segment --teacher FILE.keras`. With
DIR of `train_segmenter.py` it says how well it agrees with the file, and what it is itself worth
by the measure of `segment_quality.py`, from which the masks came: they were made of larger
pictures than are in DIR.

TFLite's uint8 numbers are made real ones. What is not done: rounding between layers, and the
limits of what a layer without activation can give.
"""

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image
from segment_quality import quality_pairs

from cnnkit.data.masks import VOC_CLASSES
from cnnkit.images import fit_size, read_pixels
from cnnkit.metrics.segmentation import pixel_confusion, segmentation_scores
from cnnkit.models._depthwise import DepthwiseConv2D
from cnnkit.weights.keras_file import write_keras_file

# Around a picture that is no square.
PADDING = 127
# Pictures that the Keras model is compared on.
COMPARED = 12
# Pixels between what the network sees, and between the scores that are given.
STRIDE, FINE = 16, 4


def build_teacher(path: Path, side: int) -> keras.Model:
    """The network of the file, up to scores, as a Keras model.

    Args:
        path: of the `.tflite` file.
        side: of its squares, a multiple of 16 and one more.

    Returns:
        A `keras.Model`: `(B, side, side, 3)` in [0, 1] -> scores before the softmax, of squares of
        four pixels, `(B, side // 4, side // 4, 21)`.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    graph = file.subgraphs[0]
    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    layers = keras.layers

    def values(number: int) -> np.ndarray:
        tensor = graph.tensors[number]
        kind = np.uint8 if tensor.type == schema.TensorType.UINT8 else np.int32
        raw = np.frombuffer(bytes(file.buffers[tensor.buffer].data), kind).reshape(tensor.shape)
        scale, zero = tensor.quantization.scale[0], tensor.quantization.zeroPoint[0]
        return ((raw.astype(np.int64) - zero) * scale).astype(np.float32)

    def activate(x: Any, number: int) -> Any:
        """What begins at 0 is cut off there, and at its largest number."""
        quantization = graph.tensors[number].quantization
        if quantization.zeroPoint[0]:
            return x
        return layers.ReLU(float(255 * quantization.scale[0]))(x)

    inputs = keras.Input((side, side, 3), name="picture")
    # The file's input is (pixel - 128) / 128 of 255.
    found = {graph.inputs[0]: layers.Rescaling(255 / 128, -1.0, name="signed")(inputs)}
    for operator in graph.operators:
        codes = file.operatorCodes[operator.opcodeIndex]
        kind = kinds[max(codes.builtinCode, codes.deprecatedBuiltinCode)]
        options, result = operator.builtinOptions, operator.outputs[0]
        x = found[operator.inputs[0]]
        if kind == "CONV_2D":
            kernel, bias = (values(number) for number in operator.inputs[1:3])
            layer = layers.Conv2D(
                len(kernel), kernel.shape[1], options.strideH, padding="same", name=f"conv{result}"
            )
            x = layer(x)
            layer.set_weights([kernel.transpose(1, 2, 3, 0), bias])
            if len(bias) == len(VOC_CLASSES):
                return keras.Model(inputs, _refine(x), name="deeplab")
            x = activate(x, result)
        elif kind == "DEPTHWISE_CONV_2D":
            kernel, bias = (values(number) for number in operator.inputs[1:3])
            layer = DepthwiseConv2D(
                kernel.shape[1],
                options.strideH,
                padding="same",
                dilation_rate=options.dilationHFactor,
                name=f"depthwise{result}",
            )
            x = layer(x)
            layer.set_weights([kernel.transpose(1, 2, 3, 0), bias])
            x = activate(x, result)
        elif kind == "ADD":
            x = layers.Add()([x, found[operator.inputs[1]]])
        elif kind == "AVERAGE_POOL_2D":
            x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        elif kind == "RESIZE_BILINEAR":
            # What the picture as a whole shows is the same everywhere.
            x = layers.UpSampling2D((side - 1) // STRIDE + 1)(x)
        elif kind == "CONCATENATION":
            x = layers.Concatenate()([x, found[operator.inputs[1]]])
        elif kind != "QUANTIZE":
            raise SystemExit(f"{path} has an operation {kind} that is not known here")
        found[result] = x
    raise SystemExit(f"{path} has no scores of {len(VOC_CLASSES)} classes")


def _refine(scores: Any) -> Any:
    """Scores of squares of four pixels.

    The network's lie at the first and the last pixel and at every sixteenth between them. They are
    enlarged as the file does, to every fourth; a square's is the mean of its corners'.
    """
    layers, factor = keras.layers, STRIDE // FINE
    # The kernel for an even factor, whose middle lies between two places, has no odd one.
    ramp = 1.0 - np.abs(np.arange(1 - factor, factor)) / factor
    kernel = np.outer(ramp, ramp)[:, :, None, None] * np.eye(len(VOC_CLASSES))
    layer = layers.Conv2DTranspose(
        len(VOC_CLASSES), len(ramp), factor, use_bias=False, dtype="float32", name="enlarge"
    )
    scores = layer(scores)
    layer.set_weights([kernel.astype(np.float32)])
    scores = layers.Cropping2D(factor - 1)(scores)
    return layers.AveragePooling2D(2, 1, dtype="float32", name="scores")(scores)


def letterbox(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture at the top left of a square, uint8."""
    height, width = fit_size(*pixels.shape[:2], side)
    square = np.full((side, side, 3), PADDING, np.uint8)
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    square[:height, :width] = np.asarray(image)
    return square


def cut_back(classes: np.ndarray, height: int, width: int) -> np.ndarray:
    """The classes of a picture of that size, of those of its square."""
    high, wide = fit_size(height, width, len(classes))
    image = Image.fromarray(classes[:high, :wide].astype(np.uint8))
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))


class Original:
    """The file itself, as TensorFlow runs it: squares, uint8 -> classes."""

    def __init__(self, path: Path):
        from tensorflow.lite.python.interpreter import Interpreter

        self._interpreter = Interpreter(str(path))
        self._interpreter.allocate_tensors()
        [self._input] = self._interpreter.get_input_details()
        [self._output] = self._interpreter.get_output_details()
        self.side = int(self._input["shape"][1])

    def __call__(self, square: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], square[None])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])[0]


def print_agreement(original: Original, teacher: keras.Model, pictures: list[Path]) -> None:
    """Of the classes at every pixel."""
    side = teacher.input_shape[1]
    for path in pictures:
        pixels = read_pixels(path)
        height, width = pixels.shape[:2]
        scores = teacher(letterbox(pixels, side)[None].astype(np.float32) / 255.0)
        scores = keras.ops.image.resize(scores, (side, side), interpolation="bilinear")
        classes = keras.ops.convert_to_numpy(scores)[0].argmax(axis=-1)
        found = cut_back(classes, height, width)
        wanted = cut_back(original(letterbox(pixels, original.side)), height, width)
        print(f"  {path.stem}: {(found == wanted).mean():.1%}", flush=True)


def print_quality(original: Original, pairs: list[tuple[str, Path, Path]]) -> None:
    """Against the masks that it made of larger pictures."""
    confusion = np.zeros((len(VOC_CLASSES),) * 2, np.int64)
    for _, path, mask in pairs:
        pixels = read_pixels(path)
        found = cut_back(original(letterbox(pixels, original.side)), *pixels.shape[:2])
        confusion += pixel_confusion(np.asarray(Image.open(mask)), found, len(VOC_CLASSES))
    scores = segmentation_scores(confusion)
    print(
        f"{len(pairs)} pictures, mean IoU {scores.mean_iou:.3f}, {scores.pixel_accuracy:.1%} of "
        "the pixels"
    )
    for label, iou, support in zip(VOC_CLASSES, scores.iou, scores.support, strict=True):
        print(f"  {label:12} {iou:.3f}  {support:>9,} pixels")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tflite", type=Path)
    parser.add_argument("keras", type=Path)
    parser.add_argument("--side", type=int, default=513, help="of the squares, in pixels")
    parser.add_argument("--data", type=Path, help="measure it too")
    arguments = parser.parse_args()
    if arguments.side % STRIDE != 1:
        raise SystemExit(f"--side must be a multiple of {STRIDE} and one more")
    teacher = build_teacher(arguments.tflite, arguments.side)
    write_keras_file(teacher, arguments.keras, {})
    print(f"{arguments.keras}: {arguments.keras.stat().st_size:,} bytes")
    if arguments.data is not None:
        original, pairs = Original(arguments.tflite), quality_pairs(arguments.data)
        chosen = pairs[:: len(pairs) // COMPARED]
        print_agreement(original, teacher, [path for _, path, _ in chosen])
        print_quality(original, pairs)


if __name__ == "__main__":
    main()
