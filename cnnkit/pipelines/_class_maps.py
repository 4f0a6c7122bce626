"""Classifiers, the names of their classes, and maps of what speaks for a class."""

import difflib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit import weights as weights_table
from cnnkit.errors import DataError, UsageError
from cnnkit.models.vgg import VGG16_CONVOLUTIONS, VGG19_CONVOLUTIONS, build_vgg_classifier
from cnnkit.models.vgg import load_imagenet_weights as load_vgg
from cnnkit.ops.heatmaps import spread_map
from cnnkit.options import CLASSIFIERS, DEFAULT_CLASSIFIER
from cnnkit.pipelines._networks import ViewedNetwork, load_viewed_network, view_model
from cnnkit.results import ClassMap
from cnnkit.weights.keras_file import load_keras_file

# One name a line, in the order of the outputs: beside a model, or inside its .keras file.
CLASSES_FILE = "classes.txt"
LONG_SIDE = 512
_BEST = 5

# Outputs of a network, the batch first -> one score for each picture of the batch.
Target = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network that tells classes apart.

    Attributes:
        network: pictures -> `(batch, classes)`.
        names: of the classes; empty where they are not known.
    """

    network: ViewedNetwork
    names: tuple[str, ...] = ()

    def label(self, index: int) -> str:
        """Name of a class, or its number in words."""
        return self.names[index] if self.names else f"class {index}"

    def index(self, wanted: str) -> int:
        """The class that a user means by its number, its name, or one of the names in its name.

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
        nearest = difflib.get_close_matches(folded, [*known, *parts], n=5, cutoff=0.0)
        options = dict.fromkeys(self.names[known.get(name, parts.get(name))] for name in nearest)
        raise UsageError(
            f"{self.network.name} has no class {wanted!r}; the nearest are: {'; '.join(options)}"
        )


def load_classifier(
    model: str | None = None, *, pixels: str = "unit", classes: str | Path | None = None
) -> Classifier:
    """Loads a trained classifier.

    Args:
        model: "vgg16" or "vgg19" with Keras' weights, fetched by the user, or a `.keras` file.
        pixels: what a file's network expects, see `load_viewed_network`.
        classes: file with the names of the classes, one a line. By default `classes.txt` inside a
            `.keras` file or beside it.

    Raises:
        UsageError: an unknown name, or a network that gives no score for each class.
        WeightsError: the weights are not here.
        DataError: the names do not fit the network.
    """
    model = model or DEFAULT_CLASSIFIER
    if model is None:
        raise UsageError("no classifier is given; use --model with a .keras file, vgg16 or vgg19")
    names = _read_names(Path(classes)) if classes is not None else ()
    if model.endswith(".keras"):
        network = load_viewed_network(model, pixels)
        names = names or _own_names(Path(model))
    elif model in CLASSIFIERS:
        network, own = _load_known(model)
        names = names or own
    else:
        raise UsageError(
            f"there is no classifier named {model!r}; use a .keras file or one of: "
            f"{', '.join(CLASSIFIERS)}"
        )
    shape = tuple(network.model.outputs[0].shape)
    if len(shape) != 2:
        raise UsageError(f"{network.name} is no classifier: its output has the shape {shape[1:]}")
    if names and len(names) != shape[-1]:
        raise DataError(
            f"{network.name} has {shape[-1]} classes but there are {len(names)} names; "
            "give --classes a file with one name a line, in the order of the outputs"
        )
    return Classifier(network, names)


def _load_known(name: str) -> tuple[ViewedNetwork, tuple[str, ...]]:
    if name in ("vgg16", "vgg19"):
        # Looked for first: a network of 140 million weights is not built in vain.
        path = weights_table.locate(f"{name}-classifier")
        convolutions = VGG16_CONVOLUTIONS if name == "vgg16" else VGG19_CONVOLUTIONS
        model = build_vgg_classifier(convolutions, name=name)
        load_vgg(model, path)
        return view_model(model, name, weights_table.fingerprint(path)), ()
    path = weights_table.locate(name)
    model = load_keras_file(path, "--model")
    return view_model(model, name, weights_table.fingerprint(path)), _own_names(path)


def _own_names(path: Path) -> tuple[str, ...]:
    """Names inside a .keras file, which is a ZIP archive, or in a file beside it."""
    with zipfile.ZipFile(path) as archive:
        if CLASSES_FILE in archive.namelist():
            return _names(archive.read(CLASSES_FILE), f"{path}/{CLASSES_FILE}")
    beside = path.parent / CLASSES_FILE
    return _read_names(beside) if beside.is_file() else ()


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        return _names(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _names(data: bytes, source: str) -> tuple[str, ...]:
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{source} is not a UTF-8 text file; give one name a line") from None
    return tuple(line.strip() for line in lines if line.strip())


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
