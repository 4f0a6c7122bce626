"""Boxes in YOLO's form: a text file for each picture, and a list of classes somewhere."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.data._places import (
    DEEPEST,
    Places,
    as_written,
    exists,
    files_below,
    is_file,
    is_picture_name,
    parts_of,
    relative,
)
from cnnkit.data._splits import SPLIT_NAMES, split_of
from cnnkit.data._values import counted, identity, read_lines, read_text, read_yaml, shown
from cnnkit.errors import DataError
from cnnkit.tasks.detect.formats.rows import NO_AREA, RawSplits, by_folders, rows_of

# Lists of classes, a name a line.
CLASS_LISTS = (
    *("classes.txt", "class_names.txt", "labels.txt", "names.txt", "predefined_classes.txt"),
    *("obj.names", "_darknet.labels"),
)
_PLAIN_NUMBERS = 5
# Of the numbers of a box, of which one that reaches over the border has some above 1.
_LARGEST = 2.0


# Split -> pictures.
_Pictures = defaultdict[str, list[Path]]


def describes_yolo(values: Any) -> bool:
    """Whether the values of a YAML file are a data set of YOLO."""
    return isinstance(values, dict) and bool(
        {"names", "nc"} & set(values) and {"train", "val", "test", "path", "names"} & set(values)
    )


def read_yolo_yaml(path: Path, root: Path) -> RawSplits:
    """Data that a YAML file of Ultralytics or Roboflow describes.

    Args:
        path: of the YAML file.
        root: folder of the data, beside which the paths of other machines are looked for.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise DataError(
            f"{path} must be a mapping with train, val and names, but is {shown(values)}; "
            "put a blank after each colon"
        )
    raw = RawSplits([])
    indices = _yaml_names(path, values, raw)
    base = values.get("path") or ""
    if not isinstance(base, str):
        raise DataError(f"{path}: path must be a folder, but is {shown(base)}")
    bases = [root / base, root]
    found: _Pictures = defaultdict(list)
    for key, split in SPLIT_NAMES.items():
        for written in _yaml_paths(path, key, values.get(key)):
            _add_place(path, key, written, split, bases, found, raw)
    if not found and not any(values.get(key) for key in SPLIT_NAMES):
        found = _folders(root, list(files_below(root)), raw)
    _refuse_same_places(path, values, found)
    keypoints = values.get("kpt_shape") is not None
    if keypoints:
        raw.notes.append("the keypoints of kpt_shape are not read, only the boxes")
    _read_labels(found, root, raw, indices, has_keypoints=keypoints)
    return raw


def _yaml_names(path: Path, values: dict[str, Any], raw: RawSplits) -> dict[int, int] | None:
    """Sets the classes; number in the files -> index, or None where the numbers are indices."""
    names = values.get("names")
    if isinstance(names, str) and names and is_file(path.parent / names):
        names = read_lines(path.parent / names)
    if names in (None, ""):
        return None
    count = values.get("nc")
    if isinstance(names, dict):
        numbers = {}
        for key, name in names.items():
            number = identity(key)
            if not isinstance(number, int) or number < 0:
                raise DataError(
                    f"{path}: names must be numbered from 0, but one is {shown(key)}; write "
                    "'0: name'"
                )
            if number in numbers:
                raise DataError(f"{path}: names has the number {number} twice")
            numbers[number] = name
        ordered = [numbers[number] for number in sorted(numbers)]
        indices = {number: index for index, number in enumerate(sorted(numbers))}
    elif isinstance(names, list):
        ordered, indices = names, None
    else:
        raise DataError(
            f"{path}: names must be a list, or numbers and names, but is {shown(names)}; write "
            "'0: name' with a blank after the colon, one a line"
        )
    for name in ordered:
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: each of names must be a name, but one is {shown(name)}")
    raw.classes = [name.strip() for name in ordered]
    _refuse_repeated(path, raw.classes)
    if count not in (None, "") and identity(count) != len(ordered):
        raise DataError(
            f"{path}: nc is {shown(count)}, but names has {len(ordered)}; make them agree"
        )
    return indices


