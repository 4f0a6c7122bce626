"""Classifiers, the names of their classes, and maps of what speaks for a class."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.ops.heatmaps import spread_map
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.pipelines._network_input import network_input
from cnnkit.pipelines._networks import ViewedNetwork, view_model
from cnnkit.results import ClassMap
from cnnkit.tasks.classify.calibration import SIDE
from cnnkit.tasks.classify.network import divide_logits, load_classifier_model

_LONG_SIDE = 512
_BEST = 5

# Outputs of a network, the batch first -> one score for each picture of the batch.
Target = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network that tells classes apart.

    Attributes:
        network: pictures -> `(batch, classes)`.
        names: of the classes; empty where they are not known.
        short_side: of a network of any size, the shorter side of pictures that it was trained on,
            in pixels; None where that is not known.
    """

    network: ViewedNetwork
    names: tuple[str, ...] = ()
    short_side: int | None = None

    def input_of(self, picture: Picture) -> np.ndarray:
        """A picture as the network sees it, see `network_input`."""
        height, width = picture.pixels.shape[:2]
        longest = _LONG_SIDE
        if self.short_side is not None:
            longest = min(_LONG_SIDE, self.short_side * max(height, width) // min(height, width))
        return network_input(self.network, picture, longest)

    def label(self, index: int) -> str:
        """Name of a class, or its number in words."""
        return self.names[index] if self.names else f"class {index}"

    def index(self, wanted: str) -> int:
        """The class that a user means by its number, its name, one of the names in its name, or by
        words that are in no other name.

        Raises:
            UsageError: there is none; the message has the nearest names.
        """
        count = self.network.model.outputs[0].shape[-1]
        if wanted.isdecimal():
            if int(wanted) < count:
                return int(wanted)
            raise UsageError(f"{self.network.name} has the classes 0 to {count - 1}, not {wanted}")
        if not self.names:
            raise UsageError(
                f"the names of {self.network.name}'s classes are not known; give --class a number "
                f"from 0 to {count - 1}, or --classes FILE with one name a line"
            )
        known = {name.casefold(): index for index, name in reversed(list(enumerate(self.names)))}
        parts = {part.strip(): index for name, index in known.items() for part in name.split(",")}
        folded = wanted.casefold().strip()
        if folded in known or folded in parts:
            return known.get(folded, parts.get(folded))
        words = set(folded.split())
        with_words = [name for name in known if words and words <= set(name.split())]
        if len(with_words) == 1:
            return known[with_words[0]]
        if with_words:
            options = "; ".join(self.names[known[name]] for name in reversed(with_words))
            raise UsageError(
                f"{self.network.name} has several classes with {wanted!r}, choose one: {options}"
            )
        nearest = difflib.get_close_matches(folded, [*known, *parts], n=5, cutoff=0.0)
        options = dict.fromkeys(self.names[known.get(name, parts.get(name))] for name in nearest)
        raise UsageError(
            f"{self.network.name} has no class {wanted!r}; the nearest are: {'; '.join(options)}"
        )


def load_classifier(
    model: str = DEFAULT_CLASSIFIER, *, pixels: str = "unit", classes: str | Path | None = None
) -> Classifier:
    """Loads a trained classifier of pictures to look into.

    Args:
        model: see `load_classifier_model`.
        pixels: what a file's network expects, where the file does not say so.
        classes: file with the names of the classes.

    Raises:
        UsageError: an unknown name, or a network that gives no score for each class, or that takes
            no pictures.
        WeightsError: the weights are not here.
        DataError: the names do not fit the network.
    """
    trained = load_classifier_model(model, pixels=pixels, classes=classes)
    file = trained.file
    short_side = None
    if file.calibration is not None:
        divide_logits(trained.model, file.calibration.temperature)
        short_side = SIDE
    network = view_model(trained.model, file.name, file.hash, file.pixels)
    return Classifier(network, file.names, short_side)


def class_target(index: int) -> Target:
    """The score of one class: `(batch, classes)` -> `(batch,)`."""
    return lambda outputs: outputs[:, index]


def choose_class(classifier: Classifier, image: np.ndarray, wanted: str | None) -> tuple[int, Any]:
    """Which class to explain, the best by default, and the scores of all, `(classes,)`."""
    scores = keras.ops.convert_to_numpy(classifier.network.model(image))[0]
    return int(scores.argmax()) if wanted is None else classifier.index(wanted), scores


def to_class_map(
    classifier: Classifier,
    coarse: np.ndarray,
    centres: Sequence[np.ndarray],
    image: np.ndarray,
    size: tuple[int, int],
    index: int,
    scores: np.ndarray,
    layer: str | None = None,
    is_relative: bool = False,
) -> ClassMap:
    """A map of a network's own size as the result for a picture.

    Args:
        classifier: that made it.
        coarse: `(rows, columns)`.
        centres: of its rows and columns, in pixels of `image`.
        image: `(1, height, width, channels)`, what the network saw.
        size: of the picture.
        index: of the class.
        scores: of all classes.
        layer: that was looked at.
        is_relative: scale the map so that its largest value is 1, if there is one above 0.
    """
    heat = spread_map(coarse, centres, image.shape[1:3], size)
    if is_relative:
        coarse, heat = (
            values / values.max() if values.max() > 0 else values for values in (coarse, heat)
        )
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    best = [(int(one), classifier.label(int(one)), float(scores[one])) for one in _best(scores)]
    return ClassMap(
        heat,
        np.asarray(coarse, np.float32),
        index,
        classifier.label(index),
        float(scores[index]),
        tuple(best),
        (int(column), int(row)),
        layer,
        tuple(image.shape[1:3]),
        classifier.network.name,
    )


def _best(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, kind="stable")[:_BEST]
