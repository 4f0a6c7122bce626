"""Losses of detectors: overlaps of boxes with a gradient, and which place learns which object."""

from typing import Any

import keras
import numpy as np

OVERLAPS = ("iou", "giou", "diou")
_EPSILON = 1e-7


def box_overlaps(first_xyxy: Any, second_xyxy: Any, kind: str = "iou") -> Any:
    r"""Overlap of each box with the one at the same place of the other tensor.

    With the union U, the smallest box C that holds both, the distance d of their centres and the
    diagonal c of C:

    .. math:: \mathrm{IoU} = \frac{|A \cap B|}{|U|}, \quad
        \mathrm{GIoU} = \mathrm{IoU} - \frac{|C| - |U|}{|C|}, \quad
        \mathrm{DIoU} = \mathrm{IoU} - \frac{d^2}{c^2}

    Args:
        first_xyxy: `(..., 4)`, `(left, top, right, bottom)`.
        second_xyxy: `(..., 4)`, of a shape that it broadcasts with.
        kind: "iou" in [0, 1]; "giou" or "diou" in [-1, 1], which have a gradient where boxes do
            not meet.

    Returns:
        `(...)`.

    Raises:
        ValueError: an unknown kind.

    Example:

    >>> one, other = np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2]])
    >>> [round(float(box_overlaps(one, other, kind)[0]), 3) for kind in OVERLAPS]
    [0.333, 0.333, 0.256]

    Rezatofighi et al., "Generalized Intersection over Union" (2019); Zheng et al., "Distance-IoU
    Loss" (2020).
    """
    if kind not in OVERLAPS:
        raise ValueError(f"kind must be one of {OVERLAPS}. Received: {kind!r}")
    ops = keras.ops
    left_1, top_1, right_1, bottom_1 = ops.unstack(ops.convert_to_tensor(first_xyxy), 4, axis=-1)
    left_2, top_2, right_2, bottom_2 = ops.unstack(ops.convert_to_tensor(second_xyxy), 4, axis=-1)

    def area(left: Any, top: Any, right: Any, bottom: Any) -> Any:
        return ops.maximum(right - left, 0.0) * ops.maximum(bottom - top, 0.0)

    shared = area(
        ops.maximum(left_1, left_2),
        ops.maximum(top_1, top_2),
        ops.minimum(right_1, right_2),
        ops.minimum(bottom_1, bottom_2),
    )
    union = area(left_1, top_1, right_1, bottom_1) + area(left_2, top_2, right_2, bottom_2) - shared
    overlap = shared / (union + _EPSILON)
    if kind == "iou":
        return overlap
    wide = ops.maximum(right_1, right_2) - ops.minimum(left_1, left_2)
    high = ops.maximum(bottom_1, bottom_2) - ops.minimum(top_1, top_2)
    if kind == "giou":
        around = wide * high
        return overlap - (around - union) / (around + _EPSILON)
    across = (left_1 + right_1 - left_2 - right_2) / 2
    down = (top_1 + bottom_1 - top_2 - bottom_2) / 2
    return overlap - (across**2 + down**2) / (wide**2 + high**2 + _EPSILON)


