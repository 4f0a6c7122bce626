"""Lists of the classes of masks, as several tools write them."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnkit.data._places import relative
from cnnkit.data._splits import split_of
from cnnkit.data._values import read_lines, read_text
from cnnkit.errors import DataError

# labelme, CVAT, CamVid, fastai and Roboflow.
LIST_NAMES = (
    *("classes.txt", "class_names.txt", "labels.txt", "labelmap.txt", "label_colors.txt"),
    *("codes.txt", "names.txt", "classes.csv", "_classes.csv", "class_dict.csv", "labels.csv"),
)
# Texts at the top of a folder that are no lists of classes.
_SUFFIXES, _OTHER_SUFFIXES = (".txt", ".csv", ".names"), (".json", ".yaml", ".yml")
_DOCUMENTS = (".", "readme", "license", "licence", "trainval.", "default.")


def find_class_list(
    folder: Path, places: Iterable[Path], has_default: bool
) -> tuple[Path, list[str]] | None:
    """The list of classes of some data, as lines for `parse_classes`.

    Args:
        folder: that the user named.
        places: it, and other folders in which a list may lie, the likeliest first.
        has_default: whether there are other names to be taken without a list, so that one that is
            not recognised would do harm.

    Raises:
        DataError: there are several lists that differ, or one that is of no known form.
    """
    found: list[tuple[Path, list[str]]] = []
    unknown = []
    suffixes = (*_SUFFIXES, *_OTHER_SUFFIXES) if has_default else _SUFFIXES
    for place in dict.fromkeys(places):
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            name = path.name.lower()
            if name in LIST_NAMES and path.is_file():
                found.append((path, class_lines(path)))
            elif place == folder and name.endswith(suffixes) and not _is_document(path):
                unknown.append(path)
        if found:
            break
    if len({tuple(lines) for _, lines in found}) > 1:
        first, second = (relative(path, folder) for path, _ in found[:2])
        raise DataError(f"{folder}: {first} and {second} differ; leave the one that is meant")
    if not found and unknown:
        raise DataError(
            f"{unknown[0]} is not read as a list of classes by that name; call it classes.txt, "
            "with a class a line: '0 sky' or, for colour masks, '128 128 128 sky'; or take it out"
        )
    return found[0] if found else None


def _is_document(path: Path) -> bool:
    return path.name.lower().startswith(_DOCUMENTS) or split_of(path.stem) is not None


def class_lines(path: Path) -> list[str]:
    """The lines of a list of classes as `name`, `value name` or `red green blue name`."""
    if path.suffix.lower() == ".csv":
        return _csv_lines(path)
    lines = [line for line in read_lines(path) if line]
    if path.name.lower() == "labelmap.txt" or all(map(_CVAT.match, _without_comments(lines))):
        return _cvat_lines(path, _without_comments(lines))
    # "0: sky" and "0,sky" as "0 sky".
    return [re.sub(r"^(\d+)\s*[:,;=]\s*", r"\1 ", line) for line in lines]


_CVAT = re.compile(r"^([^:]+):(\d+),(\d+),(\d+):")


def _without_comments(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if not line.startswith("#")]


def _cvat_lines(path: Path, lines: Sequence[str]) -> list[str]:
    """CVAT's `name:red,green,blue:parts:actions`."""
    matches = [match for line in lines if (match := _CVAT.match(line))]
    if not matches or len(matches) < len(lines):
        raise DataError(f"{path} must have lines as CVAT writes them: 'sky:128,128,128::'")
    return [" ".join((*one.group(2, 3, 4), one.group(1).strip())) for one in matches]


def _csv_lines(path: Path) -> list[str]:
    """Rows with a name, and a value or red, green and blue, in whatever order."""
    lines = []
    try:
        rows = list(csv.reader(read_text(path).splitlines()))
    except csv.Error as error:
        raise DataError(f"{path} is not CSV that can be read ({error})") from None
    for row in rows:
        cells = [cell.strip() for cell in row if cell.strip()]
        numbers = [cell for cell in cells if cell.isascii() and cell.isdigit()]
        names = [cell for cell in cells if cell not in numbers]
        if len(names) == 1 and len(numbers) in (1, 3):
            lines.append(" ".join((*numbers, *names)))
        elif lines or numbers:
            raise DataError(f"{path}: a row must be a name and a value, or a name and a colour")
    if not lines:
        raise DataError(f"{path} has no row with a name and a value, or a name and a colour")
    return lines
