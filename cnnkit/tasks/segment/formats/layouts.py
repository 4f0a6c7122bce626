"""Finds out in which form pictures with masks are stored.

Known are

- Pascal VOC's, as labelme and CVAT write it too: `JPEGImages/`, `SegmentationClass/` and perhaps
  lists in `ImageSets/Segmentation/`;
- two folders of any depth, of which one is named after masks (`labels`, `masks`, `annotations`,
  `train_masks`, `trainannot`, ...), and in either of them or around them folders of the splits;
- masks beside their pictures, with `_mask`, `_segmentation`, `_L` or the like at the end of their
  names, or as PNG beside JPEG.

A picture and its mask have the same name but for suffix and such an end, in folders of the same
names but for those words. COCO's panoptic segments are found by their own module.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from cnnkit.data._places import (
    Places,
    files_below,
    innermost,
    is_file,
    is_picture_name,
    parts_of,
    relative,
)
from cnnkit.data._splits import SPLIT_NAMES
from cnnkit.data._values import counted, read_lines
from cnnkit.errors import DataError
from cnnkit.images import DAMAGED

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
# At the end of the name of a mask.
_ENDS = re.compile(
    r"[_-](l|mask|masks|segmentation|seg|label|labels|gt|anno|annotation|labelids|manual1)$",
    re.IGNORECASE,
)
_MASK_WORDS = {
    *("labels", "label", "masks", "mask", "annotations", "annots", "annotation", "annot", "anno"),
    *("semantic", "gt", "groundtruth", "segmentation", "segmentations", "segmentationclass"),
    *("segmentationclasspng", "targets", "target"),
}
_PICTURE_WORDS = {
    *("images", "image", "imgs", "img", "pictures", "jpegimages", "data", "set", "input", "inputs"),
    *("photos", "original", "originals", "rgb"),
}
# Drawings for people, and masks of instances, which are something else.
_PASSED_OVER = {"segmentationobject", "segmentationclassvisualization", "visualization", "overlays"}
_MODES_OF_MASKS = ("1", "L", "P", "I", "I;16")
_SPLITS = ("train", "val")


@dataclass(frozen=True)
class MaskLayout:
    """How pictures and masks are stored.

    Attributes:
        name: of the layout, for people.
        root: folder of the data, inside what archives wrapped around it.
        pairs: "train" or "val" -> a picture and its mask each, by path.
        is_voc: whether VOC's own classes may be meant.
        left_out: files that are not used, and why.
    """

    name: str
    root: Path
    pairs: Mapping[str, Sequence[tuple[str, str]]]
    is_voc: bool = False
    left_out: tuple[str, ...] = ()


# Split, further folders and name of a file.
_Key = tuple[str, tuple[str, ...], str]


@dataclass
class _Found:
    """Files by split, further folders and name."""

    pictures: dict[_Key, list[Path]] = field(default_factory=lambda: defaultdict(list))
    masks: dict[_Key, list[Path]] = field(default_factory=lambda: defaultdict(list))
    jpeg_masks: dict[_Key, Path] = field(default_factory=dict)
    passed_over: list[Path] = field(default_factory=list)


def recognise_masks(folder: Path) -> MaskLayout:
    """The layout of a folder, and the pairs in it; no picture is decoded.

    Raises:
        DataError: there are no pairs, most pictures are without a mask, one has two, masks are
            JPEG, or it cannot be told which of two folders has the masks.
    """
    root = innermost(folder)
    files = list(files_below(root))
    is_voc = (root / "JPEGImages").is_dir() and any(
        (root / name).is_dir() for name in ("SegmentationClass", "SegmentationClassPNG")
    )
    lists = {split: root / "ImageSets" / "Segmentation" / f"{split}.txt" for split in _SPLITS}
    if is_voc and lists["train"].is_file():
        return _listed_voc(root, {split: path for split, path in lists.items() if path.is_file()})
    found = _sorted_files(root, files)
    _refuse_jpeg(found, root)
    pairs, missing, unused = _pairs(found)
    # A few are left out; without any or most of the masks this is another layout.
    if len(missing) > sum(map(len, pairs.values())):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"{missing[0]}{more} has no mask in {_mask_folder(found, root)}; add it, or take the "
            "picture out"
        )
    if not pairs:
        raise DataError(
            f"{folder} holds no pictures with masks; put pictures into images/ and their masks, as "
            "PNG of the same names, into labels/"
        )
    left_out = []
    if missing:
        one = relative(missing[0], root)
        left_out.append(f"{counted(len(missing), 'picture')} without a mask, such as {one}")
    if unused:
        one = relative(unused[0], root)
        left_out.append(f"{counted(len(unused), 'file')} in no pair, such as {one}")
    if found.passed_over:
        one = relative(found.passed_over[0], root)
        left_out.append(
            f"{counted(len(found.passed_over), 'picture')} such as {one}, no masks of classes"
        )
    tests = sum(len(part) for split, part in pairs.items() if split == "test")
    if tests:
        left_out.append(
            f"{counted(tests, 'pair')} to test with; give 'evaluate segment' their folder"
        )
    name = "Pascal VOC" if is_voc else _layout_name(pairs, root)
    kept = {split: part for split, part in pairs.items() if split in _SPLITS}
    return MaskLayout(name, root, kept, is_voc, tuple(left_out))


def _layout_name(pairs: Mapping[str, Sequence[tuple[str, str]]], root: Path) -> str:
    picture, mask = (Path(path).parent for path in next(iter(pairs.values()))[0])
    if picture == mask:
        return "masks beside their pictures"
    return f"pictures in {relative(picture, root)}/ and masks in {relative(mask, root)}/"


def _listed_voc(root: Path, lists: Mapping[str, Path]) -> MaskLayout:
    pictures = root / "JPEGImages"
    masks = root / "SegmentationClass"
    if not masks.is_dir():
        masks = root / "SegmentationClassPNG"
    places = Places(root)
    pairs: dict[str, list[tuple[str, str]]] = {}
    for split, path in lists.items():
        names = [parts_of(line)[-1] for line in read_lines(path) if parts_of(line)]
        stems = [Path(name).stem if is_picture_name(name) else name for name in names]
        pairs[split] = []
        for stem in stems:
            picture = places.find_stem(stem, [pictures]) or pictures / f"{stem}.jpg"
            mask = masks / f"{stem}.png"
            if not is_file(mask):
                mask = places.find_stem(stem, [masks]) or mask
            if mask.suffix.lower() not in MASK_SUFFIXES:
                raise _unsafe([mask], root)
            pairs[split].append((str(picture), str(mask)))
    kept = {split: part for split, part in pairs.items() if part}
    if not kept:
        raise DataError(f"{root}: the lists in ImageSets/Segmentation name no picture")
    return MaskLayout("Pascal VOC with lists", root, kept, is_voc=True)


def _sorted_files(root: Path, files: Sequence[Path]) -> _Found:
    """Files as pictures and masks, by the names of folders and files, else by what they are."""
    found = _Found()
    pictures: list[tuple[_Key, Path]] = []
    stems = {path.stem for path in files if is_picture_name(path.name)}
    for path in files:
        if not is_picture_name(path.name):
            continue
        split, is_mask, deeper = _folder_meaning(path.relative_to(root).parts[:-1])
        if set(map(str.lower, deeper)) & _PASSED_OVER:
            found.passed_over.append(path)
            continue
        stem = _ENDS.sub("", path.stem)
        if is_mask or (stem != path.stem and stem in stems):
            is_exact = path.suffix.lower() in MASK_SUFFIXES
            # A mask may have the whole name of its picture, whose own end only looks like one.
            for name in dict.fromkeys((path.stem, stem)):
                if is_exact:
                    found.masks[split, deeper, name].append(path)
                else:
                    found.jpeg_masks.setdefault((split, deeper, name), path)
        else:
            pictures.append(((split, deeper, path.stem), path))
    for key, path in pictures:
        found.pictures[key].append(path)
    if not found.masks and not found.jpeg_masks:
        _part_by_kind(root, found)
    return found


def _folder_meaning(folders: Sequence[str]) -> tuple[str, bool, tuple[str, ...]]:
    """The split and whether masks are meant, and the folders that say neither.

    >>> _folder_meaning(("train_masks", "a")), _folder_meaning(("valannot",))
    (('train', True, ('a',)), ('val', True, ()))
    """
    split, is_mask, deeper = "", False, []
    for name in folders:
        words = re.findall(r"[^\W\d_]+", name.lower())
        words = [part for word in words for part in _parted(word)]
        known = [word in SPLIT_NAMES or word in _MASK_WORDS | _PICTURE_WORDS for word in words]
        if not words or not all(known):
            deeper.append(name)
            continue
        is_mask = is_mask or any(word in _MASK_WORDS for word in words)
        split = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), split)
    return split, is_mask, tuple(deeper)


def _parted(word: str) -> tuple[str, ...]:
    """A word of two, such as "trainannot"."""
    for split in sorted(SPLIT_NAMES, key=len, reverse=True):
        rest = word.removeprefix(split)
        if rest != word and rest in _MASK_WORDS | _PICTURE_WORDS:
            return split, rest
    return (word,)


def _part_by_kind(root: Path, found: _Found) -> None:
    """Takes PNG beside JPEG of the same name for masks, or one folder of two whose names agree."""
    both = {
        key: {path.suffix.lower() in MASK_SUFFIXES for path in paths}
        for key, paths in found.pictures.items()
        if len(paths) == 2
    }
    if both and all(kinds == {True, False} for kinds in both.values()):
        for key in both:
            first, second = found.pictures[key]
            is_first = first.suffix.lower() in MASK_SUFFIXES
            found.masks[key] = [first if is_first else second]
            found.pictures[key] = [second if is_first else first]
        return
    folders: dict[tuple[str, ...], dict[str, Path]] = defaultdict(dict)
    for (_, deeper, stem), paths in found.pictures.items():
        folders[deeper][_ENDS.sub("", stem)] = paths[0]
    if len(folders) != 2:
        return
    (one_key, one), (other_key, other) = folders.items()
    common = set(one) & set(other)
    if len(common) < max(1, min(len(one), len(other)) / 2):
        return
    some = sorted(common)[:5]
    looks = [all(_looks_like_mask(part[stem]) for stem in some) for part in (one, other)]
    if looks[0] == looks[1]:
        names = " and ".join("/".join(deeper) or "." for deeper in (one_key, other_key))
        raise DataError(
            f"{root}: it cannot be told which of {names} has the masks; call it masks, and the "
            "other images"
        )
    masks, named = (one_key, one) if looks[0] else (other_key, other)
    pictures = other_key if looks[0] else one_key
    for key in [key for key in found.pictures if key[1] == masks]:
        del found.pictures[key]
    for key in [key for key in found.pictures if key[1] == pictures]:
        mask = named.get(_ENDS.sub("", key[2]))
        if mask is not None:
            found.masks[key] = [mask]


def _looks_like_mask(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.mode in _MODES_OF_MASKS and path.suffix.lower() in MASK_SUFFIXES
    except (*DAMAGED, Image.DecompressionBombError):
        return False


def _refuse_jpeg(found: _Found, root: Path) -> None:
    # By name alone: the folders of the two kinds may be called anything.
    good = {(split, stem) for split, _, stem in found.masks}
    by_name = {(split, stem): path for (split, _, stem), path in found.jpeg_masks.items()}
    wanted = dict.fromkeys((split, stem) for split, _, stem in found.pictures)
    unsafe = [by_name[name] for name in wanted if name in by_name and name not in good]
    if unsafe:
        raise _unsafe(unsafe, root)


def _unsafe(masks: Sequence[Path], root: Path) -> DataError:
    more = f" and {len(masks) - 1} more" if len(masks) > 1 else ""
    return DataError(
        f"{relative(masks[0].parent, root)}/ in {root} has masks as JPEG ({masks[0].name}{more}), "
        "which changes the values along every edge; save them as PNG from the source"
    )


def _pairs(found: _Found) -> tuple[dict[str, list[tuple[str, str]]], list[Path], list[Path]]:
    """Pairs by split, pictures without a mask, and files that are in no pair."""
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    missing, used, outside = [], set(), []
    has_splits = any(split == "train" for split, *_ in found.pictures)
    # For folders whose names only tell the two kinds apart.
    by_stem: dict[tuple[str, str], set[Path]] = defaultdict(set)
    for (split, _, stem), masks in found.masks.items():
        by_stem[split, stem].update(masks)
    for key, paths in found.pictures.items():
        if has_splits and not key[0]:
            outside += paths
            continue
        split = key[0] or "train"
        if len(paths) > 1:
            raise DataError(f"{paths[0]} and {paths[1].name} have one name; take one of them out")
        [picture] = paths
        masks = found.masks.get(key) or sorted(by_stem[key[0], key[2]])
        # One of the whole name goes before one that has it but for the end.
        masks = [mask for mask in masks if mask.stem == picture.stem] or masks
        if not masks:
            if split != "test":
                missing.append(picture)
            continue
        if len(masks) > 1:
            raise DataError(
                f"{picture} has two masks, {masks[0]} and {masks[1].name}; leave the one of classes"
            )
        used.add(masks[0])
        pairs[split].append((str(picture), str(masks[0])))
    unused = {mask for masks in found.masks.values() for mask in masks} - used
    return dict(pairs), missing, [*outside, *sorted(unused)]


def _mask_folder(found: _Found, root: Path) -> Path:
    masks = [mask for masks in found.masks.values() for mask in masks]
    return masks[0].parent if masks else root