def _refuse_repeated(path: Path, names: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{path} has the class {repeated[0]!r} twice; give each its own name")


def _yaml_paths(path: Path, key: str, value: Any) -> list[str]:
    if value in (None, "", "null", "~"):
        return []
    places = value if isinstance(value, list) else [value]
    for place in places:
        if not isinstance(place, str) or not place.strip() or "\0" in place:
            raise DataError(
                f"{path}: {key} must be a folder, a list of pictures (.txt), or several of them, "
                f"but is {shown(place)}"
            )
    return places


def _add_place(
    source: Path,
    key: str,
    written: str,
    split: str,
    bases: Sequence[Path],
    found: _Pictures,
    raw: RawSplits,
) -> None:
    """Adds the pictures of a folder, a list or a single file that a description names."""
    place = _place(written, bases)
    if place is None and split == "test":
        # Roboflow names a part that its archives may lack, and training does without.
        raw.left_out.append(f"{key}: {written}, which is not there")
        return
    if place is None:
        raise DataError(
            f"{source}: {key} is {written!r}, which is neither there nor beside {source.name}; "
            "correct the path"
        )
    if _is_elsewhere(written, bases):
        raw.notes.append(f"{key}: {written} is of another place; read {relative(place, bases[-1])}")
    if _is_around(place, bases[-1]):
        raise DataError(
            f"{source}: {key} is {written!r}, a folder around {source.name} itself; name the "
            "folder of the pictures"
        )
    if place.is_dir():
        inside = [one for one in files_below(place) if is_picture_name(one.name)]
        found[split] += inside
        if not inside:
            raw.notes.append(f"{key}: {written} holds no picture")
    elif is_picture_name(place.name):
        found[split].append(place)
    elif place.suffix.lower() == ".txt":
        _add_list(place, split, bases, found, raw)
    else:
        raise DataError(
            f"{source}: {key} is {written!r}, which is no folder and no list of pictures (.txt)"
        )


def _place(written: str, bases: Sequence[Path]) -> Path | None:
    """A folder or file as it is written, else the longest end of the path that is there."""
    for base in bases:
        place = as_written(base, written)
        if exists(place):
            return place
    parts = parts_of(written)[-DEEPEST:]
    # An end without the name of its split may be that of another one.
    named = [at for at, part in enumerate(parts) if split_of(part)]
    for begin in range(named[-1] + 1 if named else len(parts)):
        for base in bases:
            place = base.joinpath(*parts[begin:])
            if exists(place):
                return place
    return None


def _is_elsewhere(written: str, bases: Sequence[Path]) -> bool:
    return not any(exists(as_written(base, written)) for base in bases)


def _is_around(folder: Path, inner: Path) -> bool:
    """Whether a folder is further out than another, so that reading all of it is no use."""
    return folder.is_dir() and folder.resolve() in inner.resolve().parents


def _add_list(
    path: Path, split: str, bases: Sequence[Path], found: _Pictures, raw: RawSplits
) -> None:
    """Adds the pictures that a text file lists, one a line; a line may name a folder too."""
    raw.read.append(relative(path, bases[-1]))
    places = Places(bases[-1])
    count = 0
    for number, line in enumerate(read_lines(path), 1):
        if not line or line.startswith("#"):
            continue
        count += 1
        folder = _place(line, [path.parent, *bases])
        if folder is not None and folder.is_dir() and not _is_around(folder, path.parent):
            inside = [one for one in files_below(folder) if is_picture_name(one.name)]
            found[split] += inside
            continue
        picture = places.find(line, near=[path.parent, *bases])
        if picture is None or not is_picture_name(picture.name):
            raw.problems.append((f"{path}:{number}", f"lists {line[:100]!r}, which is not there"))
        else:
            found[split].append(picture)
    if count and not found[split]:
        raise DataError(f"{path} lists {count} pictures, none of which is there; check its paths")


def _refuse_same_places(path: Path, values: dict[str, Any], found: _Pictures) -> None:
    """Refuses paths that are written differently and end up at one place here."""
    splits = [name for name in ("train", "val", "test") if found.get(name)]
    for at, first in enumerate(splits):
        for second in splits[at + 1 :]:
            common = set(found[first]) & set(found[second])
            if not common:
                continue
            written = [
                [values.get(key) for key, split in SPLIT_NAMES.items() if split == name]
                for name in (first, second)
            ]
            is_meant = any(one in written[1] for one in written[0] if one not in (None, ""))
            if len(common) == len(found[second]) and not is_meant:
                raise DataError(
                    f"{path}: {first} and {second} are the same pictures here, though other paths "
                    f"are written; correct the path of one, or take {second} out"
                )


def read_darknet(path: Path, root: Path) -> RawSplits:
    """Data that a `.data` file of Darknet describes, as CVAT exports them."""
    options = {}
    for line in read_lines(path):
        name, has_value, value = line.partition("=")
        if has_value:
            options[name.strip().lower()] = value.strip()
    raw = RawSplits([], read=[relative(path, root)])
    bases = [path.parent, root]
    names = options.get("names")
    if names:
        place = _place(names, bases)
        if place is None or not is_file(place):
            raise DataError(f"{path}: names is {names!r}, which is not there; add it")
        raw.classes = _listed_names(place)
        raw.read.append(relative(place, root))
    found: _Pictures = defaultdict(list)
    for key, split in SPLIT_NAMES.items():
        if options.get(key):
            _add_place(path, key, options[key], split, bases, found, raw)
    if not found:
        found = _folders(root, list(files_below(root)), raw)
    _read_labels(found, root, raw, None)
    return raw


def read_yolo_folder(root: Path, files: Sequence[Path]) -> RawSplits:
    """Pictures with text files beside them or in `labels`, and no description.

    Args:
        root: folder of the data.
        files: below it.
    """
    raw = RawSplits([])
    lists = _picture_lists(files, root)
    found: _Pictures = defaultdict(list)
    if "train" in lists:
        for split, path in lists.items():
            _add_list(path, split, [root], found, raw)
    else:
        found = _folders(root, files, raw)
    _read_labels(found, root, raw, None)
    return raw


def _picture_lists(files: Iterable[Path], root: Path) -> dict[str, Path]:
    """Lists such as train.txt in the folder itself, whose first line is a picture."""
    lists = {}
    for path in files:
        split = split_of(path.stem)
        if path.parent == root and path.suffix.lower() == ".txt" and split:
            first = next((line for line in read_lines(path) if line), "")
            if is_picture_name(parts_of(first)[-1] if parts_of(first) else ""):
                lists[split] = path
    return lists


def _folders(root: Path, files: Sequence[Path], raw: RawSplits) -> _Pictures:
    """Pictures by the names of the folders in which they lie."""
    pictures = [path for path in files if is_picture_name(path.name)]
    inside = [path for path in pictures if "images" in _folder_names(path, root)]
    if inside and len(inside) < len(pictures):
        raw.left_out.append(f"{counted(len(pictures) - len(inside), 'picture')} not in images/")
    return by_folders(inside or pictures, root, "picture", raw)


def _folder_names(path: Path, root: Path) -> list[str]:
    return [part.lower() for part in path.relative_to(root).parts[:-1]]


def _read_labels(
    pictures: _Pictures,
    root: Path,
    raw: RawSplits,
    indices: dict[int, int] | None,
    has_keypoints: bool = False,
) -> None:
    """Reads the text file of each picture, and the classes where no description names them."""
    folders: dict[Path, None] = {}
    used: set[Path] = set()
    count = 0
    labels = _labels(pictures, root)
    for split in ("train", "val", "test"):
        if not pictures.get(split):
            continue
        rows = []
        for path in dict.fromkeys(pictures[split]):
            label = labels.get(path)
            if label is None:
                rows.append((str(path), rows_of([])))
                continue
            used.add(label)
            folders.setdefault(label.parent)
            before = len(raw.problems)
            rows.append((str(path), _label_rows(label, raw, indices, has_keypoints)))
            if len(raw.problems) > before:
                raw.incomplete.add(str(path))
        count += len(rows)
        without = sum(not len(one) for _, one in rows)
        if rows and without == len(rows):
            raw.notes.append(f"{split}: none of its {len(rows)} pictures has a box")
        raw.splits[split] = rows
    if not count:
        raise DataError(f"{root} holds no picture")
    if not used:
        raise DataError(
            f"{root} holds no boxes: none of its {count} pictures has a text file, in labels/ or "
            "beside it"
        )
    unused = [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.suffix.lower() == ".txt" and path not in used and not _is_other_text(path)
    ]
    if unused:
        raw.left_out.append(
            f"{counted(len(unused), 'text file')} without a picture, such as "
            f"{relative(unused[0], root)}"
        )
    if not raw.classes:
        beside = dict.fromkeys(path.parent for part in pictures.values() for path in part)
        _find_classes(root, [*folders, *beside], raw)


def _labels(pictures: _Pictures, root: Path) -> dict[Path, Path]:
    """The text file of each picture that has one."""
    every = [path for part in pictures.values() for path in part]
    found = {path: label for path in every if (label := _label_of(path, root)) is not None}
    owners: dict[Path, Path] = {}
    for path, label in found.items():
        other = owners.setdefault(label, path)
        if other != path:
            raise DataError(
                f"{root}: {relative(other, root)} and {relative(path, root)} would both have the "
                f"boxes in {relative(label, root)}; leave one of them, or put the text files "
                "beside their pictures"
            )
    if found or not every:
        return found
    # In a folder of another name.
    stems = {path.stem for path in every}
    folders: dict[Path, dict[str, Path]] = defaultdict(dict)
    for path in files_below(root):
        if path.suffix.lower() == ".txt" and path.stem in stems and is_label(path):
            folders[path.parent][path.stem] = path
    if len(folders) > 1:
        first, second = (relative(folder, root) for folder in sorted(folders)[:2])
        raise DataError(
            f"{root}: {first}/ and {second}/ both have text files of the pictures; call the one "
            "that is meant labels"
        )
    return {
        path: by_stem[path.stem]
        for by_stem in folders.values()
        for path in every
        if path.stem in by_stem
    }


def _is_other_text(path: Path) -> bool:
    name = path.name.lower()
    return (
        name in CLASS_LISTS
        or name.startswith(("readme", "license", "."))
        or bool(split_of(path.stem))
    )


def _label_of(picture: Path, root: Path) -> Path | None:
    """The text file of a picture: in `labels` instead of `images`, or beside it."""
    name = f"{picture.stem}.txt"
    folder = picture.parent
    parts = list(folder.parts)
    places = []
    at = [index for index, part in enumerate(parts) if part.lower() == "images"]
    if at:
        for labels in dict.fromkeys(("labels", "Labels", parts[at[-1]])):
            places.append(Path(*parts[: at[-1]], labels, *parts[at[-1] + 1 :]))
        places.append(Path(*parts[: at[-1]], "labels"))
    places += [folder, folder / "labels", folder.parent / "labels"]
    if folder.is_relative_to(root):
        places += [root / "labels" / folder.relative_to(root), root / "labels"]
    return next((one / name for one in dict.fromkeys(places) if (one / name).is_file()), None)


def _label_rows(
    path: Path, raw: RawSplits, indices: dict[int, int] | None, has_keypoints: bool
) -> np.ndarray:
    rows = []
    try:
        lines = read_text(path).splitlines()
    except DataError as error:
        raw.problems.append((str(path), str(error).removeprefix(f"{path} ")))
        return rows_of([])
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(line, indices, has_keypoints))
        except ValueError as error:
            raw.problems.append((f"{path}:{number}", str(error)))
    return rows_of(rows)


