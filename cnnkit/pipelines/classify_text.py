"""What texts are about: the most probable classes of each."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from cnnkit.data._csv_table import CsvTable
from cnnkit.errors import UsageError
from cnnkit.pipelines._text_predictor import TextPredictor
from cnnkit.results import Classification, ClassScore, Milliseconds


def classify_text(
    texts: str | Iterable[str], *, model: str | Path, top: int = 5
) -> list[Classification]:
    """Tells the classes of texts.

    Args:
        texts: one, or several.
        model: the folder of a run of `cnnkit train text`, or its `.keras` file. Other columns that
            it was trained with count as unknown.
        top: classes for each, at most.

    Returns:
        A `Classification` for each, in order; its source is the text.

    Raises:
        UsageError: no such classifier.
        WeightsError: it cannot be loaded.
        DataError: what its file says of itself cannot be read.
    """
    if top < 1:
        raise ValueError(f"expected a class at least. Received: top={top}")
    chosen = [texts] if isinstance(texts, str) else list(texts)
    return list(classify_texts(TextPredictor(str(model)), chosen, top=top))


def classify_texts(
    predictor: TextPredictor,
    texts: list[str],
    table: CsvTable | None = None,
    *,
    top: int = 5,
    batch: int = 32,
) -> Iterator[Classification]:
    """`classify_text` with a classifier that is loaded already, and with other columns.

    Args:
        predictor: the classifier.
        texts: N of them.
        table: of N rows, with the other columns that the classifier takes; None where they are not
            known.
        top: classes for each, at most.
        batch: texts at a time.

    Yields:
        A `Classification` for each.

    Raises:
        DataError: the table has not what the classifier takes.
    """
    if top < 1:
        raise UsageError(f"--top must be at least 1, not {top}")
    begin = time.monotonic()
    rows = predictor.probabilities(texts, table, batch=batch)
    ms = Milliseconds(net=round(1e3 * (time.monotonic() - begin) / max(1, len(texts)), 1))
    file = predictor.file
    for text, row in zip(texts, rows, strict=True):
        order = np.argsort(-row, kind="stable")[:top]
        best = tuple(ClassScore(file.classes[at], int(at), float(row[at])) for at in order)
        yield Classification(text, best, None, file.name, ms)
