"""dlib's networks that find and describe faces, in Keras."""

from pathlib import Path

from cnnkit.engine.networks import BuiltNetworks
from cnnkit.models.face_detector import build_face_detector, load_face_detector_weights
from cnnkit.models.face_encoder import (
    EMBEDDING_SIZE,
    build_face_encoder,
    load_face_encoder_weights,
)


def build(detector: Path, encoder: Path) -> BuiltNetworks:
    """The networks, see `build_face_detector` and `build_face_encoder`, which takes bytes here.

    Args:
        detector: dlib's file, for the hash alone: what is read may be a converted copy.
        encoder: the same.

    Raises:
        WeightsError: the package `face_recognition_models` is missing or damaged.
    """
    weights = load_face_detector_weights()
    models = {
        "detector": build_face_detector(weights),
        "encoder": build_face_encoder(load_face_encoder_weights()),
    }
    facts = {
        "mean_rgb": [float(value) for value in weights.mean_rgb],
        "window": int(weights.window),
        "overlap": float(weights.overlap),
        "embedding": EMBEDDING_SIZE,
    }
    return BuiltNetworks(models, facts, {"encoder": "uint8"})
