"""Boxes in COCO's form: JSON files with pictures, annotations and categories."""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit.data._places import Places, as_written, relative
from cnnkit.data._splits import SPLIT_NAMES, split_of
from cnnkit.data._values import identity, number, read_json, shown
from cnnkit.errors import DataError
from cnnkit.tasks.detect.formats.rows import PixelBoxes, RawSplits, to_parts

# What COCO's own archives have beside the boxes, by the names of the files.
_OTHER_KINDS = {
    "keypoints": "keypoints",
    "captions": "captions",
    "panoptic": "panoptic segments",
    "stuff": "segments of stuff",
    "image_info": "pictures without annotations",
}
# Files of other programs, by the names of their values.
_OTHER_FORMS = (
    ({"shapes", "imagePath"}, "LabelMe's own form; export it as COCO or Pascal VOC"),
    ({"_via_img_metadata"}, "VIA's own form; export it as COCO"),
)


@dataclass(frozen=True)
class CocoFile:
    """A JSON file with boxes.

    Attributes:
        path: of the file.
        values: in it.
        split: that it is of, by its name or that of its folder.
    """

    path: Path
    values: dict[str, Any]
    split: str


def other_kind(path: Path) -> str | None:
    """What a file of COCO's holds beside boxes, by its name; None for boxes."""
    name = path.stem.lower()
    return next((kind for word, kind in _OTHER_KINDS.items() if word in name), None)


def load_coco(path: Path, root: Path) -> CocoFile | str:
    """A JSON file of COCO's, or the reason why it is none.

    Raises:
        DataError: it cannot be read.
    """
    values = read_json(path)
    if isinstance(values, dict) and isinstance(values.get("images"), list):
        notes = values.get("annotations")
        if isinstance(notes, list) and isinstance(values.get("categories"), list):
            return CocoFile(path, values, _split(path, root))
        if isinstance(notes, list) and any(isinstance(o, dict) and "caption" in o for o in notes):
            return "captions, no boxes"
    if isinstance(values, dict):
        for keys, kind in _OTHER_FORMS:
            if keys & set(values):
                return kind
    if isinstance(values, list) and any(
        isinstance(one, dict) and {"annotations", "completions", "predictions"} & set(one)
        for one in values[:10]
    ):
        return "Label Studio's own form; export it as COCO"
    return "no COCO file: it must have lists of images, annotations and categories"


def _split(path: Path, root: Path) -> str:
    words = [
        re.sub("(set|data|split)$", "", word) for word in re.split(r"[^a-z]+", path.stem.lower())
    ]
    folders = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    return next(
        (SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES),
        next((found for name in reversed(folders) if (found := split_of(name))), "train"),
    )


def read_coco(root: Path, loaded: Sequence[CocoFile], files: Sequence[Path] = ()) -> RawSplits:
    """Boxes of one file or several; files of one split are joined where they fit together.

    Args:
        root: folder of the data.
        loaded: the files.
        files: all below the folder, where they are known.
    """
    raw = RawSplits([], read=[f"{relative(one.path, root)} for {one.split}" for one in loaded])
    ordered = sorted(loaded, key=lambda one: list(SPLIT_NAMES.values()).index(one.split))
    indices = [_categories(one, raw) for one in ordered]
    places = Places(root, files)
    pixels: dict[str, list[PixelBoxes]] = defaultdict(list)
    owners: dict[tuple[str, str], Path] = {}
    for one, known in zip(ordered, indices, strict=True):
        for picture in _pictures(one, known, root, places, raw):
            key = one.split, picture.path
            other = owners.setdefault(key, one.path)
            if other != one.path:
                raise DataError(
                    f"{root}: {relative(other, root)} and {relative(one.path, root)} both have the "
                    f"picture {relative(Path(picture.path), root)}; leave one of them, or give it "
                    "by name"
                )
            pixels[one.split].append(picture)
    flat = [one for part in pixels.values() for one in part]
    parts = iter(to_parts(flat, raw.notes))
    raw.splits = {split: [next(parts) for _ in part] for split, part in pixels.items()}
    _drop_roots(ordered, raw)
    return raw


def _categories(one: CocoFile, raw: RawSplits) -> dict[int | str, int]:
    """Adds the classes of a file; id -> index of the class."""
    known: dict[int | str, int] = {}
    rows = []
    for category in one.values["categories"]:
        key = identity(category.get("id")) if isinstance(category, dict) else None
        name = category.get("name", key) if isinstance(category, dict) else None
        if key is None or isinstance(name, (list, dict, bool)) or not str(name or "").strip():
            raise DataError(
                f"{one.path}: each of categories needs an id and a name, but one is "
                f"{shown(category)[:80]}"
            )
        rows.append((key, str(name).strip()))
    for key, name in sorted(rows, key=lambda row: (isinstance(row[0], str), row[0])):
        if key in known and raw.classes[known[key]] != name:
            raise DataError(f"{one.path}: the categories {name!r} and another share the id {key}")
        if name not in raw.classes:
            raw.classes.append(name)
        known[key] = raw.classes.index(name)
    return known


