"""How alike two faces are: an encoder of chips, and a distance between its embeddings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.weights import entry

DLIB = "dlib"


@dataclass(frozen=True)
class FaceSimilarity:
    """A model of similarity.

    Attributes:
        name: for people.
        hash: of all that the distance depends on.
        encoder_hash: of what makes the embeddings; those of different encoders are not compared.
        encoder: a `keras.Model`, chips `(N, 150, 150, 3)` in 0..255 -> embeddings `(N, D)`; None
            for dlib's.
        distance: embeddings `(N, D)` and `(N, D)` -> float64 `(N,)`.
        is_euclidean: whether the distance is the Euclidean one.
        calibration: what the distances mean, as plain JSON types; None for what is shipped.
    """

    name: str
    hash: str
    encoder_hash: str
    encoder: Any
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray]
    is_euclidean: bool
    calibration: Mapping[str, Any] | None


def euclidean_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`||a - b||`, row by row, in float64.

    >>> euclidean_distance(np.array([[0.0, 3.0]]), np.array([[4.0, 0.0]])).tolist()
    [5.0]
    """
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return np.sqrt(np.sum(difference**2, axis=-1))


def load_face_similarity(model: str = DLIB) -> FaceSimilarity:
    """Loads a model of similarity.

    Args:
        model: "dlib", or a `.keras` file.

    Raises:
        WeightsError: there is no such model, or it is damaged.
    """
    if model == DLIB:
        digest = entry("face-encoder").digest
        return FaceSimilarity(
            "dlib-resnet-29", digest, digest, None, euclidean_distance, True, None
        )
    raise NotImplementedError
