"""Text as networks take it: split, counted, sorted by frequency, and numbered."""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnkit.errors import DataError
from cnnkit.images import write_bytes

# Their indices; the tokens are written as Keras' `TextVectorization` does.
PADDING, UNKNOWN = 0, 1
PADDING_TOKEN, UNKNOWN_TOKEN = "", "[UNK]"
# Sentences that are written word by word begin and end with these.
START, END = "[START]", "[END]"
# In a sentence it stands for what the encoder's own classifier calls the picture's main thing,
# article and all: "a person with [NAME]".
NAME = "[NAME]"
SPLITS = ("word", "character")

# What `split_text` makes of a character: letters, marks and digits stay, and so do apostrophes for
# now; pictures such as emoji are words of their own; all else parts words.
_APOSTROPHES = "'\u2019\u02bc"
_OUTER_APOSTROPHE = re.compile(r"(?<!\S)'+|'+(?!\S)")
_EMOJI_STYLE = "\ufe0f"


class _Characters(dict):
    """For `str.translate`: each character is looked at once."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in _APOSTROPHES:
            found = "'"
        elif character == _EMOJI_STYLE:
            found = ""
        elif unicodedata.category(character)[0] in "LMN":
            found = character
        else:
            found = f" {character} " if unicodedata.category(character) == "So" else " "
        self[code] = found
        return found


_CHARACTERS = _Characters()


def split_text(text: str, by: str = "word") -> list[str]:
    """Splits a text into words or characters, in lower case and without punctuation.

    Apostrophes within words stay. Of characters, a space stands for whatever parted two words.

    Args:
        text: any.
        by: "word" or "character".

    Raises:
        ValueError: `by` is neither.

    Example:

    >>> split_text("It's GREAT -- really, great!")
    ["it's", 'great', 'really', 'great']
    >>> split_text("No. 5", by="character")
    ['n', 'o', ' ', '5']
    """
    if by not in SPLITS:
        raise ValueError(f"by must be one of {', '.join(SPLITS)}. Received: {by!r}")
    # Composed: systems write the same accented letter in two ways.
    plain = unicodedata.normalize("NFC", text).lower().translate(_CHARACTERS)
    words = _OUTER_APOSTROPHE.sub(" ", plain).split()
    return words if by == "word" else list(" ".join(words))


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a network knows; the index of each is its place.

    Attributes:
        tokens: all different; the first two are `PADDING_TOKEN` and `UNKNOWN_TOKEN`.
        by: what texts are split into, "word" or "character".

    Raises:
        ValueError: the tokens are not as said.
    """

    tokens: tuple[str, ...]
    by: str = "word"

    def __post_init__(self):
        if self.by not in SPLITS:
            raise ValueError(f"by must be one of {', '.join(SPLITS)}. Received: {self.by!r}")
        if self.tokens[:2] != (PADDING_TOKEN, UNKNOWN_TOKEN):
            raise ValueError(
                f"tokens must begin with {PADDING_TOKEN!r} and {UNKNOWN_TOKEN!r}. "
                f"Received: {self.tokens[:2]}"
            )
        if len(self._places) < len(self.tokens):
            repeated = Counter(self.tokens).most_common(1)[0][0]
            raise ValueError(f"tokens must be different. Received: {repeated!r} twice")

    @classmethod
    def build(
        cls,
        texts: Iterable[str | Sequence[str]],
        size: int | None = None,
        by: str = "word",
        special: Sequence[str] = (),
        min_count: int = 1,
    ) -> "Vocabulary":
        """The most frequent tokens of some texts, in the order of their frequency.

        Tokens that are as frequent stand in the order of the alphabet.

        Args:
            texts: strings, or lists of tokens that are split already.
            size: tokens at most, those of padding and unknown, and the special ones, included.
            by: what strings are split into, "word" or "character".
            special: tokens behind that for unknown, such as `START` and `END`.
            min_count: how often a token must occur.

        Raises:
            ValueError: `by` is neither, or `size` leaves no room.

        Example:

        >>> Vocabulary.build(["a cat", "a dog", "The Cat!"]).tokens
        ('', '[UNK]', 'a', 'cat', 'dog', 'the')
        """
        first = (PADDING_TOKEN, UNKNOWN_TOKEN, *special)
        if size is not None and size <= len(first):
            raise ValueError(f"size must be more than {len(first)}. Received: {size}")
        counts = Counter(token for text in texts for token in _split(text, by))
        for token in first:
            counts.pop(token, None)
        frequent = [item for item in counts.items() if item[1] >= min_count]
        frequent.sort(key=lambda item: (-item[1], item[0]))
        kept = frequent if size is None else frequent[: size - len(first)]
        return cls((*first, *(token for token, _ in kept)), by)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {token: place for place, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def index(self, token: str) -> int:
        """The index of a token; `UNKNOWN` for one that is not here.

        >>> Vocabulary(("", "[UNK]", "cat")).index("cow")
        1
        """
        return self._places.get(token, UNKNOWN)

    def encode(self, texts: Iterable[str | Sequence[str]], length: int) -> np.ndarray:
        """The indices of the tokens of texts.

        Args:
            texts: N strings, or lists of tokens that are split already.
            length: of each row; longer texts lose their end.

        Returns:
            int32 `(N, length)`, filled up behind with `PADDING`.

        Raises:
            ValueError: a length below 1.

        Example:

        >>> Vocabulary(("", "[UNK]", "a", "cat")).encode(["A black cat"], 4).tolist()
        [[2, 1, 3, 0]]
        """
        if length < 1:
            raise ValueError(f"length must be at least 1. Received: {length}")
        rows = [_split(text, self.by)[:length] for text in texts]
        indices = np.full((len(rows), length), PADDING, np.int32)
        for row, tokens in zip(indices, rows, strict=True):
            row[: len(tokens)] = [self.index(token) for token in tokens]
        return indices

    def decode(self, indices: Iterable[int]) -> str:
        """The text that indices stand for, without padding, start and end.

        Args:
            indices: of one text.

        Raises:
            ValueError: an index outside of the vocabulary.

        Example:

        >>> Vocabulary(("", "[UNK]", "a", "cat")).decode([2, 1, 3, 0])
        'a [UNK] cat'
        """
        places = [int(index) for index in indices]
        if places and not 0 <= min(places) <= max(places) < len(self):
            raise ValueError(f"expected indices from 0 to {len(self) - 1}. Received: {places}")
        tokens = [self.tokens[place] for place in places]
        gap = " " if self.by == "word" else ""
        return gap.join(one for one in tokens if one not in (PADDING_TOKEN, START, END))

    def to_text(self) -> str:
        """The vocabulary as readable text: a token a line, in the order of the indices.

        The first line, which is that of padding, says what texts are split into.

        >>> Vocabulary(("", "[UNK]", "cat")).to_text().splitlines()
        ['[word]', '[UNK]', 'cat']
        """
        return "".join(f"{line}\n" for line in (f"[{self.by}]", *self.tokens[1:]))

    @classmethod
    def from_text(cls, text: str) -> "Vocabulary":
        """The vocabulary that `to_text` wrote, or that Keras' `TextVectorization` has.

        Raises:
            ValueError: it is none.
        """
        head, *lines = text.removesuffix("\n").split("\n")
        by = {f"[{name}]": name for name in SPLITS} | {"": "word"}
        if head not in by:
            raise ValueError(f"the first line must be [word] or [character]. Received: {head!r}")
        return cls((PADDING_TOKEN, *lines), by[head])

    def save(self, path: str | Path) -> None:
        """Writes `to_text` into a file."""
        write_bytes(Path(path), self.to_text().encode())

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Reads what `save` wrote.

        Raises:
            DataError: the file cannot be read, or is no vocabulary.
        """
        try:
            return cls.from_text(Path(path).read_bytes().decode("utf-8"))
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise DataError(f"{path} is no vocabulary: {error}; write it again") from None


def _split(text: str | Sequence[str], by: str) -> Sequence[str]:
    return split_text(text, by) if isinstance(text, str) else text
