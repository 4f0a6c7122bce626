"""A trained classifier of texts, on texts."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnkit.data._csv_table import CsvTable
from cnnkit.engine.classification import ClassScore
from cnnkit.engine.networks import NetworkSource, open_networks
from cnnkit.engine.predictor import keep_last, milliseconds_since
from cnnkit.errors import WeightsError
from cnnkit.results import Milliseconds
from cnnkit.tasks.text.files import find_text_file
from cnnkit.tasks.text.results import TextClassification
from cnnkit.tasks.text.settings import TextSettings


class TextClassifier:
    """A trained classifier of texts; several threads may use it.

    Args:
        model: the folder of a run of `cnnkit train text`, or its `.keras` file.

    Attributes:
        file: what its file says of itself.

    Raises:
        UsageError: no such classifier.
        WeightsError: it cannot be loaded.
        DataError: what its file says of itself cannot be read.
    """

    def __init__(self, model: str | Path):
        self.file = find_text_file(str(model))
        self._networks = open_networks(
            NetworkSource(
                f"classifier of texts {self.file.name}",
                "cnnkit.tasks.text.network:build",
                (self.file.path,),
            )
        )
        inputs = 2 if self.file.encoder.columns else 1
        expected = inputs, len(self.file.classes)
        found = self._networks.facts["inputs"], self._networks.facts["classes"]
        if found != expected:
            raise WeightsError(
                f"{self.file.path} has {found[0]} inputs and {found[1]} outputs, not {expected[0]} "
                f"and {expected[1]}; train or copy it again"
            )

    def classify(
        self,
        texts: Sequence[str],
        settings: TextSettings | None = None,
        table: CsvTable | None = None,
        *,
        batch: int = 32,
    ) -> Iterator[TextClassification]:
        """Tells the classes of texts.

        Args:
            texts: N of them.
            settings: which classes are told.
            table: see `probabilities`.
            batch: texts at a time.

        Raises:
            DataError: the table has not what the classifier takes.
        """
        settings = settings or TextSettings()
        begin = time.monotonic()
        rows = self.probabilities(texts, table, batch=batch)
        ms = Milliseconds(net=round(milliseconds_since(begin) / max(1, len(texts)), 1))
        for text, row in zip(texts, rows, strict=True):
            order = np.argsort(-row, kind="stable")[: settings.top]
            yield TextClassification(
                text,
                tuple(
                    ClassScore(self.file.classes[at], int(at), float(row[at]))
                    for at in order
                    if row[at] >= settings.conf
                ),
                None,
                self.file.name,
                ms,
                threshold=settings.conf or None,
            )

    def probabilities(
        self, texts: Sequence[str], table: CsvTable | None = None, *, batch: int = 32
    ) -> npt.NDArray[np.float32]:
        """The probabilities of the classes of texts.

        Args:
            texts: N of them.
            table: of N rows, with the other columns that the classifier takes; None where they are
                not known.
            batch: texts at a time.

        Returns:
            float32 `(N, classes)`.

        Raises:
            DataError: the table has not what the classifier takes.
        """
        file = self.file
        arrays = [file.vocabulary.encode(texts, file.length)]
        if file.encoder.columns:
            encoder = file.encoder
            arrays.append(encoder.unknown(len(texts)) if table is None else encoder.encode(table))
        run = self._networks["classifier"]
        found = np.zeros((len(texts), len(file.classes)), np.float32)
        for begin in range(0, len(texts), batch):
            some = [array[begin : begin + batch] for array in arrays]
            count = len(some[0])
            if self._networks.compiles_each_size:
                some = [np.pad(one, [(0, batch - count), (0, 0)]) for one in some]
            found[begin : begin + count] = run(*some)[:count]
        return found


_classifier = keep_last(TextClassifier)


def classify_text(
    texts: str | Iterable[str],
    settings: TextSettings | None = None,
    *,
    model: str | Path,
    **changes: Any,
) -> list[TextClassification]:
    """Tells the classes of texts.

    The classifier stays loaded for the next call.

    Args:
        texts: one, or several.
        settings: which classes are told; see `TextSettings`.
        model: the folder of a run of `cnnkit train text`, or its `.keras` file. Other columns that
            it was trained with count as unknown.
        changes: of the settings, by name, such as `top=1`.

    Returns:
        A `TextClassification` for each, in order; its source is the text.

    Raises:
        UsageError: no such classifier, or settings that are not allowed.
        WeightsError: it cannot be loaded.
        DataError: what its file says of itself cannot be read.
    """
    settings = replace(settings or TextSettings(), **changes)
    chosen = [texts] if isinstance(texts, str) else list(texts)
    return list(_classifier(str(model)).classify(chosen, settings))
