"""Labelled pairs of pictures: same person or not. From LFW's lists, a table, or folders."""

import csv
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnkit.data._places import below, is_file
from cnnkit.errors import DataError
from cnnkit.images import READABLE_SUFFIXES

_YES, _NO = ("1", "true", "yes", "same"), ("0", "false", "no", "different")


@dataclass(frozen=True)
class Pair:
    """Two pictures, whether they show the same person, and the fold they belong to, from 0."""

    first: Path
    second: Path
    same: bool
    fold: int = 0


def read_pairs(path: str | os.PathLike, root: str | os.PathLike | None = None) -> list[Pair]:
    """Reads labelled pairs: a table when the name ends in ".csv", else a list of LFW.

    Args:
        path: of the file.
        root: folder of the pictures; the file's own folder by default.

    Returns:
        Pairs in the order of the file; their paths begin with `root`.

    Raises:
        DataError: as `read_lfw_pairs` and `read_table`.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    return (read_table if path.suffix.lower() == ".csv" else read_lfw_pairs)(path, root)


def read_lfw_pairs(path: str | os.PathLike, root: str | os.PathLike) -> list[Pair]:
    """Reads a list of pairs of Labeled Faces in the Wild.

    The first line has the number n of same pairs, which as many different ones follow
    (`pairsDevTrain.txt`, `pairsDevTest.txt`), or the number of folds and n, and each fold has n
    same pairs and then n different ones (`pairs.txt`). A same pair is "NAME i j", a different pair
    "NAME i OTHER j", set apart by tabs. The picture lies at `root/NAME/NAME_0001.jpg`.

    Args:
        path: of the list.
        root: folder of the people's folders.

    Returns:
        Pairs in the order of the file.

    Raises:
        DataError: the list cannot be read, has a wrong line or too few or many, or a picture is not
            there. The message has the line's number.
    """
    path, root = Path(path), Path(root)
    lines = [line.split("\t" if "\t" in line else None) for line in _read_lines(path)]
    header = lines[0] if lines else []
    if len(header) not in (1, 2) or not all(map(_is_number, header)):
        raise DataError(
            f"{path}, line 1: expected the number of pairs, or of folds and pairs, as LFW has it"
        )
    folds, count = (1, int(header[0])) if len(header) == 1 else map(int, header)
    while lines[-1] == []:
        lines.pop()
    if len(lines) != 1 + 2 * folds * count:
        raise DataError(
            f"{path}: expected {2 * folds * count} pairs, as its first line says; "
            f"it has {len(lines) - 1}"
        )
    pairs = []
    for at, fields in enumerate(lines[1:]):
        same = at // count % 2 == 0
        if not _is_lfw_line(fields, same):
            form = "NAME i j, a same pair" if same else "NAME i OTHER j, a different pair"
            raise DataError(f"{path}, line {at + 2}: expected {form}. Received: {' '.join(fields)}")
        first, i = fields[:2]
        second, j = (first, fields[2]) if same else fields[2:]
        try:
            pictures = _lfw_picture(root, first, int(i)), _lfw_picture(root, second, int(j))
        except FileNotFoundError as error:
            raise DataError(f"{path}, line {at + 2}: {error}; check the folder") from None
        pairs.append(Pair(*pictures, same, at // (2 * count)))
    return pairs


def read_table(path: str | os.PathLike, root: str | os.PathLike | None = None) -> list[Pair]:
    """Reads pairs from a table with the columns `a`, `b`, `same` and, if wanted, `fold`.

    Args:
        path: of a CSV file in UTF-8 with those names in its first line. `same` is 1 or 0, true or
            false, yes or no; `fold` is an integer.
        root: folder that the paths of `a` and `b` start from; the table's own folder by default.

    Returns:
        Pairs in the order of the file.

    Raises:
        DataError: the table cannot be read, lacks a column, has a wrong line, or a picture is not
            there. The message has the line's number.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    reader = csv.DictReader(_read_lines(path), skipinitialspace=True)
    columns = [(name or "").strip() for name in reader.fieldnames or ()]
    if not {"a", "b", "same"} <= set(columns):
        raise DataError(f"{path}, line 1: expected the columns a, b, same. Received: {columns}")
    reader.fieldnames = columns
    pairs = []
    try:
        for row in reader:
            pairs.append(_table_pair(row, root))
    except (csv.Error, ValueError, FileNotFoundError) as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    if not pairs:
        raise DataError(f"{path} has no pairs in it")
    return pairs


