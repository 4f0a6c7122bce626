"""What is found of faces."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.metrics.verification import Accuracy, FoldedAccuracy, Validation


@dataclass(frozen=True)
class FaceQuality:
    """How well a face can be recognised, and what speaks against it.

    Attributes:
        side: longer side of the face's whole box, in pixels.
        sharpness: variance of the Laplacian of the upright face, grey in 0..255, 150 pixels wide.
        yaw: estimate in degrees; positive where the face looks to the right of the picture.
        roll: of the line through the eyes, in degrees; positive where it falls to the right.
        warnings: of "small", "blurred" and "turned", those that apply.
    """

    side: float
    sharpness: float
    yaw: float
    roll: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture.

    Attributes:
        box_xyxy: left, top, right and bottom in pixels of the upright picture; the right and
            bottom edges lie just outside. What lies beyond the picture is cut off.
        confidence: score of the detector, above 0; 1 is sure.
        landmarks_xy: float32 array `(5, 2)` in pixels: outer and inner corner of the subject's
            left eye, of the right eye, base of the nose.
        quality: how well the face can be recognised.
        embedding: float32 array `(128,)`, or None when none was asked for.
        upsample: how often the picture was doubled before the face was found.
        is_fallback: whether nothing was found as asked, and the face by looking in other ways.
    """

    box_xyxy: tuple[float, float, float, float]
    confidence: float
    landmarks_xy: np.ndarray
    quality: FaceQuality
    embedding: np.ndarray | None = None
    upsample: int = 0
    is_fallback: bool = False

    @property
    def vector(self) -> np.ndarray:
        """The embedding.

        Raises:
            ValueError: none was asked for.
        """
        if self.embedding is None:
            raise ValueError("the face was found without its embedding; ask for it")
        return self.embedding

    def to_dict(self) -> dict[str, Any]:
        """The face as plain JSON types, without its embedding."""
        left, top, right, bottom = (round(edge, 1) for edge in self.box_xyxy)
        return {
            "label": "face",
            "score": round(self.confidence, 4),
            "box": {"x1": left, "y1": top, "x2": right, "y2": bottom},
            "landmarks": [[round(float(x), 1), round(float(y), 1)] for x, y in self.landmarks_xy],
            "warnings": list(self.quality.warnings),
        }


@dataclass(frozen=True, eq=False)
class VerifyResult:
    """Whether two pictures show the same person.

    Attributes:
        first: face of the first picture.
        second: face of the second picture.
        distance: between the two embeddings.
        threshold: the same person is nearer than this.
        same: the verdict.
        confidence: probability in [0.5, 1] that the verdict is right, if both were equally likely
            before.
        false_accept_rate: share of pairs of strangers that this threshold takes for one person.
        model: what measured the distance.
    """

    first: Face
    second: Face
    distance: float
    threshold: float
    same: bool
    confidence: float
    false_accept_rate: float
    model: str


@dataclass(frozen=True)
class PersonMatch:
    """A person of the gallery near a face.

    Attributes:
        name: of the person.
        distance: to the nearest of the person's faces.
        source: the picture of that face, as it was when it was stored.
    """

    name: str
    distance: float
    source: str


@dataclass(frozen=True, eq=False)
class IdentifiedFace:
    """A face and who it is.

    Attributes:
        face: where it is.
        name: of the nearest person below the threshold, or None for somebody unknown.
        matches: the nearest people, nearest first, however far; empty for an empty gallery.
        confidence: probability in [0, 1] that the nearest person is the right one, if that was as
            likely as not before; 0 for an empty gallery.
    """

    face: Face
    name: str | None
    matches: tuple[PersonMatch, ...]
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Who it is, and where, as plain JSON types."""
        return {
            **self.face.to_dict(),
            "name": self.name,
            "confidence": round(self.confidence, 6),
            "matches": [
                {"name": match.name, "distance": round(match.distance, 6)} for match in self.matches
            ],
        }


@dataclass(frozen=True, eq=False)
class FaceEvaluation:
    """How well pairs of faces are told apart.

    Attributes:
        pairs: number of pairs.
        pictures: number of pictures in them.
        missed: number of pictures in which no face was found, or that could not be read.
        threshold: that the accuracy is at.
        threshold_origin: where it comes from, in words.
        accuracy: at the threshold; missed pairs are wrong.
        folded: where there are folds, or None.
        area_under_curve: of the ROC, in [0, 1].
        equal_error_rate: in [0, 1].
        validation: at a false accept rate of 1e-3.
        best_threshold: on these very pairs.
        model: name of the model.
        distances: float64 `(pairs,)`, NaN for missed pairs.
        same: bool `(pairs,)`.
    """

    pairs: int
    pictures: int
    missed: int
    threshold: float
    threshold_origin: str
    accuracy: Accuracy
    folded: FoldedAccuracy | None
    area_under_curve: float
    equal_error_rate: float
    validation: Validation
    best_threshold: float
    model: str
    distances: np.ndarray
    same: np.ndarray
