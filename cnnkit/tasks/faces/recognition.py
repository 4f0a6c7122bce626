"""From pictures to distances: what verify, faces, embed and the evaluations have in common."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cnnkit.data.face_pictures import FacePicture
from cnnkit.engine.choice import configure_keras
from cnnkit.errors import NoFaceError, UsageError
from cnnkit.models.face_similarity import DLIB, FaceSimilarity, load_face_similarity
from cnnkit.ops.alignment import extract_chip
from cnnkit.tasks.faces.analysis import FaceAnalyzer, main_face
from cnnkit.tasks.faces.calibration import (
    FaceCalibration,
    calibration_from_json,
    read_calibration,
    shipped_calibration,
)
from cnnkit.tasks.faces.results import Face
from cnnkit.tasks.faces.settings import FaceSettings


class FaceRecognizer:
    """Faces, embeddings and distances as the settings want them.

    Args:
        settings: see `FaceSettings`.
        on_note: takes a line of text that the user may want to know.

    Raises:
        WeightsError: the model's weights are missing or damaged.
        UsageError: a calibration of another model.
        DataError: the calibration cannot be read.
    """

    def __init__(
        self,
        settings: FaceSettings | None = None,
        on_note: Callable[[str], None] | None = None,
    ):
        self.settings = settings = settings or FaceSettings()
        self.note = on_note or (lambda text: None)
        if settings.model != DLIB:
            # Other models are compared by what Keras computes.
            configure_keras()
        self.similarity: FaceSimilarity = load_face_similarity(settings.model)
        self.analyzer = FaceAnalyzer(
            encoder=self.similarity.encoder,
            max_side=settings.max_side,
            upsample=settings.upsample,
            fallback=settings.fallback,
        )
        self.calibration = self._calibration()
        self.threshold = (
            self.calibration.threshold if settings.threshold is None else settings.threshold
        )

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.similarity.name

    def _calibration(self) -> FaceCalibration:
        if self.settings.calibration is not None:
            calibration = read_calibration(self.settings.calibration)
            if calibration.model_hash != self.similarity.hash:
                raise UsageError(
                    f"{self.settings.calibration} was measured with another model than "
                    f"{self.similarity.name}; calibrate this one with `cnnkit faces calibrate`"
                )
            return calibration
        if self.similarity.calibration is not None:
            return calibration_from_json(self.similarity.calibration)
        return shipped_calibration()

    def faces(
        self, pictures: Sequence[FacePicture], *, max_faces: int | None = None, embed: bool = True
    ) -> list[list[Face]]:
        """The faces of each picture, the largest first."""
        return self.analyzer.analyze(
            (picture.pixels for picture in pictures), max_faces=max_faces, embed=embed
        )

    def describe(self, pictures: Sequence[FacePicture], faces: Sequence[Face]) -> list[Face]:
        """Faces, one a picture, with their embeddings."""
        chips = [
            extract_chip(picture.pixels, face.landmarks_xy)
            for picture, face in zip(pictures, faces, strict=True)
        ]
        embeddings = self.analyzer.embed(chips)
        return [
            replace(face, embedding=embedding)
            for face, embedding in zip(faces, embeddings, strict=True)
        ]

    def distance(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Distances between embeddings, row by row.

        Args:
            first: `(N, D)`.
            second: `(N, D)`.

        Returns:
            float64 `(N,)`, NaN where an embedding is NaN.
        """
        return self.similarity.distance(np.asarray(first), np.asarray(second))

    def pick(self, picture: FacePicture, faces: Sequence[Face], number: int | None = None) -> Face:
        """The face that is meant.

        Args:
            picture: where the faces are, for messages.
            faces: the largest first.
            number: from 1 for the largest; None for the main one (see `main_face`), with a note if
                there are more.

        Raises:
            NoFaceError: there is none, or not as many.
        """
        if not faces:
            raise no_face(picture.source, self.settings.upsample)
        if number is None:
            main = main_face(faces, *picture.pixels.shape[:2])
            if len(faces) > 1:
                self.note(
                    f"{picture.source} shows {len(faces)} faces; number {faces.index(main) + 1} by "
                    "size, large and near to the middle, is used (choose another with --face)"
                )
            return main
        if not 1 <= number <= len(faces):
            raise NoFaceError(
                f"{picture.source} has no face {number}: it shows {len(faces)}, "
                "the largest is number 1"
            )
        return faces[number - 1]


def no_face(source: str, upsample: int) -> NoFaceError:
    """What to say where no face was found."""
    if upsample < 2:
        hint = f"if there is a small one, try --upsample {upsample + 1}"
    else:
        hint = "give a picture with a larger or a more frontal face"
    return NoFaceError(f"{source}: no face found; {hint}")


def face_warnings(face: Face) -> list[str]:
    """What makes the face hard to recognise, in words."""
    quality = face.quality
    words = {
        "small": f"small ({quality.side:.0f} pixels)",
        "blurred": f"blurred (sharpness {quality.sharpness:.0f})",
        "turned": f"turned (yaw {quality.yaw:.0f}°, roll {quality.roll:.0f}°)",
    }
    return [words[name] for name in quality.warnings]
