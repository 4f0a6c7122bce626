"""How well pixels are labelled: everything from one confusion matrix."""

from dataclasses import dataclass

import numpy as np

from cnnkit.data._class_names import IGNORE


@dataclass(frozen=True, eq=False)
class SegmentationScores:
    """What a confusion matrix of pixels says.

    Attributes:
        pixels: that count.
        pixel_accuracy: share that is right.
        mean_accuracy: mean of the classes' own shares.
        mean_iou: mean of `iou` over the classes that occur, in the truth or among the predictions.
        frequency_weighted_iou: mean of `iou`, weighted by each class' share of the true pixels.
        iou: float64 `(classes,)`, intersection over union of each; NaN where it does not occur.
        accuracy: float64 `(classes,)`, share of each class' pixels that is right; NaN without any.
        support: int64 `(classes,)`, true pixels of each.
    """

    pixels: int
    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float
    frequency_weighted_iou: float
    iou: np.ndarray
    accuracy: np.ndarray
    support: np.ndarray


def pixel_confusion(
    y_true: np.ndarray, y_pred: np.ndarray, classes: int, ignore: int = IGNORE
) -> np.ndarray:
    """Counts pixels by their true and their predicted class.

    Args:
        y_true: integers of any shape, in [0, classes) or `ignore`.
        y_pred: integers of the same shape, in [0, classes) where `y_true` counts.
        classes: number of classes.
        ignore: label of the pixels that do not count.

    Returns:
        int64 `(classes, classes)`, true classes down, predicted ones across. Those of several
        pictures are added up.

    Raises:
        ValueError: shapes that differ, or a label that is no class.

    Example:

    >>> pixel_confusion(np.array([[0, 1], [1, 255]]), np.array([[0, 0], [1, 1]]), 2)
    array([[1, 0],
           [1, 1]])
    """
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true and y_pred must have one shape. Received: {y_true.shape}, {y_pred.shape}"
        )
    counts = y_true != ignore
    true, predicted = y_true[counts].astype(np.int64), y_pred[counts].astype(np.int64)
    for name, labels in (("y_true", true), ("y_pred", predicted)):
        if labels.size and not (labels.min() >= 0 and labels.max() < classes):
            raise ValueError(
                f"{name} must be in [0, {classes}). Received: {labels.min()} to {labels.max()}"
            )
    flat = np.bincount(true * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


def segmentation_scores(confusion: np.ndarray) -> SegmentationScores:
    r"""The four numbers of Long, Shelhamer & Darrell (2015), and those of each class.

    With n_{ij} pixels of class i that are called j, t_i = \sum_j n_{ij} and the union
    u_i = t_i + \sum_j n_{ji} - n_{ii}: pixel accuracy \sum_i n_{ii} / \sum_i t_i, mean accuracy
    (1/C) \sum_i n_{ii} / t_i, mean IoU (1/C) \sum_i n_{ii} / u_i, and frequency-weighted IoU
    \sum_i t_i n_{ii} / u_i / \sum_k t_k. Classes that do not occur are left out of the means,
    where the paper's data have all of them.

    Args:
        confusion: `(classes, classes)` as `pixel_confusion` counts it.

    Returns:
        The `SegmentationScores`; NaN where no pixel counts.

    Example:

    >>> scores = segmentation_scores(np.array([[3, 1], [0, 4]]))
    >>> scores.pixel_accuracy, scores.mean_accuracy, scores.iou.tolist()
    (0.875, 0.875, [0.75, 0.8])
    """
    matrix = np.asarray(confusion, np.float64)
    right, true, called = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    union = true + called - right
    total = true.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        iou, accuracy = right / union, right / true
        pixel_accuracy = float(right.sum() / total)
        weighted = float(np.where(true > 0, true * iou, 0.0).sum() / total)
    return SegmentationScores(
        pixels=int(total),
        pixel_accuracy=pixel_accuracy,
        mean_accuracy=_mean(accuracy),
        mean_iou=_mean(iou),
        frequency_weighted_iou=weighted,
        iou=iou,
        accuracy=accuracy,
        support=true.astype(np.int64),
    )


def confusion_percent(confusion: np.ndarray) -> np.ndarray:
    """Of each true class, how many of a hundred pixels are called what.

    Args:
        confusion: `(classes, classes)` as `pixel_confusion` counts it.

    Returns:
        int64 `(classes, classes)`; 0 in the rows of classes without pixels.

    Example:

    >>> confusion_percent(np.array([[300, 100], [0, 0]]))
    array([[75, 25],
           [ 0,  0]])
    """
    matrix = np.asarray(confusion, np.float64)
    total = np.maximum(matrix.sum(axis=1, keepdims=True), 1.0)
    return np.round(100.0 * matrix / total).astype(np.int64)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
