"""Pictures with boxes: finds and reads annotations (YOLO, Pascal VOC, COCO), and checks them."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.data._values import counted, joined
from cnnkit.errors import DataError, ImageError, UsageError
from cnnkit.images import measure_image
from cnnkit.ops.boxes import areas
from cnnkit.runtime import reader_count
from cnnkit.tasks.detect.formats.layouts import BoxLayout, recognise_boxes
from cnnkit.tasks.detect.formats.rows import RawSplits

# Their numbers in COCO's files: 1 to 90, ten of which were never given.
COCO_IDS = tuple(
    number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
)
# Parts of a picture that a box may reach over the border unnoticed: annotations are rounded.
_SLACK = 0.005
_SHOWN = 5
# Decimal places, as parts of a picture, up to which two boxes are one.
_DIGITS = 7


@dataclass(frozen=True, eq=False)
class BoxedPictures:
    """Pictures and the objects in each.

    Attributes:
        paths: of N pictures.
        boxes_xyxy_normalized: for each picture float64 `(n, 4)`, as parts of its width and height.
        class_ids: for each picture int64 `(n,)`.
        weights: for each picture float64 `(n,)`: how much an object counts in training, in (0, 1];
            1 unless the annotation has a score.
        ignored: for each picture bool `(n,)`: crowds and difficult objects, which are not trained
            on and neither right nor wrong to find.
        areas_normalized: for each picture float64 `(n,)`, as parts of the picture: of the outline
            where the annotation has one, else of the box.
    """

    paths: tuple[str, ...]
    boxes_xyxy_normalized: tuple[np.ndarray, ...]
    class_ids: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    ignored: tuple[np.ndarray, ...]
    areas_normalized: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def objects(self) -> int:
        """Number of all boxes."""
        return sum(map(len, self.class_ids))

    def take(self, rows: Sequence[int]) -> "BoxedPictures":
        """Some of the pictures, in that order."""
        return BoxedPictures(
            *(
                tuple(getattr(self, name)[row] for row in rows)
                for name in (field.name for field in fields(self))
            )
        )

    @classmethod
    def join(cls, parts: Sequence["BoxedPictures"]) -> "BoxedPictures":
        """All pictures of several parts."""
        return cls(*(sum((getattr(part, one.name) for part in parts), ()) for one in fields(cls)))


@dataclass(frozen=True, eq=False)
class BoxedData:
    """What a detector is trained on, validated with and tested with.

    Attributes:
        classes: names; a class id is an index into them.
        format: "yolo", "voc" or "coco".
        train: pictures to train on.
        val: pictures to validate with.
        test: pictures to test with, where the data have them apart.
        problems: what is wrong with single annotations: the file, and why it was left out.
        layout: what the data were recognised as, and what was read of them.
        notes: sentences about what was read otherwise than it stands there.
        left_out: files of the folder that were not read.
    """

    classes: tuple[str, ...]
    format: str
    train: BoxedPictures
    val: BoxedPictures
    test: BoxedPictures | None = None
    problems: tuple[tuple[str, str], ...] = ()
    layout: str = ""
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, BoxedPictures]:
        """The pictures by "train", "val" and, where there are some, "test"."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return {name: pictures for name, pictures in splits.items() if pictures is not None}

    def lines(self) -> list[str]:
        """What was read and what was left out, for people."""
        lines = [f"read as {self.layout}"] if self.layout else []
        lines += [f"left out: {what}" for what in self.left_out]
        return [*lines, *self.notes, *_listed(self.problems, "annotation", "left out")]


