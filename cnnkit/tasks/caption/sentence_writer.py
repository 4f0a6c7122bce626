"""Writes sentences about pictures, word by word, without Keras: the networks come compiled."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnnkit.data.text import END, NAME, PADDING, START, UNKNOWN, Vocabulary
from cnnkit.ops.beam import Hypothesis, beam_search
from cnnkit.tasks.caption.settings import CaptionSettings

# Sentences whose words are told at once.
_SENTENCES = 32
# All but short and frequent words, such as "of", "the" and "and", come once in a sentence: a
# network with few sentences to learn from goes in circles, "a person on a horse on a horse". The
# vocabulary is in the order of frequency.
_REPEATED_LETTERS, _FREQUENT = 3, 20


def total_word_loss(
    tell: Callable[[np.ndarray, np.ndarray], Any],
    encodings: np.ndarray,
    pictures: np.ndarray,
    words: np.ndarray,
) -> tuple[float, int]:
    """How improbable true sentences are.

    Args:
        tell: what `captioner.decoder_of` makes, on arrays: what the encoder says `(batch, D)` and
            words `(batch, T)` -> logits.
        encodings: float32 `(N, D)`, what the encoder says of N pictures.
        pictures: `(S,)`, the picture of each sentence.
        words: int32 `(S, T)`: start, words, end and padding.

    Returns:
        The sum of -log p over all words and ends, and their number.
    """
    total, count = 0.0, 0
    for first in range(0, len(words), _SENTENCES):
        part = slice(first, first + _SENTENCES)
        known, told = words[part, :-1], words[part, 1:]
        logits = np.asarray(tell(encodings[pictures[part]], known), np.float64)
        logits = logits - logits.max(axis=-1, keepdims=True)
        of_word = np.take_along_axis(logits, told[..., None].astype(np.int64), axis=-1)[..., 0]
        losses = np.log(np.exp(logits).sum(axis=-1)) - of_word
        counts = told != PADDING
        total += float(losses[counts].sum())
        count += int(counts.sum())
    return total, count


class SentenceWriter:
    """Writes sentences with the decoder of a captioner, compiled.

    Args:
        look: the first of `captioner.writing_models`, on arrays.
        write: the second one.
        vocabulary: what its words are.

    Raises:
        ValueError: the vocabulary has no start and end.
    """

    def __init__(
        self,
        look: Callable[[np.ndarray], list[np.ndarray]],
        write: Callable[..., list[np.ndarray]],
        vocabulary: Vocabulary,
    ):
        self._start, self._end = vocabulary.index(START), vocabulary.index(END)
        if UNKNOWN in (self._start, self._end):
            raise ValueError(f"expected {START} and {END} in the vocabulary. Received: neither")
        self._name = vocabulary.index(NAME)
        self._once = [
            index
            for index, word in enumerate(vocabulary.tokens)
            if word not in (START, END) and (len(word) > _REPEATED_LETTERS or index >= _FREQUENT)
        ]
        self._look, self._write = look, write
        self._vocabulary = vocabulary

    def write(
        self, encodings: np.ndarray, settings: CaptionSettings | None = None
    ) -> list[list[Hypothesis]]:
        """The best sentences about pictures.

        Args:
            encodings: float32 `(N, D)`, what the encoder says of each picture.
            settings: of the search.

        Returns:
            For each picture its sentences, best first, at most `settings.candidates`.
        """
        settings = settings or CaptionSettings()

        def step(last: np.ndarray, state: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
            # The first of what is kept of a picture stay as they are, the last are the states.
            logits, *after = self._write(last, *state)
            return logits, [*state[: len(state) - len(after)], *after]

        found = beam_search(
            step,
            self._look(encodings),
            start=self._start,
            end=self._end,
            beams=settings.beams,
            length=settings.max_words,
            length_penalty=settings.length_penalty,
            banned=(PADDING, UNKNOWN, self._start),
            once=self._once,
        )
        return [hypotheses[: settings.candidates] for hypotheses in found]

    def sentence(self, hypothesis: Hypothesis, name: str = "") -> str:
        """The words of a hypothesis.

        Args:
            hypothesis: of `write`.
            name: what stands in the place of `NAME`.
        """
        return self._vocabulary.decode(hypothesis.tokens).replace(NAME, name)

    def has_name(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis has the name that the encoder's classifier gives."""
        return self._name != UNKNOWN and self._name in hypothesis.tokens
