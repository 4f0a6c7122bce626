"""Finds out in which form pictures with boxes are stored.

Known are, each with its pictures anywhere below the folder:

- COCO: one JSON file, or one or several for each split, by their names or those of their folders;
  in `annotations/`, beside the pictures, or as Roboflow's `_annotations.coco.json`. Files of
  keypoints, captions and panoptic segments are passed over where there are others.
- YOLO as Ultralytics and Roboflow have it: one YAML file with `train`, `val` and `names`, of any
  name; the paths in it are folders, lists of pictures, or several of them, and may be of another
  machine.
- YOLO as Darknet and CVAT have it: a `.data` file, lists of pictures, and names.
- YOLO without a description, as labelImg has it: text files in `labels/` or beside the pictures.
- Pascal VOC: XML files in `Annotations/`, beside their pictures or elsewhere, perhaps with lists
  in `ImageSets/Main/`.

A folder of several forms is refused, unless a YAML file describes the text files among them.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from cnnkit.data._places import files_below, innermost, is_picture_name, relative
from cnnkit.data._splits import split_of
from cnnkit.data._values import counted, read_bytes, read_text, read_yaml
from cnnkit.errors import DataError
from cnnkit.tasks.detect.formats.coco import CocoFile, load_coco, other_kind, read_coco
from cnnkit.tasks.detect.formats.rows import RawSplits
from cnnkit.tasks.detect.formats.voc import is_voc, read_voc, xml_kind
from cnnkit.tasks.detect.formats.yolo import (
    describes_yolo,
    is_label,
    read_darknet,
    read_yolo_folder,
    read_yolo_yaml,
)

_YAML, _JSON = (".yaml", ".yml"), ".json"
# More JSON files than this in one folder are one for each picture, which COCO does not have.
_MOST_JSON = 20
# XML files of a folder that are looked into for what they are.
_SAMPLED = 20


@dataclass(frozen=True)
class BoxLayout:
    """How pictures and boxes are stored in a folder.

    Attributes:
        format: "yolo", "voc" or "coco".
        name: of the layout, for people.
        evidence: the file or folder that it was recognised by.
        read: reads it.
        left_out: files that are not read, and why.
    """

    format: str
    name: str
    evidence: str
    read: Callable[[], RawSplits]
    left_out: tuple[str, ...] = ()


def recognise_boxes(path: Path) -> BoxLayout:
    """The layout of a folder, or of the data that a `.yaml`, `.json` or `.data` file describes.

    Raises:
        DataError: there is none that is known, or more than one.
    """
    if path.is_file():
        return _of_file(path)
    root = innermost(path)
    files = list(files_below(root))
    left_out: list[str] = []
    described = _described(root, files, left_out)
    found = [
        layout
        for recognise in (_darknet, _voc, _coco, _yolo)
        if (layout := recognise(root, files, left_out)) is not None
    ]
    if len(described) > 1:
        names = " and ".join(one.evidence for one in described)
        raise DataError(
            f"{root} has {names}, which both describe boxes; give the one that is meant"
        )
    texts = [one for one in found if one.format == "yolo"]
    others = [one for one in found if one.format != "yolo"]
    if described and texts:
        left_out += [
            f"{one.evidence} ({one.name}), since {described[0].evidence} is there" for one in others
        ]
        others = []
    forms = [*(described or texts)[:1], *others]
    if len(forms) > 1:
        names = " and ".join(f"{one.evidence} ({one.name})" for one in forms)
        raise DataError(f"{root} has {names}; give the one that is meant")
    if not forms:
        reason = f" ({left_out[0]})" if left_out else ""
        raise DataError(
            f"{path} holds no boxes{reason}: expected a .yaml or images/ and labels/ (YOLO), "
            "Annotations/ (Pascal VOC) or a COCO .json"
        )
    return replace(forms[0], left_out=tuple(left_out))


def _of_file(path: Path) -> BoxLayout:
    suffix = path.suffix.lower()
    if suffix == _JSON:
        folder = path.parent
        root = folder.parent if folder.name.lower() == "annotations" else folder
        loaded = load_coco(path, root)
        if isinstance(loaded, str):
            raise DataError(f"{path} is {loaded}")
        return BoxLayout("coco", "COCO", path.name, lambda: read_coco(root, [loaded]))
    if suffix in _YAML:
        return BoxLayout(
            "yolo", "YOLO with a .yaml", path.name, lambda: read_yolo_yaml(path, path.parent)
        )
    if suffix == ".data":
        return BoxLayout(
            "yolo", "YOLO as Darknet has it", path.name, lambda: read_darknet(path, path.parent)
        )
    raise DataError(f"{path} is no .json (COCO) or .yaml (YOLO) file, and no folder")


def _described(root: Path, files: Sequence[Path], left_out: list[str]) -> list[BoxLayout]:
    """The YAML files that describe data: those at the top, else those further inside."""
    every = [path for path in files if path.suffix.lower() in _YAML]
    paths = [path for path in every if path.parent == root] or every
    found: dict[Path, bytes] = {}
    for path in paths:
        try:
            values = read_yaml(path)
        except DataError:
            if len(paths) == 1 and path.parent == root:
                raise
            left_out.append(f"{relative(path, root)}, which cannot be read as YAML")
            continue
        is_named_so = path.stem.lower() in ("data", "dataset")
        if describes_yolo(values) or (is_named_so and len(paths) == 1):
            content = read_bytes(path)
            if content not in found.values():
                found[path] = content
        else:
            left_out.append(f"{relative(path, root)}, which describes no data")
    return [
        BoxLayout(
            "yolo",
            "YOLO with a .yaml",
            relative(path, root),
            functools.partial(read_yolo_yaml, path, path.parent),
        )
        for path in found
    ]


def _darknet(root: Path, files: Sequence[Path], left_out: list[str]) -> BoxLayout | None:
    paths = [path for path in files if path.suffix.lower() == ".data" and _names_classes(path)]
    if len(paths) > 1:
        first, second = (relative(path, root) for path in paths[:2])
        raise DataError(f"{root} has {first} and {second}; give the one that is meant")
    if not paths:
        return None
    return BoxLayout(
        "yolo",
        "YOLO as Darknet has it",
        relative(paths[0], root),
        lambda: read_darknet(paths[0], root),
    )


def _names_classes(path: Path) -> bool:
    try:
        return re.search(r"^\s*names\s*=", read_text(path), re.MULTILINE) is not None
    except DataError:
        # Not a text: of another program.
        return False


def _voc(root: Path, files: Sequence[Path], left_out: list[str]) -> BoxLayout | None:
    xml_files = []
    paths = [path for path in files if path.suffix.lower() == ".xml"]
    for folder, group in groupby(paths, lambda path: path.parent):
        inside = list(group)
        # One broken file is one problem; a folder without any annotation holds something else.
        if any(is_voc(path) for path in inside[:_SAMPLED]):
            xml_files += inside
        else:
            where = relative(folder, root)
            kind = xml_kind(inside[0])
            left_out.append(f"{counted(len(inside), 'file')} .xml in {where}, {kind}")
    if not xml_files:
        return None
    devkits = {path.parent.parent for path in xml_files if path.parent.name == "Annotations"}
    if len(devkits) > 1:
        names = " and ".join(sorted(relative(one, root) for one in devkits))
        splits = [split_of(one.name) for one in devkits]
        if None in splits or len(set(splits)) < len(splits):
            raise DataError(
                f"{root} has {names}, each with Annotations/; give the one that is meant"
            )
    base = devkits.pop() if len(devkits) == 1 else root
    if base != root:
        xml_files = [path for path in xml_files if path.is_relative_to(base)]
    evidence = relative(xml_files[0].parent, root)
    evidence = "files .xml" if evidence == "." else f"{evidence}/*.xml"
    inside = [path for path in files if path.is_relative_to(base)]
    return BoxLayout("voc", "Pascal VOC", evidence, lambda: read_voc(base, inside, xml_files))


def _coco(root: Path, files: Sequence[Path], left_out: list[str]) -> BoxLayout | None:
    paths = [path for path in files if path.suffix.lower() == _JSON]
    boxes = [path for path in paths if other_kind(path) is None]
    others = [path for path in paths if other_kind(path) is not None]
    if len(boxes) > _MOST_JSON:
        kind = load_coco(boxes[0], root)
        if isinstance(kind, str):
            left_out.append(f"{len(boxes)} files .json, such as {relative(boxes[0], root)}: {kind}")
            return None
    loaded = _load(root, boxes, left_out)
    if not loaded:
        loaded = _load(root, others, left_out)
    else:
        left_out += [f"{relative(path, root)} ({other_kind(path)})" for path in others]
    if not loaded:
        return None
    names = [relative(one.path, root) for one in loaded]
    evidence = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    name = "COCO" if len(names) == 1 else "COCO in several files"
    return BoxLayout("coco", name, evidence, lambda: read_coco(root, loaded, files))


def _load(root: Path, paths: Sequence[Path], left_out: list[str]) -> list[CocoFile]:
    loaded = []
    for path in paths:
        try:
            one = load_coco(path, root)
        except DataError as error:
            if len(paths) == 1:
                raise
            one = str(error).removeprefix(f"{path} is ")
        if isinstance(one, str):
            left_out.append(f"{relative(path, root)}, {one}")
        else:
            loaded.append(one)
    return loaded


def _yolo(root: Path, files: Sequence[Path], left_out: list[str]) -> BoxLayout | None:
    """Text files that have the name of a picture, or lie in `labels`."""
    stems = {path.stem for path in files if is_picture_name(path.name)}
    for path in files:
        if path.suffix.lower() == ".txt" and path.stem in stems and is_label(path):
            folder = relative(path.parent, root)
            evidence = "text files beside pictures" if folder == "." else f"{folder}/*.txt"
            return BoxLayout(
                "yolo", "YOLO text files", evidence, lambda: read_yolo_folder(root, files)
            )
    return None
