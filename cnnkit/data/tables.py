"""Columns of tables as the numbers that networks take."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.data._csv_table import CsvTable
from cnnkit.errors import DataError

NUMBER, YES_NO, CATEGORY = COLUMN_KINDS = ("number", "yes-no", "category")

# Words that are 1, and those that are 0 beside them.
_YES = ("yes", "true", "y", "t", "on", "1")
_NO = ("no", "false", "n", "f", "off", "0")
# A column of names, or of numbers of customers, would make vectors longer than the data.
_MOST_CATEGORIES = 1000
# Deviations, and the largest number whose square is one.
_FARTHEST, _LARGEST = 1e6, 1e150


@dataclass(frozen=True)
class NumberColumn:
    """Numbers, scaled to mean 0 and deviation 1 of the training rows; an empty cell is the mean.

    A number that is more than a million deviations away counts as that.

    Attributes:
        name: of the column.
        mean: of the training rows.
        deviation: the same; 1 where all are equal.
    """

    name: str
    mean: float
    deviation: float

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each number of the vector is."""
        return (self.name,)

    def encode(self, cell: str) -> tuple[float, ...]:
        """The part of the vector that a cell gives."""
        if not cell:
            return (0.0,)
        number = _number(cell)
        if number is None:
            raise ValueError(f"'{cell}' is no number; mend it, or leave it empty")
        scaled = (number - self.mean) / self.deviation
        return (max(-_FARTHEST, min(scaled, _FARTHEST)),)


@dataclass(frozen=True)
class YesNoColumn:
    """One of two words, 0 or 1; an empty cell is in the middle.

    Attributes:
        name: of the column.
        no: the word that is 0.
        yes: the word that is 1.
    """

    name: str
    no: str
    yes: str

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each number of the vector is."""
        return (f"{self.name}={self.yes}",)

    def encode(self, cell: str) -> tuple[float, ...]:
        """The part of the vector that a cell gives."""
        if not cell:
            return (0.5,)
        word = cell.casefold()
        if word not in (self.no.casefold(), self.yes.casefold()):
            raise ValueError(f"'{cell}' is neither '{self.no}' nor '{self.yes}'; mend it")
        return (float(word == self.yes.casefold()),)


@dataclass(frozen=True)
class CategoryColumn:
    """One of many words, one-hot.

    The index 0 is that of unknown ones, of empty cells and of words that were not in the training
    rows; its one-hot is a row of zeros, as the lecture has it.

    Attributes:
        name: of the column.
        categories: the words with the indices from 1, by frequency and then by the alphabet.
    """

    name: str
    categories: tuple[str, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each number of the vector is."""
        return tuple(f"{self.name}={word}" for word in self.categories)

    def encode(self, cell: str) -> tuple[float, ...]:
        """The part of the vector that a cell gives."""
        return tuple(float(cell == word) for word in self.categories)


Column = NumberColumn | YesNoColumn | CategoryColumn
_KINDS: dict[str, type] = {NUMBER: NumberColumn, YES_NO: YesNoColumn, CATEGORY: CategoryColumn}


