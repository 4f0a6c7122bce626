"""Losses of detectors: which place learns which object."""

from typing import Any

import keras
import numpy as np

from cnnkit.ops.box_overlap import box_overlaps

_EPSILON = 1e-7


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
        weight: of the whole.

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
        weight: float = 1.0,
        name: str = "aligned_detection",
    ):
        super().__init__(name=name)
        self.points = np.asarray(points, np.float32)
        self.candidates, self.alpha, self.beta = candidates, alpha, beta
        self.box_weight, self.weight = box_weight, weight

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
        loss = (ops.sum(entropy) + self.box_weight * ops.sum(weight * fit)) / total
        return self.weight * loss

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
            "weight": self.weight,
            "name": self.name,
        }


@keras.saving.register_keras_serializable("cnnkit")
class YoloV1Loss(keras.losses.Loss):
    r"""The loss of YOLOv1: squared errors of boxes, of how sure each is, and of classes.

    .. math:: L = \lambda_{coord} \sum_{i \in obj} \bigl[(x_i - \hat x_i)^2 + (y_i - \hat y_i)^2
        + (\sqrt{w_i} - \sqrt{\hat w_i})^2 + (\sqrt{h_i} - \sqrt{\hat h_i})^2\bigr]
        + \sum_{i \in obj} (\mathrm{IoU}_i - \hat c_i)^2
        + \lambda_{noobj} \sum_{i, b \notin obj} \hat c_{ib}^2
        + \sum_{i \in obj} \sum_k (p_i(k) - \hat p_i(k))^2

    The sums go over cells i that hold the middle of an object, with the one of their boxes that is
    responsible for it: that which overlaps it most. The classes count once for a cell. The mean is
    taken over the pictures.

    As in the authors' program the network answers with the square roots of the sides, so that no
    root of a negative number is asked for, and of boxes that all miss the object the nearest one is
    responsible.

    Args:
        boxes: B, boxes of a cell.
        coord: lambda of the boxes.
        noobj: lambda of boxes that are responsible for nothing.

    Call: `y_true` `(N, S, S, 5 + C)`: 1 where there is an object, x and y of its middle in the
    cell, its sides as parts of the picture, and the class one-hot. `y_pred` `(N, S, S, 5 B + C)`.

    Redmon et al., "You Only Look Once" (2016).
    """

    def __init__(
        self, boxes: int = 2, coord: float = 5.0, noobj: float = 0.5, name: str = "yolov1"
    ):
        super().__init__(name=name)
        self.boxes, self.coord, self.noobj = boxes, coord, noobj

    def call(self, y_true: Any, y_pred: Any) -> Any:
        ops = keras.ops
        cells, count = y_pred.shape[1], self.boxes
        is_object = y_true[..., :1]
        answers = ops.reshape(y_pred[..., : 5 * count], (-1, cells, cells, count, 5))
        wanted = y_true[..., None, 1:5]
        overlaps = ops.stop_gradient(self._overlaps(answers, wanted, cells))
        roots = ops.concatenate([wanted[..., :2], ops.sqrt(wanted[..., 2:])], axis=-1)
        errors = ops.sum((roots - answers[..., :4]) ** 2, axis=-1)
        misses = ops.max(overlaps, axis=-1, keepdims=True) <= 0
        rank = ops.where(misses, -ops.stop_gradient(errors), overlaps)
        responsible = ops.one_hot(ops.argmax(rank, axis=-1), count) * is_object
        sure = answers[..., 4]
        boxes = ops.sum(responsible * errors, axis=(1, 2, 3))
        objects = ops.sum(responsible * (overlaps - sure) ** 2, axis=(1, 2, 3))
        nothing = ops.sum((1.0 - responsible) * sure**2, axis=(1, 2, 3))
        classes = ops.sum(is_object * (y_true[..., 5:] - y_pred[..., 5 * count :]) ** 2, (1, 2, 3))
        return self.coord * boxes + objects + self.noobj * nothing + classes

    def _overlaps(self, answers: Any, wanted: Any, cells: int) -> Any:
        """IoU of each box with the object of its cell, `(N, S, S, B)`; both from the cell's corner.

        Middles are counted in cells, sides as parts of the picture.
        """
        ops = keras.ops

        def edges(x: Any, y: Any, wide: Any, high: Any) -> Any:
            x, y = x / cells, y / cells
            return ops.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], axis=-1)

        found = edges(answers[..., 0], answers[..., 1], answers[..., 2] ** 2, answers[..., 3] ** 2)
        truth = edges(*(wanted[..., index] for index in range(4)))
        return box_overlaps(found, truth)

    def get_config(self) -> dict[str, Any]:
        return {
            "boxes": self.boxes,
            "coord": self.coord,
            "noobj": self.noobj,
            "name": self.name,
        }


def encode_cells(
    boxes_xyxy: np.ndarray, class_ids: np.ndarray, cells: int, classes: int, size: int
) -> np.ndarray:
    """Targets of `YoloV1Loss` for one picture; of several objects in a cell the largest.

    Args:
        boxes_xyxy: `(n, 4)` in pixels.
        class_ids: `(n,)`.
        cells: S.
        classes: C.
        size: side of the picture in pixels.

    Returns:
        float32 `(S, S, 5 + C)`.

    >>> target = encode_cells(np.array([[0, 0, 32, 64]]), np.array([1]), 2, 2, 64)
    >>> target[0, 0].tolist(), target[1, 0].tolist()  # its middle is (16, 32), in the second row
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0])
    """
    target = np.zeros((cells, cells, 5 + classes), np.float32)
    boxes = np.asarray(boxes_xyxy, float).reshape(-1, 4) / size
    sides = boxes[:, 2:] - boxes[:, :2]
    for index in np.argsort(sides.prod(axis=1), kind="stable"):
        x, y = (boxes[index, :2] + boxes[index, 2:]) / 2 * cells
        column, row = (min(int(at), cells - 1) for at in (x, y))
        target[row, column] = 0
        target[row, column, :5] = [1, x - column, y - row, *sides[index]]
        target[row, column, 5 + int(class_ids[index])] = 1
    return target
