"""Folders of people: one folder for each, with their pictures, and lists of their names."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import DataError
from cnnkit.images import READABLE_SUFFIXES


def find_people(folders: Iterable[str | Path]) -> dict[str, list[Path]]:
    """The pictures of each person: folders with one folder per person, hidden ones left out.

    Args:
        folders: folders of same name in several of them are one person.

    Returns:
        name -> pictures, both sorted.

    Raises:
        DataError: a folder cannot be read, or there is no folder with pictures in any.
    """
    people: dict[str, list[Path]] = {}
    folders = [Path(folder) for folder in folders]
    for folder in folders:
        try:
            for person in sorted(path for path in folder.iterdir() if path.is_dir()):
                pictures = sorted(
                    path
                    for path in person.iterdir()
                    if path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".")
                )
                if pictures and not person.name.startswith("."):
                    people.setdefault(person.name, []).extend(pictures)
        except OSError as error:
            raise DataError(f"{folder} cannot be read: {error.strerror or error}") from None
    if not people:
        raise DataError(
            f"no folders of people in {', '.join(map(str, folders))}: "
            "each person needs a folder with their pictures"
        )
    return dict(sorted(people.items()))


def read_people(path: str | Path) -> list[str]:
    """Reads a list of names, one in a line; `NAME<tab>COUNT` as in LFW's lists is read too.

    Args:
        path: UTF-8 text. A first line that is only a number is the count of people.

    Raises:
        DataError: it cannot be read, or has no name in it.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a UTF-8 text file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    names = [line.split("\t")[0].strip() for line in lines]
    if names and names[0].isdigit():
        del names[0]
    names = [name for name in names if name]
    if not names:
        raise DataError(f"{path} has no names in it")
    return names


def split_people(
    people: Mapping[str, Sequence[Any]], share: float, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Parts people into some for training and some for validation.

    People with one picture are parted by themselves, so that both sides have their share of them;
    two people with more are kept for validation where there are four.

    Args:
        people: name -> pictures.
        share: of the people kept for validation.
        seed: of the draw.

    Returns:
        Names for training, names for validation, both sorted.
    """
    random = np.random.default_rng(seed)
    training, validation = [], []
    for least, names in (
        (2, sorted(name for name, pictures in people.items() if len(pictures) > 1)),
        (0, sorted(name for name, pictures in people.items() if len(pictures) == 1)),
    ):
        count = min(max(least, round(share * len(names))), len(names) // 2)
        drawn = [names[i] for i in random.permutation(len(names))]
        validation += drawn[:count]
        training += drawn[count:]
    return sorted(training), sorted(validation)
