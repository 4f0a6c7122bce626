"""What classifiers tell of examples, and how good they are at it, whatever the examples are."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cnnkit.engine.evaluator import CLASS_FILES, WORST_CLASSES
from cnnkit.metrics.classification import (
    ClassScores,
    accuracy,
    calibration,
    confusion_matrix,
    log_loss,
    mean_class_accuracy,
    per_class,
    top_k_accuracy,
)
from cnnkit.metrics.verification import wilson_interval
from cnnkit.results import ConfidenceCalibration, Milliseconds, Record, to_plain

# Letters of the name of a class in a table, and of a source in a line.
_WIDEST, _LONGEST = 24, 72


@dataclass(frozen=True)
class ClassScore:
    """A class and how probable it is.

    Attributes:
        label: name of the class, or "class 3" without one.
        class_id: its index among the outputs of the network.
        score: its probability, in [0, 1].
    """

    label: str
    class_id: int
    score: float

    def to_dict(self) -> dict[str, Any]:
        """The class as plain JSON types."""
        return {"label": self.label, "class_id": self.class_id, "score": self.score}


@dataclass(frozen=True)
class GroupScore:
    """An everyday group of classes and how probable it is.

    Attributes:
        label: name of the group; of a class that is in no group, its own.
        score: the sum of its classes' probabilities, in [0, 1].
        best: the most probable of its classes.
        is_sure: as of a `Classification`.
    """

    label: str
    score: float
    best: ClassScore
    is_sure: bool

    def to_dict(self) -> dict[str, Any]:
        """The group as plain JSON types."""
        return {
            "label": self.label,
            "score": self.score,
            "sure": self.is_sure,
            "best": self.best.label,
        }


_Classification = TypeVar("_Classification", bound="Classification")


@dataclass(frozen=True, repr=False)
class Classification:
    """What a picture shows, or what a text is about.

    Attributes:
        source: path, "-", or what a picture in memory is called; or the text.
        best: the most probable classes, best first.
        size: height and width of the upright picture, in pixels; None of an array or a text.
        model: name of the classifier.
        ms: time spent.
        is_sure: whether the best class is probable enough, and the picture enough like those that
            the classifier was trained on, to say so; None of a classifier without a calibration.
        groups: everyday groups of classes, such as "dog", best first, where they were asked for.
        threshold: least probability of the classes that are told; None for any.

    Example:

    >>> cat = ClassScore("cat", 3, 0.834)
    >>> Classification("a.jpg", (cat,), (10, 20), "pets", Milliseconds())
    Classification(a.jpg: cat 83 %)
    """

    source: str
    best: tuple[ClassScore, ...]
    size: tuple[int, int] | None
    model: str
    ms: Milliseconds
    is_sure: bool | None = None
    groups: tuple[GroupScore, ...] = ()
    threshold: float | None = None

    def __repr__(self) -> str:
        best = (self.groups or self.best)[:1]
        doubt = "not sure, " if self.is_sure is False else ""
        shown = "".join(f"{doubt}{one.label} {100 * one.score:.0f} %" for one in best)
        return f"Classification({shorten(self.source)}: {shown or 'nothing probable enough'})"

    def at_least(self: _Classification, conf: float) -> _Classification:
        """The same without classes that are less probable; groups are told all the same."""
        best = tuple(one for one in self.best if one.score >= conf)
        return replace(self, best=best, threshold=conf or None)

    def details(self) -> dict[str, Any]:
        """What only some classifiers say of a picture, as plain JSON types."""
        found: dict[str, Any] = {}
        if self.is_sure is not None:
            found["sure"] = self.is_sure
        if self.groups:
            found["groups"] = [one.to_dict() for one in self.groups]
        return found

    def to_record(self) -> Record:
        """What the command line's JSON says of the example."""
        height, width = self.size or (None, None)
        return Record(
            *(self.source, width, height, tuple(one.to_dict() for one in self.best)),
            model=self.model,
            threshold=self.threshold,
            ms=self.ms,
            details=self.details(),
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return self.to_record().to_json()

    def class_lines(self) -> list[str]:
        """For people: classes, or groups and the best class of each; first of all any doubt."""
        if self.groups:
            is_sure, best = self.groups[0].is_sure, self.groups[0].label
            rows = [
                (
                    one.score,
                    one.label,
                    "" if one.best.label == one.label else f" ({one.best.label})",
                )
                for one in self.groups
                if one.score >= (self.threshold or 0.0)
            ]
        else:
            is_sure, best = self.is_sure is not False, self.best[0].label if self.best else ""
            rows = [(one.score, one.label, "") for one in self.best]
        if not rows:
            return [f"no class reaches {self.threshold or 0.0:g}"]
        shown = [f"{score:>7.2%}  {label}{more}" for score, label, more in rows]
        return shown if is_sure else [f"not sure: {best}?", *shown]


def shorten(text: str, most: int = _LONGEST) -> str:
    """A text as one line that is not too long.

    >>> shorten("a long  story", 8)
    'a long…'
    """
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


@dataclass(frozen=True, eq=False)
class ClassEvaluation:
    """How good a classifier is on labelled examples.

    Attributes:
        examples: number of those that could be read.
        failed: number of those that could not; they count nowhere.
        accuracy: share that is right.
        interval: its 95 % confidence interval (Wilson).
        mean_class_accuracy: mean of the classes' own accuracies.
        top_5_accuracy: share whose class is among the five most probable.
        log_loss: mean of -log p(true class), in nats.
        calibration: whether the probabilities are as often right as they say.
        scores: of each of the classifier's classes.
        confusion: int64 `(C, C)`, true classes down, predicted ones across.
        names: of the C classes.
        split: the part of the data, such as "test".
        model: name of the classifier.
        sources: path of each example, or the text.
        labels: int64 `(examples,)`, index of its class.
        probabilities: float32 `(examples, C)`.
    """

    examples: int
    failed: int
    accuracy: float
    interval: tuple[float, float]
    mean_class_accuracy: float
    top_5_accuracy: float
    log_loss: float
    calibration: ConfidenceCalibration
    scores: ClassScores
    confusion: npt.NDArray[np.int64]
    names: tuple[str, ...]
    split: str
    model: str
    sources: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain JSON types; None where there is none."""
        scores = self.scores
        report: dict[str, Any] = to_plain(
            {
                "model": self.model,
                "split": self.split,
                "examples": self.examples,
                "failed": self.failed,
                "accuracy": self.accuracy,
                "interval": self.interval,
                "mean_class_accuracy": self.mean_class_accuracy,
                "top_5_accuracy": self.top_5_accuracy,
                "log_loss": self.log_loss,
                "calibration_error": self.calibration.error,
                "calibration": {
                    name: getattr(self.calibration, name)
                    for name in ("edges", "counts", "confidences", "accuracies")
                },
                "classes": [
                    {
                        "label": name,
                        "class_id": index,
                        "examples": int(scores.support[index]),
                        "recall": float(scores.recall[index]),
                        "precision": float(scores.precision[index]),
                        "f1": float(scores.f1[index]),
                    }
                    for index, name in enumerate(self.names)
                ],
                "confusion": self.confusion,
            }
        )
        return report

    def lines(self, all_classes: bool = False) -> list[str]:
        """For people: all figures, and those of the classes, the worst first.

        Args:
            all_classes: show all of them, not only the worst.
        """
        low, high = self.interval
        of_part = "" if self.split == "all" else f" of {self.split}"
        failed = f", {self.failed} cannot be read" if self.failed else ""
        lines = [
            f"examples     {self.examples:,}{of_part}{failed}",
            f"accuracy     {self.accuracy:.2%} (95 % interval {low:.2%} to {high:.2%})",
            f"per class    {self.mean_class_accuracy:.2%}, the mean of the classes' own",
        ]
        if len(self.names) > 5:
            lines.append(f"top 5        {self.top_5_accuracy:.2%}")
        return [
            *lines,
            f"log loss     {max(0.0, self.log_loss):.4f}",
            f"calibration  {self.calibration.error:.2%} off, on average",
            "",
            *self._table_of_classes(all_classes),
        ]

    def _table_of_classes(self, all_classes: bool) -> list[str]:
        """The classes that have examples, and what each is most often taken for."""
        scores, names = self.scores, self.names
        seen = [index for index in range(len(names)) if scores.support[index]]
        order = sorted(seen, key=lambda index: (scores.recall[index], -scores.support[index]))
        shown = order if all_classes else order[:WORST_CLASSES]
        width = min(_WIDEST, max(len("class"), *(len(names[index]) for index in shown)))
        lines = [f"{'class':<{width}}  examples  recall  precision      F1  taken for"]
        for index in shown:
            wrong = self.confusion[index].copy()
            wrong[index] = 0
            most = int(wrong.argmax())
            taken = f"{names[most]} ({int(wrong[most])})" if wrong[most] else ""
            name = names[index] if len(names[index]) <= width else f"{names[index][: width - 1]}…"
            precision, f1 = (
                "-" if np.isnan(value) else f"{value:.1%}"
                for value in (scores.precision[index], scores.f1[index])
            )
            lines.append(
                f"{name:<{width}}  {int(scores.support[index]):>8,}  {scores.recall[index]:>6.1%}  "
                f"{precision:>9}  {f1:>6}  {taken}".rstrip()
            )
        if len(shown) < len(order):
            lines.append(f"and {len(order) - len(shown)} better ones; --all-classes shows all")
        return lines

    def to_csv(self, example: str = "file") -> str:
        """A row for each example: what it is, and what was predicted.

        Args:
            example: what the column of the examples is called.
        """
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(
            [example, "label", "predicted", "probability", "label_probability", "right"]
        )
        for source, label, row in zip(self.sources, self.labels, self.probabilities, strict=True):
            called = int(row.argmax())
            writer.writerow(
                [
                    source,
                    self.names[label],
                    self.names[called],
                    f"{row[called]:.6f}",
                    f"{row[label]:.6f}",
                    int(called == label),
                ]
            )
        return text.getvalue()

    def files(self, example: str = "file") -> Mapping[str, bytes]:
        """Of a report, by name, what was predicted of each example, and pictures of the figures.

        Args:
            example: see `to_csv`.
        """
        from cnnkit.plots import encode_figure, plot_calibration, plot_confusion

        used = np.flatnonzero(self.confusion.any(axis=0) | self.confusion.any(axis=1))
        names = [self.names[index] for index in used.tolist()]
        title = f"{self.model} on {self.examples:,} examples: {self.accuracy:.1%}"
        figures = (
            plot_confusion(self.confusion[np.ix_(used, used)], names, title=title),
            plot_calibration(self.calibration, title=title),
        )
        contents = self.to_csv(example).encode(), *map(encode_figure, figures)
        return dict(zip(CLASS_FILES, contents, strict=True))


def evaluate_probabilities(
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
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