@dataclass(frozen=True)
class TableEncoder:
    """Turns rows of tables into vectors, by what the training rows had.

    Attributes:
        columns: in the order of their parts of the vector.
    """

    columns: tuple[Column, ...]

    @classmethod
    def build(
        cls, table: CsvTable, names: Sequence[str], rows: Sequence[int] | None = None
    ) -> "TableEncoder":
        """Finds out what the columns of a table are, and their scale.

        A column is of numbers when all of its cells are, "yes-no" when it has two different words
        (the one that comes later in the alphabet is 1, but yes, true, y, t, on and 1 are so too),
        and else of categories, the 1,000 most frequent at most. Empty cells do not count.

        Args:
            table: that has the columns.
            names: of the columns; `NAME:number`, `NAME:yes-no` or `NAME:category` say what one is.
            rows: to look at, those that are trained on; all by default.

        Raises:
            DataError: there is no such column, all of its cells are empty, or they are not what is
                said.
        """
        columns = []
        for spelled in names:
            name, kind = _parted(spelled, table)
            cells = table.column(name)
            chosen = range(len(table)) if rows is None else rows
            column = _column(table, name, kind, [(row, cells[row]) for row in chosen if cells[row]])
            columns.append(column)
        return cls(tuple(columns))

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each number of the vector is."""
        return tuple(name for column in self.columns for name in column.outputs)

    def encode(self, table: CsvTable) -> np.ndarray:
        """The vectors of all rows.

        Args:
            table: that has the columns.

        Returns:
            float32 `(N, D)`.

        Raises:
            DataError: a column is not there, or a cell is not what its column was.
        """
        vectors = np.zeros((len(table), len(self.outputs)), np.float32)
        place = 0
        for column in self.columns:
            width = len(column.outputs)
            for row, cell in enumerate(table.column(column.name)):
                try:
                    vectors[row, place : place + width] = column.encode(cell)
                except ValueError as error:
                    raise DataError(
                        f"{table.where(row)}, column '{column.name}': {error}"
                    ) from None
            place += width
        return vectors

    def unknown(self, count: int) -> np.ndarray:
        """The vectors of rows of which nothing is known.

        Args:
            count: N, of the rows.

        Returns:
            float32 `(N, D)`.

        Example:

        >>> columns = NumberColumn("age", 40.0, 10.0), YesNoColumn("paid", "no", "yes")
        >>> TableEncoder(columns).unknown(1).tolist()
        [[0.0, 0.5]]
        """
        row = [number for column in self.columns for number in column.encode("")]
        return np.tile(np.array(row, np.float32), (count, 1))

    def to_json(self) -> list[dict[str, Any]]:
        """The encoder as plain JSON types."""
        kinds = {of_kind: kind for kind, of_kind in _KINDS.items()}
        return [{"kind": kinds[type(column)], **vars(column)} for column in self.columns]

    @classmethod
    def from_json(cls, values: Sequence[Mapping[str, Any]]) -> "TableEncoder":
        """What `to_json` gave.

        >>> encoder = TableEncoder((NumberColumn("age", 40.0, 10.0),))
        >>> TableEncoder.from_json(encoder.to_json()) == encoder
        True
        """
        columns = []
        for value in values:
            fields = {key: tuple(one) if isinstance(one, list) else one
                      for key, one in value.items() if key != "kind"}  # fmt: skip
            columns.append(_KINDS[value["kind"]](**fields))
        return cls(tuple(columns))


def _parted(spelled: str, table: CsvTable) -> tuple[str, str | None]:
    """The name of a column and its kind, where one is said."""
    name, _, kind = spelled.rpartition(":")
    if spelled in table.columns or kind not in COLUMN_KINDS:
        return spelled, None
    return name, kind


def _column(
    table: CsvTable, name: str, kind: str | None, cells: Sequence[tuple[int, str]]
) -> Column:
    if not cells:
        raise DataError(f"{table.path}: the column '{name}' is empty; leave it out")
    words = Counter(cell for _, cell in cells)
    folded = sorted({cell.casefold() for cell in words})
    numbers = [_number(cell) for _, cell in cells]
    is_number = None not in numbers
    if kind is None and folded in (["0", "1"], ["0"], ["1"]):
        kind = YES_NO
    elif kind is None:
        kind = NUMBER if is_number else YES_NO if len(folded) == 2 else CATEGORY
    if kind == NUMBER:
        if not is_number:
            row, cell = cells[numbers.index(None)]
            raise DataError(f"{table.where(row)}, column '{name}': '{cell}' is no number; mend it")
        deviation = float(np.std(numbers))
        return NumberColumn(name, float(np.mean(numbers)), deviation or 1.0)
    if kind == YES_NO:
        return YesNoColumn(name, *_no_and_yes(table, name, folded))
    frequent = sorted(words, key=lambda word: (-words[word], word))
    return CategoryColumn(name, tuple(frequent[:_MOST_CATEGORIES]))


def _no_and_yes(table: CsvTable, name: str, folded: Sequence[str]) -> tuple[str, str]:
    pairs = tuple(zip(_NO, _YES, strict=True))
    for no, yes in pairs:
        if set(folded) <= {no, yes}:
            return no, yes
    if len(folded) != 2:
        raise DataError(
            f"{table.path}: the column '{name}' has {len(folded)} different words, but yes-no has "
            f"two; call it {name}:category"
        )
    return folded[0], folded[1]


def _number(text: str) -> float | None:
    """The number that is written, if one is.

    >>> [_number(text) for text in ("3.5", "-2", "nan", "1e300", "1,5", "")]
    [3.5, -2.0, None, None, None, None]
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < _LARGEST else None
