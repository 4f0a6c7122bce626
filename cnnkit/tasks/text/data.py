"""Texts with labels to train a classifier on, from a CSV file: found, parted and checked."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnkit.data._csv_table import CsvTable, read_csv_table
from cnnkit.data._splits import SPLIT_NAMES, draw_key, sorted_classes
from cnnkit.errors import DataError, UsageError
from cnnkit.tasks.text.files import TextFile
from cnnkit.tasks.text.settings import EvaluateSettings

SPLIT_COLUMN = "split"
# Of the largest class to the smallest, from which on a report speaks of it.
_UNEVEN = 3.0
_SHOWN = 12


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """Texts with a class each, and what else stands in their rows.

    Attributes:
        table: that they are from.
        texts: of its N rows.
        classes: names, sorted; a label is an index into them.
        labels: `(N,)` int64.
        splits: "train", "val" and, where the file has it, "test" -> `(n,)` int64, their rows.
    """

    table: CsvTable
    texts: tuple[str, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    splits: dict[str, np.ndarray]

    def select(self, split: str | None) -> tuple[str, np.ndarray]:
        """A part of the texts to evaluate on.

        Args:
            split: "train", "val", "test" or "all"; None for test where there are some, else val,
                else all.

        Returns:
            Its name, and its rows.

        Raises:
            UsageError: there is no such part.
        """
        parts = {name: rows for name, rows in self.splits.items() if len(rows)}
        name = split or next((name for name in ("test", "val") if name in parts), "all")
        if name == "all":
            return name, np.arange(len(self.texts))
        if name not in parts:
            raise UsageError(
                f"{self.table.path} has no part named {name}: --split can be "
                f"{', '.join([*parts, 'all'])}"
            )
        return name, parts[name]

    def mistakes(self, rows: Sequence[int], probabilities: np.ndarray) -> str:
        """Texts that are called wrong as a CSV for people.

        Args:
            rows: of N texts.
            probabilities: `(N, classes)`.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["text", "label", "predicted", "probability", "line"])
        for row, found in zip(rows, probabilities, strict=True):
            called = int(found.argmax())
            label, predicted = self.classes[self.labels[row]], self.classes[called]
            writer.writerow(
                [self.texts[row], label, predicted, f"{found[called]:.4f}", self.table.lines[row]]
            )
        return out.getvalue()

    def notes(self) -> list[str]:
        """What the user should know of the texts, a line each."""
        lines = []
        empty = sum(not any(map(str.isalnum, text)) for text in self.texts)
        if empty:
            lines.append(f"{empty} of {len(self.texts)} texts have no words")
        known: dict[str, set[str]] = {}
        for name, rows in self.splits.items():
            for row in rows:
                known.setdefault(self.texts[row], set()).add(name)
        both = sum(len(names) > 1 for names in known.values())
        if both:
            lines.append(f"{both} texts are in more than one split; the figures flatter")
        train = self.splits["train"]
        of_text: dict[str, set[int]] = {}
        for row in train:
            of_text.setdefault(self.texts[row], set()).add(int(self.labels[row]))
        contrary = sum(len(labels) > 1 for labels in of_text.values())
        if contrary:
            lines.append(f"{contrary} texts are there with different labels")
        counts = np.bincount(self.labels[train], minlength=len(self.classes))
        if counts.max() > _UNEVEN * counts.min():
            most, least = int(counts.argmax()), int(counts.argmin())
            lines.append(
                f"uneven classes: {counts[most]} of '{self.classes[most]}', {counts[least]} of "
                f"'{self.classes[least]}'; --class-weights lets them count the same"
            )
        return lines


