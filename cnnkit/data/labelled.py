"""Examples with labels to train a classifier on: found, parted, checked and read."""

import hashlib
import io
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.data._csv_table import FILE_COLUMNS, read_csv_table
from cnnkit.data._places import below, is_clutter
from cnnkit.data._splits import SPLIT_NAMES, draw_key, sorted_classes, split_of
from cnnkit.data._values import counted, joined
from cnnkit.errors import DataError, ImageError, UsageError
from cnnkit.images import READABLE_SUFFIXES, measure_image, read_pixels
from cnnkit.ops.color import LUMA
from cnnkit.runtime import reader_count

PICTURES, ARRAYS = "pictures", "arrays"
ARRAY_SUFFIX = ".npy"

_LABEL_COLUMNS = ("label", "class")

_TINY_SIDE, _HUGE_PIXELS = 32, 50_000_000
# Of the largest class to the smallest, from which on a report speaks of it.
_UNEVEN = 3.0
_SHOWN = 5
# Pictures larger than this many times what is wanted are reduced by whole pixels first, which is
# much faster and cannot be told apart.
_GAP = 3.0
# Paths that wait for the threads of a check at once.
_CHUNK = 4096

# split -> class -> paths, each as `(path to open, path below the folder)`.
_Found = dict[str, dict[str, list[tuple[str, str]]]]


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """Files and the class of each.

    Attributes:
        paths: of N files.
        labels: `(N,)` int64, the index of each file's class.
    """

    paths: tuple[str, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True, eq=False)
