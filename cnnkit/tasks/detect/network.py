"""Networks of trained detectors, in Keras."""

from pathlib import Path

import keras

from cnnkit.engine.networks import BuiltNetworks
from cnnkit.errors import UsageError
from cnnkit.models._anchor_boxes import AnchorBoxes
from cnnkit.models.darknet import build_darknet
from cnnkit.models.detector import BoxesAtPoints
from cnnkit.models.yolo import CellBoxes
from cnnkit.models.yolo_fastest import yolo_fastest_sections
from cnnkit.weights.darknet_format import DarknetWeights, read_sections
from cnnkit.weights.keras_file import load_keras_file

# What ends a detector; Keras knows them in a file because they are imported.
_LAST_LAYERS = (AnchorBoxes, BoxesAtPoints, CellBoxes)


def build(path: Path) -> BuiltNetworks:
    """The network of a `.keras` file, which needs to be one of a detector.

    "detector" takes RGB `(B, H, W, 3)` in [0, 1] and gives `(B, N, 4 + classes)`: boxes in pixels,
    and scores.

    Raises:
        UsageError: it is no detector.
        WeightsError: it cannot be loaded.
    """
    model = load_keras_file(path, "--model")
    if not any(isinstance(layer, _LAST_LAYERS) for layer in model.layers):
        raise UsageError(f"{path} is no detector; train one with 'cnnkit train detect'")
    return _built(model)


def build_yolo_fastest(path: Path) -> BuiltNetworks:
    """YOLO-fastest-xl from Darknet's weights, see `build`."""
    return _built(build_darknet(yolo_fastest_sections(), DarknetWeights(path), "yolo-fastest-xl"))


def _built(model: keras.Model) -> BuiltNetworks:
    model.trainable = False
    facts = {"classes": model.outputs[0].shape[-1] - 4, "fixed_size": model.inputs[0].shape[1]}
    return BuiltNetworks({"detector": model}, facts)


def build_from_darknet(weights: str | Path, cfg: str | Path) -> tuple[keras.Model, int]:
    """A Keras model from Darknet's files, and the long side of pictures that it is for.

    Raises:
        WeightsError: a file cannot be read, has a layer that is not known, or they do not belong
            together.
    """
    sections = read_sections(cfg)
    model = build_darknet(sections, DarknetWeights(weights), Path(cfg).stem)
    return model, max(sections[0].integer("width", 416), sections[0].integer("height", 416))
