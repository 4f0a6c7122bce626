"""How good a classifier of texts is on labelled texts."""

from pathlib import Path

import numpy as np

from cnnkit.data.labelled_texts import LabelledTexts, read_labelled_texts
from cnnkit.engine.settings import check_split
from cnnkit.metrics.classification import worst_mistakes
from cnnkit.pipelines._class_evaluation import evaluate_probabilities
from cnnkit.pipelines._text_files import TextFile, find_text_file
from cnnkit.pipelines._text_predictor import TextPredictor
from cnnkit.results import ClassEvaluation

_MISTAKES = 100


def evaluate_text(
    data: str | Path,
    *,
    model: str | Path,
    split: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
) -> ClassEvaluation:
    """Measures how good a classifier of texts is.

    Args:
        data: a CSV; see `read_labelled_texts`.
        model: the folder of a run of `cnnkit train text`, or its `.keras` file.
        split: "train", "val", "test" or "all"; by default test where the data have it, else val,
            else all.
        text_column: name of the column of the texts; as the model was trained by default.
        label_column: the same of the labels.

    Returns:
        A `ClassEvaluation`.

    Raises:
        UsageError: no such classifier, or no such split.
        WeightsError: it cannot be loaded.
        DataError: the data cannot be read, or have a class that the classifier does not know.
    """
    check_split(split)
    file = find_text_file(str(model))
    texts = read_known_texts(data, file, text_column, label_column)
    return evaluate_texts(TextPredictor(str(model)), texts, split)


def read_known_texts(
    data: str | Path,
    file: TextFile,
    text_column: str | None = None,
    label_column: str | None = None,
) -> LabelledTexts:
    """Texts with the labels that a classifier knows; see `evaluate_text`."""
    texts = read_labelled_texts(
        data,
        text_column=text_column or file.text_column,
        label_column=label_column or file.label_column,
        val_share=0.0,
        classes=file.classes,
    )
    # What is wrong with other columns is said before Keras is imported.
    file.encoder.encode(texts.table)
    return texts


def evaluate_texts(
    predictor: TextPredictor, texts: LabelledTexts, split: str | None = None, *, batch: int = 32
) -> ClassEvaluation:
    """`evaluate_text` with a classifier and texts that are read already.

    Args:
        predictor: the classifier.
        texts: of `read_known_texts`.
        split: see `evaluate_text`.
        batch: texts at a time.
    """
    file = predictor.file
    part, rows = texts.select(split)
    table = texts.table.select(rows)
    chosen = [texts.texts[row] for row in rows]
    return evaluate_probabilities(
        predictor.probabilities(chosen, table, batch=batch),
        texts.labels[rows],
        file.classes,
        chosen,
        split=part,
        model=file.name,
    )


def mistakes_table(texts: LabelledTexts, evaluation: ClassEvaluation) -> bytes:
    """The worst mistakes of an evaluation as a CSV, the worst first."""
    rows = texts.select(evaluation.split)[1]
    probabilities = np.asarray(evaluation.probabilities)
    worst = worst_mistakes(probabilities, evaluation.labels, _MISTAKES)
    return texts.mistakes(rows[worst], probabilities[worst]).encode()
