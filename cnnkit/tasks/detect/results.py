"""What detection finds."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnkit.engine.result import PlottedResult, RunResult
from cnnkit.images import read_pixels
from cnnkit.results import Milliseconds, Record
from cnnkit.tasks.detect.metrics import CocoScores

# Classes in the line of a picture, and objects in its short form.
_SHOWN_CLASSES, _SHOWN_OBJECTS = 8, 3


@dataclass(frozen=True)
class DetectedObject:
    """An object in a picture.

    Attributes:
        label: name of its class.
        class_id: number of its class.
        score: in [0, 1].
        box_xyxy: left, top, right and bottom in pixels of the upright picture.
        track: in a video, the number of the thing that it is, from 1; None where none was given.
    """

    label: str
    class_id: int
    score: float
    box_xyxy: tuple[float, float, float, float]
    track: int | None = None

    @property
    def name(self) -> str:
        """Its class, and its number in a video."""
        return self.label if self.track is None else f"{self.label} {self.track}"


@dataclass(frozen=True, eq=False, repr=False)
class Detection(PlottedResult):
    """What was found in a picture.

    Attributes:
        source: path, "-", or what a picture in memory is called.
        objects: the best first.
        size: height and width of the upright picture.
        model: name of the detector.
        ms: time spent.
        pixels: uint8 `(height, width, 3)` of the upright picture; None of a file, which is read
            again where it is drawn.
        threshold: least score of what was looked for.

    Example:

    >>> cup = DetectedObject("cup", 41, 0.53, (1.0, 2.0, 5.0, 8.0))
    >>> found = Detection("picture 1", (cup,), (10, 20), "coco80", Milliseconds())
    >>> found
    Detection(picture 1: cup 53 %)
    >>> found.to_dict()["items"][0]["box"]
    {'x1': 1.0, 'y1': 2.0, 'x2': 5.0, 'y2': 8.0}
    """

    source: str
    objects: tuple[DetectedObject, ...]
    size: tuple[int, int]
    model: str
    ms: Milliseconds
    pixels: npt.NDArray[np.uint8] | None = None
    threshold: float | None = None

    def __repr__(self) -> str:
        shown = [f"{one.label} {100 * one.score:.0f} %" for one in self.objects[:_SHOWN_OBJECTS]]
        dots = ["..."] if len(self.objects) > _SHOWN_OBJECTS else []
        return f"Detection({self.source}: {', '.join([*shown, *dots]) or 'nothing found'})"

    def plot(self) -> Image.Image:
        """The picture with boxes, names and scores drawn into it.

        Raises:
            ImageError: the picture is a file that cannot be read any more.
        """
        from cnnkit.tasks.detect.plots import draw_detections

        drawn = draw_detections(
            self._picture(),
            np.array([one.box_xyxy for one in self.objects]).reshape(-1, 4),
            [one.name for one in self.objects],
            np.array([one.score for one in self.objects]),
            # A thing keeps its colour as long as it keeps its number.
            np.array(
                [one.class_id if one.track is None else one.track for one in self.objects], int
            ),
        )
        return Image.fromarray(drawn)

    def crop(self, found: DetectedObject) -> Image.Image:
        """The part of the picture in the box of an object: whole pixels, one at least.

        Raises:
            ImageError: the picture is a file that cannot be read any more.
        """
        left, top = np.floor(found.box_xyxy[:2]).astype(int)
        right, bottom = np.maximum(np.ceil(found.box_xyxy[2:]).astype(int), (left + 1, top + 1))
        return Image.fromarray(self._picture()[top:bottom, left:right])

    def to_record(self) -> Record:
        """What the command line's JSON says of the picture."""
        height, width = self.size
        items = tuple(
            {
                "label": one.label,
                "class_id": one.class_id,
                **({} if one.track is None else {"track": one.track}),
                "score": round(one.score, 4),
                "box": dict(
                    zip(
                        ("x1", "y1", "x2", "y2"),
                        (round(edge, 1) for edge in one.box_xyxy),
                        strict=True,
                    )
                ),
            }
            for one in self.objects
        )
        return Record(
            *(self.source, width, height, items),
            model=self.model,
            threshold=self.threshold,
            ms=self.ms,
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return self.to_record().to_json()

    def to_yolo(self) -> str:
        """A line for each object, as YOLO has it: class, middle, width and height, score.

        Lengths are parts of the picture's width and height.
        """
        height, width = self.size
        lines = []
        for one in self.objects:
            left, top, right, bottom = one.box_xyxy
            x, y = (left + right) / 2 / width, (top + bottom) / 2 / height
            wide, high = (right - left) / width, (bottom - top) / height
            lines.append(f"{one.class_id} {x:.6f} {y:.6f} {wide:.6f} {high:.6f} {one.score:.4f}\n")
        return "".join(lines)

    def lines(self) -> list[str]:
        """For people: the picture and how many of what, and a line for each object."""
        counts = Counter(one.label for one in self.objects)
        parts = [f"{count} {label}" for label, count in counts.items()]
        shown = ", ".join(parts[:_SHOWN_CLASSES]) + ", ..." * (len(parts) > _SHOWN_CLASSES)
        lines = [f"{self.source}: {shown or 'nothing found'}"]
        for one in self.objects:
            left, top, right, bottom = one.box_xyxy
            lines.append(
                f"  {one.score:>6.1%}  {one.label}  "
                f"{right - left:.0f}x{bottom - top:.0f} at {left:.0f},{top:.0f}"
            )
        return lines

    def _picture(self) -> npt.NDArray[np.uint8]:
        return read_pixels(self.source) if self.pixels is None else self.pixels


# Attributes of `CocoScores`, and what people call them.
_FIGURES = (
    *(("ap", "AP"), ("ap50", "AP50"), ("ap75", "AP75"), ("ap_small", "AP small")),
    *(("ap_medium", "AP medium"), ("ap_large", "AP large"), ("ar1", "AR 1"), ("ar10", "AR 10")),
    *(("ar100", "AR 100"), ("ar_small", "AR small"), ("ar_medium", "AR medium")),
    ("ar_large", "AR large"),
)


@dataclass(frozen=True, eq=False)
class DetectEvaluation:
    """How good a detector is on pictures with boxes.

    Attributes:
        pictures: number of those that could be read.
        failed: number of those that could not; they count nowhere.
        names: of the data's classes.
        split: the part of the data, such as "test".
        model: name of the detector.
        coco: COCO's figures.
        voc_11: `(classes,)`, average precision by the 11-point rule at an overlap of 0.5.
        voc_all: `(classes,)`, the area below the curve, at the same overlap.
    """

    pictures: int
    failed: int
    names: tuple[str, ...]
    split: str
    model: str
    coco: CocoScores
    voc_11: npt.NDArray[np.float64]
    voc_all: npt.NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain JSON types; None where there is nothing to find."""
        coco = self.coco
        return {
            "model": self.model,
            "split": self.split,
            "pictures": self.pictures,
            "failed": self.failed,
            "coco": {name: _known(getattr(coco, name)) for name, _ in _FIGURES},
            "voc": {
                "ap_11_points": _known(_mean(self.voc_11)),
                "ap_all_points": _known(_mean(self.voc_all)),
            },
            "classes": [
                {
                    "label": name,
                    "objects": int(coco.objects[index]),
                    "ap": _known(coco.class_ap[index]),
                    "ap50": _known(coco.class_ap50[index]),
                    "voc_11_points": _known(self.voc_11[index]),
                    "voc_all_points": _known(self.voc_all[index]),
                }
                for index, name in enumerate(self.names)
            ],
        }

    def lines(self, most: int | None = None) -> list[str]:
        """For people: all figures, and those of the classes, the worst first.

        Args:
            most: classes that are shown; None for all.
        """
        coco = self.coco
        of_part = "" if self.split == "all" else f" of {self.split}"
        failed = f", {self.failed} cannot be read" if self.failed else ""
        objects = int(coco.objects.sum())
        lines = [f"pictures   {self.pictures:,}{of_part} with {objects:,} objects{failed}"]
        lines += [f"{label:<9}  {_percent(getattr(coco, name))}" for name, label in _FIGURES]
        lines.append(f"{'VOC 2007':<9}  {_percent(_mean(self.voc_11))} (11 points)")
        lines.append(f"{'VOC 2010':<9}  {_percent(_mean(self.voc_all))} (all points)")
        seen = [index for index, count in enumerate(coco.objects) if count]
        order = sorted(seen, key=lambda index: (coco.class_ap50[index], -coco.objects[index]))
        shown = order[:most]
        width = max([len("class"), *(len(self.names[index]) for index in shown)])
        lines += ["", f"{'class':<{width}}  objects     AP50       AP"]
        for index in shown:
            lines.append(
                f"{self.names[index]:<{width}}  {int(coco.objects[index]):>7,}  "
                f"{_percent(coco.class_ap50[index]):>7}  {_percent(coco.class_ap[index]):>7}"
            )
        if len(shown) < len(order):
            lines.append(f"and {len(order) - len(shown)} better ones; --all-classes shows all")
        return lines


@dataclass(frozen=True, kw_only=True)
class TrainedDetector(RunResult):
    """What a training gave.

    Attributes, beside those of every training:
        classes: names of the classes.
        counts: pictures for training, validation and test.
        scores: "val" and, where there is a test split, "test" -> "ap", "ap50" and "ap75" in [0, 1],
            of pictures in a square of the size that was trained with.
    """

    classes: tuple[str, ...]
    counts: tuple[int, int, int]
    scores: Mapping[str, Mapping[str, float]]

    def lines(self) -> list[str]:
        """For people."""
        lines = []
        for split, scores in self.scores.items():
            name = {"val": "validation", "test": "test"}[split]
            lines.append(
                f"{name:10}  AP50 {scores['ap50']:.1%}, AP75 {scores['ap75']:.1%}, "
                f"AP {scores['ap']:.1%}"
            )
        plural = "class" if len(self.classes) == 1 else "classes"
        return [*lines, self._model_line(f"{len(self.classes)} {plural}")]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"