def pairs_from_folders(
    root: str | os.PathLike,
    *,
    limit: int | None = None,
    balanced: bool = True,
    seed: int = 0,
) -> list[Pair]:
    """Makes pairs of the pictures in a folder that has one folder for each person.

    Same pairs are taken from all people in turn, so that nobody with many pictures outweighs the
    others; different pairs are drawn evenly from all of them. None comes twice.

    Args:
        root: folder of the people's folders; hidden files and other files are left out.
        limit: number of pairs at most, half of them same; None for all.
        balanced: as many different pairs as same ones, not all of them.
        seed: of the draw.

    Returns:
        Same pairs, then different pairs.

    Raises:
        DataError: there is no such folder, nobody has two pictures, or there is only one person.
        ValueError: a limit below 2.
    """
    if limit is not None and limit < 2:
        raise ValueError(f"expected a limit of at least 2. Received: {limit}")
    root = Path(root)
    people = list(_people(root))
    rng = np.random.default_rng(seed)
    same = _same_pairs(people, None if limit is None else (limit + 1) // 2, rng)
    if len(people) < 2 or not same:
        raise DataError(
            f"{root} has no pairs to compare: it needs a folder for each of two people or more, "
            "one of them with two pictures"
        )
    sizes = np.array([len(pictures) for pictures in people])
    total = int(sizes.sum())
    available = (total**2 - int((sizes**2).sum())) // 2
    wanted = len(same) if balanced else available
    if limit is not None:
        wanted = min(wanted, limit // 2)
    different = _different_pairs(people, min(wanted, available), available, rng)
    return [Pair(*pair, True) for pair in same] + [Pair(*pair, False) for pair in different]


def _people(root: Path) -> Iterator[list[Path]]:
    """The pictures of each person, both sorted by name."""
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        for folder in folders:
            pictures = sorted(
                path
                for path in folder.iterdir()
                if path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".")
            )
            if pictures and not folder.name.startswith("."):
                yield pictures
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror or error}") from None


def _same_pairs(
    people: Sequence[Sequence[Path]], most: int | None, rng: np.random.Generator
) -> list[tuple[Path, Path]]:
    """At most so many pairs in random order, one of every person in each round."""
    turns = []
    for pictures in people:
        total = len(pictures) * (len(pictures) - 1) // 2
        ranks = rng.choice(total, total if most is None else min(most, total), replace=False)
        turns.append([_unranked(pictures, rank) for rank in ranks.tolist()])
    rounds = itertools.zip_longest(*(turns[i] for i in rng.permutation(len(turns))))
    pairs = (pair for turn in rounds for pair in turn if pair is not None)
    return list(itertools.islice(pairs, most))


def _unranked(pictures: Sequence[Path], rank: int) -> tuple[Path, Path]:
    """The pair of that rank among (0, 1), (0, 2), (1, 2), (0, 3), ..."""
    j = (1 + math.isqrt(8 * rank + 1)) // 2
    return pictures[rank - j * (j - 1) // 2], pictures[j]


def _different_pairs(
    people: Sequence[Sequence[Path]], wanted: int, available: int, rng: np.random.Generator
) -> list[tuple[Path, Path]]:
    pictures = [picture for person in people for picture in person]
    owners = np.repeat(np.arange(len(people)), [len(person) for person in people])
    if 2 * wanted > available:
        every = [
            pair for a, b in itertools.combinations(people, 2) for pair in itertools.product(a, b)
        ]
        return [every[i] for i in rng.permutation(available)[:wanted]]
    # Fewer than half of all: drawn pairs that are wrong or had before are rare enough.
    chosen: dict[tuple[int, int], None] = {}
    while len(chosen) < wanted:
        for i, j in np.sort(rng.integers(len(pictures), size=(wanted, 2)), axis=1).tolist():
            if owners[i] != owners[j] and len(chosen) < wanted:
                chosen[i, j] = None
    return [(pictures[i], pictures[j]) for i, j in chosen]


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a UTF-8 text file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def _is_lfw_line(fields: Sequence[str], same: bool) -> bool:
    numbers = fields[1:3] if same else fields[1::2]
    return len(fields) == (3 if same else 4) and all(map(_is_number, numbers))


def _lfw_picture(root: Path, name: str, number: int) -> Path:
    stem = root / name / f"{name}_{number:04d}"
    for suffix in (".jpg", ".png"):
        if is_file(picture := Path(f"{stem}{suffix}")):
            return picture
    raise FileNotFoundError(f"there is no {name}/{name}_{number:04d}.jpg in {root}")


def _table_pair(row: dict[str, str | None], root: Path) -> Pair:
    values = {name: (row.get(name) or "").strip() for name in ("a", "b", "same", "fold")}
    word = values["same"].casefold()
    if word not in (*_YES, *_NO):
        raise ValueError(f"expected same to be 1 or 0. Received: {values['same']!r}")
    pictures = []
    for name in ("a", "b"):
        picture = below(root, values[name])
        if not values[name] or not is_file(picture):
            raise FileNotFoundError(f"there is no picture {values[name]!r} in {root}")
        pictures.append(picture)
    fold = values["fold"] or "0"
    if not (fold.isascii() and fold.isdigit()):
        raise ValueError(f"expected fold to be a number. Received: {fold!r}")
    return Pair(*pictures, word in _YES, int(fold))
