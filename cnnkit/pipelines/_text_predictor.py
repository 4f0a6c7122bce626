"""A trained classifier of texts, on texts."""

from collections.abc import Sequence

import numpy as np

from cnnkit.data._csv_table import CsvTable
from cnnkit.engine.networks import Networks, NetworkSource
from cnnkit.errors import WeightsError
from cnnkit.pipelines._text_files import TextFile, find_text_file


class TextPredictor:
    """A trained classifier of texts.

    Args:
        model: the folder of a run of `cnnkit train text`, or its `.keras` file.

    Attributes:
        file: what its file says of itself.

    Raises:
        UsageError: no such classifier.
        WeightsError: it cannot be loaded.
        DataError: what its file says of itself cannot be read.
    """

    def __init__(self, model: str):
        self.file: TextFile = find_text_file(model)
        self._networks = Networks(
            NetworkSource(
                f"classifier of texts {self.file.name}",
                "cnnkit.pipelines._text_network:build",
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

    def probabilities(
        self, texts: Sequence[str], table: CsvTable | None = None, *, batch: int = 32
    ) -> np.ndarray:
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
        tokens = file.vocabulary.encode(texts, file.length)
        arrays = [tokens]
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
