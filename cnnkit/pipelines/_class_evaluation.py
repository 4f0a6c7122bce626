"""How good probabilities of classes are, whatever they are of."""

from collections.abc import Sequence

import numpy as np

from cnnkit.metrics.classification import (
    accuracy,
    calibration,
    confusion_matrix,
    log_loss,
    mean_class_accuracy,
    per_class,
    top_k_accuracy,
)
from cnnkit.metrics.verification import wilson_interval
from cnnkit.results import ClassEvaluation


def evaluate_probabilities(
    probabilities: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    sources: Sequence[str],
    *,
    split: str,
    model: str,
    failed: int = 0,
) -> ClassEvaluation:
    """Measures how good a classifier is.

    Args:
        probabilities: `(N, C)`.
        labels: `(N,)` indices of the true classes.
        names: of the C classes.
        sources: what the examples are called.
        split: name of the part of the data that they are.
        model: name of the classifier.
        failed: examples that could not be read.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, probabilities.shape[1])
    right = int(confusion.trace())
    return ClassEvaluation(
        examples=len(labels),
        failed=failed,
        accuracy=accuracy(labels, predicted),
        interval=wilson_interval(right, len(labels)),
        mean_class_accuracy=mean_class_accuracy(confusion),
        top_5_accuracy=top_k_accuracy(probabilities, labels, 5),
        log_loss=log_loss(probabilities, labels),
        calibration=calibration(probabilities, labels),
        scores=per_class(confusion),
        confusion=confusion,
        names=names,
        split=split,
        model=model,
        sources=tuple(sources),
        labels=labels,
        probabilities=probabilities,
    )
