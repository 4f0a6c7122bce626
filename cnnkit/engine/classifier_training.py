"""What trainings of classifiers share: what is measured and what is written of them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.engine.callbacks import best_row, seconds_of
from cnnkit.engine.result import RunResult
from cnnkit.engine.run import class_file, read_results, write_model, write_run_report
from cnnkit.engine.settings import FitSettings
from cnnkit.engine.trainer import write_curves
from cnnkit.images import write_bytes
from cnnkit.metrics.classification import (
    accuracy,
    best_temperature,
    confusion_matrix,
    log_loss,
    mean_class_accuracy,
    tempered,
)
from cnnkit.metrics.verification import wilson_interval
from cnnkit.plots import encode_figure, plot_confusion
from cnnkit.weights.keras_file import MODEL_FILE

# Examples for validation from which on probabilities are calibrated.
_CALIBRATION_LEAST = 50
# Examples of which a share says little of others.
_FEW = 100


@dataclass(frozen=True, kw_only=True)
class TrainedClassifier(RunResult):
    """What a training gave.

    Attributes, beside those of every training:
        classes: names of the classes.
        counts: examples for training, validation and test.
        scores: "val" and, where there is a test split, "test" -> accuracy and mean accuracy of
            the classes, in [0, 1].
        temperature: by which the best weights' logits were divided in `model`, so that its
            probabilities are right as often as they say on the validation data; 1 where there is
            too little of that.
    """

    classes: tuple[str, ...]
    counts: tuple[int, int, int]
    scores: Mapping[str, Mapping[str, float]]
    temperature: float

    def lines(self) -> list[str]:
        """For people."""
        lines = []
        counts = dict(zip(("train", "val", "test"), self.counts, strict=True))
        for split, scores in self.scores.items():
            name = {"val": "validation", "test": "test"}[split]
            lines.append(
                f"{name:10}  {scores['accuracy']:.1%} right, "
                f"{scores['mean_class_accuracy']:.1%} in the mean of the classes"
            )
            if counts[split] < _FEW:
                right = round(scores["accuracy"] * counts[split])
                low, high = wilson_interval(right, counts[split])
                lines.append(
                    f"{'':10}  of {counts[split]} only: {low:.0%} to {high:.0%} at 95 % confidence"
                )
        return [
            *lines,
            self._model_line(f"{len(self.classes)} classes"),
        ]


def class_weights_of(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights by which rare classes count as much as frequent ones.

    Args:
        labels: `(N,)` of the training data.
        classes: their number.

    Returns:
        float32 `(classes,)`.

    Example:

    >>> class_weights_of(np.array([0, 0, 1]), 2).tolist()
    [0.75, 1.5]
    """
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)


def class_loss(label_smoothing: float) -> keras.losses.Loss:
    """Of probabilities, for targets that are one-hot."""
    return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)


def class_figures(
    validate: Callable[[], np.ndarray | None], labels: np.ndarray
) -> Callable[[Mapping[str, float]], dict[str, float]]:
    """What `engine.callbacks.Record` measures of a classifier.

    Args:
        validate: probabilities `(N, classes)` of the validation data, or None.
        labels: `(N,)` of these.
    """

    def measure(logs: Mapping[str, float]) -> dict[str, float]:
        row = {"accuracy": float(logs["accuracy"])}
        probabilities = validate()
        if probabilities is None:
            return row
        if not np.isfinite(probabilities).all():
            broken = {"val_loss": math.inf, "val_accuracy": 0.0, "val_mean_class_accuracy": 0.0}
            return row | broken
        predicted = probabilities.argmax(axis=1)
        matrix = confusion_matrix(labels, predicted, probabilities.shape[1])
        return row | {
            "val_loss": log_loss(probabilities, labels),
            "val_accuracy": accuracy(labels, predicted),
            "val_mean_class_accuracy": mean_class_accuracy(matrix),
        }

    return measure


def score_of(row: Mapping[str, float]) -> tuple[float, float]:
    """What the best epoch has most of: accuracy, and among equals a lower loss."""
    kind = "val_" if "val_accuracy" in row else ""
    return row[f"{kind}accuracy"], -row[f"{kind}loss"]


def summarize_classifier(
    folder: Path,
    classes: tuple[str, ...],
    counts: tuple[int, int, int],
    weights: tuple[int, int],
    found: Mapping[str, tuple[np.ndarray, np.ndarray]],
    reason: str,
) -> TrainedClassifier:
    """What a training gave, from its rows and from what its best weights say.

    Args:
        folder: of the run.
        classes: their names.
        counts: examples for training, validation and test.
        weights: number of weights that were trained, and of all.
        found: "val" and "test", where there are some -> labels `(N,)` and probabilities
            `(N, classes)` by the best weights.
        reason: why the training ended.
    """
    rows = read_results(folder)
    scores = {}
    for split, (labels, probabilities) in found.items():
        predicted = probabilities.argmax(axis=1)
        matrix = confusion_matrix(labels, predicted, len(classes))
        scores[split] = {
            "accuracy": accuracy(labels, predicted),
            "mean_class_accuracy": mean_class_accuracy(matrix),
        }
    temperature = 1.0
    if "val" in found and len(found["val"][0]) >= _CALIBRATION_LEAST:
        labels, probabilities = found["val"]
        temperature = best_temperature(probabilities, labels)
    return TrainedClassifier(
        model=folder / MODEL_FILE,
        classes=classes,
        counts=counts,
        epochs=len(rows),
        best=best_row(rows, score_of)["epoch"] + 1,
        seconds=seconds_of(rows),
        weights=weights,
        scores=scores,
        temperature=temperature,
        reason=reason,
    )


def write_classifier(
    model: keras.Model,
    result: TrainedClassifier,
    found: Mapping[str, tuple[np.ndarray, np.ndarray]],
    settings: FitSettings,
    about: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
) -> dict[str, np.ndarray]:
    """Writes the model, and the report with its pictures.

    Args:
        model: with the best weights, not calibrated; its last layer has a softmax.
        result: of `summarize_classifier`.
        found: the same as there.
        settings: of the training.
        about: what the model says of itself.
        files: to lie in the model's file and beside it, by name.

    Returns:
        "val" and "test", where there are some -> probabilities as the written model gives them.
    """
    folder = result.model.parent
    last = model.layers[-1]
    last.set_weights([value / result.temperature for value in last.get_weights()])
    write_model(folder, model, about, {**class_file(result.classes), **(files or {})})
    calibrated = {}
    for split, (labels, probabilities) in found.items():
        matrix = confusion_matrix(labels, probabilities.argmax(axis=1), len(result.classes))
        figure = plot_confusion(matrix, result.classes)
        write_bytes(folder / f"confusion{end_of(split)}.png", encode_figure(figure))
        calibrated[split] = tempered(probabilities, result.temperature)
    write_curves(folder, read_results(folder))
    write_run_report(folder, result, settings)
    return calibrated


def end_of(split: str) -> str:
    """What names of files about a split end with."""
    return "" if split == "val" else f"-{split}"
