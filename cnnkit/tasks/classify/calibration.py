"""How the ImageNet classifier looks at a picture, and how its answers are to be taken.

It sees the middle of a picture, as in its training, and the whole picture, at 224 pixels of the
shorter side; the geometric mean of both answers is sharpened until it is right as often as it says.

A softmax is sure of paintings and X-rays too. What tells these apart is the length of the features:
the best class's logit is small beside it, since the picture excites much that speaks for no class.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cnnkit.images import write_bytes
from cnnkit.weights import embedded_dir

# Beside the cards of the weights, written by `benchmarks/classify_imagenet.py --calibrate`.
SHIPPED = embedded_dir().parent / "calibrations" / "efficientnet-lite0.json"
# Of the side of the largest central square: what its authors test it on.
CENTRAL_CROP = 0.875
SIDE = 224
# Sides of whole pictures: multiples of the network's stride, so that many pictures have one shape
# and are computed together, and of long ones no more than this.
_STRIDE, _LONGEST_SIDE = 32, 4 * SIDE
_GAP = 3.0
# Pixels of the shorter side of a picture that suffice for both views.
ENOUGH_PIXELS = round(2 * SIDE / CENTRAL_CROP)
_TINY = 1e-12


@dataclass(frozen=True)
class AnswerCalibration:
    """What makes probabilities of a classifier's answers.

    Attributes:
        temperature: that the mean of the views' log probabilities is divided by.
        threshold: least probability of the best class at which an answer is sure.
        least_similarity: least similarity to the pictures of ImageNet at which an answer is sure,
            see `_classifier_model.with_similarity`.
        pictures: number of labelled pictures that all three were chosen on.
        note: which pictures these are, for people.
    """

    temperature: float
    threshold: float
    least_similarity: float
    pictures: int
    note: str

    def combine(self, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is said of several views of pictures as one answer for each picture.

        Args:
            views: `(pictures, views, classes + 1)`, see `_classifier_model.with_similarity`.

        Returns:
            float32 `(pictures, classes)` of sum 1, proportional to
            `exp(mean over the views of log p / temperature)`; and the mean similarities
            `(pictures,)`.
        """
        logs = np.log(np.maximum(views[..., :-1], _TINY)).mean(axis=1) / self.temperature
        powers = np.exp(logs - logs.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        return probabilities.astype(np.float32), views[..., -1].mean(axis=1)

    def is_sure(self, probability: float, similarity: float) -> bool:
        """Whether an answer of this probability is given without a question mark."""
        return probability >= self.threshold and similarity >= self.least_similarity


def read_calibration(path: Path = SHIPPED) -> AnswerCalibration:
    """The calibration that comes with cnnkit, or another file of the same form."""
    return AnswerCalibration(**json.loads(path.read_text(encoding="utf-8")))


def write_calibration(calibration: AnswerCalibration, path: Path = SHIPPED) -> None:
    """Writes what `read_calibration` reads."""
    write_bytes(path, (json.dumps(asdict(calibration), indent=2) + "\n").encode())


def views_of(pixels: np.ndarray) -> list[np.ndarray]:
    """The central square of a picture, and the whole of it.

    Args:
        pixels: uint8 `(height, width, 3)`.

    Returns:
        Two float32 arrays in [0, 1]: `(224, 224, 3)`; and of the picture's own shape, with 224
        pixels on the shorter side and a multiple of 32 on the longer one, 896 at most.
    """
    image = Image.fromarray(pixels)
    return [central_view(image), whole_view(image)]


def central_view(image: Image.Image) -> np.ndarray:
    """The central square, see `views_of`."""
    width, height = image.size
    crop = CENTRAL_CROP * min(width, height)
    left, top = (width - crop) / 2, (height - crop) / 2
    return _resized(image, (SIDE, SIDE), (left, top, left + crop, top + crop))


def whole_view(image: Image.Image) -> np.ndarray:
    """The whole picture, see `views_of`."""
    shorter = min(image.size)
    width, height = (
        SIDE if side == shorter else _STRIDE * round(SIDE * side / shorter / _STRIDE)
        for side in image.size
    )
    return _resized(image, (min(width, _LONGEST_SIDE), min(height, _LONGEST_SIDE)))


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    resized = image.resize(size, Image.Resampling.BICUBIC, box, reducing_gap=_GAP)
    return np.divide(np.asarray(resized), np.float32(255.0), dtype=np.float32)
