"""CSV files as a heading and rows of cells."""

import csv
import difflib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cnnkit.errors import DataError

# Names that a column of files goes by.
FILE_COLUMNS = ("file", "path", "filename", "image")


@dataclass(frozen=True, eq=False)
class CsvTable:
    """The cells of a CSV file.

    Attributes:
        path: of the file.
        columns: their names, all different.
        rows: cells without the space around them, as many as columns in each row.
        lines: the line of the file at which each row ends.
    """

    path: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> tuple[str, ...]:
        """The cells of a column, each accent written in the same way.

        Args:
            name: of the column; where none is written so, one that differs in case alone.

        Raises:
            DataError: there is no such column.
        """
        return tuple(map(_composed, self.written(name)))

    def written(self, name: str) -> tuple[str, ...]:
        """The cells of a column letter by letter as they stand there, as names of files must be.

        Raises:
            DataError: there is no such column.
        """
        place = self._place(name)
        return tuple(row[place] for row in self.rows)

    def first_of(self, names: Iterable[str]) -> str | None:
        """The first of several names that is a column, whatever its case; None without any."""
        folded = {column.casefold(): column for column in reversed(self.columns)}
        return next((folded[name] for name in names if name in folded), None)

    def required(self, known: Mapping[str, Sequence[str]]) -> list[str]:
        """The columns that a file must have.

        Args:
            known: what each is called in messages -> all names that it goes by.

        Raises:
            DataError: one of them is missing.
        """
        found = [self.first_of(names) for names in known.values()]
        columns = [name for name in found if name is not None]
        if len(columns) < len(found):
            wanted = " and ".join(f"'{name}'" for name in known)
            raise DataError(
                f"{self.path}: its first line must name the columns {wanted}, "
                f"not '{', '.join(self.columns)}'"
            )
        return columns

    def select(self, rows: Iterable[int]) -> "CsvTable":
        """Some of the rows, in the order given."""
        chosen = list(rows)
        return replace(
            self,
            rows=tuple(self.rows[row] for row in chosen),
            lines=tuple(self.lines[row] for row in chosen),
        )

    def where(self, row: int) -> str:
        """The file and the line of a row, for messages."""
        return f"{self.path}, line {self.lines[row]}"

    def _place(self, name: str) -> int:
        if name in self.columns:
            return self.columns.index(name)
        folded = [column.casefold() for column in self.columns]
        if folded.count(name.casefold()) == 1:
            return folded.index(name.casefold())
        nearest = difflib.get_close_matches(name, self.columns, n=1, cutoff=0.6)
        meant = f"did you mean '{nearest[0]}'?" if nearest else f"it has {_listed(self.columns)}"
        raise DataError(f"{self.path} has no column '{name}'; {meant}")


def read_csv_table(path: str | Path, *, short_rows: bool = False) -> CsvTable:
    """Reads a CSV file whose first line names the columns.

    Cells are parted by commas, semicolons or tabs, whichever the heading has most of. Empty lines
    are passed over.

    Args:
        path: of the file, in UTF-8.
        short_rows: whether the last cells of a row may be missing; they are empty then.

    Raises:
        DataError: it cannot be read, is empty, has no rows, names a column twice, or has a row
            with more or fewer cells than columns.
    """
    try:
        # "-sig": spreadsheets begin their files with a byte order mark.
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            delimiter = max(",;\t", key=heading.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            columns = tuple(_composed(cell.strip()) for cell in next(reader, ()))
            _check_columns(path, columns)
            rows, lines = [], []
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if short_rows:
                    row += [""] * (len(columns) - len(row))
                if len(row) != len(columns):
                    raise DataError(
                        f"{path}, line {reader.line_num}: {len(row)} cells, but the heading has "
                        f"{len(columns)}; put cells with '{_shown(delimiter)}' into quotes"
                    )
                if any("\0" in cell for cell in row):
                    raise DataError(
                        f"{path}, line {reader.line_num} has a NUL character; save it as CSV in "
                        "UTF-8"
                    )
                rows.append(tuple(cell.strip() for cell in row))
                lines.append(reader.line_num)
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a UTF-8 text file; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: this is not CSV that can be read ({error})"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if not rows:
        raise DataError(f"{path} has a heading, but no rows; add some")
    return CsvTable(str(path), columns, tuple(rows), tuple(lines))


def _check_columns(path: str | Path, columns: tuple[str, ...]) -> None:
    if not any(columns):
        raise DataError(f"{path} is empty; its first line must name the columns")
    name, count = Counter(columns).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path} names the column '{name}' {count} times; give each its own name")


def _composed(cell: str) -> str:
    # Systems write the same accented letter in two ways.
    return unicodedata.normalize("NFC", cell)


def _shown(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else delimiter


def _listed(columns: tuple[str, ...], most: int = 12) -> str:
    more = f" and {len(columns) - most} more" if len(columns) > most else ""
    return ", ".join(f"'{name}'" for name in columns[:most]) + more
