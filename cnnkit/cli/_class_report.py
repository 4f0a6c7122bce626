"""What `evaluate classify` and `evaluate text` say of classes, and write of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._options import OUTPUT_PANEL
from cnnkit.engine.evaluator import write_report

if TYPE_CHECKING:
    from cnnkit.results import ClassEvaluation

# Classes that are shown without --all-classes.
_WORST = 10
# Of a report, beside report.json and what shows mistakes.
CLASS_FILES = ("predictions.csv", "confusion.png", "calibration.png")

AllClasses = Annotated[
    bool,
    typer.Option(
        "--all-classes",
        help=f"Show all classes, not only the {_WORST} worst.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


def class_report(evaluation: "ClassEvaluation") -> dict[str, Any]:
    """The figures for a JSON document."""
    scores = evaluation.scores
    return {
        "model": evaluation.model,
        "split": evaluation.split,
        "examples": evaluation.examples,
        "failed": evaluation.failed,
        "accuracy": evaluation.accuracy,
        "interval": evaluation.interval,
        "mean_class_accuracy": evaluation.mean_class_accuracy,
        "top_5_accuracy": evaluation.top_5_accuracy,
        "log_loss": evaluation.log_loss,
        "calibration_error": evaluation.calibration.error,
        "calibration": {
            name: getattr(evaluation.calibration, name)
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
            for index, name in enumerate(evaluation.names)
        ],
        "confusion": evaluation.confusion,
    }


def class_lines(evaluation: "ClassEvaluation", all_classes: bool) -> list[str]:
    """The figures for people.

    Args:
        evaluation: what was measured.
        all_classes: show all of them, not only the worst.
    """
    low, high = evaluation.interval
    count = len(evaluation.names)
    of_part = "" if evaluation.split == "all" else f" of {evaluation.split}"
    failed = f", {evaluation.failed} cannot be read" if evaluation.failed else ""
    lines = [
        f"examples     {evaluation.examples:,}{of_part}{failed}",
        f"accuracy     {evaluation.accuracy:.2%} (95 % interval {low:.2%} to {high:.2%})",
        f"per class    {evaluation.mean_class_accuracy:.2%}, the mean of the classes' own",
    ]
    if count > 5:
        lines.append(f"top 5        {evaluation.top_5_accuracy:.2%}")
    return [
        *lines,
        f"log loss     {max(0.0, evaluation.log_loss):.4f}",
        f"calibration  {evaluation.calibration.error:.2%} off, on average",
        "",
        *_table_of_classes(evaluation, all_classes),
    ]


def _table_of_classes(evaluation: "ClassEvaluation", all_classes: bool) -> list[str]:
    """The classes that have examples, the worst first, and what each is most often taken for."""
    scores, names = evaluation.scores, evaluation.names
    seen = [index for index in range(len(names)) if scores.support[index]]
    order = sorted(seen, key=lambda index: (scores.recall[index], -scores.support[index]))
    shown = order if all_classes else order[:_WORST]
    width = min(24, max(len("class"), *(len(names[index]) for index in shown)))
    lines = [f"{'class':<{width}}  examples  recall  precision      F1  taken for"]
    for index in shown:
        wrong = evaluation.confusion[index].copy()
        wrong[index] = 0
        most = int(wrong.argmax())
        taken = f"{names[most]} ({int(wrong[most])})" if wrong[most] else ""
        name = names[index] if len(names[index]) <= width else f"{names[index][: width - 1]}…"
        precision, f1 = (
            "-" if value != value else f"{value:.1%}"
            for value in (scores.precision[index], scores.f1[index])
        )
        lines.append(
            f"{name:<{width}}  {int(scores.support[index]):>8,}  {scores.recall[index]:>6.1%}  "
            f"{precision:>9}  {f1:>6}  {taken}".rstrip()
        )
    if len(shown) < len(order):
        lines.append(f"and {len(order) - len(shown)} better ones; --all-classes shows all")
    return lines


def write_classes(
    folder: Path,
    evaluation: "ClassEvaluation",
    report: dict[str, Any],
    mistakes: Mapping[str, bytes],
    example: str = "file",
    overwrite: bool = False,
) -> list[str]:
    """Writes the figures, what was predicted of each example, and pictures of both.

    Args:
        folder: where to.
        evaluation: what was measured.
        report: of `class_report`.
        mistakes: more files, by name.
        example: what the column of the examples is called.
        overwrite: replace files that are there.

    Returns:
        Names of the files.
    """
    import csv
    import io
    import json

    from cnnkit.plots import encode_figure, plot_calibration, plot_confusion
    from cnnkit.results import to_plain

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([example, "label", "predicted", "probability", "label_probability", "right"])
    for source, label, row in zip(
        evaluation.sources, evaluation.labels, evaluation.probabilities, strict=True
    ):
        called = int(row.argmax())
        writer.writerow(
            [
                source,
                evaluation.names[label],
                evaluation.names[called],
                f"{row[called]:.6f}",
                f"{row[label]:.6f}",
                int(called == label),
            ]
        )
    matrix = evaluation.confusion
    used = [index for index in range(len(matrix)) if matrix[index].any() or matrix[:, index].any()]
    title = f"{evaluation.model} on {evaluation.examples:,} examples: {evaluation.accuracy:.1%}"
    files: dict[str, bytes] = {
        "report.json": (json.dumps(to_plain(report), indent=2) + "\n").encode(),
        "predictions.csv": text.getvalue().encode(),
        "confusion.png": encode_figure(
            plot_confusion(
                matrix[used][:, used], [evaluation.names[index] for index in used], title=title
            )
        ),
        "calibration.png": encode_figure(plot_calibration(evaluation.calibration, title=title)),
    }
    files |= mistakes
    return write_report(folder, files, overwrite)
