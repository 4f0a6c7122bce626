"""Networks of trained classifiers of texts, in Keras."""

from pathlib import Path

import numpy as np

from cnnkit.engine.networks import BuiltNetworks
from cnnkit.models.recurrent import EMBEDDING
from cnnkit.weights.keras_file import load_keras_file


def build(path: Path) -> BuiltNetworks:
    """The network of a `.keras` file: "classifier" takes tokens, and columns of a table if any.

    Raises:
        WeightsError: it cannot be loaded.
    """
    model = load_keras_file(path, "--model")
    facts = {"inputs": len(model.inputs), "classes": model.outputs[0].shape[-1]}
    return BuiltNetworks({"classifier": model}, facts)


def read_embedding(path: Path) -> np.ndarray | None:
    """The vectors that were learned for the tokens, float32 `(tokens, D)`.

    Returns:
        None where tokens are one-hots.

    Raises:
        WeightsError: it cannot be loaded.
    """
    for layer in load_keras_file(path, "--model").layers:
        if layer.name == EMBEDDING:
            return np.asarray(layer.get_weights()[0])
    return None
