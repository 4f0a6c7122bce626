"""Occlusion: how much of a class's score goes when a place of a picture is covered."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.tasks.visualize.class_maps import (
    Classifier,
    Target,
    choose_class,
    class_target,
    load_classifier,
    to_class_map,
)
from cnnkit.tasks.visualize.results import ClassMap
from cnnkit.tasks.visualize.settings import OcclusionSettings

_GREY = 0.5
_BATCH = 16
# Squares across the shorter side, where the user gives no size; and steps across a square.
_SQUARES = 6
_STEPS_PER_SQUARE = 2

# What is called after each batch: (squares done, squares).
OnSquares = Callable[[int, int], None]


def visualize_occlusion(
    picture: Picture,
    settings: OcclusionSettings | None = None,
    *,
    model: Classifier | str = DEFAULT_CLASSIFIER,
    pixels: str = "unit",
    classes: str | Path | None = None,
    on_squares: OnSquares | None = None,
) -> ClassMap:
    """Slides a grey square over a picture and maps what a class's score loses.

    Args:
        picture: of any size; networks of a fixed size see the whole of it, stretched.
        settings: the class, the best one by default, and the square.
        model: see `load_classifier`.
        pixels: what a file's network expects, see `load_viewed_network`.
        classes: file with the names of the classes.
        on_squares: called after each batch.

    Returns:
        A `ClassMap`: at each pixel, the loss of the score with the square around it, interpolated.

    Raises:
        UsageError: no such class, or a square that is larger than what the network sees.
        WeightsError: the network's weights are not here.
        DataError: the names of the classes do not fit the network.
    """
    settings = settings or OcclusionSettings()
    classifier = load_classifier(model, pixels=pixels, classes=classes)
    image = classifier.input_of(picture)
    height, width = image.shape[1:3]
    window = settings.window or max(1, min(height, width) // _SQUARES)
    if window > min(height, width):
        raise UsageError(
            f"--window must be 1 to {min(height, width)}: {classifier.network.name} sees "
            f"{width}x{height}"
        )
    stride = settings.stride or max(1, window // _STEPS_PER_SQUARE)
    index, scores = choose_class(classifier, image, settings.class_name)
    drops, centres = occlusion_map(
        classifier.network.model, image, class_target(index), window, stride, on_squares
    )
    return to_class_map(classifier, picture, image, index, scores, drops, centres)


def occlusion_map(
    model: keras.Model,
    image: np.ndarray,
    target: Target,
    window: int,
    stride: int,
    on_squares: OnSquares | None = None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """What any score of a network loses when a grey square covers a place (Zeiler & Fergus 2014).

    The squares lie wholly inside; the last of a row ends at the edge, however near to the one
    before. The paper shows the score itself; this is the score of the whole picture less that.

    Args:
        model: pictures in [0, 1] -> outputs.
        image: `(1, height, width, channels)` in [0, 1].
        target: outputs `(batch, ...)` -> scores `(batch,)`.
        window: side of the square, in pixels.
        stride: from one square to the next, in pixels.
        on_squares: called after each batch.

    Returns:
        `(losses (rows, columns) float32, [centres of the rows, centres of the columns] in pixels)`.
    """
    starts = [_starts(size, window, stride) for size in image.shape[1:3]]
    places = [(top, left) for top in starts[0] for left in starts[1]]

    def score(batch: np.ndarray) -> np.ndarray:
        return keras.ops.convert_to_numpy(target(model(batch)))

    whole = score(image)[0]
    losses: list[float] = []
    for first in range(0, len(places), _BATCH):
        chosen = places[first : first + _BATCH]
        batch = np.repeat(image, len(chosen), axis=0)
        for covered, (top, left) in zip(batch, chosen, strict=True):
            covered[top : top + window, left : left + window] = _GREY
        losses += list(whole - score(batch))
        if on_squares:
            on_squares(len(losses), len(places))
    shape = (len(starts[0]), len(starts[1]))
    centres = [np.array(axis) + (window - 1) / 2.0 for axis in starts]
    return np.array(losses, np.float32).reshape(shape), centres


def _starts(size: int, window: int, stride: int) -> list[int]:
    """First pixels of the squares along an axis."""
    last = size - window
    return sorted({*range(0, last + 1, stride), last})
