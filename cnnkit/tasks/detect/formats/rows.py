"""Boxes as annotation files have them, and pixels made parts of the upright picture."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cnnkit.data._places import relative
from cnnkit.data._splits import split_of
from cnnkit.data._values import counted
from cnnkit.images import header_frame
from cnnkit.runtime import reader_count

NO_AREA = float("nan")
# Pixels that a box may reach over a frame that it is taken to be of.
_ROUNDING = 1.5
# Difference of two aspect ratios that are taken for one: sizes are rounded.
_SAME_SHAPE = 0.02


@dataclass
class RawSplits:
    """What annotation files say.

    Attributes:
        classes: names.
        splits: split -> pictures, each a path and float64 `(n, 8)` rows of class, left, top, right,
            bottom (parts of the picture), weight, 1 for what is to be ignored, and the area of the
            outline, NaN where there is none.
        problems: files and what is wrong with an annotation in them that was left out.
        notes: sentences about what was read otherwise than it stands there.
        left_out: files that were not read, and why.
        read: files that were read.
        incomplete: pictures of which an annotation was left out.
    """

    classes: list[str]
    splits: dict[str, list[tuple[str, np.ndarray]]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    incomplete: set[str] = field(default_factory=set)


@dataclass
class PixelBoxes:
    """A picture and its boxes in pixels.

    Attributes:
        path: of the picture.
        size: width and height that the annotation names; None where it names none.
        rows: class, left, top, right, bottom, weight, 1 for what is to be ignored, area or NaN.
    """

    path: str
    size: tuple[float, float] | None
    rows: list[list[float]] = field(default_factory=list)

    def reaches(self) -> tuple[float, float]:
        """The right and the lower end of all boxes, 1 pixel at least."""
        ends = [(row[3], row[4]) for row in self.rows if np.isfinite(row[1:5]).all()]
        if not ends:
            return 1, 1
        return max(1.0, *(end[0] for end in ends)), max(1.0, *(end[1] for end in ends))


def rows_of(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Rows as an array `(n, 8)`, also where there are none."""
    return np.array(rows, np.float64).reshape(-1, 8)


def to_parts(pictures: Sequence[PixelBoxes], notes: list[str]) -> list[tuple[str, np.ndarray]]:
    """Boxes in pixels as parts of the upright pictures.

    A camera stores a photograph as its sensor lies, and its EXIF orientation says how to turn it.
    Some annotation tools ignore that; others turn the picture but write down the size from before.
    Which is meant is decided for all pictures of a data set together: by the frame into which all
    boxes fit, or where they fit into both, by the size that is written.

    Args:
        pictures: with their boxes.
        notes: takes sentences about sizes that are not those of the pictures.

    Returns:
        Paths and rows, in the same order; the boxes are parts of width and height.
    """
    with ThreadPoolExecutor(reader_count()) as pool:
        frames = list(pool.map(header_frame, [one.path for one in pictures]))
    # The written size is that of the stored picture, and another than that of the upright one.
    unturned = [
        frame is not None and frame[2] >= 5 and one.size == (frame[1], frame[0])
        for one, frame in zip(pictures, frames, strict=True)
    ]
    are_stored = True
    for one, frame, is_unturned in zip(pictures, frames, unturned, strict=True):
        if frame and is_unturned and not _fits(one, (frame[1], frame[0])) and _fits(one, frame[:2]):
            are_stored = False
    counts: Counter[str] = Counter()
    firsts: dict[str, str] = {}
    found = []
    for one, frame, is_unturned in zip(pictures, frames, unturned, strict=True):
        # A picture that cannot be read has no size, and the check names it, whatever its boxes.
        width, height = size = one.size or one.reaches()
        orientation, remark = 1, ""
        if frame is not None:
            turned = frame[2] >= 5
            upright = (frame[0], frame[1]) if turned else (frame[1], frame[0])
            if one.size is None or (is_unturned and not are_stored):
                width, height = upright
            elif is_unturned:
                orientation = frame[2]
            elif size != upright:
                width, height, remark = _reconciled(one, size, upright)
            if is_unturned:
                remark = (
                    "is annotated as it is stored, before its EXIF turn: boxes were turned with it"
                    if are_stored
                    else "is annotated upright, with its size from before the EXIF turn"
                )
        if remark:
            counts[remark] += 1
            firsts.setdefault(remark, one.path)
        rows = rows_of(one.rows)
        rows[:, 1:5] /= (width, height, width, height)
        rows[:, 7] /= width * height
        rows[:, 1:5] = _turned_boxes(rows[:, 1:5], orientation)
        found.append((one.path, rows))
    for remark, count in counts.items():
        more = f", and {count - 1} more pictures" if count > 1 else ""
        notes.append(f"{firsts[remark]} {remark}{more}")
    return found


def _fits(one: PixelBoxes, size: tuple[float, float]) -> bool:
    right, bottom = one.reaches()
    return right <= size[0] + _ROUNDING and bottom <= size[1] + _ROUNDING


def _reconciled(
    one: PixelBoxes, size: tuple[float, float], upright: tuple[float, float]
) -> tuple[float, float, str]:
    """The frame of boxes where another size is written than the picture has, and a remark."""
    (width, height), (true_width, true_height) = size, upright
    if abs(width / height * true_height / true_width - 1) <= _SAME_SHAPE:
        # Made smaller or larger after it was annotated.
        return width, height, ""
    is_swapped = size == upright[::-1]
    if _fits(one, upright) and (is_swapped or not _fits(one, size)):
        remark = "has another size than its annotation says, which was not used"
        return true_width, true_height, remark
    return width, height, "has another size than its annotation says; check its boxes"


def _turned_boxes(boxes_xyxy: np.ndarray, orientation: int) -> np.ndarray:
    """Boxes of a stored picture as boxes of the upright one, for orientations 5 to 8, else as is.

    >>> _turned_boxes(np.array([[0.0, 0.0, 0.25, 0.5]]), 6).tolist()
    [[0.5, 0.0, 1.0, 0.25]]
    """
    left, top, right, bottom = boxes_xyxy.T
    turned = {
        5: (top, left, bottom, right),
        6: (1 - bottom, left, 1 - top, right),
        7: (1 - bottom, 1 - right, 1 - top, 1 - left),
        8: (top, 1 - right, bottom, 1 - left),
    }
    return np.stack(turned.get(orientation, (left, top, right, bottom)), axis=1)


def by_folders(
    paths: Sequence[Path], root: Path, noun: str, raw: RawSplits
) -> defaultdict[str, list[Path]]:
    """Files by the splits that the folders around them are named after.

    Those in no such folder are to train on, or are left out where others are.

    Args:
        paths: of the files.
        root: folder of the data.
        noun: what they are, for people.
        raw: gets a sentence about what is left out.
    """
    found: defaultdict[str, list[Path]] = defaultdict(list)
    outside: list[Path] = []
    for path in paths:
        folders = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
        split = next((one for name in folders if (one := split_of(name))), None)
        (found[split] if split else outside).append(path)
    if outside and "train" in found:
        raw.left_out.append(
            f"{counted(len(outside), noun)} in no folder of a split, such as "
            f"{relative(outside[0], root)}"
        )
    elif outside:
        found["train"] = outside
    return found
