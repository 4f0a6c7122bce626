"""Windows of dlib's face detector: how many there are, and the boxes of their scores."""

from dataclasses import dataclass

import numpy as np

from cnnkit.ops.boxes import enclosing_overlap, non_maximum_suppression
from cnnkit.ops.tiles import TilePlan

STRIDE = 8
# Centre of the first window: the kernels of the three strided convolutions reach 2 pixels beyond
# their centre, ((0 * 2 + 2) * 2 + 2) * 2 + 2.
FIRST_CENTRE = 14

# (filters, kernel, stride) of each convolution, see `mmod_human_face_detector.dat`.
CONVOLUTIONS = (
    *((16, 5, 2), (32, 5, 2), (32, 5, 2)),
    *((45, 5, 1), (45, 5, 1), (45, 5, 1)),
    (1, 9, 1),
)


def window_count(side: int) -> int:
    """Windows along a side of a canvas.

    >>> [window_count(side) for side in (28, 29, 36, 37)]
    [0, 1, 1, 2]
    """
    for _, kernel, stride in CONVOLUTIONS:
        if stride > 1:
            side = (side - kernel) // stride + 1
    return side


@dataclass(frozen=True, eq=False)
class Detections:
    """Faces in a picture, best first.

    Attributes:
        boxes_xyxy: int64 `(N, 4)` in pixels of the picture; right and bottom lie just outside, and
            a box may reach over the edge of the picture.
        scores: float32 `(N,)`; the larger the surer, about 0 to 1.1.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray


def decode_scores(
    scores: np.ndarray, plan: TilePlan, window: int, overlap: float, threshold: float = 0.0
) -> Detections:
    """Turns the scores of a tiled pyramid into boxes of faces.

    Args:
        scores: `(rows, columns)` of one canvas.
        plan: how the canvas was laid out.
        window: side of the square that one score stands for, in pixels of the canvas.
        overlap: largest `boxes.enclosing_overlap` of two faces.
        threshold: faces score higher than this.

    Returns:
        `Detections` in pixels of the picture that `plan` was made for.
    """
    rows, columns = np.nonzero(scores > threshold)
    found = scores[rows, columns]
    centres = np.stack([columns, rows], axis=-1) * float(STRIDE) + FIRST_CENTRE
    # dlib's boxes include their last pixel: half of `window - 1` on either side of a pixel.
    reach = (window - 1) / 2.0
    corners = np.stack([centres - reach, centres + reach], axis=1)
    corners = np.floor(plan.to_picture(centres, corners) + 0.5).astype(np.int64)
    boxes_xyxy = np.concatenate([corners[:, 0], corners[:, 1] + 1], axis=-1)
    kept = non_maximum_suppression(boxes_xyxy, found, overlap, enclosing_overlap)
    return Detections(boxes_xyxy[kept], found[kept])
