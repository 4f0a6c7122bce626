"""Boxes `(left, top, right, bottom)` in pixels: their overlaps, suppression, and letterboxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SUPPRESSIONS = ("class", "agnostic", "soft")
# Of more boxes than this the best are looked at: suppression takes the square of their number.
_MOST_CANDIDATES = 1000


def areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Area of each box in square pixels; a box that ends before it begins has none.

    Args:
        boxes_xyxy: `(..., 4)`; the right and bottom edges lie just outside, so that
            `right - left` is the width.

    Returns:
        `(...)`.

    >>> areas(np.array([[0, 0, 4, 3], [5, 5, 2, 9]])).tolist()
    [12, 0]
    """
    boxes_xyxy = np.asarray(boxes_xyxy)
    sides = np.maximum(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def intersections(first_xyxy: np.ndarray, second_xyxy: np.ndarray) -> np.ndarray:
    """Area in square pixels that each box of one set shares with each of another.

    Args:
        first_xyxy: `(N, 4)`.
        second_xyxy: `(M, 4)`.

    Returns:
        `(N, M)`.

    >>> intersections(np.array([[0, 0, 4, 4]]), np.array([[2, 1, 9, 9], [4, 0, 5, 5]])).tolist()
    [[6, 0]]
    """
    first, second = np.asarray(first_xyxy)[:, None], np.asarray(second_xyxy)[None]
    begin = np.maximum(first[..., :2], second[..., :2])
    end = np.minimum(first[..., 2:], second[..., 2:])
    return areas(np.concatenate([begin, end], axis=-1))


def intersection_over_union(first_xyxy: np.ndarray, second_xyxy: np.ndarray) -> np.ndarray:
    """Overlap of each box of one set with each of another: shared area over covered area.

    Args:
        first_xyxy: `(N, 4)`.
        second_xyxy: `(M, 4)`.

    Returns:
        float64 `(N, M)` in [0, 1]; 0 where both boxes are empty.

    >>> intersection_over_union(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]])).round(3)
    array([[0.333]])
    """
    shared = intersections(first_xyxy, second_xyxy)
    covered = areas(first_xyxy)[:, None] + areas(second_xyxy)[None] - shared
    return shared / np.where(covered > 0, covered, 1)


def enclosing_overlap(first_xyxy: np.ndarray, second_xyxy: np.ndarray) -> np.ndarray:
    """Overlap of each box of one set with each of another: shared area over that around both.

    This is what dlib calls intersection over union: its union is the smallest box that holds both,
    which for boxes side by side is the same, and for others is larger.

    Args:
        first_xyxy: `(N, 4)`.
        second_xyxy: `(M, 4)`.

    Returns:
        float64 `(N, M)` in [0, 1]; 0 where both boxes are empty.

    >>> enclosing_overlap(np.array([[0, 0, 2, 2]]), np.array([[1, 1, 3, 3]])).round(3)
    array([[0.111]])
    """
    first, second = np.asarray(first_xyxy)[:, None], np.asarray(second_xyxy)[None]
    begin = np.minimum(first[..., :2], second[..., :2])
    end = np.maximum(first[..., 2:], second[..., 2:])
    around = areas(np.concatenate([begin, end], axis=-1))
    return intersections(first_xyxy, second_xyxy) / np.where(around > 0, around, 1)


def non_maximum_suppression(
    boxes_xyxy: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    overlap: Callable[[np.ndarray, np.ndarray], np.ndarray] = intersection_over_union,
) -> np.ndarray:
    """Keeps the best of boxes that mean the same thing.

    Greedy: the box of the highest score is kept, all that overlap it by more than `threshold` are
    dropped, and so on with what is left. Of equal scores the earlier box wins.

    Args:
        boxes_xyxy: `(N, 4)`.
        scores: `(N,)`.
        threshold: largest overlap of two boxes that are both kept, in [0, 1].
        overlap: `(N, 4), (M, 4) -> (N, M)`.

    Returns:
        Indices of the boxes that are kept, best first.

    >>> boxes_xyxy = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]])
    >>> non_maximum_suppression(boxes_xyxy, np.array([0.5, 0.9, 0.1]), 0.5).tolist()
    [1, 2]
    """
    boxes_xyxy = np.asarray(boxes_xyxy).reshape(-1, 4)
    order = np.argsort(-np.asarray(scores), kind="stable")
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[overlap(boxes_xyxy[[best]], boxes_xyxy[order])[0] <= threshold]
    return np.array(kept, np.intp)


def per_class_suppression(
    boxes_xyxy: np.ndarray, scores: np.ndarray, class_ids: np.ndarray, threshold: float
) -> np.ndarray:
    """Keeps the best of boxes that mean the same thing, for each class by itself.

    YOLO's rule: of each class take the box of the highest score, drop every other one of the class
    that overlaps it by more than `threshold`, and repeat with what is left.

    Args:
        boxes_xyxy: `(N, 4)`.
        scores: `(N,)`.
        class_ids: `(N,)` whole numbers.
        threshold: largest intersection over union of two boxes of a class that are both kept.

    Returns:
        Indices of the boxes that are kept, best first; of equal scores the earlier box first.

    >>> boxes_xyxy = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10]])
    >>> per_class_suppression(boxes_xyxy, np.array([0.5, 0.9, 0.4]), np.array([0, 0, 1]), 0.5)
    array([1, 2])
    """
    boxes_xyxy, scores = np.asarray(boxes_xyxy).reshape(-1, 4), np.asarray(scores)
    class_ids = np.asarray(class_ids)
    kept = [np.zeros(0, np.intp)]
    for class_id in np.unique(class_ids):
        (rows,) = np.nonzero(class_ids == class_id)
        kept.append(rows[non_maximum_suppression(boxes_xyxy[rows], scores[rows], threshold)])
    indices = np.sort(np.concatenate(kept))
    return indices[np.argsort(-scores[indices], kind="stable")]


def soft_suppression(
    boxes_xyxy: np.ndarray, scores: np.ndarray, deviation: float = 0.5, least: float = 0.001
) -> tuple[np.ndarray, np.ndarray]:
    r"""Lowers the scores of boxes that overlap better ones, instead of dropping them.

    .. math:: s_i \leftarrow s_i \exp(-\mathrm{IoU}(b, b_i)^2 / \sigma)

    for every box that is left whenever the best one, b, is taken. Call it for each class, or for
    all at once where a place may hold only one class.

    Args:
        boxes_xyxy: `(N, 4)`.
        scores: `(N,)`.
        deviation: sigma; the smaller, the more is lost.
        least: boxes whose score falls below this are dropped.

    Returns:
        Indices of the boxes that are kept, best first, and their new scores.

    >>> boxes_xyxy = np.array([[0, 0, 10, 10], [0, 0, 10, 10]])
    >>> indices, scores = soft_suppression(boxes_xyxy, np.array([0.5, 0.9]))
    >>> indices.tolist(), scores.round(4).tolist()  # 0.5 exp(-1 / 0.5)
    ([1, 0], [0.9, 0.0677])

    Bodla et al., "Soft-NMS: Improving Object Detection With One Line of Code" (2017), the Gaussian.
    """
    boxes_xyxy = np.asarray(boxes_xyxy).reshape(-1, 4)
    scores = np.array(scores, np.float64)
    left = np.flatnonzero(scores >= least)
    kept = []
    while left.size:
        at = int(np.argmax(scores[left]))
        best, left = left[at], np.delete(left, at)
        kept.append(int(best))
        shared = intersection_over_union(boxes_xyxy[[best]], boxes_xyxy[left])[0]
        scores[left] *= np.exp(-(shared**2) / deviation)
        left = left[scores[left] >= least]
    return np.array(kept, np.intp), scores[kept]


def fuse_boxes(
    views: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], threshold: float = 0.55
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Makes one set of boxes of what was found in several views of a picture.

    Boxes of a class that overlap belong together; they become one, weighted by their scores:

    .. math:: b = \frac{\sum_i s_i b_i}{\sum_i s_i}, \quad s = \frac{1}{N} \sum_i s_i

    with the number N of views, so that what one view alone has seen counts little. From the best
    box to the worst, each joins the group whose box it overlaps most. Departure from the paper: of
    each view a group has one box at most, so that several views of the same give what each of them
    gives, and what was left around an object in a view does not make it less sure.

    Args:
        views: for each its boxes `(n, 4)`, class ids `(n,)` and scores `(n,)`, in the same
            coordinates, without boxes that mean the same.
        threshold: overlap from which boxes belong together.

    Returns:
        Boxes `(m, 4)`, class ids `(m,)` and scores `(m,)`, best first.

    >>> one = np.array([[0, 0, 10, 10]]), np.array([3]), np.array([0.6])
    >>> other = np.array([[0, 0, 10, 8], [20, 0, 30, 9]]), np.array([3, 5]), np.array([0.2, 0.4])
    >>> boxes_xyxy, class_ids, scores = fuse_boxes([one, other])
    >>> boxes_xyxy.tolist(), class_ids.tolist()  # (0.6 * 10 + 0.2 * 8) / 0.8 = 9.5
    ([[0.0, 0.0, 10.0, 9.5], [20.0, 0.0, 30.0, 9.0]], [3, 5])
    >>> scores.tolist()
    [0.4, 0.2]

    Solovyev, Wang & Gabruseva, "Weighted boxes fusion: Ensembling boxes from different object
    detection models" (2021).
    """
    boxes_xyxy = np.concatenate([np.asarray(one[0], float).reshape(-1, 4) for one in views])
    class_ids = np.concatenate([np.asarray(one[1], np.int64) for one in views])
    scores = np.concatenate([np.asarray(one[2], float) for one in views])
    numbers = np.repeat(np.arange(len(views)), [len(one[2]) for one in views])
    # Of each group: the box, class, sum of scores, and the views that have a box in it.
    fused = np.zeros((len(scores), 4))
    classes, sums = np.zeros(len(scores), np.int64), np.zeros(len(scores))
    has_box = np.zeros((len(scores), len(views)), bool)
    groups = 0
    for row in np.argsort(-scores, kind="stable"):
        is_open = ~has_box[:groups, numbers[row]]
        (same,) = np.nonzero((classes[:groups] == class_ids[row]) & is_open)
        overlaps = intersection_over_union(boxes_xyxy[[row]], fused[same])[0]
        if overlaps.size and overlaps.max() > threshold:
            group = same[overlaps.argmax()]
        else:
            group, groups = groups, groups + 1
            classes[group] = class_ids[row]
        total = sums[group] + scores[row]
        share = scores[row] / total if total > 0 else 1.0
        fused[group] += share * (boxes_xyxy[row] - fused[group])
        sums[group], has_box[group, numbers[row]] = total, True
    means = sums[:groups] / len(views)
    order = np.argsort(-means, kind="stable")
    return fused[order], classes[order], means[order]


def select_detections(
    boxes_xyxy: np.ndarray,
    scores: np.ndarray,
    *,
    conf: float,
    iou: float,
    most: int,
    suppression: str = "class",
    multi_label: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From what a detector gives for all places to the objects of a picture.

    Args:
        boxes_xyxy: `(N, 4)`.
        scores: `(N, classes)`.
        conf: least score.
        iou: largest overlap of two boxes that are both kept.
        most: boxes at most, the best.
        suppression: "class": overlapping boxes of one class are dropped; "agnostic": of any class;
            "soft": of one class, their scores fall instead.
        multi_label: let a place have every class that reaches `conf`, as COCO's figures want it,
            instead of its best one.

    Returns:
        Boxes `(n, 4)`, class ids `(n,)` and scores `(n,)`, best first.

    Raises:
        ValueError: an unknown suppression.

    >>> boxes_xyxy = np.array([[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 30, 9]])
    >>> scores = np.array([[0.2, 0.7], [0.1, 0.6], [0.3, 0.05]])
    >>> select_detections(boxes_xyxy, scores, conf=0.25, iou=0.5, most=10)[1].tolist()
    [1, 0]
    """
    if suppression not in SUPPRESSIONS:
        raise ValueError(f"suppression must be one of {SUPPRESSIONS}. Received: {suppression!r}")
    scores = np.asarray(scores)
    if multi_label:
        places, class_ids = np.nonzero(scores >= conf)
    else:
        class_ids = scores.argmax(axis=1)
        (places,) = np.nonzero(scores[np.arange(len(scores)), class_ids] >= conf)
        class_ids = class_ids[places]
    found, values = np.asarray(boxes_xyxy)[places], scores[places, class_ids]
    if len(found) > _MOST_CANDIDATES:
        best = np.argsort(-values, kind="stable")[:_MOST_CANDIDATES]
        found, values, class_ids = found[best], values[best], class_ids[best]
    if suppression == "class":
        kept = per_class_suppression(found, values, class_ids, iou)
    elif suppression == "agnostic":
        kept = non_maximum_suppression(found, values, iou)
    else:
        kept = np.zeros(0, np.intp)
        lowered = np.zeros(len(values))
        for class_id in np.unique(class_ids):
            (rows,) = np.nonzero(class_ids == class_id)
            indices, new = soft_suppression(found[rows], values[rows], least=max(conf, 1e-6))
            lowered[rows[indices]] = new
            kept = np.append(kept, rows[indices])
        values = lowered
        kept = kept[np.argsort(-values[kept], kind="stable")]
    kept = kept[:most]
    return found[kept], class_ids[kept], values[kept]


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in a larger canvas that a network takes: scaled, with bands around it.

    Attributes:
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        scaled_height: of the picture on the canvas.
        scaled_width: of the picture on the canvas.
        top: rows of the band above it.
        left: columns of the band at its left.
        canvas_height: of the canvas.
        canvas_width: of the canvas.
    """

    height: int
    width: int
    scaled_height: int
    scaled_width: int
    top: int
    left: int
    canvas_height: int
    canvas_width: int

    @classmethod
    def fit(cls, height: int, width: int, long_side: int, stride: int | None = None) -> "Letterbox":
        """Fits a picture into a square of `long_side`, in the middle, in its own proportions.

        Args:
            height: of the picture, in pixels.
            width: of the picture, in pixels.
            long_side: of the canvas.
            stride: make the canvas only as long along the picture's short side as it must be, a
                multiple of this; None for a square.

        Raises:
            ValueError: a side that is not positive.

        >>> Letterbox.fit(50, 200, 100).top, Letterbox.fit(50, 200, 100, stride=32).canvas_height
        (37, 32)
        """
        if min(height, width, long_side) < 1:
            raise ValueError(f"sides must be positive. Received: {height}x{width} into {long_side}")
        scale = long_side / max(height, width)
        sides = [max(1, round(side * scale)) for side in (height, width)]
        canvas = [long_side, long_side]
        if stride is not None:
            canvas = [-(-side // stride) * stride for side in sides]
        top, left = ((whole - side) // 2 for whole, side in zip(canvas, sides, strict=True))
        return cls(height, width, *sides, top, left, *canvas)

    def to_canvas(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """Boxes of the picture, `(N, 4)`, as they lie on the canvas; exact, not rounded."""
        return np.asarray(boxes_xyxy, np.float64) * self._scales() + self._offsets()

    def from_parts(self, boxes_xyxy_normalized: np.ndarray) -> np.ndarray:
        """Boxes `(N, 4)` as parts of the picture's width and height, as they lie on the canvas."""
        sides = [self.scaled_width, self.scaled_height] * 2
        return np.asarray(boxes_xyxy_normalized, np.float64) * sides + self._offsets()

    def to_picture(self, boxes_xyxy: np.ndarray, clip: bool = True) -> np.ndarray:
        """Boxes on the canvas, `(N, 4)`, as they lie in the picture: the inverse of `to_canvas`.

        Args:
            boxes_xyxy: on the canvas.
            clip: cut off what lies outside the picture.
        """
        found = (np.asarray(boxes_xyxy, np.float64) - self._offsets()) / self._scales()
        if clip:
            found = np.clip(found, 0.0, [self.width, self.height] * 2)
        return found

    def _scales(self) -> np.ndarray:
        # Each axis has its own: both sides of the scaled picture are whole numbers.
        return np.array([self.scaled_width / self.width, self.scaled_height / self.height] * 2)

    def _offsets(self) -> np.ndarray:
        return np.array([self.left, self.top] * 2, np.float64)
