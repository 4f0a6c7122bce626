"""How well the `deeplab` model agrees with its file, as TensorFlow Lite runs it in 8 bits.

    cnnkit weights fetch deeplab
    python benchmarks/deeplab_agreement.py --data DIR

DIR is that of `train_segmenter.py`; the pictures are those of `segment_quality.py`. Both see
squares of 513 pixels with the picture at the top left, the rest grey. The masks that come with DIR
were made by the file too, of larger pictures than are in DIR: what is lost to that is said beside.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from segment_quality import quality_pairs

from cnnkit import weights
from cnnkit.data._class_names import VOC_CLASSES
from cnnkit.images import fit_size, read_pixels
from cnnkit.models.deeplab import GREY, SIDE, build_deeplab
from cnnkit.tasks.segment.metrics import SegmentationScores, pixel_confusion, segmentation_scores


def letterbox(pixels: np.ndarray) -> np.ndarray:
    """A picture at the top left of a square, uint8."""
    height, width = fit_size(*pixels.shape[:2], SIDE)
    square = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    square[:height, :width] = np.asarray(image)
    return square


def cut_back(classes: np.ndarray, height: int, width: int) -> np.ndarray:
    """The classes of a picture of that size, of those of its square."""
    high, wide = fit_size(height, width, SIDE)
    image = Image.fromarray(classes[:high, :wide].astype(np.uint8))
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))


class Original:
    """The file itself: squares, uint8 -> classes."""

    def __init__(self, path: Path):
        from tensorflow.lite.python.interpreter import Interpreter

        self._interpreter = Interpreter(str(path), num_threads=2)
        self._interpreter.allocate_tensors()
        [self._input] = self._interpreter.get_input_details()
        [self._output] = self._interpreter.get_output_details()

    def __call__(self, square: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], square[None])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])[0]


def print_scores(name: str, scores: SegmentationScores) -> None:
    print(f"{name}: mean IoU {scores.mean_iou:.3f}, {scores.pixel_accuracy:.1%} of the pixels")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=4, help="of Caltech's pictures, such a one")
    arguments = parser.parse_args()
    path = weights.locate("deeplab")
    original, model = Original(path), build_deeplab(path, side=SIDE)
    pairs = quality_pairs(arguments.data, arguments.every)
    both, known, ours = (np.zeros((len(VOC_CLASSES),) * 2, np.int64) for _ in range(3))
    shares = []
    for _, picture, mask in pairs:
        pixels = read_pixels(picture)
        height, width = pixels.shape[:2]
        square = letterbox(pixels)
        scores = keras.ops.convert_to_numpy(model(square[None].astype(np.float32) / 255.0))[0]
        found = cut_back(scores.argmax(axis=-1), height, width)
        wanted = cut_back(original(square), height, width)
        shares.append(float((found == wanted).mean()))
        both += pixel_confusion(wanted, found, len(VOC_CLASSES))
        true = np.asarray(Image.open(mask))
        known += pixel_confusion(true, wanted, len(VOC_CLASSES))
        ours += pixel_confusion(true, found, len(VOC_CLASSES))
    print(
        f"{len(pairs)} pictures; of a picture {np.min(shares):.1%} of the pixels agree at least, "
        f"{np.median(shares):.1%} in the median"
    )
    print_scores("the model with the file", segmentation_scores(both))
    scores = segmentation_scores(known)
    print_scores("the file with its masks of larger pictures", scores)
    for label, iou, support in zip(VOC_CLASSES, scores.iou, scores.support, strict=True):
        print(f"  {label:12} {iou:.3f}  {support:>9,} pixels")
    print_scores("the model with those", segmentation_scores(ours))


if __name__ == "__main__":
    main()
