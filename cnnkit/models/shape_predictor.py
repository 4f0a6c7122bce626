"""Finds the points of a face with cascades of regression trees (Kazemi & Sullivan 2014).

The trees of a cascade all look at the same few hundred pixels, so they are walked together, level
by level, for all faces of a picture at once.
"""

import numpy as np

from cnnkit.ops.alignment import fit_similarity
from cnnkit.weights.converted import load_converted
from cnnkit.weights.dlib_format import CONVERSION, ShapePredictorWeights, read_shape_predictor


def load_shape_predictor_weights() -> ShapePredictorWeights:
    """dlib's weights of five points for `ShapePredictor`.

    Raises:
        WeightsError: the package `face_recognition_models` is missing or damaged.
    """
    return load_converted(
        "face-landmarks", CONVERSION, read_shape_predictor, ShapePredictorWeights.from_arrays
    )


class ShapePredictor:
    """dlib's shape predictor.

    Attributes:
        weights: as read from dlib's file.
    """

    def __init__(self, weights: ShapePredictorWeights):
        self.weights = weights

    def predict(self, pixels: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
        """Finds the points of the faces in a picture.

        Args:
            pixels: uint8 `(height, width, 3)`, RGB.
            boxes_xyxy: `(N, 4)` in whole pixels, as the detector gives them; right and bottom lie
                just outside. A box may reach over the edge of the picture.

        Returns:
            float64 `(N, P, 2)`: x and y of the points in pixels, rounded to whole ones, in the
            order of the weights. A point may lie outside of the picture.
        """
        weights = self.weights
        boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
        origin = boxes[:, None, :2]
        # dlib's boxes include their last pixel.
        sides = boxes[:, None, 2:] - 1.0 - origin
        initial = weights.initial_shape
        shapes = np.repeat(initial[None], len(boxes), axis=0)
        for cascade in range(len(weights.anchors)):
            turn = fit_similarity(initial, shapes)[0].astype(np.float32)
            offsets = weights.offsets[cascade] @ np.swapaxes(turn, -1, -2)
            places = offsets + shapes[:, weights.anchors[cascade]]
            values = _intensities(pixels, np.floor(origin + places * sides + 0.5).astype(np.int64))
            shapes = shapes + self._walk(cascade, values)
        return np.floor(origin + shapes * sides + 0.5)

    def _walk(self, cascade: int, values: np.ndarray) -> np.ndarray:
        """Sum of the leaves that the pixels `(N, F)` lead to, `(N, P, 2)`."""
        weights = self.weights
        first, second = weights.first[cascade], weights.second[cascade]
        thresholds, leaves = weights.thresholds[cascade], weights.leaves[cascade]
        trees, nodes = first.shape
        tree = np.arange(trees)
        node = np.zeros((len(values), trees), np.int64)
        for _ in range((nodes + 1).bit_length() - 1):
            left = np.take_along_axis(values, first[tree, node], axis=1)
            right = np.take_along_axis(values, second[tree, node], axis=1)
            node = 2 * node + np.where(left - right > thresholds[tree, node], 1, 2)
        return leaves[tree, node - nodes].sum(axis=1)


def _intensities(pixels: np.ndarray, places_xy: np.ndarray) -> np.ndarray:
    """Mean of red, green and blue, rounded down, at `(N, F, 2)`; 0 outside of the picture."""
    height, width = pixels.shape[:2]
    x, y = places_xy[..., 0], places_xy[..., 1]
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    colours = pixels[np.where(inside, y, 0), np.where(inside, x, 0)]
    return np.where(inside, colours.sum(axis=-1, dtype=np.int32) // 3, 0)
