"""Annotations of boxes as they are stored: YOLO text files, Pascal VOC XML, COCO JSON."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml

from cnnkit.data._splits import SPLIT_NAMES
from cnnkit.errors import DataError
from cnnkit.images import READABLE_SUFFIXES, header_size

_NO_AREA = float("nan")


@dataclass
class RawSplits:
    """What annotation files say.

    Attributes:
        classes: names.
        splits: split -> pictures, each a path and float64 `(n, 8)` rows of class, left, top, right,
            bottom (parts of the picture), weight, 1 for what is to be ignored, and the area of the
            outline, NaN where there is none.
        problems: files and what is wrong with them.
    """

    classes: list[str]
    splits: dict[str, list[tuple[str, np.ndarray]]]
    problems: list[tuple[str, str]] = field(default_factory=list)


def read_yolo(folder: Path, described: Path | None) -> RawSplits:
    """Pictures in `images`, text files of the same names in `labels`."""
    settings: dict[str, Any] = {}
    if described is not None:
        try:
            settings = yaml.safe_load(_text(described)) or {}
        except yaml.YAMLError as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{described} cannot be read as YAML: {reason}") from None
    names = settings.get("names") or _names(folder)
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    roots: dict[str, list[Path]] = defaultdict(list)
    base = folder / str(settings.get("path", ""))
    for key, split in SPLIT_NAMES.items():
        given = settings.get(key)
        for one in given if isinstance(given, list) else [given] if given else []:
            place = base / one
            if not place.exists():
                # Of an archive that was unpacked elsewhere: "../train/images" is meant from here.
                place = folder / str(one).lstrip("./")
            roots[split].append(place)
    if not roots:
        for name, split in SPLIT_NAMES.items():
            for place in (folder / "images" / name, folder / name / "images"):
                if place.is_dir():
                    roots[split].append(place)
    if not roots:
        roots["train"].append(folder / "images" if (folder / "images").is_dir() else folder)
    raw = RawSplits([str(name) for name in names], {})
    for split, places in roots.items():
        found = []
        for place in places:
            if not place.is_dir():
                raise DataError(f"{place} does not exist; check the paths in {described or folder}")
            found += [path for path in sorted(place.rglob("*")) if _is_picture(path)]
        if found:
            raw.splits[split] = [(str(path), _yolo_rows(path, raw)) for path in found]
    if not raw.classes:
        largest = max(
            (rows[:, 0].max() for part in raw.splits.values() for _, rows in part if len(rows)),
            default=-1,
        )
        raw.classes = [f"class {index}" for index in range(int(largest) + 1)]
    return raw


def _yolo_rows(picture: Path, raw: RawSplits) -> np.ndarray:
    """The objects of a picture; none where there is no text file."""
    parts = list(picture.parts)
    folders = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    path = picture.with_suffix(".txt")
    if folders:
        parts[folders[-1]] = "labels"
        path = Path(*parts).with_suffix(".txt")
    rows = []
    if not path.is_file():
        return _empty()
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = [float(value) for value in line.split()]
            if len(values) > 6 and len(values) % 2:
                # A polygon: what it covers.
                xs, ys = values[1::2], values[2::2]
                box = [min(xs), min(ys), max(xs), max(ys)]
                rows.append([values[0], *box, 1.0, 0.0, _NO_AREA])
                continue
            class_id, x, y, width, height = values[:5]
        except ValueError:
            raw.problems.append((f"{path}:{number}", "is no line of class, x, y, width, height"))
            continue
        weight = values[5] if len(values) > 5 else 1.0
        box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        rows.append([class_id, *box, weight, 0.0, _NO_AREA])
    return np.array(rows, np.float64).reshape(-1, 8)


def read_voc(folder: Path) -> RawSplits:
    """XML files in `Annotations`, or beside their pictures."""
    notes = folder / "Annotations" if (folder / "Annotations").is_dir() else folder
    pictures = folder / "JPEGImages" if (folder / "JPEGImages").is_dir() else folder
    files = {path.stem: path for path in sorted(notes.glob("*.xml"))}
    if not files:
        raise DataError(f"{notes} holds no .xml file")
    lists = {}
    for split in ("train", "val", "test"):
        path = folder / "ImageSets" / "Main" / f"{split}.txt"
        if path.is_file():
            lists[split] = [line.split()[0] for line in _text(path).splitlines() if line.strip()]
    if "train" not in lists:
        lists = {"train": list(files)}
    names = _names(folder)
    raw = RawSplits(list(names), {})
    for split, stems in lists.items():
        raw.splits[split] = []
        for stem in stems:
            if stem not in files:
                raw.problems.append((stem, f"is in the list of {split} but has no .xml file"))
                continue
            raw.splits[split].append(_voc_picture(files[stem], pictures, raw, bool(names)))
    if not names:
        # In the order of their letters, whichever picture came first.
        order = np.argsort(raw.classes)
        rank = np.empty(len(order), np.float64)
        rank[order] = np.arange(len(order))
        raw.classes = [raw.classes[index] for index in order]
        for part in raw.splits.values():
            for _, rows in part:
                rows[:, 0] = rank[rows[:, 0].astype(int)]
    return raw


def _voc_picture(
    path: Path, pictures: Path, raw: RawSplits, is_closed: bool
) -> tuple[str, np.ndarray]:
    try:
        tree = ElementTree.fromstring(_text(path))
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is no XML file ({error}); mend or remove it") from None
    file_name = tree.findtext("filename") or f"{path.stem}.jpg"
    picture = pictures / Path(file_name).name
    if not picture.exists():
        others = [one for one in pictures.glob(f"{path.stem}.*") if _is_picture(one)]
        picture = others[0] if others else picture
    try:
        width = float(tree.findtext("size/width") or 0)
        height = float(tree.findtext("size/height") or 0)
    except ValueError:
        width = height = 0.0
    if not (width and height):
        height, width = _size(picture)
    rows = []
    for one in tree.iter("object"):
        name = (one.findtext("name") or "").strip()
        if name not in raw.classes:
            if is_closed:
                raw.problems.append((str(path), f"has a box of the unknown class {name!r}"))
                continue
            raw.classes.append(name)
        try:
            edges = [float(one.findtext(f"bndbox/{at}") or "nan") for at in _VOC_EDGES]
        except ValueError:
            edges = [float("nan")] * 4
        # Pixels are counted from 1 there, and the last one is inside.
        left, top, right, bottom = edges[0] - 1, edges[1] - 1, edges[2], edges[3]
        hard = (one.findtext("difficult") or "0").strip() == "1"
        box = [left / width, top / height, right / width, bottom / height]
        rows.append([raw.classes.index(name), *box, 1.0, float(hard), _NO_AREA])
    return str(picture), np.array(rows, np.float64).reshape(-1, 8)


_VOC_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read_coco(files: Sequence[Path]) -> RawSplits:
    """One JSON file, or several that are named after their splits."""
    loaded = {}
    for path in files:
        try:
            values = json.loads(_text(path))
        except ValueError as error:
            raise DataError(f"{path} is no JSON file ({error}); mend it") from None
        if not (
            isinstance(values, dict) and {"images", "annotations", "categories"} <= set(values)
        ):
            if len(files) == 1:
                raise DataError(
                    f"{path} is no COCO file: it must have images, annotations and categories"
                )
            continue
        words = re.split(r"[^a-z]+", path.stem.lower())
        words += re.findall(r"train|val|test", path.stem.lower())
        split = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "train")
        loaded[split] = path, values
    if not loaded:
        raise DataError(f"{files[0].parent} holds no COCO file: images, annotations, categories")
    first = loaded.get("train", next(iter(loaded.values())))[1]
    categories = sorted(first["categories"], key=lambda one: one["id"])
    ids = {one["id"]: index for index, one in enumerate(categories)}
    raw = RawSplits([str(one.get("name", one["id"])) for one in categories], {})
    for split, (path, values) in loaded.items():
        try:
            raw.splits[split] = _coco_pictures(path, values, ids, split)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is no COCO file: {error!r} is missing or wrong") from None
    return raw


def _coco_pictures(
    path: Path, values: dict[str, Any], ids: dict[Any, int], split: str
) -> list[tuple[str, np.ndarray]]:
    rows: dict[Any, list[list[float]]] = defaultdict(list)
    pictures = {}
    for one in values["images"]:
        place = _coco_place(path, one["file_name"], split)
        width, height = one.get("width"), one.get("height")
        if not (width and height):
            height, width = _size(place)
        pictures[one["id"]] = str(place), float(width), float(height)
    for note in values["annotations"]:
        _, width, height = pictures[note["image_id"]]
        x, y, wide, high = map(float, note["bbox"])
        box = [x / width, y / height, (x + wide) / width, (y + high) / height]
        class_id = ids.get(note["category_id"], -1)
        weight = float(note.get("score", 1.0))
        covered = float(note.get("area", _NO_AREA)) / (width * height)
        crowd = float(note.get("iscrowd", 0))
        rows[note["image_id"]].append([class_id, *box, weight, crowd, covered])
    return [
        (place, np.array(rows.get(key, []), np.float64).reshape(-1, 8))
        for key, (place, _, _) in pictures.items()
    ]


def _coco_place(path: Path, name: str, split: str) -> Path:
    """Where a picture of a COCO file lies."""
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    words = [path.stem.split("_")[-1], split]
    for folder in (path.parent, root, root / "images", *(root / word for word in words)):
        if (folder / name).exists():
            return folder / name
    for word in words:
        if (root / "images" / word / name).exists():
            return root / "images" / word / name
    return root / "images" / name


def _names(folder: Path) -> list[str]:
    for name in ("classes.txt", "obj.names", "labels.txt"):
        if (folder / name).is_file():
            lines = _text(folder / name).splitlines()
            return [line.strip() for line in lines if line.strip()]
    return []


def _size(path: Path) -> tuple[float, float]:
    """Height and width of an upright picture; any of one that cannot be read: the check says so."""
    height, width = header_size(path) or (1, 1)
    return float(height), float(width)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".")


def _empty() -> np.ndarray:
    return np.zeros((0, 8), np.float64)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a UTF-8 text file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
