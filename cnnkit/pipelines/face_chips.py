"""The one face of a picture that it is about, cut out: what training on folders of people needs."""

from collections.abc import Sequence

import numpy as np

from cnnkit.ops.alignment import extract_chip
from cnnkit.pipelines._face_analysis import FaceAnalyzer
from cnnkit.results import Face


class MainFaces:
    """Finds the main face of each picture.

    Args:
        analyzer: finds all of them.
    """

    def __init__(self, analyzer: FaceAnalyzer | None = None):
        self._analyzer = analyzer or FaceAnalyzer()
        self.settings = f"main face, {self._analyzer.settings}"

    def cut(self, pixels: np.ndarray) -> np.ndarray | None:
        """The chip of the main face, see `alignment.extract_chip`; None where there is no face.

        Args:
            pixels: uint8 `(height, width, 3)`, upright RGB.
        """
        faces = self._analyzer.detect(pixels)
        if not faces:
            return None
        return extract_chip(pixels, main_face(faces, *pixels.shape[:2]).landmarks_xy)

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embeddings of chips `(N, 150, 150, 3)`."""
        return self._analyzer.embed(chips)


def main_face(faces: Sequence[Face], height: int, width: int) -> Face:
    """The face that a picture is of: a large one, and near the middle.

    Its area less twice the squared distance of its middle from the picture's is the largest: a
    face beside the middle must be so much larger than the one in it.

    Args:
        faces: one at least.
        height: of the picture, in pixels.
        width: of the same.
    """

    def score(face: Face) -> float:
        left, top, right, bottom = face.box_xyxy
        beside = ((left + right - width) / 2.0) ** 2 + ((top + bottom - height) / 2.0) ** 2
        return (right - left) * (bottom - top) - 2.0 * beside

    return max(faces, key=score)
