"""COCO's panoptic folders: masks whose colours number the segments of one picture alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnkit.data._class_names import IGNORE
from cnnkit.data._places import below, is_file
from cnnkit.data._values import read_json
from cnnkit.errors import DataError


@dataclass(frozen=True)
class Panoptic:
    """What a COCO panoptic folder says.

    Attributes:
        classes: names, in the order of their numbers.
        pairs: "train" or "val" -> a picture and its mask each, by path.
        segments: path of a mask -> segment number -> class index, or 255 where it does not count.
    """

    classes: tuple[str, ...]
    pairs: Mapping[str, Sequence[tuple[str, str]]]
    segments: Mapping[str, Mapping[int, int]]


def panoptic_files(folder: Path) -> list[Path]:
    """The lists of segments in a folder, `panoptic_*.json`; none where it is of another kind."""
    return sorted([*folder.glob("panoptic_*.json"), *folder.glob("annotations/panoptic_*.json")])


def read_panoptic(folder: Path, files: Sequence[Path]) -> Panoptic:
    """Reads lists of segments; no picture is opened.

    A mask lies in a folder named as its list, without `.json`; a picture in one named as the rest
    of that name (`train2017` for `panoptic_train2017.json`), or in `images/`. The number of a
    segment is red + 256 green + 65536 blue; crowds and what is in no segment do not count.

    Args:
        folder: of all of it.
        files: the lists, see `panoptic_files`.

    Raises:
        DataError: a list cannot be read, pictures are missing, or two lists have other categories.
    """
    classes: tuple[str, ...] = ()
    pairs: dict[str, list[tuple[str, str]]] = {}
    segments: dict[str, dict[int, int]] = {}
    for path in files:
        split = "val" if "val" in path.stem else "train"
        try:
            values = read_json(path)
            categories = sorted(values["categories"], key=lambda one: one["id"])
            names = tuple(str(one["name"]) for one in categories)
            indices = {one["id"]: index for index, one in enumerate(categories)}
            places = {one["id"]: one["file_name"] for one in values["images"]}
            found = pairs.setdefault(split, [])
            for one in values["annotations"]:
                mask = str(path.with_suffix("") / one["file_name"])
                found.append((str(_picture(folder, path, places[one["image_id"]])), mask))
                segments[mask] = {
                    int(part["id"]): IGNORE if part.get("iscrowd") else indices[part["category_id"]]
                    for part in one["segments_info"]
                }
        except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
            raise DataError(
                f"{path} is no list of COCO's panoptic segments: {error} is missing or wrong"
            ) from None
        if classes and names != classes:
            raise DataError(f"{path} has other categories than {files[0]}; give them the same")
        classes = names
        if not found:
            raise DataError(f"{path} lists no picture")
    if not 2 <= len(classes) < IGNORE:
        raise DataError(f"{files[0]} must have 2 to {IGNORE - 1} categories, not {len(classes)}")
    return Panoptic(classes, pairs, segments)


def _picture(folder: Path, listed: Path, name: str) -> Path:
    part = listed.stem.removeprefix("panoptic_")
    for place in (folder / part, folder / "images" / part, folder / "images"):
        picture = below(place, name)
        if is_file(picture):
            return picture
    raise DataError(f"{listed} lists {name}, which is neither in {part}/ nor in images/; add it")