def _row(line: str, indices: dict[int, int] | None, has_keypoints: bool) -> list[float]:
    words = line.split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise ValueError("is no line of class, x, y, width, height") from None
    class_id = values[0]
    if indices is not None:
        if class_id not in indices:
            raise ValueError(f"has a box of the class {class_id:g}, which names does not have")
        class_id = float(indices[int(class_id)])
    if max(map(abs, values[1:5]), default=0.0) > _LARGEST:
        raise ValueError(
            "has numbers that are no parts of the picture, from 0 to 1; are they pixels?"
        )
    count = len(values)
    if has_keypoints and count > _PLAIN_NUMBERS:
        values, count = values[:_PLAIN_NUMBERS], _PLAIN_NUMBERS
    if count > _PLAIN_NUMBERS + 1 and count % 2:
        # A polygon: what it covers.
        xs, ys = values[1::2], values[2::2]
        return [class_id, min(xs), min(ys), max(xs), max(ys), 1.0, 0.0, NO_AREA]
    if count not in (_PLAIN_NUMBERS, _PLAIN_NUMBERS + 1):
        raise ValueError("is no line of class, x, y, width, height")
    x, y, width, height = values[1:5]
    weight = values[5] if count > _PLAIN_NUMBERS else 1.0
    edges = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    return [class_id, *edges, weight, 0.0, NO_AREA]


