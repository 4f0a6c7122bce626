"""How good a classifier of texts is on labelled texts."""

from pathlib import Path

from cnnkit.engine.classification import ClassEvaluation, evaluate_probabilities
from cnnkit.metrics.classification import worst_mistakes
from cnnkit.tasks.text.data import LabelledTexts, read_known_texts
from cnnkit.tasks.text.predict import TextClassifier
from cnnkit.tasks.text.settings import EvaluateSettings

_MISTAKES = 100


def evaluate_text(
    data: str | Path | LabelledTexts,
    settings: EvaluateSettings | None = None,
    *,
    model: str | Path,
    batch: int = 32,
) -> ClassEvaluation:
    """Measures how good a classifier of texts is.

    Args:
        data: a CSV, or texts that were read of one; see `data.read_known_texts`.
        settings: the part of the data, and its columns.
        model: the folder of a run of `cnnkit train text`, or its `.keras` file.
        batch: texts at a time.

    Returns:
        A `ClassEvaluation`.

    Raises:
        UsageError: no such classifier, or no such split.
        WeightsError: it cannot be loaded.
        DataError: the data cannot be read, or have a class that the classifier does not know.
    """
    settings, classifier = settings or EvaluateSettings(), TextClassifier(model)
    file = classifier.file
    texts = data if isinstance(data, LabelledTexts) else read_known_texts(data, file, settings)
    part, rows = texts.select(settings.split)
    chosen = [texts.texts[row] for row in rows]
    return evaluate_probabilities(
        classifier.probabilities(chosen, texts.table.select(rows), batch=batch),
        texts.labels[rows],
        file.classes,
        chosen,
        split=part,
        model=file.name,
    )


def mistakes_table(texts: LabelledTexts, evaluation: ClassEvaluation) -> bytes:
    """The worst mistakes of an evaluation as a CSV, the worst first."""
    rows = texts.select(evaluation.split)[1]
    worst = worst_mistakes(evaluation.probabilities, evaluation.labels, _MISTAKES)
    return texts.mistakes(rows[worst], evaluation.probabilities[worst]).encode()
