"""Pictures with a class for every pixel: found, checked and read."""

import contextlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from cnnkit.data._class_names import IGNORE, VOC_CLASSES
from cnnkit.data._splits import draw_key
from cnnkit.data._values import joined
from cnnkit.errors import DataError, ImageError, UsageError
from cnnkit.images import DAMAGED, MAX_PIXELS, measure_image
from cnnkit.runtime import reader_count
from cnnkit.tasks.segment.formats.class_lists import class_lines, find_class_list
from cnnkit.tasks.segment.formats.layouts import MaskLayout, recognise_masks
from cnnkit.tasks.segment.formats.panoptic import Panoptic, panoptic_files, read_panoptic

CLASSES_FILE = "classes.txt"

# Classes of this name are pixels that do not count.
_LABELME_FIRST = "__ignore__"
_NO_CLASSES = (_LABELME_FIRST, "void", "ignore", "ignored", "unlabeled", "unlabelled", "don't care")
_SHOWN = 5
# Masks that are looked at before all of them are checked.
_SAMPLED = 24
# Digits of the values before a name.
_DIGITS = 9
# Of values of masks that are no class.
_UNKNOWN = 254


@dataclass(frozen=True, eq=False)
class MaskCoding:
    """What the values of masks mean.

    Attributes:
        table: uint8 `(256,)`, value of an index mask -> class, or 255; values that have no class
            are 254.
        colors: `(red, green, blue)` -> class or 255, for colour masks; empty where there are none.
        segments: path of a mask -> red + 256 green + 65536 blue -> class or 255, where colours
            mean something else in each mask (COCO's panoptic ones); empty where they do not.
        is_ignore_listed: whether the list of classes says what 255 is.
    """

    table: np.ndarray
    colors: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    segments: Mapping[str, Mapping[int, int]] = field(default_factory=dict, repr=False)
    is_ignore_listed: bool = False


@dataclass(frozen=True, eq=False)
class MaskPairs:
    """Pictures and the mask of each, by path."""

    pictures: tuple[str, ...]
    masks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True, eq=False)