def read_boxed(data: str | Path, *, val_share: float = 0.15, seed: int = 0) -> BoxedData:
    """Finds pictures and their boxes; `formats.layouts` has the layouts that are known.

    Args:
        data: the folder, or a `.json` or `.yaml` file.
        val_share: of the pictures kept for validation where the data have no such part.
        seed: of that draw, which goes by the names of the files.

    Returns:
        The `BoxedData`. Boxes that make no sense are left out and named in `problems`; a box that
        stands there several times counts once; one that reaches over the border is cut.

    Raises:
        DataError: it cannot be read, holds no format that is known, no picture or no class.
        UsageError: `val_share` makes no sense.
    """
    if not 0.0 <= val_share < 1.0:
        raise UsageError(f"val-share must be from 0 to below 1, not {val_share}")
    path = Path(data)
    if not path.exists():
        raise DataError(f"{path} does not exist; give a folder of pictures with boxes, or a .json")
    try:
        layout = recognise_boxes(path)
        raw = layout.read()
    except OSError as error:
        where = error.filename or path
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from None
    if not raw.classes:
        raise DataError(f"{path} names no class; add classes.txt, or names in data.yaml")
    problems, remarks, bare = list(raw.problems), _Remarks(), []
    splits = {}
    for split, pictures in raw.splits.items():
        rows = []
        for one in pictures:
            boxed = _boxed(one, len(raw.classes), problems, remarks)
            if len(boxed[1]) or not (len(one[1]) or one[0] in raw.incomplete):
                rows.append(boxed)
            else:
                # Without its boxes it would teach that there is nothing to be found.
                bare.append(one[0])
        if not rows:
            continue
        splits[split] = BoxedPictures(*(tuple(column) for column in zip(*rows, strict=True)))
    if not splits.get("train") and problems:
        where, reason = problems[0]
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise DataError(f"{where} {reason}{more}, and no good annotation is left; mend them")
    if not splits.get("train"):
        raise DataError(f"{path} has no pictures to train on; expected a part named train")
    if "val" not in splits:
        train = splits["train"]
        random = np.random.default_rng(seed)
        drawn = random.permutation(sorted(range(len(train)), key=lambda row: train.paths[row]))
        count = round(val_share * len(drawn))
        if val_share:
            count = min(max(1, count), len(drawn) - 1)
        splits["val"] = train.take(sorted(drawn[:count]))
        splits["train"] = train.take(sorted(drawn[count:]))
    return BoxedData(
        tuple(raw.classes),
        layout.format,
        splits["train"],
        splits["val"],
        splits.get("test"),
        tuple(problems),
        _described(layout, raw),
        (*raw.notes, *_shared_pictures(splits), *remarks.lines()),
        (*layout.left_out, *raw.left_out, *_bare_pictures(bare)),
    )


def _described(layout: BoxLayout, raw: RawSplits) -> str:
    """What was recognised, and the files that were read of it."""
    read = [name for name in raw.read if name != layout.evidence]
    # Files of COCO are listed with what they are for.
    begin = [] if layout.format == "coco" else [layout.evidence]
    return f"{layout.name}: {joined([*begin, *read], _SHOWN)}"


def _shared_pictures(splits: Mapping[str, BoxedPictures]) -> list[str]:
    lines = []
    for first, second in itertools.combinations(splits, 2):
        common = set(splits[first].paths) & set(splits[second].paths)
        if common:
            lines.append(
                f"{len(common)} of the pictures of {second} are in {first} too, which flatters the "
                "figures"
            )
    return lines


def _bare_pictures(paths: Sequence[str]) -> list[str]:
    if not paths:
        return []
    such = "" if len(paths) == 1 else "such as "
    return [f"{counted(len(paths), 'picture')} without a good annotation, {such}{paths[0]}"]


class _Remarks:
    """Boxes that are used, though not as they stand there: how many, and the first picture."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}

    def add(self, what: str, path: str) -> None:
        self._found.setdefault(what, []).append(path)

    def lines(self) -> list[str]:
        return [
            f"1 box {what}, in {paths[0]}"
            if len(paths) == 1
            else f"{len(paths)} boxes {what}, such as in {paths[0]}"
            for what, paths in self._found.items()
        ]


def _boxed(
    one: tuple[str, np.ndarray],
    classes: int,
    problems: list[tuple[str, str]],
    remarks: _Remarks,
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A picture, and the columns of its rows that make sense."""
    path, rows = one
    good = np.ones(len(rows), bool)
    seen = set()
    for index, (class_id, left, top, right, bottom, weight, *_) in enumerate(rows):
        reason = None
        if not np.isfinite(rows[index, :6]).all():
            reason = "has a box with values that are no numbers"
        elif not (0 <= class_id < classes and class_id == int(class_id)):
            reason = f"has a box of the unknown class {class_id:g}; there are {classes}"
        elif right <= left or bottom <= top:
            reason = "has an empty box"
        elif min(right, 1.0) <= max(left, 0.0) or min(bottom, 1.0) <= max(top, 0.0):
            reason = "has a box outside the picture"
        elif not 0 < weight <= 1:
            reason = f"has a box with the score {weight:g}; it must be over 0 and at most 1"
        if reason is not None:
            problems.append((path, reason))
            good[index] = False
            continue
        if min(left, top) < -_SLACK or max(right, bottom) > 1 + _SLACK:
            remarks.add("over the border, cut off there", path)
        row = tuple(rows[index, :5].round(_DIGITS))
        if row in seen:
            remarks.add("left out that stood there before", path)
            good[index] = False
        seen.add(row)
    rows = rows[good]
    boxes = np.clip(rows[:, 1:5], 0.0, 1.0)
    covered = np.where(np.isfinite(rows[:, 7]), rows[:, 7], areas(boxes))
    return path, boxes, rows[:, 0].astype(np.int64), rows[:, 5], rows[:, 6] > 0, covered


