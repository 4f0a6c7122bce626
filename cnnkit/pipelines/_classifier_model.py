"""Trained classifiers by name, from a file or from the folder of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from cnnkit import weights as weights_table
from cnnkit.data.imagenet import imagenet_groups, imagenet_names
from cnnkit.errors import DataError, UsageError
from cnnkit.models._pixel_range import expected_pixels
from cnnkit.models.efficientnet_lite import build_trained_efficientnet_lite0
from cnnkit.models.mobilenet_v2 import build_trained_mobilenet_v2
from cnnkit.models.vgg import VGG16_CONVOLUTIONS, VGG19_CONVOLUTIONS, build_vgg_classifier
from cnnkit.models.vgg import load_imagenet_weights as load_vgg
from cnnkit.options import CLASSIFIER_WEIGHTS, CLASSIFIERS, DEFAULT_CLASSIFIER
from cnnkit.pipelines._imagenet_classifier import AnswerCalibration, read_calibration
from cnnkit.pipelines._model_files import (
    PICTURES,
    find_model_file,
    own_names,
    read_names,
)
from cnnkit.pipelines._network_input import linear_output
from cnnkit.weights.keras_file import load_keras_file


@dataclass(frozen=True, eq=False)
class ClassifierModel:
    """A classifier as it was trained.

    Attributes:
        model: `(batch, ...)` -> `(batch, classes)`.
        names: of the classes; empty where they are not known.
        kind: "pictures" or "arrays".
        pixels: what it expects of pictures: "unit" [0, 1], "byte" [0, 255] or "signed" [-1, 1].
        name: for people.
        hash: SHA-256 of its file.
        groups: everyday words -> the names of the classes that they stand for.
        calibration: of a classifier that sees several views of a picture; None of others.
    """

    model: keras.Model
    names: tuple[str, ...]
    kind: str
    pixels: str
    name: str
    hash: str
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calibration: AnswerCalibration | None = None

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Of one example; None for axes of any size."""
        return tuple(self.model.inputs[0].shape[1:])

    @property
    def classes(self) -> int:
        """Their number."""
        return self.model.outputs[0].shape[-1]

    def label(self, index: int) -> str:
        """Name of a class, or its number in words."""
        return self.names[index] if self.names else f"class {index}"


def load_classifier_model(
    model: str = DEFAULT_CLASSIFIER, *, pixels: str = "unit", classes: str | Path | None = None
) -> ClassifierModel:
    """Loads a trained classifier.

    Args:
        model: "imagenet" (1,000 classes), "caltech101", the folder of a run, a `.keras` file, or
            "mobilenet-v2", "vgg16" or "vgg19", whose weights the user fetched.
        pixels: what a file's network expects, where the file does not say so. Of one that rescales
            bytes itself, "unit" becomes "byte".
        classes: file with the names of the classes, one a line. By default `classes.txt` inside a
            `.keras` file or beside it.

    Raises:
        UsageError: an unknown name, or a network that gives no score for each class.
        WeightsError: the weights are not here.
        DataError: the names do not fit the network.
    """
    names = read_names(Path(classes)) if classes is not None else ()
    file = find_model_file(model)
    if file is not None:
        loaded = load_keras_file(file.path, "--model")
        digest, name, kind = weights_table.fingerprint(file.path), file.name, file.kind
        own = file.classes
        if file.pixels is not None:
            pixels = file.pixels
        elif kind == PICTURES and pixels == "unit":
            pixels = expected_pixels(loaded) or pixels
    elif model in CLASSIFIERS:
        loaded, digest, own = _load_known(model)
        name, kind, pixels = model, PICTURES, "unit"
    else:
        raise UsageError(
            f"there is no classifier named {model!r}; use the folder of a run, a .keras file or "
            f"one of: {', '.join(CLASSIFIERS)}"
        )
    names = names or own
    outputs = getattr(loaded, "outputs", None) or ()
    if len(getattr(loaded, "inputs", None) or ()) != 1 or len(outputs) != 1:
        raise UsageError(f"{name} is no classifier: it must have one input and one output")
    shape = tuple(outputs[0].shape)
    if len(shape) != 2:
        raise UsageError(f"{name} is no classifier: its output has the shape {shape[1:]}")
    if shape[-1] == 1:
        loaded, shape = _with_two_classes(loaded, name), (None, 2)
        if len(names) == 1:
            names = (f"not {names[0]}", names[0])
    if names and len(names) != shape[-1]:
        raise DataError(
            f"{name} has {shape[-1]} classes but there are {len(names)} names; "
            "give --classes a file with one name a line, in the order of the outputs"
        )
    loaded.trainable = False
    groups, calibration = {}, None
    if model == "imagenet":
        calibration = read_calibration()
        # Of other names that a user gave, nothing is known.
        groups = imagenet_groups() if names == imagenet_names() else {}
    return ClassifierModel(loaded, names, kind, pixels, name, digest, groups, calibration)


def _with_two_classes(model: keras.Model, name: str) -> keras.Model:
    r"""A model with one sigmoid as one with two classes: :math:`p` becomes :math:`(1 - p, p)`.

    By a softmax of :math:`(-z/2, z/2)`, with `z` from before the sigmoid, so that each class has a
    score that its gradient can be taken of.

    Raises:
        UsageError: the output is none of a sigmoid.
    """
    output = model.outputs[0]
    logit = linear_output(output)
    if logit is output or not _ends_with_sigmoid(output):
        raise UsageError(
            f"{name} has one output without a sigmoid, which is no probability; end it with a "
            "sigmoid, or with a softmax over all classes"
        )
    halves = keras.layers.Concatenate(name="two_classes")([-0.5 * logit, 0.5 * logit])
    probabilities = keras.layers.Softmax(name="probabilities")(halves)
    return keras.Model(model.inputs[0], probabilities, name=model.name)


def _ends_with_sigmoid(tensor: Any) -> bool:
    layer = tensor._keras_history.operation
    activation = getattr(layer, "activation", None)
    return type(layer).__name__ == "Sigmoid" or activation is keras.activations.sigmoid


def _load_known(name: str) -> tuple[keras.Model, str, tuple[str, ...]]:
    # Looked for first: a network of 140 million weights is not built in vain.
    path = weights_table.locate(CLASSIFIER_WEIGHTS[name])
    digest = weights_table.fingerprint(path)
    if name in ("vgg16", "vgg19"):
        convolutions = VGG16_CONVOLUTIONS if name == "vgg16" else VGG19_CONVOLUTIONS
        model = build_vgg_classifier(convolutions, name=name)
        load_vgg(model, path)
        return model, digest, imagenet_names()
    if name == "mobilenet-v2":
        return build_trained_mobilenet_v2(), digest, imagenet_names()
    if name == "imagenet":
        return build_trained_efficientnet_lite0((None, None, 3)), digest, imagenet_names()
    return load_keras_file(path, "--model"), digest, own_names(path)
