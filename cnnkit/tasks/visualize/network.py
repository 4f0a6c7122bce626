"""Trained networks to look into: by name or from a file, every layer within reach.

A model may hold models. Here they are unrolled into one graph of single layers, so that each of
them has an output of its own, under the name that `summarize_model` gives it ("model/layer").
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit import weights as weights_table
from cnnkit.engine.layer_summary import NetworkSummary
from cnnkit.engine.model_summary import summarize_model
from cnnkit.engine.network_input import fit_picture
from cnnkit.errors import UsageError, WeightsError
from cnnkit.images import Picture
from cnnkit.models._pixel_range import PIXELS, expected_pixels
from cnnkit.models.efficientnet_lite import build_trained_efficientnet_lite0
from cnnkit.models.mobilenet_v2 import build_trained_mobilenet_v2
from cnnkit.models.unrolled import unroll_model
from cnnkit.models.vgg import (
    COMPACT_LAST_LAYER,
    VGG16_CONVOLUTIONS,
    VGG19_CONVOLUTIONS,
    build_feature_network,
    layer_names,
)
from cnnkit.tasks.visualize.files import find_viewed_file
from cnnkit.weights.keras_file import load_keras_file


@dataclass(frozen=True, eq=False)
class ViewedNetwork:
    """A frozen, trained network whose every layer can be asked for.

    Attributes:
        model: RGB (or grey) in [0, 1] `(batch, height, width, channels)` -> the network's output.
            Its layers are single operations, none of them a model.
        outputs: layer name, as in `summary` -> its output, a tensor of `model`'s graph.
        summary: shapes and receptive fields of the layers.
        name: for people.
        hash: SHA-256 of the weights.
    """

    model: keras.Model
    outputs: dict[str, Any] = field(repr=False)
    summary: NetworkSummary = field(repr=False)
    name: str
    hash: str

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width that the network insists on; None where it takes any size."""
        height, width = self.model.inputs[0].shape[1:3]
        return None if None in (height, width) else (height, width)

    @property
    def channels(self) -> int:
        """Of a picture: 3, or 1 for grey."""
        return self.model.inputs[0].shape[-1]

    def input_of(self, picture: Picture, long_side: int) -> np.ndarray:
        """A picture as the network takes it.

        A network that insists on a size gets the whole picture stretched to it, so that every place
        of the picture is seen; others get the picture's own shape, no longer than `long_side` and
        no narrower than 32 pixels.

        Args:
            picture: sRGB.
            long_side: of the picture at most, where the network takes any size.

        Returns:
            float32 `(1, height, width, channels)` in [0, 1].
        """
        return fit_picture(picture, self.input_size, self.channels, long_side)[None]

    def resolve(self, layer: str) -> str:
        """The name of a layer that a user may have typed in another way.

        `layer1` ... `layer5` stand for the last convolution of the VGG family's blocks.

        Raises:
            UsageError: there is none; the message lists the layers, nearest first.
        """
        names = list(self.outputs)
        if layer in names:
            return layer
        block = re.fullmatch(r"layer_?(\d+)", layer.lower())
        if block:
            inside = [name for name in names if re.fullmatch(rf"block{block[1]}_conv\d+", name)]
            if inside:
                return inside[-1]
        nearest = difflib.get_close_matches(layer, names, n=3, cutoff=0.0)
        others = [name for name in names if name not in nearest]
        raise UsageError(
            f"{self.name} has no layer {layer!r}; it has: {', '.join([*nearest, *others])}"
        )

    def submodel(self, layers: Sequence[str]) -> keras.Model:
        """The network up to some layers: pictures -> dict of layer name to output."""
        model = keras.Model(self.model.inputs[0], {name: self.outputs[name] for name in layers})
        model.trainable = False
        return model


def load_viewed_network(model: ViewedNetwork | str, pixels: str = "unit") -> ViewedNetwork:
    """Loads a trained network to look into.

    Args:
        model: "imagenet", "compact", "caltech101", "vgg16", "vgg19", "mobilenet-v2" (whose
            weights the user fetched), the folder of a run of `cnnkit train classify`, or a `.keras`
            file of a functional or sequential model of pictures. A network that is loaded already
            is given back.
        pixels: what a file's network expects of pictures: "unit" [0, 1], "byte" [0, 255] or
            "signed" [-1, 1]. Of a network that rescales bytes itself, "unit" becomes "byte".

    Returns:
        A `ViewedNetwork`.

    Raises:
        UsageError: an unknown name, or a model that takes no pictures.
        WeightsError: the weights are not here, or the file holds no model.

    Example:

    >>> network = load_viewed_network("compact")
    >>> network.resolve("layer3"), network.outputs["block3_conv4"].shape[-1]
    ('block3_conv4', 64)
    """
    if isinstance(model, ViewedNetwork):
        return model
    if pixels not in PIXELS:
        raise UsageError(f"pixels must be one of {', '.join(PIXELS)}, not {pixels!r}")
    path = find_viewed_file(model)
    if path.suffix == ".keras":
        loaded = load_keras_file(path, "--model")
        digest = weights_table.fingerprint(path)
        if pixels == "unit":
            pixels = expected_pixels(loaded) or pixels
    elif model in ("imagenet", "mobilenet-v2"):
        digest, pixels = weights_table.fingerprint(path), "unit"
        if model == "imagenet":
            loaded = build_trained_efficientnet_lite0((None, None, 3))
        else:
            loaded = build_trained_mobilenet_v2()
    else:
        names = layer_names(VGG16_CONVOLUTIONS if model == "vgg16" else VGG19_CONVOLUTIONS)
        last = COMPACT_LAST_LAYER if model == "compact" else names[-1]
        network = build_feature_network(model, [last])
        loaded, digest = network.model, network.hash
        loaded = keras.Model(loaded.inputs[0], loaded.outputs[0])
        pixels = "unit"
    return view_model(loaded, Path(model).name, digest, pixels)


def view_model(
    model: keras.Model, name: str, digest: str = "", pixels: str = "unit"
) -> ViewedNetwork:
    """Unrolls a model of pictures; see `load_viewed_network`."""
    inputs: Any = getattr(model, "inputs", None) or ()
    shape = [*inputs[0].shape[1:]] if len(inputs) == 1 else []
    if len(shape) != 3 or shape[-1] not in (1, 3):
        described = ", ".join(str(tuple(tensor.shape[1:])) for tensor in inputs)
        raise UsageError(
            f"{name} takes no pictures (height, width, 3 or 1) but {described or 'nothing known'}; "
            "use a functional or sequential model of pictures"
        )
    picture = keras.Input(shape, name="picture")
    factor, offset = PIXELS[pixels]
    scaled = picture if (factor, offset) == (1.0, 0.0) else picture * factor + offset
    outputs: dict[str, Any] = {}
    try:
        result = unroll_model(model, [scaled], outputs)
        summary = summarize_model(model, name)
    except ValueError as error:
        raise WeightsError(f"{name} cannot be taken apart: {error}") from None
    flat = keras.Model(picture, result[0], name="viewed")
    flat.trainable = False
    known = {layer.name for layer in summary.layers}
    return ViewedNetwork(
        flat, {key: value for key, value in outputs.items() if key in known}, summary, name, digest
    )
