"""Batches of pictures, or of what an encoder saw of them, with the words of their sentences."""

import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.data.labelled import LabelledFiles, read_example
from cnnkit.data.text import END, START, Vocabulary
from cnnkit.engine.dataset import CountedEpochs
from cnnkit.engine.labelled_batches import LabelledBatches
from cnnkit.errors import DataError, ImageError
from cnnkit.tasks.caption.data import CaptionedPictures, mirrored_words, split_caption


@dataclass(frozen=True, eq=False)
class Sentences:
    """The sentences about some pictures as numbers.

    Attributes:
        pictures: `(S,)`, the picture of each.
        words: int32 `(sides, S, length + 2)`: start, words, end and padding; a longer sentence
            has neither its last words nor an end. The second side is of the mirror image.
    """

    pictures: np.ndarray
    words: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)


def number_sentences(
    pictures: CaptionedPictures, vocabulary: Vocabulary, length: int, *, mirrored: bool
) -> Sentences:
    """Numbers the words of all sentences.

    Args:
        pictures: with their sentences.
        vocabulary: with start and end.
        length: words of a sentence at most.
        mirrored: also of the mirror images, where left is right.
    """
    split = [[split_caption(one) for one in said] for said in pictures.sentences]
    rows = np.repeat(np.arange(len(split)), [len(said) for said in split])
    texts = [words for said in split for words in said]
    sides = [texts, [mirrored_words(words) for words in texts]] if mirrored else [texts]
    words = [
        vocabulary.encode([[START, *words, END] for words in side], length + 2) for side in sides
    ]
    return Sentences(rows, np.stack(words))


def vocabulary_of(
    pictures: CaptionedPictures, size: int, min_count: int, *, mirrored: bool
) -> Vocabulary:
    """The words of sentences to train on.

    Raises:
        DataError: no word occurs as often as that.
    """
    texts = [split_caption(one) for said in pictures.sentences for one in said]
    if mirrored:
        texts += [mirrored_words(words) for words in texts]
        # A word of both sides occurs twice as often then.
        min_count *= 2
    vocabulary = Vocabulary.build(texts, size, special=(START, END), min_count=min_count)
    if len(vocabulary) == len(Vocabulary.build([], special=(START, END))):
        raise DataError(
            f"no word occurs {min_count // (1 + mirrored)} times in the sentences to train on; "
            "give more sentences, or --min-count 1"
        )
    return vocabulary


_Batch = tuple[tuple[np.ndarray, np.ndarray], np.ndarray]


class SeenBatches(CountedEpochs):
    """Batches of `((seen, words), next words)` from what a frozen encoder saw.

    Every sentence comes once in an epoch, in an order drawn from the seed and the epoch, with
    either side of its picture. The last batch is filled with the first of the order.

    Args:
        features: `(N, sides, D)`.
        sentences: about the N pictures.
        batch_size: sentences in a batch.
        seed: of the draws.
        epoch: to begin with.
    """

    def __init__(
        self,
        features: np.ndarray,
        sentences: Sentences,
        batch_size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
    ):
        super().__init__(epoch)
        self._features, self._sentences = features, sentences
        self._batch_size, self._seed = batch_size, seed
        self._drawn: tuple[int, np.ndarray, np.ndarray] | None = None

    def _draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and sides, in the order of this epoch."""
        epoch = self.epoch
        if self._drawn is None or self._drawn[0] != epoch:
            random = np.random.default_rng([self._seed, epoch])
            count = len(self._sentences)
            order = np.resize(random.permutation(count), len(self) * self._batch_size)
            sides = random.integers(0, len(self._sentences.words), len(order))
            self._drawn = epoch, order, sides
        return self._drawn[1:]

    def __len__(self) -> int:
        return math.ceil(len(self._sentences) / self._batch_size)

    def __getitem__(self, index: int) -> _Batch:
        with self._lock:
            order, sides = self._draw()
        part = slice(index * self._batch_size, (index + 1) * self._batch_size)
        rows, side = order[part], sides[part]
        seen = self._features[self._sentences.pictures[rows], side].astype(np.float32)
        words = self._sentences.words[side, rows]
        self._took(index)
        return (seen, words[:, :-1]), words[:, 1:]


class PictureBatches(LabelledBatches):
    """Batches of `((pictures, words), next words)`, as `SeenBatches`, with the pictures read anew.

    Args:
        paths: of N pictures.
        sentences: about them.
        shape: of the network's input.
        batch_size: sentences in a batch.
        seed: of the draws.
        epoch: to begin with.
    """

    def __init__(
        self,
        paths: Sequence[str],
        sentences: Sentences,
        shape: tuple[int, ...],
        batch_size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
    ):
        files = LabelledFiles(tuple(paths[at] for at in sentences.pictures), sentences.pictures)
        super().__init__(files, 1, shape, batch_size, shuffle=True, seed=seed, epoch=epoch)
        self._sentences = sentences

    def _begin(self, epoch: int, index: int) -> tuple[Any, list[Future[Any]]]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers_here, "cnnkit-batches")
        places, order = self._places(index), self._order(epoch)
        rows = order[places % len(order)]
        sides = np.random.default_rng([self._seed, epoch, index]).integers(
            0, len(self._sentences.words), len(rows)
        )
        x = np.empty((len(rows), *self._shape), np.float32)
        words = self._sentences.words[sides, rows]
        futures = [
            self._pool.submit(self._fill_sides, x, rows, sides, part)
            for part in np.array_split(np.arange(len(rows)), self._workers_here)
        ]
        return ((x, words[:, :-1]), words[:, 1:]), futures

    def _fill_sides(
        self, x: np.ndarray, rows: np.ndarray, sides: np.ndarray, part: np.ndarray
    ) -> None:
        for i in part.tolist():
            try:
                pixels = read_example(self._files.paths[rows[i]], self._shape)
            except (ImageError, DataError) as error:
                raise DataError(f"{error}, or leave it out with --skip-bad") from None
            x[i] = pixels[:, ::-1] if sides[i] else pixels

    def _finish(self, batch: Any, made: list[Any], epoch: int, index: int) -> _Batch:
        return batch
