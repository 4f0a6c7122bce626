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
from cnnkit.tasks.classify.calibration import SIDE
from cnnkit.tasks.classify.network import divide_logits, load_classifier_model
from cnnkit.tasks.visualize.network import ViewedNetwork, view_model
from cnnkit.tasks.visualize.results import ClassMap

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
        """A picture as the network sees it, see `ViewedNetwork.input_of`."""
        height, width = picture.pixels.shape[:2]
        longest = _LONG_SIDE
        if self.short_side is not None:
            longest = min(_LONG_SIDE, self.short_side * max(height, width) // min(height, width))
        return self.network.input_of(picture, longest)

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
        known_or_part = {**parts, **known}
        if folded in known_or_part:
            return known_or_part[folded]
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
        labels = dict.fromkeys(self.names[known_or_part[name]] for name in nearest)
        raise UsageError(
            f"{self.network.name} has no class {wanted!r}; the nearest are: {'; '.join(labels)}"
        )


def load_classifier(
    model: Classifier | str = DEFAULT_CLASSIFIER,
    *,
    pixels: str = "unit",
    classes: str | Path | None = None,
) -> Classifier:
    """Loads a trained classifier of pictures to look into.

    Args:
        model: see `load_classifier_model`; one that is loaded already is given back.
        pixels: what a file's network expects, where the file does not say so.
        classes: file with the names of the classes.

    Raises:
        UsageError: an unknown name, or a network that gives no score for each class, or that takes
            no pictures.
        WeightsError: the weights are not here.
        DataError: the names do not fit the network.
    """
    if isinstance(model, Classifier):
        return model
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
    picture: Picture,
    image: np.ndarray,
    index: int,
    scores: np.ndarray,
    coarse: np.ndarray,
    centres: Sequence[np.ndarray],
    layer: str | None = None,
) -> ClassMap:
    """A map of a network's own size as the result for a picture.

    Args:
        classifier: that made it.
        picture: that is meant.
        image: `(1, height, width, channels)`, what the network saw.
        index: of the class.
        scores: of all classes.
        coarse: `(rows, columns)`.
        centres: of the map's rows and columns, in pixels of `image`.
        layer: of Grad-CAM, whose map is scaled so that its largest value is 1, if one is above 0.
    """
    seen = image.shape[1], image.shape[2]
    heat = spread_map(coarse, centres, seen, (picture.height, picture.width))
    if layer is not None:
        coarse, heat = (
            values / values.max() if values.max() > 0 else values for values in (coarse, heat)
        )
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    best = np.argsort(-scores, kind="stable")[:_BEST]
    return ClassMap(
        heat,
        np.asarray(coarse, np.float32),
        index,
        classifier.label(index),
        float(scores[index]),
        tuple((int(one), classifier.label(int(one)), float(scores[one])) for one in best),
        (int(column), int(row)),
        layer,
        seen,
        classifier.network.name,
        picture,
    )
