"""Boxes in Pascal VOC's form: an XML file for each picture."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from cnnkit.data._places import Places, is_picture_name, parts_of, relative
from cnnkit.data._values import counted, first_line, marked_encoding, number, read_bytes, read_lines
from cnnkit.errors import DataError
from cnnkit.images import READABLE_SUFFIXES
from cnnkit.tasks.detect.formats.rows import (
    NO_AREA,
    PixelBoxes,
    RawSplits,
    by_folders,
    to_parts,
)
from cnnkit.tasks.detect.formats.yolo import CLASS_LISTS

_EDGES = ("xmin", "ymin", "xmax", "ymax")
# Folders beside those of annotations in which pictures lie.
_PICTURE_FOLDERS = ("JPEGImages", "images", "Images", "imgs", "img", "pictures")
_ENCODING = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]{1,40})[\"'][^>]*\?>")
_DECLARATION = re.compile(r"^\s*<\?xml.*?\?>", re.DOTALL)


def is_voc(path: Path) -> bool:
    """Whether an XML file is an annotation, by its beginning."""
    return re.search(rb"<annotation[\s>]", _beginning(path)) is not None


def xml_kind(path: Path) -> str:
    """What an XML file is that is no annotation."""
    if re.search(rb"<annotations[\s>]", _beginning(path)):
        return "CVAT's own form; export it as YOLO, Pascal VOC or COCO"
    return "no annotations of Pascal VOC"


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # Of UTF-16 every other byte is 0.
            return file.read(4096).replace(b"\0", b"")
    except OSError:
        return b""


def read_voc(root: Path, files: Sequence[Path], xml_files: Sequence[Path]) -> RawSplits:
    """Annotations anywhere below a folder, their pictures beside them or in another folder.

    Args:
        root: folder of the data.
        files: all below it.
        xml_files: the annotations among them.
    """
    names = _class_list(root)
    raw = RawSplits(list(names))
    places = Places(root, files)
    by_split = _splits(root, xml_files, raw)
    pixels: dict[str, list[PixelBoxes]] = {}
    owners: dict[str, tuple[Path, PixelBoxes]] = {}
    for split, paths in by_split.items():
        pixels[split] = []
        for path in paths:
            one = _picture(path, root, places, raw, bool(names))
            if one is None:
                continue
            other, before = owners.setdefault(one.path, (path, one))
            if before is one:
                pixels[split].append(one)
            else:
                if before.rows != one.rows:
                    raise DataError(
                        f"{root}: {relative(other, root)} and {relative(path, root)} are of one "
                        "picture and differ; leave the one that is meant"
                    )
                raw.left_out.append(
                    f"{relative(path, root)}, which repeats {relative(other, root)}"
                )
    flat = [one for part in pixels.values() for one in part]
    parts = iter(to_parts(flat, raw.notes))
    raw.splits = {split: [next(parts) for _ in part] for split, part in pixels.items() if part}
    if not names:
        _sort_classes(raw)
    return raw


def _class_list(root: Path) -> list[str]:
    for name in CLASS_LISTS:
        if (root / name).is_file():
            return [line for line in read_lines(root / name) if line]
    return []


def _splits(root: Path, xml_files: Sequence[Path], raw: RawSplits) -> dict[str, list[Path]]:
    """Annotations by the lists in ImageSets/Main, else by the names of their folders."""
    folder = root / "ImageSets" / "Main"
    lists = {
        split: folder / f"{split}.txt"
        for split in ("train", "val", "test")
        if (folder / f"{split}.txt").is_file()
    }
    if "train" in lists:
        return _listed(root, xml_files, lists, raw)
    if (folder / "trainval.txt").is_file():
        return _listed(root, xml_files, {**lists, "train": folder / "trainval.txt"}, raw)
    return by_folders(xml_files, root, "annotation", raw)


def _listed(
    root: Path, xml_files: Sequence[Path], lists: dict[str, Path], raw: RawSplits
) -> dict[str, list[Path]]:
    by_stem = {path.stem: path for path in xml_files}
    found: dict[str, list[Path]] = {}
    used = set()
    for split, path in lists.items():
        raw.read.append(relative(path, root))
        found[split] = []
        for line in read_lines(path):
            if not line:
                continue
            xml = _by_line(line, by_stem)
            if xml is None:
                raw.problems.append((line[:100], f"is in the list of {split} but has no .xml file"))
            else:
                found[split].append(xml)
                used.add(xml)
    unused = [path for path in xml_files if path not in used]
    if unused:
        raw.left_out.append(
            f"{counted(len(unused), 'annotation')} in no list, such as {relative(unused[0], root)}"
        )
    return found


def _by_line(line: str, by_stem: dict[str, Path]) -> Path | None:
    """The annotation that a line of a list names: a stem or a file, perhaps with a 1 or -1."""
    for text in (line, re.sub(r"\s+-?\d$", "", line)):
        name = (parts_of(text) or ("",))[-1]
        for stem in (name, Path(name).stem if is_picture_name(name) else name):
            if stem in by_stem:
                return by_stem[stem]
    return None


def _picture(
    path: Path, root: Path, places: Places, raw: RawSplits, is_closed: bool
) -> PixelBoxes | None:
    """A picture and its boxes; None where the file is no annotation, which is then a problem."""
    try:
        tree = ElementTree.fromstring(_xml_text(path))
        if tree.tag != "annotation":
            raise ValueError(f"its outermost element is {tree.tag[:40]}, not annotation")
    except DataError as error:
        raw.problems.append((str(path), str(error).removeprefix(f"{path} ")))
        return None
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raw.problems.append((str(path), f"is no annotation in XML ({first_line(error)})"))
        return None
    file_name = (tree.findtext("filename") or "").strip()
    near = _near(path, root)
    picture = (
        places.find_stem(path.stem, near)
        or places.find(file_name, near)
        or _anywhere(places, path.stem)
        or near[0] / (parts_of(file_name) or (f"{path.stem}.jpg",))[-1]
    )
    width, height = (number(tree.findtext(f"size/{side}")) or 0.0 for side in ("width", "height"))
    one = PixelBoxes(str(picture), (width, height) if width > 0 and height > 0 else None)

    def problem(reason: str) -> None:
        raw.problems.append((str(path), reason))
        raw.incomplete.add(one.path)

    for item in tree.iter("object"):
        name = (item.findtext("name") or "").strip()
        if not name:
            problem("has a box without the name of its class")
            continue
        if name not in raw.classes and is_closed:
            problem(f"has a box of the unknown class {name!r}")
            continue
        found = [number(item.findtext(f"bndbox/{edge}")) for edge in _EDGES]
        edges = [edge for edge in found if edge is not None]
        if len(edges) < len(found):
            problem(f"has a box of {name!r} without four numbers")
            continue
        if name not in raw.classes:
            raw.classes.append(name)
        left, top, right, bottom = edges
        is_hard = (item.findtext("difficult") or "0").strip() == "1"
        # Pixels are counted from 1 there, and the last one is inside.
        box = [left - 1, top - 1, right, bottom]
        one.rows.append([raw.classes.index(name), *box, 1.0, float(is_hard), NO_AREA])
    return one


def _anywhere(places: Places, stem: str) -> Path | None:
    found = (places.find(f"{stem}{suffix}") for suffix in READABLE_SUFFIXES)
    return next((path for path in found if path is not None), None)


def _near(path: Path, root: Path) -> list[Path]:
    """Folders in which the picture of an annotation may lie, the likeliest first.

    Beside `Annotations`, in the same folders below `JPEGImages` or `images`, beside the XML file.
    """
    folder = path.parent
    near = []
    for base in (folder.parent, *folder.parent.parents):
        if not base.is_relative_to(root) and base != root.parent:
            break
        # Below the folder of annotations there may be one for each split.
        deeper = folder.relative_to(base).parts[1:]
        near += [base.joinpath(name, *deeper) for name in _PICTURE_FOLDERS]
    in_own_folder = folder.name.lower() in ("annotations", "labels", "xml", "xmls")
    return [*near, folder, folder.parent] if in_own_folder else [folder, *near, folder.parent]


def _xml_text(path: Path) -> str:
    """An XML file as text, in the encoding that it declares, which the parser may not know."""
    content = read_bytes(path)
    declared = _ENCODING.search(content[:1000])
    encoding = marked_encoding(content) or (
        declared.group(1).decode("ascii", "replace") if declared else "utf-8"
    )
    if encoding.lower().startswith(("utf-16", "utf16")) and not marked_encoding(content):
        # It declares what it is not: the declaration itself was read as bytes.
        encoding = "utf-8"
    try:
        text = content.decode(encoding)
    except (LookupError, UnicodeError, ValueError):
        raise DataError(
            f"{path} is not in the encoding {encoding[:20]} that it declares"
            if declared
            else f"{path} is not a UTF-8 text file and declares no encoding"
        ) from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{path} declares entities, which annotations do not need")
    return _DECLARATION.sub("", text, count=1).strip()


def _sort_classes(raw: RawSplits) -> None:
    """In the order of their letters, whichever picture came first."""
    order = np.argsort(raw.classes)
    rank = np.empty(len(order), np.float64)
    rank[order] = np.arange(len(order))
    raw.classes = [raw.classes[index] for index in order]
    for part in raw.splits.values():
        for _, rows in part:
            rows[:, 0] = rank[rows[:, 0].astype(int)]
