"""Networks of trained classifiers, in Keras."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from cnnkit.engine.network_input import linear_output
from cnnkit.engine.networks import BuiltNetworks
from cnnkit.errors import UsageError
from cnnkit.models._pixel_range import PIXELS, expected_pixels
from cnnkit.models.efficientnet_lite import POOLED_LAYER, build_trained_efficientnet_lite0
from cnnkit.models.mobilenet_v2 import build_trained_mobilenet_v2
from cnnkit.models.vgg import VGG16_CONVOLUTIONS, VGG19_CONVOLUTIONS, build_vgg_classifier
from cnnkit.models.vgg import load_imagenet_weights as load_vgg
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.tasks.classify.files import ClassifierFile, find_classifier_file
from cnnkit.weights.keras_file import load_keras_file

_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class ClassifierModel:
    """A classifier as it was trained.

    Attributes:
        model: `(batch, ...)` -> `(batch, classes)`.
        file: what is known of it.
    """

    model: keras.Model
    file: ClassifierFile


def load_classifier_model(
    model: str = DEFAULT_CLASSIFIER, *, pixels: str = "unit", classes: str | Path | None = None
) -> ClassifierModel:
    """Loads a trained classifier; for the arguments see `find_classifier_file`.

    Raises:
        UsageError: an unknown name, or a network that gives no score for each class.
        WeightsError: the weights are not here.
        DataError: the names do not fit the network.
    """
    file = find_classifier_file(model, pixels=pixels, classes=classes)
    loaded, pixels, is_binary = _load(
        file.path, file.known, file.name, file.pixels, file.says_pixels
    )
    shape, count = loaded.inputs[0].shape[1:], loaded.outputs[0].shape[-1]
    return ClassifierModel(loaded, file.with_network(shape, count, pixels, is_binary))


def build(
    path: Path, known: str, name: str, kind: str, pixels: str, says_pixels: bool
) -> BuiltNetworks:
    """A classifier that takes pictures in [0, 1], for `Networks`; see `ClassifierFile`.

    "classifier" gives `(batch, classes)`, with one column more where `known` is "imagenet": see
    `with_similarity`.

    Raises:
        UsageError: the network gives no score for each class.
        WeightsError: it cannot be loaded.
    """
    model, pixels, is_binary = _load(path, known, name, pixels, says_pixels)
    shape, classes = model.inputs[0].shape[1:], model.outputs[0].shape[-1]
    factor, offset = PIXELS[pixels]
    if kind == "pictures" and (factor, offset) != (1.0, 0.0):
        inputs = keras.Input(shape)
        model = keras.Model(inputs, model(inputs * factor + offset))
    if known == "imagenet":
        model = with_similarity(model)
    facts = {
        "input_shape": shape,
        "classes": classes,
        "pixels": pixels,
        "is_binary": is_binary,
        "outputs": model.outputs[0].shape[-1],
    }
    return BuiltNetworks({"classifier": model}, facts)


def _load(
    path: Path, known: str, name: str, pixels: str, says_pixels: bool
) -> tuple[keras.Model, str, bool]:
    """The network, frozen; what it expects of pictures; whether it had one output."""
    loaded = _load_known(path, known) if known else load_keras_file(path, "--model")
    if not says_pixels:
        pixels = expected_pixels(loaded) or pixels
    outputs: Any = getattr(loaded, "outputs", None) or ()
    if len(getattr(loaded, "inputs", None) or ()) != 1 or len(outputs) != 1:
        raise UsageError(f"{name} is no classifier: it must have one input and one output")
    shape = tuple(outputs[0].shape)
    if len(shape) != 2:
        raise UsageError(f"{name} is no classifier: its output has the shape {shape[1:]}")
    is_binary = shape[-1] == 1
    if is_binary:
        loaded = _with_two_classes(loaded, name)
    loaded.trainable = False
    return loaded, pixels, is_binary


def with_similarity(model: keras.Model) -> keras.Model:
    """The classifier, and how much a picture is like those that it was trained on.

    Args:
        model: EfficientNet-Lite0.

    Returns:
        A `keras.Model`: pictures -> `(batch, classes + 1)`, the probabilities and, last, the best
        class's logit divided by the Euclidean length of the pooled features.
    """
    ops = keras.ops
    probabilities = model.outputs[0]
    best = ops.max(linear_output(probabilities), axis=-1, keepdims=True)
    features = model.get_layer(POOLED_LAYER).output
    length = ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True))
    similarity = best / ops.maximum(length, _TINY)
    return keras.Model(model.inputs[0], ops.concatenate([probabilities, similarity], axis=-1))


def divide_logits(model: keras.Model, temperature: float) -> None:
    """Sharpens a network's probabilities for good, for those who look through it once.

    Args:
        model: whose last layer is a dense one with a softmax.
        temperature: that its logits are divided by.
    """
    dense = model.layers[-1]
    dense.set_weights([weights / temperature for weights in dense.get_weights()])


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


def _load_known(path: Path, known: str) -> keras.Model:
    if known in ("vgg16", "vgg19"):
        convolutions = VGG16_CONVOLUTIONS if known == "vgg16" else VGG19_CONVOLUTIONS
        model = build_vgg_classifier(convolutions, name=known)
        load_vgg(model, path)
        return model
    if known == "mobilenet-v2":
        return build_trained_mobilenet_v2()
    if known == "imagenet":
        return build_trained_efficientnet_lite0((None, None, 3))
    return load_keras_file(path, "--model")