class MaskData:
    """What a segmenter is trained on and validated with.

    Attributes:
        classes: names, by class index.
        coding: of the masks.
        train: pairs to train on.
        val: pairs to validate with.
        layout: what the folder was recognised as, and where its classes stand.
        left_out: files that are not used.
    """

    classes: tuple[str, ...]
    coding: MaskCoding
    train: MaskPairs
    val: MaskPairs
    layout: str = ""
    left_out: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What was read and what was left out, for people."""
        lines = [f"read as {self.layout}"] if self.layout else []
        return [*lines, *(f"left out: {what}" for what in self.left_out)]


def read_masks(data: str | Path, *, val_share: float = 0.15, seed: int = 0) -> MaskData:
    """Finds pictures and their masks in a folder; no picture is opened.

    `formats.layouts` has the layouts that are known; COCO's panoptic segments are one more:
    `panoptic_*.json`, perhaps in `annotations/`, with folders of masks beside them and pictures in
    folders of the same names.

    A list of classes, `classes.txt` or what labelme, CVAT, CamVid and Roboflow call it, in the
    folder, beside the masks, or as `classes.txt` beside the folder, has a class a line: a name (the
    line's number from 0 is its value), `value name`, or `red green blue name` for colour masks.
    Classes named void, ignore or unlabeled do not count, nor does 255 unless it is listed. Without
    a list the classes are those of VOC where the folder is VOC's and holds no other list.

    Args:
        data: the folder.
        val_share: of the pairs, kept for validation where the data have no such part. The draw
            goes by a hash of `seed` and the name.
        seed: of the draw.

    Returns:
        The `MaskData`.

    Raises:
        DataError: no pairs, pictures without a mask, masks as JPEG, masks of which all but one
            class would not count, or no list of classes that can be read.
        UsageError: `val_share` makes no sense.
    """
    if not 0.0 <= val_share < 1.0:
        raise UsageError(f"val-share must be from 0 to below 1, not {val_share}")
    folder = Path(data)
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one with images/ and labels/")
    lists = panoptic_files(folder)
    if lists:
        return _panoptic_data(read_panoptic(folder, lists), val_share, seed)
    try:
        layout = recognise_masks(folder)
        classes, coding, source = _read_classes(folder, layout)
    except OSError as error:
        where = error.filename or folder
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from None
    found = {
        split: MaskPairs(*(tuple(column) for column in zip(*pairs, strict=True)))
        for split, pairs in layout.pairs.items()
    }
    described = f"{layout.name}; {source}"
    read = _with_validation(classes, coding, found, val_share, seed)
    read = replace(read, layout=described, left_out=layout.left_out)
    _refuse_ignored(read)
    return read


def _with_validation(
    classes: tuple[str, ...],
    coding: MaskCoding,
    found: dict[str, MaskPairs],
    val_share: float,
    seed: int,
) -> MaskData:
    if "val" not in found:
        found["train"], found["val"] = _part(found["train"], val_share, seed)
    return MaskData(classes, coding, found.get("train", MaskPairs((), ())), found["val"])


def _panoptic_data(panoptic: Panoptic, val_share: float, seed: int) -> MaskData:
    found = {
        split: MaskPairs(*(tuple(column) for column in zip(*pairs, strict=True)))
        for split, pairs in panoptic.pairs.items()
    }
    coding = MaskCoding(_index_table(), segments=panoptic.segments)
    return _with_validation(panoptic.classes, coding, found, val_share, seed)


def _index_table() -> np.ndarray:
    """Values of masks to classes, before any class is known."""
    table = np.full(256, _UNKNOWN, np.uint8)
    table[IGNORE] = IGNORE
    return table


def _part(pairs: MaskPairs, share: float, seed: int) -> tuple[MaskPairs, MaskPairs]:
    if share == 0.0:
        return MaskPairs((), ()), pairs
    draws = [draw_key(seed, Path(path).name) for path in pairs.pictures]
    count = min(len(pairs) - 1, max(1, round(share * len(pairs))))
    chosen = set(sorted(range(len(pairs)), key=lambda at: draws[at])[:count])
    return _chosen(pairs, [at for at in range(len(pairs)) if at not in chosen]), _chosen(
        pairs, sorted(chosen)
    )


def _chosen(pairs: MaskPairs, rows: Sequence[int]) -> MaskPairs:
    return MaskPairs(
        tuple(pairs.pictures[at] for at in rows), tuple(pairs.masks[at] for at in rows)
    )


def _read_classes(folder: Path, layout: MaskLayout) -> tuple[tuple[str, ...], MaskCoding, str]:
    """Names of the classes, what the values of masks mean, and where that stands."""
    first = next(iter(layout.pairs.values()))[0]
    around = [one for path in reversed(first) for one in Path(path).parents]
    places = [folder, layout.root, *(one for one in around if one.is_relative_to(layout.root))]
    listed = find_class_list(layout.root, places, has_default=layout.is_voc)
    beside = folder.parent / CLASSES_FILE
    if listed is None and beside.is_file():
        listed = beside, class_lines(beside)
    if listed is not None:
        path, lines = listed
        return *parse_classes(lines, str(path)), f"classes in {path.name}"
    if layout.is_voc:
        source = f"classes of VOC, as there is no {CLASSES_FILE}"
        return *parse_classes(VOC_CLASSES, "VOC's classes"), source
    raise DataError(
        f"{folder} has no {CLASSES_FILE}; write one with a class a line: '0 sky' or, for colour "
        "masks, '128 128 128 sky'"
    )


def parse_classes(
    lines: Sequence[str], source: str = CLASSES_FILE
) -> tuple[tuple[str, ...], MaskCoding]:
    """Names of classes, and what the values of masks mean.

    Args:
        lines: a name, `value name` or `red green blue name` each.
        source: where they are from, for messages.

    Returns:
        The names of those that count, and the `MaskCoding`.

    Raises:
        DataError: lines of several kinds, a value twice, or no class.

    Example:

    >>> names, coding = parse_classes(["0 sky", "7 road", "11 void"])
    >>> names, coding.table[[0, 7, 11, 5, 255]].tolist()
    (('sky', 'road'), [0, 1, 255, 254, 255])
    """
    rows = [(_numbers(line.split()), line) for line in lines]
    kinds = {len(numbers) for numbers, _ in rows}
    if len(kinds) != 1 or kinds - {0, 1, 3}:
        raise DataError(
            f"{source} must have one kind of lines: 'sky', '0 sky' or '128 128 128 sky'"
        )
    (kind,) = kinds
    names: list[str] = []
    values: dict[tuple[int, ...], int] = {}
    # labelme's lists of names begin with -1.
    first = -1 if not kind and rows[0][1].lower() == _LABELME_FIRST else 0
    for row, (numbers, line) in enumerate(rows, first):
        if row < 0:
            continue
        name = " ".join(line.split()[kind:])
        value = numbers if kind else (row,)
        if value in values or max(value) > 255:
            raise DataError(f"{source}: the line '{line}' has a value that is taken or above 255")
        if name.lower() in _NO_CLASSES:
            values[value] = IGNORE
        else:
            values[value] = len(names)
            names.append(name)
    if not 2 <= len(names) <= 254:
        raise DataError(f"{source} must have 2 to 254 classes, not {len(names)}")
    if len(set(names)) < len(names):
        raise DataError(f"{source} has a name twice")
    table = _index_table()
    if kind == 3:
        colors = {(red, green, blue): index for (red, green, blue), index in values.items()}
        return tuple(names), MaskCoding(table, MappingProxyType(colors))
    for (number,), index in values.items():
        table[number] = index
    return tuple(names), MaskCoding(table, is_ignore_listed=(IGNORE,) in values)


def _numbers(words: Sequence[str]) -> tuple[int, ...]:
    """The numbers before a name: three, one or none."""
    count = 0
    # The last word is the name, even where it is a number.
    while count < min(3, len(words) - 1) and _is_value(words[count]):
        count += 1
    if count == 2:
        count = 1
    return tuple(int(word) for word in words[:count])


def _is_value(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= _DIGITS


def _refuse_ignored(data: MaskData) -> None:
    """Refuses masks of one class and of 255, which does not count: as a rule it is a class.

    Raises:
        DataError: they are such masks, as some of them show.
    """
    if data.coding.is_ignore_listed or data.coding.colors or data.coding.segments:
        return
    masks = [*data.train.masks, *data.val.masks]
    seen = np.zeros(256, np.int64)
    for path in masks[:: max(1, len(masks) // _SAMPLED)][:_SAMPLED]:
        with contextlib.suppress(DataError):
            # The check names those that cannot be read.
            classes = _classes_of(_mask_values(path, data.coding), path, data.coding)
            seen += np.bincount(classes.reshape(-1), minlength=256)
    counted = np.flatnonzero(seen[:_UNKNOWN])
    if seen[IGNORE] and len(counted) <= 1:
        value = int(np.flatnonzero(data.coding.table == counted[0])[0]) if len(counted) else 0
        known = data.classes[counted[0]] if len(counted) else data.classes[0]
        other = next(name for name in data.classes if name != known)
        raise DataError(
            f"{Path(masks[0]).parent} has masks of {value} and 255, and 255 does not count, so "
            f"that there is only {known!r}; write '{value} {known}' and '255 {other}' into "
            f"{CLASSES_FILE}, or '255 ignore' beside the classes if 255 is to be left out"
        )


def read_mask(path: str | Path, coding: MaskCoding) -> np.ndarray:
    """Reads a mask as classes.

    Args:
        path: of an index or colour picture.
        coding: what its values mean.

    Returns:
        uint8 `(height, width)` with class indices, and 255 where pixels do not count.

    Raises:
        DataError: it cannot be read, or has a value that is no class.
    """
    values = _mask_values(path, coding)
    classes = _classes_of(values, path, coding)
    unknown = classes == _UNKNOWN
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        value = " ".join(map(str, np.atleast_1d(values[row, column])))
        raise DataError(
            f"{path} has {int(unknown.sum()):,} pixels of no class, the first, {value}, at row "
            f"{row}, column {column}; "
            + (
                "add their segment to the list of segments"
                if coding.segments
                else f"add their value to {CLASSES_FILE}, as 'ignore' if need be"
            )
        )
    return classes


def _mask_values(path: str | Path, coding: MaskCoding) -> np.ndarray:
    """What stands in a mask: integers `(height, width)`, or `(height, width, 3)` of colours."""
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            # Pillow warns of large pictures and of tags that nobody needs.
            warnings.simplefilter("ignore")
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{path} claims {image.width}x{image.height} pixels; make it smaller first"
                )
            image.load()
            if coding.colors or coding.segments:
                return np.asarray(image.convert("RGB"))
            if image.mode in ("P", "L", "1"):
                return np.asarray(image).astype(np.uint8)
            if (grey := _grey_of(image)) is not None:
                return grey
            if image.mode.startswith("I"):
                return np.asarray(image)
            raise DataError(
                f"{path} is a colour picture; give the colour of each class in "
                f"{CLASSES_FILE}, as '128 128 128 sky'"
            )
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; add the mask") from None
    except MemoryError:
        raise DataError(f"{path} does not fit into the memory; copy it again") from None
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as a mask ({error}); mend it") from None


def _classes_of(values: np.ndarray, path: str | Path, coding: MaskCoding) -> np.ndarray:
    """Class of each pixel, 255 where it does not count, 254 where it has none."""
    if not (coding.colors or coding.segments):
        # Masks of 16 bits may have larger values.
        is_known = (values >= 0) & (values <= IGNORE)
        return np.where(is_known, coding.table[np.clip(values, 0, IGNORE)], np.uint8(_UNKNOWN))
    packed = (values.astype(np.int32) * (1, 1 << 8, 1 << 16)).sum(axis=-1)
    found, inverse = np.unique(packed, return_inverse=True)
    known = {r + (g << 8) + (b << 16): index for (r, g, b), index in coding.colors.items()}
    if coding.segments:
        # What is in no segment is 0.
        known = {0: IGNORE, **coding.segments[str(path)]}
    table = np.array([known.get(int(value), _UNKNOWN) for value in found], np.uint8)
    return table[inverse.reshape(packed.shape)]


def _grey_of(image: Image.Image) -> np.ndarray | None:
    """The values of a mask that was saved with three equal channels; None for a colour picture."""
    if image.mode not in ("RGB", "RGBA", "LA"):
        return None
    values = np.asarray(image)
    if image.mode in ("RGBA", "LA") and (values[..., -1] != 255).any():
        return None
    colors = values[..., :3] if image.mode != "LA" else values[..., :1]
    return colors[..., 0] if (colors == colors[..., :1]).all() else None


@dataclass(frozen=True)
class MaskReport:
    """What a check of pictures and masks found.

    Attributes:
        bad: picture and reason of each pair that cannot be used.
        pixels: of each class in the masks to train on, without those that do not count.
        ignored: share of the pixels that do not count.
        missing: names of the classes that no mask to train on has.
        classes: names of all of them.
        counts: pairs to train on and to validate with.
        reading: what was read and what was left out, a line each.
    """

    bad: tuple[tuple[str, str], ...]
    pixels: tuple[int, ...]
    ignored: float
    missing: tuple[str, ...]
    classes: tuple[str, ...] = ()
    counts: tuple[int, int] = (0, 0)
    reading: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What the user should know, a line each."""
        lines = list(self.reading)
        if self.classes:
            train, val = self.counts
            lines.append(f"pairs: {train:,} to train on, {val:,} to validate with")
            lines.append(self._classes_line())
        lines += [f"left out: {reason}" for _, reason in self.bad[:_SHOWN]]
        if len(self.bad) > _SHOWN:
            lines.append(f"and {len(self.bad) - _SHOWN} more that cannot be used")
        if self.missing:
            lines.append(f"no mask to train on has: {', '.join(self.missing)}")
        if self.ignored > 0.5:
            lines.append(f"{self.ignored:.0%} of the pixels to train on do not count")
        return lines

    def _classes_line(self) -> str:
        """Names of the classes with their share of the pixels to train on that count."""
        total = max(1, sum(self.pixels))
        named = [
            f"{name} {100 * count / total:.3g} %"
            for name, count in zip(self.classes, self.pixels, strict=True)
        ]
        return (
            f"{len(self.classes)} classes with their share of the pixels to train on: "
            f"{joined(named)}"
        )


def check_masks(
    data: MaskData, on_progress: Callable[[int, int], None] | None = None
) -> MaskReport:
    """Looks at all pairs: both can be read, are of one size, and have no unknown class.

    Args:
        data: the pairs.
        on_progress: called with the number of pairs that were looked at, and of all.

    Returns:
        A `MaskReport`.
    """
    pairs = [
        (picture, mask, part is data.train)
        for part in (data.train, data.val)
        for picture, mask in zip(part.pictures, part.masks, strict=True)
    ]
    pixels, ignored, bad = np.zeros(256, np.int64), 0, []

    def look(pair: tuple[str, str, bool]) -> np.ndarray | str:
        picture, mask, _ = pair
        try:
            size = measure_image(Path(picture).read_bytes(), picture)
            classes = read_mask(mask, data.coding)
        except OSError as error:
            return f"{picture} cannot be read: {error.strerror or error}"
        except (ImageError, DataError) as error:
            return str(error)
        if classes.shape != tuple(size):
            return (
                f"{mask} is {classes.shape[1]}x{classes.shape[0]} but its picture "
                f"{size[1]}x{size[0]}; give them one size"
            )
        return np.bincount(classes.reshape(-1), minlength=256)

    with ThreadPoolExecutor(reader_count()) as pool:
        for done, (pair, found) in enumerate(zip(pairs, pool.map(look, pairs), strict=True), 1):
            if isinstance(found, str):
                bad.append((pair[0], found))
            elif pair[2]:
                pixels += found
            if on_progress:
                on_progress(done, len(pairs))
    ignored = int(pixels[IGNORE])
    counts = pixels[: len(data.classes)]
    return MaskReport(
        bad=tuple(bad),
        pixels=tuple(int(count) for count in counts),
        ignored=ignored / max(1, ignored + int(counts.sum())),
        missing=tuple(name for name, count in zip(data.classes, counts, strict=True) if not count),
        classes=data.classes,
        counts=(len(data.train), len(data.val)),
        reading=tuple(data.lines()),
    )


def without_bad_pairs(data: MaskData, report: MaskReport) -> MaskData:
    """The data without the pairs that cannot be used."""
    bad = {picture for picture, _ in report.bad}

    def without(pairs: MaskPairs) -> MaskPairs:
        return _chosen(
            pairs, [at for at, picture in enumerate(pairs.pictures) if picture not in bad]
        )

    return replace(data, train=without(data.train), val=without(data.val))


def data_hash(data: MaskData) -> str:
    """SHA-256 of the classes and the names of all pairs; the folder may be moved."""
    lines = [*data.classes]
    for pairs in (data.train, data.val):
        lines += ["", *(Path(path).name for path in pairs.pictures)]
    return sha256(json.dumps(lines).encode()).hexdigest()