def read_labelled_texts(
    path: str | Path,
    *,
    text_column: str = "text",
    label_column: str = "label",
    val_share: float = 0.15,
    seed: int = 0,
    classes: Sequence[str] | None = None,
) -> LabelledTexts:
    """Reads texts and their labels, and keeps some for validation.

    Rows that a column `split` calls train, val or test are taken for that. Where none is for
    validation, a share of each class is, drawn by a hash of `seed` and the text: a text that is
    there twice is not in both parts, and rows that are added later move hardly any others.

    Args:
        path: of the CSV; see `read_csv_table`.
        text_column: name of the column with the texts.
        label_column: name of that with the labels.
        val_share: of each class, at least one of a class that has two different texts; 0 for none.
        seed: of the draw.
        classes: those that there are; the labels of the rows for training by default.

    Raises:
        DataError: it cannot be read, has no such column, a row without a label, fewer than two
            labels, or one that is not among those to train on.
    """
    table = read_csv_table(path)
    texts, names = table.column(text_column), table.column(label_column)
    for row, name in enumerate(names):
        if not name:
            raise DataError(
                f"{table.where(row)}: the label is missing; fill '{label_column}', or take the "
                "row out"
            )
    parts = _splits_of(table)
    train = [row for row, part in enumerate(parts) if part == "train"]
    if classes is None:
        classes = sorted_classes({names[row] for row in train})
        if len(classes) < 2:
            found = f"only the label '{classes[0]}'" if classes else "no rows"
            raise DataError(
                f"{path} has {found} to train on in '{label_column}'; "
                "a classifier needs two or more"
            )
    places = {name: place for place, name in enumerate(classes)}
    for row, name in enumerate(names):
        if name not in places:
            known = ", ".join(f"'{one}'" for one in classes[:_SHOWN])
            more = ", ..." if len(classes) > _SHOWN else ""
            raise DataError(
                f"{table.where(row)}: the label '{name}' is none of those that are trained on "
                f"({known}{more}); mend it, or take the row out"
            )
    labels = np.array([places[name] for name in names], np.int64)
    splits = {
        name: [row for row, part in enumerate(parts) if part == name]
        for name in ("train", "val", "test")
        if name != "test" or name in parts
    }
    if not splits["val"] and val_share:
        chosen = _drawn(texts, labels, splits["train"], val_share, seed)
        splits["val"] = [row for row in splits["train"] if row in chosen]
        splits["train"] = [row for row in splits["train"] if row not in chosen]
    rows = {name: np.array(part, np.int64) for name, part in splits.items()}
    return LabelledTexts(table, texts, tuple(classes), labels, rows)


def read_known_texts(data: str | Path, file: TextFile, settings: EvaluateSettings) -> LabelledTexts:
    """Texts with the labels that a classifier knows.

    Raises:
        DataError: the data cannot be read, or have a class that the classifier does not know.
    """
    texts = read_labelled_texts(
        data,
        text_column=settings.text_column or file.text_column,
        label_column=settings.label_column or file.label_column,
        val_share=0.0,
        classes=file.classes,
    )
    # What is wrong with other columns is said before Keras is imported.
    file.encoder.encode(texts.table)
    return texts


def _splits_of(table: CsvTable) -> list[str]:
    """The split of each row."""
    if SPLIT_COLUMN not in [name.lower() for name in table.columns]:
        return ["train"] * len(table)
    parts = []
    for row, cell in enumerate(table.column(SPLIT_COLUMN)):
        if (cell or "train").lower() not in SPLIT_NAMES:
            raise DataError(
                f"{table.where(row)}: the split must be train, val or test, not '{cell}'"
            )
        parts.append(SPLIT_NAMES[(cell or "train").lower()])
    return parts


def _drawn(
    texts: Sequence[str], labels: np.ndarray, train: Sequence[int], share: float, seed: int
) -> set[int]:
    """Rows to validate with; all rows of a text, or none."""
    chosen: set[int] = set()
    for label in np.unique(labels[train]):
        own = [row for row in train if labels[row] == label]
        counts = Counter(texts[row] for row in own)
        wanted = min(max(1, round(share * len(own))), len(own) - 1)
        taken: set[str] = set()
        found = 0
        for text in sorted(counts, key=lambda text: draw_key(seed, text)):
            # The last text stays, so that the class can be learned.
            if found >= wanted or found + counts[text] >= len(own):
                break
            taken.add(text)
            found += counts[text]
        chosen |= {row for row in own if texts[row] in taken}
    return chosen