def _find_classes(root: Path, folders: Iterable[Path], raw: RawSplits) -> None:
    found: dict[Path, list[str]] = {}
    for folder in dict.fromkeys((root, *folders)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name.lower() in CLASS_LISTS or path.suffix.lower() == ".names":
                found[path] = _listed_names(path)
    kinds = {tuple(names) for names in found.values() if names}
    if len(kinds) > 1:
        first, second = [relative(path, root) for path, names in found.items() if names][:2]
        raise DataError(
            f"{root}: {first} and {second} name other classes; leave the one that is meant"
        )
    if kinds:
        raw.classes = list(kinds.pop())
        raw.read.append(next(relative(path, root) for path, names in found.items() if names))
        return
    largest = max(
        (rows[:, 0].max() for part in raw.splits.values() for _, rows in part if len(rows)),
        default=-1.0,
    )
    if np.isfinite(largest) and largest < 10_000:
        raw.classes = [f"class {index}" for index in range(int(largest) + 1)]
        raw.notes.append("no list of classes was found; write their names into classes.txt")


def _listed_names(path: Path) -> list[str]:
    lines = read_lines(path)
    while lines and not lines[-1]:
        lines.pop()
    # A number is the number of a line, so that an empty one counts.
    names = [line or f"class {index}" for index, line in enumerate(lines)]
    _refuse_repeated(path, names)
    return names


def is_label(path: Path) -> bool:
    """Whether a text file may be the boxes of a picture: its first line is numbers, or empty."""
    if _is_other_text(path):
        return False
    try:
        with path.open("rb") as file:
            first = file.readline(1000)
    except OSError:
        return False
    return bool(re.fullmatch(rb"[\s\d.eE+\-naif\xef\xbb\xbf]*", first))