@keras.saving.register_keras_serializable("cnnkit")
class AlignedDetectionLoss(keras.losses.Loss):
    r"""The loss of a detector whose places are given to objects by how well they predict them.

    For each object, the places whose point lies in its box are ranked by

    .. math:: t = s^\alpha u^\beta

    with the predicted score s of the object's class and the overlap u of the predicted box. The
    best `candidates` learn the object; a place that several objects want goes to the one with the
    largest t. Of the chosen places the class target is t, scaled so that the largest of an object
    is the largest overlap of its places, times the object's weight; everywhere else it is 0. Then

    .. math:: L = \frac{1}{\sum \hat t} \Bigl(\sum \mathrm{BCE}(s, \hat t)
        + \lambda \sum \hat t \, (1 - \mathrm{GIoU})\Bigr)

    Departures from the paper: the overlap of the loss is GIoU, plain cross-entropy stands for the
    focal one, as in later detectors, and objects have weights. An object smaller than a stride
    counts as wide as the stride, so that no object is without places.

    Args:
        points: `(N, 3)`: x, y and stride of each place, see `models.detector.grid_points`.
        candidates: places that learn an object, at most.
        alpha: of the score.
        beta: of the overlap.
        box_weight: lambda.

    Call: `y_true` `(B, G, 6)`: box `(left, top, right, bottom)` in pixels, class and weight; rows
    of weight 0 are no objects. `y_pred` `(B, N, 4 + classes)`: boxes and logits.

    Feng et al., "TOOD: Task-aligned One-stage Object Detection" (2021).
    """

    def __init__(
        self,
        points: np.ndarray,
        candidates: int = 10,
        alpha: float = 0.5,
        beta: float = 6.0,
        box_weight: float = 4.0,
        name: str = "aligned_detection",
    ):
        super().__init__(name=name)
        self.points = np.asarray(points, np.float32)
        self.candidates, self.alpha, self.beta = candidates, alpha, beta
        self.box_weight = box_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        ops = keras.ops
        boxes, logits = y_pred[..., :4], y_pred[..., 4:]
        share, overlap_wanted, target = self._assign(y_true, boxes, logits)
        total = ops.maximum(ops.sum(target), 1.0)
        # max(x, 0) - x t + log(1 + exp(-|x|)), the cross-entropy of a logit that cannot overflow.
        entropy = ops.maximum(logits, 0.0) - logits * target
        entropy = entropy + ops.log1p(ops.exp(-ops.abs(logits)))
        wanted = ops.einsum("bga,bgk->bak", share, y_true[..., :4])
        weight = ops.stop_gradient(overlap_wanted)
        fit = 1.0 - box_overlaps(boxes, wanted, "giou")
        return (ops.sum(entropy) + self.box_weight * ops.sum(weight * fit)) / total

    def _assign(self, y_true: Any, boxes: Any, logits: Any) -> tuple[Any, Any, Any]:
        """Which place learns which object, and how much.

        Returns:
            `(B, G, N)`, 1 where a place learns an object; `(B, N)`, the target of its class; and
            `(B, N, classes)`, the same at the class' place.
        """
        ops = keras.ops
        objects, weights = y_true[..., :4], y_true[..., 5]
        is_object = ops.cast(weights > 0, "float32")[..., None]
        classes = ops.one_hot(ops.cast(y_true[..., 4], "int32"), logits.shape[-1])
        scores = ops.einsum("bgc,bac->bga", classes, ops.sigmoid(logits))
        overlaps = box_overlaps(objects[:, :, None], boxes[:, None])
        inside = self._inside(objects) * is_object
        metric = inside * scores**self.alpha * overlaps**self.beta
        count = min(self.candidates, len(self.points))
        least = ops.top_k(metric, count)[0][..., -1:]
        metric = metric * ops.cast(metric >= least, "float32")
        # Each place learns one object at most.
        metric = metric * ops.cast(metric >= ops.max(metric, axis=1, keepdims=True), "float32")
        metric = ops.stop_gradient(metric)
        is_chosen = ops.cast(metric > 0, "float32")
        best = ops.max(metric, axis=-1, keepdims=True)
        best_overlap = ops.max(overlaps * is_chosen, axis=-1, keepdims=True)
        aligned = metric / ops.maximum(best, 1e-30) * best_overlap * weights[..., None]
        target = ops.einsum("bga,bgc->bac", aligned, classes)
        return is_chosen, ops.sum(aligned, axis=1), ops.stop_gradient(target)

    def _inside(self, objects: Any) -> Any:
        """`(B, G, N)`: 1 where the point of a place lies in an object."""
        ops = keras.ops
        x, y, stride = (ops.convert_to_tensor(self.points[:, axis]) for axis in range(3))
        left, top, right, bottom = (objects[..., side, None] for side in range(4))
        wide = ops.maximum(right - left, stride) / 2
        high = ops.maximum(bottom - top, stride) / 2
        is_near = ops.logical_and(
            ops.abs(x - (left + right) / 2) <= wide, ops.abs(y - (top + bottom) / 2) <= high
        )
        return ops.cast(is_near, "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            "points": self.points.tolist(),
            "candidates": self.candidates,
            "alpha": self.alpha,
            "beta": self.beta,
            "box_weight": self.box_weight,
            "name": self.name,
        }
