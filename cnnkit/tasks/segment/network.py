"""Networks of trained segmenters, in Keras."""

from pathlib import Path
from typing import Any

import keras

from cnnkit.engine.networks import BuiltNetworks
from cnnkit.models import fcn
from cnnkit.models.deeplab import build_deeplab
from cnnkit.weights.keras_file import load_keras_file

# Loading a model needs its layers to be registered.
_LAYERS: tuple[Any, ...] = (fcn.PadToStride, fcn.CropToPicture, fcn.EnlargeBilinearly)


def build(path: Path) -> BuiltNetworks:
    """The network of a `.keras` file.

    "segmenter" takes RGB `(B, H, W, 3)` in [0, 1] and gives probabilities `(B, H, W, classes)`.

    Raises:
        WeightsError: it cannot be loaded.
    """
    return _built(load_keras_file(path, "--model"))


def build_deeplab_network(path: Path) -> BuiltNetworks:
    """DeepLab from TensorFlow Lite's file, see `build`."""
    return _built(build_deeplab(path))


def _built(network: keras.Model) -> BuiltNetworks:
    model = keras.Model(network.inputs[0], keras.ops.softmax(network.outputs[0]))
    return BuiltNetworks({"segmenter": model}, {"classes": network.outputs[0].shape[-1]})
