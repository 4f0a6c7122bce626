"""Grad-CAM: which places of a picture speak for a class."""

from dataclasses import astuple
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.engine.network_input import linear_output
from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.ops.gradients import value_and_gradient
from cnnkit.ops.heatmaps import unit_centres
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.tasks.visualize.class_maps import (
    Classifier,
    Target,
    choose_class,
    class_target,
    load_classifier,
    to_class_map,
)
from cnnkit.tasks.visualize.network import ViewedNetwork
from cnnkit.tasks.visualize.results import ClassMap
from cnnkit.tasks.visualize.settings import GradcamSettings

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
# What belongs to the convolution before it: the paper weighs rectified maps.
_BEHIND_CONVOLUTIONS = ("BatchNormalization", "ReLU", "LeakyReLU", "Activation")


def visualize_gradcam(
    picture: Picture,
    settings: GradcamSettings | None = None,
    *,
    model: Classifier | str = DEFAULT_CLASSIFIER,
    pixels: str = "unit",
    classes: str | Path | None = None,
) -> ClassMap:
    """Shows where a classifier sees a class.

    Args:
        picture: of any size; networks of a fixed size see the whole of it, stretched.
        settings: the class, the best one by default, and the layer whose maps are weighed, the last
            convolution, behind its activation, by default.
        model: see `load_classifier`.
        pixels: what a file's network expects, see `load_viewed_network`.
        classes: file with the names of the classes.

    Returns:
        A `ClassMap` with values in [0, 1].

    Raises:
        UsageError: no such class or layer, or a layer without maps.
        WeightsError: the network's weights are not here.
        DataError: the names of the classes do not fit the network.
    """
    settings = settings or GradcamSettings()
    classifier = load_classifier(model, pixels=pixels, classes=classes)
    network = classifier.network
    layer = last_convolution(network) if settings.layer is None else network.resolve(settings.layer)
    image = classifier.input_of(picture)
    index, scores = choose_class(classifier, image, settings.class_name)
    coarse = gradcam(network, image, layer, class_target(index))
    centres = _centres(network, layer, coarse, image)
    return to_class_map(classifier, picture, image, index, scores, coarse, centres, layer)


def gradcam(
    network: ViewedNetwork,
    image: np.ndarray,
    layer: str,
    target: Target,
    output: str | None = None,
) -> np.ndarray:
    """Grad-CAM of any score that a network's output gives.

    `relu(sum_k a_k A_k)` with `a_k`, the mean over places of the gradient of the score with respect
    to map `A_k` of the layer (Selvaraju et al. 2017). The score is taken before a last softmax or
    sigmoid, as there.

    Args:
        network: to look into.
        image: `(1, height, width, channels)` in [0, 1].
        layer: name of a layer of maps.
        target: output before its activation `(1, ...)` -> score `(1,)`: of a class, or of a region
            of a segmentation, or of one box of a detector.
        output: name of the layer whose output the target gets; the network's own by default.

    Returns:
        float32 `(rows, columns)`, the map of the layer's own size, not normalised.

    Raises:
        UsageError: the layer has no maps, or the score does not depend on it.
    """
    maps = network.outputs[layer]
    if len(maps.shape) != 4:
        raise UsageError(
            f"{layer} has no maps but an output of shape {tuple(maps.shape[1:])}; "
            f"use a convolution, such as {last_convolution(network)}"
        )
    picture = network.model.inputs[0]
    whole = network.model.outputs[0] if output is None else network.outputs[output]
    score = linear_output(whole)
    if not _is_before(maps, score):
        raise UsageError(f"{layer} comes behind the scores; use {last_convolution(network)}")
    image = keras.ops.convert_to_tensor(image)
    activations = keras.ops.convert_to_numpy(keras.Model(picture, maps)(image))
    # From the maps on, beside what passes them by: the picture is an input still.
    rest = keras.Model([picture, maps], score)
    differentiate = value_and_gradient(
        lambda maps: keras.ops.sum(target(rest([image, maps], training=False)))
    )
    _, gradient = differentiate(activations)
    weights = gradient.mean(axis=(0, 1, 2))
    return np.maximum(activations[0] @ weights, 0.0)


def last_convolution(network: ViewedNetwork) -> str:
    """Name of the deepest convolution that has several places, or of the activation behind it.

    Raises:
        UsageError: there is none.
    """
    for layer in reversed(network.summary.layers):
        if layer.kind in _CONVOLUTIONS and set(layer.output_shape[:2]) != {1}:
            return _with_activation(network, layer.name)
    raise UsageError(f"{network.name} has no convolution; give --layer a layer of maps")


def _with_activation(network: ViewedNetwork, layer: str) -> str:
    """The last of the normalisations and activations that follow a layer one by one."""
    for name, tensor in network.outputs.items():
        history = tensor._keras_history
        before = history.operation._inbound_nodes[history.node_index].input_tensors
        is_next = len(before) == 1 and before[0] is network.outputs[layer]
        if is_next and type(history.operation).__name__ in _BEHIND_CONVOLUTIONS:
            layer = name
    return layer


def _is_before(tensor: Any, later: Any) -> bool:
    """Whether a tensor of a graph is needed for another one."""
    waiting, seen = [later], set()
    while waiting:
        one = waiting.pop()
        if one is tensor:
            return True
        history = one._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) not in seen:
            seen.add(id(node))
            waiting += node.input_tensors
    return False


def _centres(
    network: ViewedNetwork, layer: str, coarse: np.ndarray, image: np.ndarray
) -> list[np.ndarray]:
    """Where on the image the layer's units look, evenly spread if that is not known."""
    summary = next(one for one in network.summary.layers if one.name == layer)
    fields = summary.fields or (None, None)
    return [
        unit_centres(count, pixels, None if field is None else astuple(field))
        for count, pixels, field in zip(coarse.shape, image.shape[1:3], fields, strict=True)
    ]