class LabelledData:
    """What a classifier is trained on, validated with and tested with.

    Attributes:
        classes: names, sorted; a label is an index into them.
        kind: "pictures" or "arrays".
        train: files to train on; every class has some.
        val: files to validate with; may have none of a class.
        test: files to test with, where the data have them apart.
        left_out: folders and files that are not used.
    """

    classes: tuple[str, ...]
    kind: str
    train: LabelledFiles
    val: LabelledFiles
    test: LabelledFiles | None = None
    left_out: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, LabelledFiles]:
        """The files by "train", "val" and, where there are some, "test"."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return {name: files for name, files in splits.items() if files is not None}


def read_labelled(
    data: str | Path, *, val_share: float = 0.15, per_class: int | None = None, seed: int = 0
) -> LabelledData:
    """Finds the examples of each class in a folder or a CSV, and keeps some for validation.

    A folder holds one folder per class, or `train/` and perhaps `val/` and `test/` of those, or of
    names such as `valid`, `training_set` and `seg_test`; all of it perhaps inside further folders,
    as archives are unpacked. Files lie in a class' folder or deeper. A CSV has a
    heading with `file` (or `path`, `filename`, `image`; relative to the CSV), `label` (or `class`)
    and perhaps `split` of train, val or test. Hidden files, `__MACOSX`, and files that are neither
    pictures nor `.npy`, are passed over in folders. No file is opened.

    Args:
        data: the folder or the `.csv`.
        val_share: of each class, kept for validation where the data have no such part; at least
            one of a class that has two. The draw goes by a hash of `seed` and the path below the
            folder: files that are added later move hardly any of the others.
        per_class: files of each class to train on at most; the rest is left out.
        seed: of the draws.

    Returns:
        The `LabelledData`.

    Raises:
        DataError: it cannot be read, has fewer than two classes, a class without files to train
            on, classes to validate or test with that are not trained, or both kinds of files.
        UsageError: `val_share` or `per_class` make no sense.
    """
    if not 0.0 <= val_share < 1.0:
        raise UsageError(f"val-share must be from 0 to below 1, not {val_share}")
    if per_class is not None and per_class < 1:
        raise UsageError(f"per-class must be at least 1, not {per_class}")
    data = Path(data)
    left_out: list[str] = []
    if data.suffix.lower() == ".csv" and not data.is_dir():
        found = _read_csv(data)
    else:
        found = _read_folder(data, left_out)
    train = found["train"]
    classes = sorted_classes(train)
    if len(classes) < 2:
        names = f"only the class '{classes[0]}'" if classes else "no classes"
        raise DataError(f"{data} has {names} to train on; a classifier needs two or more")
    for name in classes:
        if not train[name]:
            raise DataError(
                f"{data}: the class '{name}' has no files to train on; fill it or remove it"
            )
    for split in ("val", "test"):
        unknown = sorted(set(found.get(split, ())) - set(classes))
        if unknown:
            raise DataError(
                f"{data}: the class '{unknown[0]}' is in {split} but not in train; "
                "remove it or train on it"
            )
    kind = _kind_of(data, found)
    keep_val = "val" not in found
    if keep_val:
        found["val"] = {}
    for name in classes:
        drawn = sorted(train[name], key=lambda file: draw_key(seed, file[1]))
        if keep_val:
            share = max(1, round(val_share * len(drawn))) if val_share else 0
            count = min(share, len(drawn) - 1)
            found["val"][name], drawn = sorted(drawn[:count]), drawn[count:]
        train[name] = sorted(drawn[:per_class])
    files = {split: _labelled(found[split], classes) for split in found}
    return LabelledData(
        tuple(classes), kind, files["train"], files["val"], files.get("test"), tuple(left_out)
    )


def _labelled(found: Mapping[str, list[tuple[str, str]]], classes: Sequence[str]) -> LabelledFiles:
    files = [found.get(name, []) for name in classes]
    labels = np.repeat(np.arange(len(classes)), [len(part) for part in files])
    return LabelledFiles(tuple(path for part in files for path, _ in part), labels)


def _kind_of(data: Path, found: _Found) -> str:
    first: dict[str, str] = {}
    for of_class in found.values():
        for files in of_class.values():
            for path, _ in files:
                kind = ARRAYS if path.lower().endswith(ARRAY_SUFFIX) else PICTURES
                first.setdefault(kind, path)
    if len(first) == 2:
        raise DataError(
            f"{data} mixes pictures ({first[PICTURES]}) with arrays ({first[ARRAYS]}); "
            "train on one kind"
        )
    return next(iter(first))


def _read_folder(folder: Path, left_out: list[str]) -> _Found:
    try:
        root = Path(folder)
        while True:
            inside = _folders_in(root)
            parts = _parts_in(inside)
            if "train" in parts:
                _note_others(root, list(parts.values()), left_out)
                return {
                    split: _read_classes(_inside(path), split, left_out)
                    for split, path in parts.items()
                }
            if parts and len(parts) == len(inside):
                names = " and ".join(f"{name}/" for name in inside)
                raise DataError(f"{root} has {names} but no train/; add it")
            if not inside:
                raise DataError(
                    f"{folder} has no folders in it; each class needs a folder with its files"
                )
            deeper = _inside(root)
            if deeper == root:
                return {"train": _read_classes(root, "", left_out)}
            root = deeper
    except OSError as error:
        name = error.filename or folder
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from None


def _parts_in(inside: Mapping[str, str]) -> dict[str, str]:
    """Split -> its folder, of folders that hold classes.

    Raises:
        DataError: two are of one split.
    """
    parts: dict[str, str] = {}
    for name, path in inside.items():
        split = split_of(name)
        if split is None or not _has_classes(path):
            continue
        if split in parts:
            first, second = Path(parts[split]), Path(path)
            raise DataError(
                f"{first} and {second.name}/ beside it are both for {split}; leave one of them"
            )
        parts[split] = path
    return parts


def _inside(folder: str | Path) -> Path:
    """The folder inside folders that hold nothing but one folder of folders, as from archives."""
    folder = Path(folder)
    while True:
        inside = list(_folders_in(folder).values())
        if len(inside) != 1 or not _has_classes(inside[0]):
            return folder
        folder = Path(inside[0])


def _folders_in(folder: str | Path) -> dict[str, str]:
    with os.scandir(folder) as entries:
        found = [(e.name, e.path) for e in entries if not is_clutter(e.name) and e.is_dir()]
    return dict(sorted(found))


def _has_classes(folder: str | Path) -> bool:
    """Whether a folder such as `train/` is a part of the data, and not a class of that name."""
    with os.scandir(folder) as entries:
        is_folder = [
            entry.is_dir()
            for entry in entries
            if not is_clutter(entry.name) and (_is_example(entry) or entry.is_dir())
        ]
    # Between folders of classes a stray picture may lie.
    return bool(is_folder) and (all(is_folder) or sum(is_folder) > 1)


def _note_others(folder: Path, used: Sequence[str], left_out: list[str]) -> None:
    """Names what lies beside the folders that are read."""
    others = [path for path in sorted(folder.iterdir()) if str(path) not in used]
    folders = [path for path in others if path.is_dir()]
    pictures = [path for path in others if not path.is_dir() and _has_known_suffix(path.name)]
    if folders:
        names = joined([f"{path.name}/" for path in folders], _SHOWN)
        left_out.append(f"{names} in {folder}")
    if pictures:
        left_out.append(
            f"{counted(len(pictures), 'file')} of no class in {folder}, such as {pictures[0].name}"
        )


def _read_classes(
    folder: Path, split: str, left_out: list[str]
) -> dict[str, list[tuple[str, str]]]:
    classes: dict[str, list[tuple[str, str]]] = {}
    inside = _folders_in(folder)
    _note_others(folder, list(inside.values()), left_out)
    for name, path in inside.items():
        relative = f"{split}/{name}" if split else name
        # macOS and other systems write the same accented name in two ways.
        files = classes.setdefault(unicodedata.normalize("NFC", name), [])
        files.extend(_files_below(path, relative))
    return classes


def _files_below(folder: str, relative: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        # A link to a folder may lead round in a circle.
        if entry.is_dir(follow_symlinks=False):
            if not is_clutter(entry.name):
                yield from _files_below(entry.path, f"{relative}/{entry.name}")
        elif _is_example(entry):
            yield entry.path, f"{relative}/{entry.name}"


def _is_example(entry: os.DirEntry) -> bool:
    return _has_known_suffix(entry.name) and not is_clutter(entry.name) and entry.is_file()


def _has_known_suffix(name: str) -> bool:
    return name.lower().endswith((*READABLE_SUFFIXES, ARRAY_SUFFIX))


def _read_csv(path: Path) -> _Found:
    table = read_csv_table(path, short_rows=True)
    files, labels = table.required({"file": FILE_COLUMNS, "label": _LABEL_COLUMNS})
    splits = table.first_of(("split",))
    parts = table.column(splits) if splits else ("",) * len(table)
    found: _Found = {"train": {}}
    before: dict[str, tuple[str, str]] = {}
    for row, (name, label, part) in enumerate(
        zip(table.written(files), table.column(labels), parts, strict=True)
    ):
        where, split = table.where(row), part or "train"
        if not name or not label:
            raise DataError(f"{where}: {'the label' if name else 'the file'} is missing")
        if not _has_known_suffix(name):
            raise DataError(f"{where}: {name} is neither a picture nor {ARRAY_SUFFIX} by its name")
        if split.lower() not in SPLIT_NAMES:
            raise DataError(f"{where}: the split must be train, val or test, not '{split}'")
        entry = label, SPLIT_NAMES[split.lower()]
        if before.setdefault(name, entry) != entry:
            other = before[name]
            raise DataError(
                f"{where}: {name} is listed before as '{other[0]}' for {other[1]}, "
                f"now as '{label}' for {entry[1]}"
            )
        of_class = found.setdefault(entry[1], {}).setdefault(label, [])
        of_class.append((str(below(path.parent, name)), name))
    return {
        split: {label: list(dict.fromkeys(files)) for label, files in of_class.items()}
        for split, of_class in found.items()
    }


@dataclass(frozen=True, eq=False)
class DataReport:
    """What is amiss with the files of some `LabelledData`.

    Attributes:
        kind: "pictures" or "arrays".
        counts: split -> class -> files.
        unreadable: path and reason of each file that cannot be used.
        duplicates: groups of files with the same content in different splits.
        contradictions: groups of files with the same content and different labels.
        repeats: files with the content of another one of the same split and label.
        tiny: pictures of fewer than 32 pixels a side.
        huge: pictures of more than 50 megapixels.
        shapes: shapes of arrays, and how many have each.
        left_out: folders and files that are not used.
        files: by path, what was found, in plain types: `size` in bytes, `mtime` in ns, `sha256`,
            `shape` or `error`. Save it, and give it back to the next check.
    """

    kind: str
    counts: dict[str, dict[str, int]]
    unreadable: tuple[tuple[str, str], ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    contradictions: tuple[tuple[str, ...], ...] = ()
    repeats: int = 0
    tiny: tuple[str, ...] = ()
    huge: tuple[str, ...] = ()
    shapes: dict[tuple[int, ...], int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    files: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def imbalance(self) -> float:
        """Files of the largest class to train on, for each of the smallest."""
        counts = self.counts["train"].values()
        return max(counts) / max(1, min(counts))

    @property
    def is_clean(self) -> bool:
        """Whether nothing can spoil the training or its figures."""
        return not (self.unreadable or self.duplicates or self.contradictions)

    def lines(self) -> list[str]:
        """The report for people, the most important first after the counts."""
        totals = {split: sum(counts.values()) for split, counts in self.counts.items()}
        uses = {"train": "to train on", "val": "to validate with", "test": "to test with"}
        parts = ", ".join(f"{total} {uses[split]}" for split, total in totals.items())
        lines = [f"{len(self.counts['train'])} classes of {self.kind}: {parts}"]
        lines.append(self._classes_line())
        lines += [f"left out: {what}" for what in self.left_out]
        if self.unreadable:
            lines.append(f"{counted(len(self.unreadable), 'file')} cannot be used:")
            lines += [f"  {path}: {reason}" for path, reason in self.unreadable[:_SHOWN]]
            if len(self.unreadable) > _SHOWN:
                lines.append(f"  and {len(self.unreadable) - _SHOWN} more")
        for groups, what in (
            (
                self.duplicates,
                "in more than one of train, val and test, which flatters the figures",
            ),
            (self.contradictions, "under more than one label"),
        ):
            if groups:
                first, second = groups[0][:2]
                lines.append(f"{counted(len(groups), 'file')} {what}, such as {first} = {second}")
        if self.repeats:
            lines.append(
                f"{counted(self.repeats, 'file')} with the content of another in its class"
            )
        counts = self.counts["train"]
        if self.imbalance > _UNEVEN:
            most, least = max(counts, key=counts.get), min(counts, key=counts.get)
            lines.append(
                f"uneven: {counts[most]} of '{most}' to train on, {counts[least]} of '{least}'; "
                "consider class weights"
            )
        if self.tiny:
            lines.append(
                f"{counted(len(self.tiny), 'picture')} of fewer than {_TINY_SIDE} pixels a side, "
                f"such as {self.tiny[0]}"
            )
        if self.huge:
            lines.append(
                f"{counted(len(self.huge), 'picture')} of more than {_HUGE_PIXELS // 10**6} "
                f"megapixels, such as {self.huge[0]}; smaller copies train faster"
            )
        return lines

    def _classes_line(self) -> str:
        """Names of the classes with their files in each split."""
        named = [
            f"{name} {' + '.join(f'{counts[name]:,}' for counts in self.counts.values())}"
            for name in self.counts["train"]
        ]
        where = f" ({' + '.join(self.counts)})" if len(self.counts) > 1 else ""
        return f"{self.kind} of each class{where}: {joined(named)}"


def check_labelled(
    data: LabelledData,
    *,
    known: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
) -> DataReport:
    """Reads every file to its end and says what is amiss.

    JPEGs are decoded at an eighth of their size, which finds what is cut off. An array with
    values that are not finite, or of another shape than most, counts as unreadable.

    Args:
        data: what to check.
        known: `files` of an earlier report; files whose size and time of change are the same are
            not read again.
        on_progress: called with the number of files done, and of all.
        threads: that read; by default those that the process may keep busy, eight at most.

    Returns:
        The `DataReport`.
    """
    known = known or {}
    paths = [path for files in data.splits.values() for path in files.paths]
    inspect = _inspect_array if data.kind == ARRAYS else measure_image

    def look(path: str) -> dict[str, Any]:
        try:
            status = Path(path).stat()
            seen = {"size": status.st_size, "mtime": status.st_mtime_ns}
            before = known.get(path, {})
            if all(before.get(key) == value for key, value in seen.items()):
                return dict(before)
            content = Path(path).read_bytes()
        except FileNotFoundError:
            return {"error": "does not exist"}
        except OSError as error:
            return {"error": f"cannot be read: {error.strerror or error}"}
        seen["sha256"] = hashlib.sha256(content).hexdigest()
        try:
            return {**seen, "shape": list(inspect(content, path))}
        except (DataError, ImageError) as error:
            return {**seen, "error": str(error).removeprefix(path).strip()}

    found: dict[str, dict[str, Any]] = {}
    count = threads or reader_count()
    with warnings.catch_warnings(), ThreadPoolExecutor(count) as pool:
        # Pillow warns of large pictures and odd tags; here, as threads share what is ignored.
        warnings.simplefilter("ignore")
        for begin in range(0, len(paths), _CHUNK):
            chunk = paths[begin : begin + _CHUNK]
            for number, (path, one) in enumerate(zip(chunk, pool.map(look, chunk), strict=True)):
                found[path] = one
                if on_progress:
                    on_progress(begin + number + 1, len(paths))
    return _report(data, found)


def _inspect_array(content: bytes, name: str) -> tuple[int, ...]:
    array = _load_array(io.BytesIO(content), name)
    if not np.isfinite(array).all():
        raise DataError(f"{name} has values that are not finite")
    return array.shape


def _load_array(source: Any, name: str) -> np.ndarray:
    try:
        array = np.load(source, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{name} does not exist; check the path") from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise DataError(f"{name} is not a NumPy array that can be read ({error})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or not array.size:
        raise DataError(f"{name} holds no array of real numbers")
    return array


def _report(data: LabelledData, files: dict[str, dict[str, Any]]) -> DataReport:
    unreadable = {path: one["error"] for path, one in files.items() if "error" in one}
    shapes: Counter[tuple[int, ...]] = Counter()
    tiny, huge = [], []
    if data.kind == ARRAYS:
        shapes.update(tuple(one["shape"]) for one in files.values() if "shape" in one)
        usual = max(shapes, key=lambda shape: (shapes[shape], shape), default=())
        for path, one in files.items():
            if "shape" in one and tuple(one["shape"]) != usual:
                unreadable[path] = f"has the shape {tuple(one['shape'])}, most have {usual}"
    else:
        for path, one in files.items():
            if "shape" in one:
                height, width = one["shape"]
                if min(height, width) < _TINY_SIDE:
                    tiny.append(path)
                if height * width > _HUGE_PIXELS:
                    huge.append(path)
    duplicates, contradictions, repeats = [], [], 0
    for group in _same_content(data, files, unreadable):
        paths = tuple(path for path, _, _ in group)
        if len({split for _, split, _ in group}) > 1:
            duplicates.append(paths)
        if len({label for _, _, label in group}) > 1:
            contradictions.append(paths)
        repeats += len(group) - len({(split, label) for _, split, label in group})
    counts = {
        split: dict(
            zip(
                data.classes,
                np.bincount(part.labels, minlength=len(data.classes)).tolist(),
                strict=True,
            )
        )
        for split, part in data.splits.items()
    }
    return DataReport(
        data.kind,
        counts,
        tuple(unreadable.items()),
        tuple(duplicates),
        tuple(contradictions),
        repeats,
        tuple(tiny),
        tuple(huge),
        dict(shapes.most_common()),
        data.left_out,
        files,
    )


def _same_content(
    data: LabelledData, files: Mapping[str, Mapping[str, Any]], unreadable: Mapping[str, str]
) -> list[list[tuple[str, str, int]]]:
    """Groups of two and more readable files of the same content, each with its split and label."""
    first: dict[str, tuple[str, str, int]] = {}
    groups: dict[str, list[tuple[str, str, int]]] = {}
    for split, part in data.splits.items():
        for path, label in zip(part.paths, part.labels.tolist(), strict=True):
            if path in unreadable:
                continue
            digest, one = files[path]["sha256"], (path, split, label)
            if digest in first:
                groups.setdefault(digest, [first[digest]]).append(one)
            else:
                first[digest] = one
    return list(groups.values())


def without_bad(
    data: LabelledData, report: DataReport, *, keeps_repeats: bool = False
) -> LabelledData:
    """The data without what a check found to be bad.

    Unreadable files are left out everywhere. Of files with the same content, those to train on
    are left out where another one is validated or tested with, or has another label.

    Args:
        data: that were checked.
        report: what `check_labelled` said of them.
        keeps_repeats: leave out what is unreadable alone.

    Returns:
        `LabelledData` of the same classes.

    Raises:
        DataError: a class has no files to train on any more.
    """
    unreadable = {path for path, _ in report.unreadable}
    not_trained = unreadable
    if not keeps_repeats:
        not_trained = unreadable.union(*report.duplicates, *report.contradictions)

    def without(files: LabelledFiles, bad: set[str]) -> LabelledFiles:
        keep = np.array([path not in bad for path in files.paths], bool)
        paths = tuple(path for path, good in zip(files.paths, keep, strict=True) if good)
        return LabelledFiles(paths, files.labels[keep])

    train = without(data.train, not_trained)
    gone = np.flatnonzero(np.bincount(train.labels, minlength=len(data.classes)) == 0)
    if gone.size:
        raise DataError(
            f"without bad files the class '{data.classes[gone[0]]}' has none to train on; "
            "mend its files or remove it"
        )
    test = None if data.test is None else without(data.test, unreadable)
    return replace(data, train=train, val=without(data.val, unreadable), test=test)


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """RGB as it is, or its luma.

    Args:
        pixels: float `(..., 3)`.
        channels: 3 or 1.

    Returns:
        `(..., channels)`.

    >>> to_channels(np.ones((1, 1, 3), np.float32), 1).round(3).tolist()
    [[[1.0]]]
    """
    return pixels if channels == 3 else (pixels @ LUMA)[..., None]


def read_example(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reads one example as a network takes it.

    Args:
        path: of a picture or a `.npy` file.
        shape: of the network's input: `(height, width, channels)` with 1 or 3 channels for
            pictures, anything for arrays.

    Returns:
        float32 of that shape. The whole picture stretched to it, in [0, 1]; an array as it is, with
        an axis for one channel added where it is missing.

    Raises:
        DataError: an array that cannot be read or has another shape.
        ImageError: a picture that cannot be read.
        ValueError: no shape of a picture.
    """
    if path.lower().endswith(ARRAY_SUFFIX):
        array = _load_array(path, path)
        if (*array.shape, 1) == tuple(shape):
            array = array[..., None]
        if array.shape != tuple(shape):
            raise DataError(
                f"{path} has the shape {array.shape}, but the network takes {tuple(shape)}"
            )
        return array.astype(np.float32)
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise ValueError(
            f"shape must be (height, width, 1 or 3) for pictures. Received: shape={shape}"
        )
    return stretch_pixels(read_pixels(path, 2 * max(shape[:2])), shape)


def stretch_pixels(pixels: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """A picture as `read_example` gives it.

    Args:
        pixels: uint8 `(H, W, 3)`.
        shape: `(height, width, channels)` with 1 or 3 channels.

    Returns:
        float32 of that shape, in [0, 1].
    """
    height, width, channels = shape
    image = Image.fromarray(pixels).resize(
        (width, height), Image.Resampling.LANCZOS, reducing_gap=_GAP
    )
    return to_channels(np.divide(image, np.float32(255.0), dtype=np.float32), channels)
