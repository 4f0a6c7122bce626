"""COCO results: boxes of many pictures in one file, what its numbers stand for in another."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnkit.data._class_names import COCO_CLASSES
from cnnkit.data.sources import Source
from cnnkit.engine.batch import BatchSettings
from cnnkit.errors import DataError
from cnnkit.images import write_bytes
from cnnkit.tasks.detect.data import COCO_IDS
from cnnkit.tasks.detect.results import Detection

# As COCO names its files: 000000000139.jpg, COCO_val2014_000000000042.jpg.
_COCO_NAME = re.compile(r"(?:COCO_[a-z]+20\d\d_)?(\d{12})")


class CocoResults:
    """What `--coco` writes.

    Pictures have the numbers of COCO's file names where all are such, otherwise 1, 2, 3, ...;
    classes have COCO's numbers (1 to 90) where the detector knows none but COCO's, otherwise 1, 2,
    3, ... in its order. A second file, `<name>.images.json`, says which is which.

    Args:
        path: of the file.
        names: of the detector's classes.
        settings: whether to add to the file that is there, or to replace it.

    Raises:
        DataError: the file that is there cannot be added to.
    """

    def __init__(self, path: Path, names: Sequence[str], settings: BatchSettings):
        self.path, self.images_path = path, path.with_name(f"{path.stem}.images.json")
        self._numbers = _category_ids(names)
        self._own_categories = [
            {"id": number, "name": label}
            for number, label in zip(self._numbers, names, strict=True)
        ]
        self._boxes: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._categories: list[dict[str, Any]] = []
        self._ids: dict[str, int] = {}
        keeps = settings.skip_existing and path.exists()
        self._replaces = settings.overwrite or keeps
        if keeps:
            self._read()
        # Names of the pictures that are in the file already.
        self._known = {image["file_name"] for image in self._images}

    @property
    def planned(self) -> tuple[Path, Path]:
        """See `engine.batch.Output`."""
        return self.path, self.images_path

    def is_done(self, source: Source) -> bool:
        """See `engine.batch.Output`."""
        return source.relative.as_posix() in self._known

    def begin(self, sources: Sequence[Source]) -> None:
        """Gives numbers to the pictures that are to come."""
        names = [source.relative.as_posix() for source in sources]
        found = [_COCO_NAME.fullmatch(source.relative.stem) for source in sources]
        taken = {image["id"] for image in self._images}
        own = [int(match[1]) for match in found if match]
        if len(set(own)) == len(names) and not taken & set(own):
            self._ids = dict(zip(names, own, strict=True))
        else:
            first = max(taken, default=0) + 1
            self._ids = {name: first + index for index, name in enumerate(names)}

    def write(self, source: Source, found: Detection) -> None:
        """Takes the boxes of a picture.

        Raises:
            DataError: the file that is there is of a detector with other classes.
        """
        name = source.relative.as_posix()
        if self._categories not in ([], self._own_categories):
            raise DataError(
                f"{self.images_path} is of a detector with other classes; use --overwrite or "
                "another --coco"
            )
        self._categories = self._own_categories
        height, width = found.size
        self._images.append(
            {"id": self._ids[name], "file_name": name, "width": width, "height": height}
        )
        for one in found.objects:
            left, top, right, bottom = one.box_xyxy
            self._boxes.append(
                {
                    "image_id": self._ids[name],
                    "file_name": name,
                    "category_id": self._numbers[one.class_id],
                    "bbox": [round(edge, 2) for edge in (left, top, right - left, bottom - top)],
                    "score": round(one.score, 5),
                }
            )

    def finish(self) -> str:
        """Writes both files, and says what they hold."""
        described = {"images": self._images, "categories": self._categories}
        for path, value in ((self.path, self._boxes), (self.images_path, described)):
            content = (json.dumps(value, indent=1) + "\n").encode("utf-8", "surrogateescape")
            write_bytes(path, content, overwrite=self._replaces)
        return (
            f"{self.path}: {len(self._boxes)} boxes; {self.images_path}: the pictures' and "
            "classes' numbers"
        )

    def _read(self) -> None:
        try:
            self._boxes = json.loads(self.path.read_bytes())
            described = json.loads(self.images_path.read_bytes())
            self._images, self._categories = described["images"], described["categories"]
            is_right = all(isinstance(box, dict) for box in self._boxes) and all(
                isinstance(image["id"], int) and isinstance(image["file_name"], str)
                for image in self._images
            )
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            is_right = False
        if not is_right:
            raise DataError(
                f"{self.path} cannot be added to: it, or {self.images_path}, which says what "
                "pictures it is of, is missing or damaged; use --overwrite or another --coco"
            )


def _category_ids(names: Sequence[str]) -> list[int]:
    """Numbers of classes: COCO's where all are COCO's, otherwise from 1 on.

    >>> _category_ids(["person", "stop sign"]), _category_ids(["person", "kiwi"])
    ([1, 13], [1, 2])
    """
    known = dict(zip(COCO_CLASSES, COCO_IDS, strict=True))
    if set(names) <= set(known):
        return [known[name] for name in names]
    return list(range(1, len(names) + 1))
