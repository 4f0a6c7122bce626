"""One of many classes: how often a classifier is right, where it errs, and whether it knows.

Labels and predictions are indices of classes from 0. Everything is computed in float64. A class
without pictures has no recall, and one that is never predicted no precision: both are NaN, and
means leave them out.
"""

from dataclasses import dataclass

import numpy as np

from cnnkit.results import ConfidenceCalibration

# The logarithm of 0 is infinite: one sure mistake would hide all other pictures. It costs as much
# as the smallest probability that float32 tells from 0 in sums with 1.
_SMALLEST = 2.0**-24
# Of a row's sum from 1: half precision is off by up to this over a thousand classes.
_SLACK = 1e-2


@dataclass(frozen=True, eq=False)
class ClassScores:
    """How well each class is told from the others.

    Attributes:
        precision: float64 `(C,)`, of the pictures called this class the share that are; NaN where
            there is none.
        recall: float64 `(C,)`, of the pictures of this class the share that are called it; NaN
            where there is none.
        f1: float64 `(C,)`, harmonic mean of both, `2 right / (called + support)`; NaN where the
            class neither has a picture nor was predicted.
        support: int64 `(C,)`, pictures of the class.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the pictures whose class is the predicted one.

    Args:
        labels: `(N,)` indices of the true classes.
        predicted: `(N,)` indices.

    Raises:
        ValueError: no picture, or other shapes.

    Example:

    >>> accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0]))
    0.75
    """
    labels, predicted = _checked(labels, predicted)
    return float(np.mean(labels == predicted))


def top_k_accuracy(probabilities: np.ndarray, labels: np.ndarray, k: int = 5) -> float:
    """Share of the pictures whose class is among the k with the highest probabilities.

    Of equal probabilities the class with the lower index comes first, as in `argmax`.

    Args:
        probabilities: `(N, C)`, or any scores.
        labels: `(N,)` indices of the true classes.
        k: 1 or more; with C or more everything is right.

    Raises:
        ValueError: as `accuracy`, or a label outside of the C classes.

    Example:

    >>> top_k_accuracy(np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), np.array([1, 2]), k=2)
    0.5
    """
    if k < 1:
        raise ValueError(f"expected k of at least 1. Received: {k}")
    probabilities, labels = _checked_scores(probabilities, labels)
    own = probabilities[np.arange(labels.size), labels][:, None]
    is_before = np.arange(probabilities.shape[1]) < labels[:, None]
    ranks = np.sum((probabilities > own) | ((probabilities == own) & is_before), axis=1)
    return float(np.mean(ranks < k))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts how often each class was called each class.

    Args:
        labels: `(N,)` indices of the true classes.
        predicted: `(N,)` indices.
        classes: their number C.

    Returns:
        int64 `(C, C)`, true classes down, predicted ones across.

    Raises:
        ValueError: other shapes, or an index outside of the classes.

    Example:

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    labels, predicted = _checked(labels, predicted)
    for indices in (labels, predicted):
        _check_range(indices, classes)
    counts = np.bincount(labels * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def per_class(matrix: np.ndarray) -> ClassScores:
    """Precision, recall and F1 of each class.

    Args:
        matrix: `(C, C)` of `confusion_matrix`.

    Raises:
        ValueError: it is not square.

    Example:

    >>> scores = per_class(np.array([[3, 1], [0, 4]]))
    >>> scores.recall.tolist(), scores.precision.tolist()
    ([0.75, 1.0], [1.0, 0.8])
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a confusion matrix (C, C). Received: {matrix.shape}")
    right, support, called = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    return ClassScores(
        _shares(right, called),
        _shares(right, support),
        _shares(2 * right, called + support),
        support.astype(np.int64),
    )


def mean_class_accuracy(matrix: np.ndarray) -> float:
    """Mean over the classes of the share of their pictures that are right: the mean recall.

    Each class counts the same, however many pictures it has; classes without any are left out.

    Args:
        matrix: `(C, C)` of `confusion_matrix`.

    Raises:
        ValueError: it is not square, or empty.

    Example:

    >>> mean_class_accuracy(np.array([[9, 1], [1, 1]]))
    0.7
    """
    recall = per_class(matrix).recall
    if np.isnan(recall).all():
        raise ValueError("expected a picture at least. Received: a confusion matrix of zeros")
    return float(np.nanmean(recall))


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of `-log p(true class)` in nats; log C for a classifier that knows nothing.

    Probabilities below 2**-24 count as that.

    Args:
        probabilities: `(N, C)`, rows of sum 1.
        labels: `(N,)` indices of the true classes.

    Raises:
        ValueError: as `top_k_accuracy`, or rows that are no probabilities.

    Example:

    >>> round(log_loss(np.array([[0.5, 0.5]]), np.array([0])), 4)
    0.6931
    """
    probabilities, labels = _checked_probabilities(probabilities, labels)
    own = probabilities[np.arange(labels.size), labels]
    return float(-np.mean(np.log(np.maximum(own, _SMALLEST))))


def calibration(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> ConfidenceCalibration:
    """Whether a classifier is right as often as its probabilities say.

    The pictures are sorted into bins of equal width by the probability of the predicted class. The
    expected calibration error is `sum(n_b / N * |accuracy_b - confidence_b|)`. Guo et al., On
    Calibration of Modern Neural Networks, 2017.

    Args:
        probabilities: `(N, C)`, rows of sum 1.
        labels: `(N,)` indices of the true classes.
        bins: their number over (0, 1].

    Raises:
        ValueError: as `log_loss`, or no bin.

    Example:

    >>> sure = np.array([[0.9, 0.1], [0.9, 0.1]])
    >>> round(calibration(sure, np.array([0, 1])).error, 3)
    0.4
    """
    if bins < 1:
        raise ValueError(f"expected a bin at least. Received: {bins}")
    probabilities, labels = _checked_probabilities(probabilities, labels)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    # Closed above, so that 1 belongs to the last bin. The slack keeps a probability such as
    # float32(0.6), which is above 0.6, in the bin that ends there.
    at = np.clip(np.ceil(confidence * bins - 1e-6).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(at, minlength=bins)
    confidences = _shares(np.bincount(at, confidence, bins), counts)
    accuracies = _shares(np.bincount(at, right, bins), counts)
    gaps = np.abs(np.nan_to_num(accuracies - confidences))
    return ConfidenceCalibration(
        float(counts @ gaps / labels.size),
        np.linspace(0.0, 1.0, bins + 1),
        counts,
        confidences,
        accuracies,
    )


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """`softmax(log(p) / T)`: flatter for T above 1, the order of the classes stays the same.

    Args:
        probabilities: `(N, C)`.
        temperature: T, above 0.

    Returns:
        `(N, C)`, float64.

    Example:

    sqrt(0.8) = 2 sqrt(0.2), of a sum of 3 sqrt(0.2).

    >>> tempered(np.array([[0.8, 0.2]]), 2.0).round(3)
    array([[0.667, 0.333]])
    """
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), _SMALLEST)) / temperature
    scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def best_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The T for which `softmax(log(p) / T)` fits the labels best, by its log loss.

    Above 1 a classifier is surer than it may be, below 1 less sure. The order of the classes stays
    the same. Guo et al., On Calibration of Modern Neural Networks, 2017.

    Args:
        probabilities: `(N, C)`, rows of sum 1.
        labels: `(N,)` indices of the true classes.

    Returns:
        From 0.05 to 20.

    Raises:
        ValueError: as `log_loss`.

    Example:

    Sure of it with 0.9 each, and right half of the time: 0.5 were right to say.

    >>> sure = np.array([[0.9, 0.1]] * 4)
    >>> best_temperature(sure, np.array([0, 0, 1, 1]))
    20.0
    """
    # Half a second, which results of one picture need not wait for.
    import scipy.optimize

    probabilities, labels = _checked_probabilities(probabilities, labels)

    def loss(log_temperature: float) -> float:
        return log_loss(tempered(probabilities, np.exp(log_temperature)), labels)

    bounds = (np.log(0.05), np.log(20.0))
    found = scipy.optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return round(float(np.exp(found.x)), 2)


def worst_mistakes(probabilities: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The pictures that are wrong with the highest probabilities, the worst first.

    Args:
        probabilities: `(N, C)`, or any scores.
        labels: `(N,)` indices of the true classes.
        count: how many at most.

    Returns:
        Indices into the pictures.

    Example:

    >>> scores = np.array([[0.6, 0.4], [0.9, 0.1], [0.3, 0.7]])
    >>> worst_mistakes(scores, np.array([1, 1, 1]), 5).tolist()
    [1, 0]
    """
    probabilities, labels = _checked_scores(probabilities, labels)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return wrong[order[:count]]


