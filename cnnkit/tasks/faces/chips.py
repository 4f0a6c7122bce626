"""The one face of a picture that it is about, cut out: what training on folders of people needs."""

import numpy as np

from cnnkit.ops.alignment import extract_chip
from cnnkit.tasks.faces.analysis import FaceAnalyzer, main_face


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
