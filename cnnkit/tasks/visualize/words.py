"""What a network learned of words: which are near to one another, and a picture of all."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.data.text import UNKNOWN, split_text
from cnnkit.errors import DataError, UsageError
from cnnkit.ops.vectors import nearest_vectors, principal_plane
from cnnkit.tasks.text.files import find_text_file
from cnnkit.tasks.text.network import read_embedding
from cnnkit.tasks.visualize.plots.words import plot_words
from cnnkit.tasks.visualize.results import NearWord, WordNeighbours

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class WordMap:
    """The vectors that a classifier of texts learned for words.

    Args:
        model: the folder of a run of `cnnkit train text`, or its `.keras` file.

    Raises:
        UsageError: no such classifier, or one that takes words as one-hots.
        WeightsError: it cannot be loaded.
        DataError: what its file says of itself cannot be read.
    """

    def __init__(self, model: str | Path):
        file = find_text_file(str(model))
        vectors = read_embedding(file.path)
        self.name = file.name
        if vectors is None:
            raise UsageError(
                f"{self.name} takes words as one-hots, which are all equally far; train a network "
                "with an --embedding-size"
            )
        self._vectors, self._vocabulary = vectors, file.vocabulary
        # Neither padding nor unknown is a word.
        self._words = np.arange(UNKNOWN + 1, len(self._vocabulary))

    def nearest(self, word: str, count: int = 8) -> WordNeighbours:
        """The words whose vectors have the smallest angles to that of one.

        Args:
            word: the one.
            count: of the others, at most.

        Raises:
            DataError: the network does not know it.
        """
        tokens = split_text(word, self._vocabulary.by)
        index = self._vocabulary.index(tokens[0]) if len(tokens) == 1 else UNKNOWN
        if index == UNKNOWN:
            known = self._vocabulary.tokens[UNKNOWN + 1 :]
            similar = difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.6)
            meant = f"; did you mean {', '.join(similar)}?" if similar else ""
            unit = self._vocabulary.by
            raise DataError(f"'{word}' is no {unit} that {self.name} knows{meant}")
        near = nearest_vectors(self._vectors, index, count, self._words)
        known = self._vocabulary.tokens
        found = tuple(NearWord(known[at], similarity) for at, similarity in near)
        return WordNeighbours(known[index], index, found, self.name)

    def plot(self, asked: Sequence[WordNeighbours] = (), *, most: int = 2000) -> "Figure":
        """Plots the words in the plane in which their vectors differ the most.

        Args:
            asked: words to show with those near to them, in colours.
            most: words in all, the most frequent.
        """
        index = self._vocabulary.index
        groups = {one.index: [index(near.word) for near in one.near] for one in asked}
        wanted = {*groups, *(at for near in groups.values() for at in near)}
        shown = [*self._words[:most].tolist()]
        shown += sorted(wanted - {*shown})
        places = {at: place for place, at in enumerate(shown)}
        points, shares = principal_plane(self._vectors[shown])
        return plot_words(
            points,
            [self._shown(self._vocabulary.tokens[at]) for at in shown],
            {places[at]: [places[one] for one in near] for at, near in groups.items()},
            shares=shares,
            title=f"{len(shown):,} {self._vocabulary.by}s as {self.name} sees them",
        )

    @staticmethod
    def _shown(token: str) -> str:
        return "space" if token == " " else token


def visualize_words(
    words: Sequence[str], *, model: str | Path, count: int = 8
) -> list[WordNeighbours]:
    """Finds the nearest words of words in what a classifier of texts learned.

    Args:
        words: to look at.
        model: the folder of a run of `cnnkit train text`, or its `.keras` file.
        count: words near to each, at most.

    Returns:
        One for each, in order.

    Raises:
        UsageError: no such classifier, or one without an embedding.
        WeightsError: it cannot be loaded.
        DataError: a word that it does not know.
    """
    known = WordMap(model)
    return [known.nearest(word, count) for word in words]