def _shares(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Quotients; NaN where the whole is nothing."""
    parts, wholes = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)
    return np.divide(parts, wholes, out=np.full(parts.shape, np.nan), where=wholes > 0)


def _checked(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.ndim != 1 or labels.shape != predicted.shape or not labels.size:
        raise ValueError(
            "expected as many predictions as labels, (N,) with N > 0. "
            f"Received: {labels.shape} labels, {predicted.shape} predictions"
        )
    for indices in (labels, predicted):
        if indices.dtype.kind not in "iu":
            raise ValueError(f"expected indices of classes. Received: {indices.dtype}")
    return labels.astype(np.int64), predicted.astype(np.int64)


def _check_range(indices: np.ndarray, classes: int) -> None:
    if indices.min() < 0 or indices.max() >= classes:
        raise ValueError(
            f"expected indices of {classes} classes. "
            f"Received: from {indices.min()} to {indices.max()}"
        )


def _checked_scores(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or not np.isfinite(scores).all():
        raise ValueError(f"expected finite probabilities (N, C). Received: {scores.shape}")
    labels, _ = _checked(labels, np.zeros(len(scores), np.int64))
    _check_range(labels, scores.shape[1])
    return scores, labels


def _checked_probabilities(
    probabilities: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = _checked_scores(probabilities, labels)
    sums = probabilities.sum(axis=1)
    if probabilities.min() < 0 or np.abs(sums - 1).max() > _SLACK:
        raise ValueError(
            "expected probabilities, not negative and of sum 1 for each picture. "
            f"Received: sums from {sums.min():.4g} to {sums.max():.4g}, "
            f"smallest {probabilities.min():.4g}"
        )
    return probabilities, labels