def _listed(found: Sequence[tuple[str, str]], noun: str, what: str) -> list[str]:
    """The first of some files and what is wrong with each, and how many there are."""
    if not found:
        return []
    lines = [f"{counted(len(found), noun)} {what}:"]
    lines += [f"  {path}: {reason}" for path, reason in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more")
    return lines


@dataclass(frozen=True, eq=False)
class BoxReport:
    """What is amiss with some `BoxedData`.

    Attributes:
        classes: names.
        format: of the annotations.
        counts: split -> pictures, objects and pictures without objects.
        objects: of each class, in the training pictures.
        unreadable: path and reason of each picture that cannot be used.
        problems: path and reason of each annotation that was left out.
        class_counts: split -> objects of each class.
        layout: what the data were recognised as.
        notes: what was read otherwise than it stands there.
        left_out: files that were not read.
        sizes: path -> height and width of the upright pictures that can be read.
    """

    classes: tuple[str, ...]
    format: str
    counts: Mapping[str, tuple[int, int, int]]
    objects: np.ndarray
    unreadable: tuple[tuple[str, str], ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    class_counts: Mapping[str, np.ndarray] = field(default_factory=dict)
    layout: str = ""
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)

    def lines(self) -> list[str]:
        """The report for people."""
        uses = {"train": "to train on", "val": "to validate with", "test": "to test with"}
        parts = ", ".join(
            f"{pictures:,} {uses[split]} ({counted(objects, 'object')})"
            for split, (pictures, objects, _) in self.counts.items()
        )
        lines = [f"read as {self.layout}"] if self.layout else []
        lines += [f"left out: {what}" for what in self.left_out]
        lines += [f"pictures: {parts}", self._classes_line()]
        lines += self.notes
        empty = sum(count for _, _, count in self.counts.values())
        if empty:
            lines.append(
                f"{counted(empty, 'picture')} without an object, to learn what is none from"
            )
        lines += _listed(self.unreadable, "picture", "that cannot be used")
        lines += _listed(self.problems, "annotation", "left out")
        missing = [
            name for name, count in zip(self.classes, self.objects, strict=True) if not count
        ]
        if missing:
            some = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
            plural = "class has" if len(missing) == 1 else "classes have"
            lines.append(f"{len(missing)} {plural} no object to train on: {some}")
        return lines

    def _classes_line(self) -> str:
        """Names of the classes with their objects in each split."""
        counts = [self.objects, *(self.class_counts.get(name, ()) for name in ("val", "test"))]
        counts = [one for one in counts if len(one)]
        named = [
            f"{name} {' + '.join(f'{int(one[at]):,}' for one in counts)}"
            for at, name in enumerate(self.classes)
        ]
        what = (
            "1 class with its"
            if len(self.classes) == 1
            else f"{len(self.classes)} classes with their"
        )
        where = {1: "", 2: " (train + val)"}.get(len(counts), " (train + val + test)")
        return f"{what} objects{where}: {joined(named)}"


def check_boxed(
    data: BoxedData, *, on_progress: Callable[[int, int], None] | None = None
) -> BoxReport:
    """Reads every picture to its end and says what is amiss.

    Args:
        data: what to check.
        on_progress: called with the number of pictures done, and of all.
    """
    # A picture may be there several times, to be seen as often.
    paths = list(dict.fromkeys(path for one in data.splits.values() for path in one.paths))

    def look(path: str) -> tuple[int, int] | str:
        try:
            return measure_image(Path(path).read_bytes(), path)
        except FileNotFoundError:
            return "does not exist"
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        except ImageError as error:
            return str(error).removeprefix(path).strip()

    sizes, unreadable = {}, []
    with ThreadPoolExecutor(reader_count()) as pool:
        for number, (path, found) in enumerate(zip(paths, pool.map(look, paths), strict=True), 1):
            if isinstance(found, str):
                unreadable.append((path, found))
            else:
                sizes[path] = found
            if on_progress:
                on_progress(number, len(paths))
    counts = {
        split: (len(one), one.objects, sum(not len(ids) for ids in one.class_ids))
        for split, one in data.splits.items()
    }
    per_class = {
        split: np.bincount(
            np.concatenate([np.zeros(0, np.int64), *one.class_ids]), minlength=len(data.classes)
        )
        for split, one in data.splits.items()
    }
    return BoxReport(
        data.classes,
        data.format,
        counts,
        per_class["train"],
        tuple(unreadable),
        data.problems,
        per_class,
        data.layout,
        data.notes,
        data.left_out,
        sizes,
    )


def without_unreadable(data: BoxedData, report: BoxReport) -> BoxedData:
    """The data without pictures that a check could not read.

    Raises:
        DataError: none is left to train on.
    """
    bad = {path for path, _ in report.unreadable}
    kept: dict[str, Any] = {
        split: pictures.take([row for row, path in enumerate(pictures.paths) if path not in bad])
        for split, pictures in data.splits.items()
    }
    if not len(kept["train"]):
        raise DataError("no picture to train on can be read; check the paths of the pictures")
    return replace(data, **kept)
