"""Pictures with boxes: finds and reads annotations (YOLO, Pascal VOC, COCO), and checks them."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.data._box_formats import RawSplits, read_coco, read_voc, read_yolo
from cnnkit.errors import DataError, ImageError, UsageError
from cnnkit.images import measure_image
from cnnkit.ops.boxes import areas
from cnnkit.runtime import reader_count

FORMATS = ("yolo", "voc", "coco")
# In the order of their numbers, 0 to 79.
COCO_CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck"),
    *("boat", "traffic light", "fire hydrant", "stop sign", "parking meter", "bench"),
    *("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra"),
    *("giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis"),
    *("snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard"),
    *("surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork", "knife"),
    *("spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot"),
    *("hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed"),
    *("dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard"),
    *("cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book"),
    *("clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)
# Parts of a picture that a box may reach over the border unnoticed: annotations are rounded.
_SLACK = 0.005
_SHOWN = 5


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
    """

    classes: tuple[str, ...]
    format: str
    train: BoxedPictures
    val: BoxedPictures
    test: BoxedPictures | None = None
    problems: tuple[tuple[str, str], ...] = ()

    @property
    def splits(self) -> dict[str, BoxedPictures]:
        """The pictures by "train", "val" and, where there are some, "test"."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return {name: pictures for name, pictures in splits.items() if pictures is not None}


def read_boxed(data: str | Path, *, val_share: float = 0.15, seed: int = 0) -> BoxedData:
    """Finds pictures and their boxes in one of three formats.

    YOLO: `images/` and `labels/`, perhaps with `train`, `val` and `test` inside, or the other way
    round, one line `class x y width height` for an object, as parts of the picture; names in
    `classes.txt` or `data.yaml`. Pascal VOC: `Annotations/*.xml` and `JPEGImages/`, perhaps with
    lists in `ImageSets/Main/`. COCO: a `.json` file with its pictures beside it or in `images/`, or
    a folder of such files, named after their splits.

    Args:
        data: the folder, or a `.json` or `.yaml` file.
        val_share: of the pictures kept for validation where the data have no such part.
        seed: of that draw, which goes by the names of the files.

    Returns:
        The `BoxedData`. Boxes that make no sense are left out and named in `problems`.

    Raises:
        DataError: it cannot be read, holds no format that is known, no picture or no class.
        UsageError: `val_share` makes no sense.
    """
    if not 0.0 <= val_share < 1.0:
        raise UsageError(f"val-share must be from 0 to below 1, not {val_share}")
    path = Path(data)
    if not path.exists():
        raise DataError(f"{path} does not exist; give a folder of pictures with boxes, or a .json")
    name, raw = _read(path)
    if not raw.classes:
        raise DataError(f"{path} names no class; add classes.txt, or names in data.yaml")
    problems = list(raw.problems)
    splits = {}
    for split, pictures in raw.splits.items():
        rows = [_boxed(one, len(raw.classes), problems) for one in pictures]
        splits[split] = BoxedPictures(*(tuple(column) for column in zip(*rows, strict=True)))
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
        name,
        splits["train"],
        splits["val"],
        splits.get("test"),
        tuple(problems),
    )


def _read(path: Path) -> tuple[str, RawSplits]:
    if path.is_file():
        if path.suffix.lower() == ".json":
            return "coco", read_coco([path])
        if path.suffix.lower() in (".yaml", ".yml"):
            return "yolo", read_yolo(path.parent, path)
        raise DataError(f"{path} is no .json (COCO) or .yaml (YOLO) file, and no folder")
    if (path / "Annotations").is_dir() or any(path.glob("*.xml")):
        return "voc", read_voc(path)
    described = [path / name for name in ("data.yaml", "dataset.yaml") if (path / name).is_file()]
    if described or (path / "labels").is_dir() or any(path.glob("*/labels")):
        return "yolo", read_yolo(path, described[0] if described else None)
    files = sorted([*path.glob("annotations/*.json"), *path.glob("*.json")])
    if files:
        return "coco", read_coco(files)
    raise DataError(
        f"{path} holds no boxes: expected images/ and labels/ (YOLO), Annotations/ (Pascal VOC) or "
        "a COCO .json"
    )


def _boxed(
    one: tuple[str, np.ndarray], classes: int, problems: list[tuple[str, str]]
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A picture, and the columns of its rows that make sense."""
    path, rows = one
    good = np.ones(len(rows), bool)
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
        elif min(left, top) < -_SLACK or max(right, bottom) > 1 + _SLACK:
            problems.append((path, "has a box that reaches over the border, which is cut off"))
        elif not 0 < weight <= 1:
            reason = f"has a box with the score {weight:g}; it must be over 0 and at most 1"
        if reason is not None:
            problems.append((path, reason))
            good[index] = False
    rows = rows[good]
    boxes = np.clip(rows[:, 1:5], 0.0, 1.0)
    covered = np.where(np.isfinite(rows[:, 7]), rows[:, 7], areas(boxes))
    return path, boxes, rows[:, 0].astype(np.int64), rows[:, 5], rows[:, 6] > 0, covered


@dataclass(frozen=True, eq=False)
class BoxReport:
    """What is amiss with some `BoxedData`.

    Attributes:
        classes: names.
        format: of the annotations.
        counts: split -> pictures, objects and pictures without objects.
        objects: of each class, in the training pictures.
        unreadable: path and reason of each picture that cannot be used.
        problems: path and reason of each annotation that was left out or cut.
        sizes: path -> height and width of the upright pictures that can be read.
    """

    classes: tuple[str, ...]
    format: str
    counts: Mapping[str, tuple[int, int, int]]
    objects: np.ndarray
    unreadable: tuple[tuple[str, str], ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)

    def lines(self) -> list[str]:
        """The report for people."""
        uses = {"train": "to train on", "val": "to validate with", "test": "to test with"}
        parts = ", ".join(
            f"{pictures:,} {uses[split]} ({objects:,} objects)"
            for split, (pictures, objects, _) in self.counts.items()
        )
        plural = "class" if len(self.classes) == 1 else "classes"
        lines = [f"{len(self.classes)} {plural} ({self.format}), pictures: {parts}"]
        empty = sum(count for _, _, count in self.counts.values())
        if empty:
            lines.append(f"{empty:,} pictures without an object, which teach what is none")
        for found, what in (
            (self.unreadable, "that cannot be used"),
            (self.problems, "boxes that were left out or cut off"),
        ):
            if found:
                noun = "pictures " if found is self.unreadable else ""
                lines.append(f"{len(found)} {noun}{what}:")
                lines += [f"  {path}: {reason}" for path, reason in found[:_SHOWN]]
                if len(found) > _SHOWN:
                    lines.append(f"  and {len(found) - _SHOWN} more")
        missing = [
            name for name, count in zip(self.classes, self.objects, strict=True) if not count
        ]
        if missing:
            some = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
            lines.append(f"{len(missing)} classes have no object to train on: {some}")
        return lines


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
    ids = np.concatenate([np.zeros(0, np.int64), *data.train.class_ids])
    return BoxReport(
        data.classes,
        data.format,
        counts,
        np.bincount(ids, minlength=len(data.classes)),
        tuple(unreadable),
        data.problems,
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