def _pictures(
    one: CocoFile,
    known: dict[int | str, int],
    root: Path,
    places: Places,
    raw: RawSplits,
) -> list[PixelBoxes]:
    pictures: dict[int | str, PixelBoxes] = {}
    by_name: dict[str, PixelBoxes] = {}
    written: dict[str, str] = {}
    near = _near(one, root)

    def problem(reason: str) -> None:
        raw.problems.append((str(one.path), reason))

    for at, image in enumerate(one.values["images"]):
        key = identity(image.get("id")) if isinstance(image, dict) else None
        name = image.get("file_name") if isinstance(image, dict) else None
        if key is None or not isinstance(name, str) or not name.strip() or "\0" in name:
            problem(f"has a picture without id and file_name, number {at + 1} of its images")
            continue
        if key in pictures:
            problem(f"has two pictures with the id {key}; {name!r} was left out")
            continue
        width, height = (number(image.get(side)) or 0.0 for side in ("width", "height"))
        if name in by_name:
            # Listed twice: what is said of either is of the one.
            pictures[key] = by_name[name]
            continue
        found = str(places.find(name, near) or as_written(near[0], name))
        if found in written:
            raise DataError(
                f"{one.path}: {written[found]!r} and {name!r} are both {found} here; put the "
                "pictures into folders as they are written"
            )
        size = (width, height) if width > 0 and height > 0 else None
        pictures[key] = by_name[name] = PixelBoxes(found, size)
        written[found] = name
    for at, note in enumerate(one.values["annotations"]):
        if not isinstance(note, dict):
            problem(f"has an annotation that is {shown(note)}, number {at + 1}")
            continue
        label = f"annotation {identity(note.get('id')) or f'number {at + 1}'}"
        key = identity(note.get("image_id"))
        picture = None if key is None else pictures.get(key)
        if picture is None:
            problem(f"{label} is of the picture {shown(note.get('image_id'))}, which is not listed")
            continue
        row = _row(note, known)
        if isinstance(row, str):
            problem(f"{label} of {Path(picture.path).name} {row}")
            raw.incomplete.add(picture.path)
        else:
            picture.rows.append(row)
    return list(by_name.values())


def _row(note: dict[str, Any], known: dict[int | str, int]) -> list[float] | str:
    """An annotation as a row, or what is wrong with it."""
    key = identity(note.get("category_id"))
    class_id = None if key is None else known.get(key)
    if class_id is None:
        return f"has the category {shown(note.get('category_id'))}, which is not listed"
    bbox = note.get("bbox")
    found = [number(value) for value in bbox] if isinstance(bbox, list) else []
    values = [value for value in found if value is not None]
    if not len(found) == len(values) == 4:
        return f"has no bbox of four numbers, but {shown(bbox)}"
    x, y, width, height = values
    score, area = note.get("score"), number(note.get("area"))
    weight = 1.0 if score is None else number(score)
    if weight is None:
        return f"has a score that is {shown(score)}"
    crowd = float(number(note.get("iscrowd")) == 1 or note.get("iscrowd") is True)
    return [
        class_id,
        x,
        y,
        x + width,
        y + height,
        weight,
        crowd,
        math.nan if area is None else area,
    ]


def _near(one: CocoFile, root: Path) -> list[Path]:
    """Folders in which the pictures of a file may lie, the likeliest first."""
    folder = one.path.parent
    base = folder.parent if folder.name.lower() in ("annotations", "labels", "coco") else folder
    words = [one.path.stem.split("_")[-1], one.split]
    words += [name for name, split in SPLIT_NAMES.items() if split == one.split]
    near = [base / "images" / word for word in words] + [base / word for word in words]
    near += [base / word / "images" for word in words]
    near = [*near, folder / "images", base / "images", folder, base, root]
    return [one for one in dict.fromkeys(near) if one.is_dir()]


def _drop_roots(loaded: Sequence[CocoFile], raw: RawSplits) -> None:
    """Takes out categories that only name a group of others, as Roboflow writes them."""
    above, with_none, named = set(), set(), set()
    for one in loaded:
        for category in one.values["categories"]:
            name, group = str(category.get("name")).strip(), category.get("supercategory")
            named.add(name)
            if isinstance(group, str) and group != name:
                above.add(group)
            if group == "none":
                with_none.add(name)
    if with_none == named:
        with_none = set()
    used = {int(row[0]) for part in raw.splits.values() for _, rows in part for row in rows}
    dropped = [
        index
        for index, name in enumerate(raw.classes)
        if index not in used and (name in above or name in with_none)
    ]
    if not dropped:
        return
    names = ", ".join(repr(raw.classes[index]) for index in dropped)
    raw.notes.append(f"{names} has no box and only names a group of classes; it was dropped")
    kept = [index for index in range(len(raw.classes)) if index not in dropped]
    raw.classes = [raw.classes[index] for index in kept]
    for part in raw.splits.values():
        for _, rows in part:
            rows[:, 0] = [kept.index(int(value)) for value in rows[:, 0]]
