"""What segmentation finds."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnkit.engine.result import PlottedResult, RunResult
from cnnkit.errors import NothingFoundError
from cnnkit.images import Picture, read_image, to_pil, to_uint8
from cnnkit.ops.rle import coco_rle
from cnnkit.results import Milliseconds, Record, to_plain
from cnnkit.tasks.segment.metrics import SegmentationScores

# Classes in the short form of a result.
_SHOWN_CLASSES = 3


@dataclass(frozen=True, eq=False)
class Region:
    """A connected region of one class.

    Attributes:
        area: number of pixels.
        box_xyxy: left, top, right and bottom in pixels; right and bottom lie just outside.
        mask: bool `(bottom - top, right - left)`, within the box.
    """

    area: int
    box_xyxy: tuple[int, int, int, int]
    mask: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Segment:
    """One class in a picture.

    Attributes:
        label: name of the class.
        class_id: its index.
        area: number of pixels.
        share: of the picture's pixels, in [0, 1].
        score: mean probability of the class over its pixels.
        box_xyxy: of all its pixels; right and bottom lie just outside.
        regions: largest first, without specks.
    """

    label: str
    class_id: int
    area: int
    share: float
    score: float
    box_xyxy: tuple[int, int, int, int]
    regions: tuple[Region, ...]

    def to_dict(self) -> dict[str, Any]:
        """The class as plain JSON types, without masks."""
        return {
            "label": self.label,
            "class_id": self.class_id,
            "score": round(self.score, 4),
            "box": _edges(self.box_xyxy),
            "area": self.area,
            "share": round(self.share, 6),
            "regions": [{"area": one.area, "box": _edges(one.box_xyxy)} for one in self.regions],
        }


def _edges(box_xyxy: tuple[int, int, int, int]) -> dict[str, int]:
    return dict(zip(("x1", "y1", "x2", "y2"), box_xyxy, strict=True))


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation(PlottedResult):
    """The class of every pixel of a picture.

    Attributes:
        source: path, "-", or what a picture in memory is called.
        classes: uint8 `(height, width)`, class of each pixel of the upright picture.
        probabilities: float32 `(h, w, C)`, at the size that the network saw.
        names: of the C classes; the first one is taken for the background.
        segments: classes that occur, largest first, without the background.
        model: name of the network.
        ms: time spent.
        picture: that was segmented; None of a file, which is read again where it is drawn.
    """

    source: str
    classes: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    names: tuple[str, ...]
    segments: tuple[Segment, ...]
    model: str
    ms: Milliseconds
    picture: Picture | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        shown = [f"{one.label} {100 * one.share:.0f} %" for one in self.segments[:_SHOWN_CLASSES]]
        dots = ["..."] if len(self.segments) > _SHOWN_CLASSES else []
        return f"Segmentation({self.source}: {', '.join([*shown, *dots]) or 'only background'})"

    def plot(self, show: str = "overlay", legend: bool = True) -> Image.Image:
        """The picture with the classes of its pixels drawn into it.

        Args:
            show: "overlay", "colors" or "contours".
            legend: name the colours below the picture.

        Raises:
            ImageError: the picture is a file that cannot be read any more.
        """
        from cnnkit.tasks.segment.plots import (
            add_legend,
            color_segments,
            outline_segments,
            overlay_segments,
        )

        if show == "colors":
            drawn = color_segments(self.classes)
        else:
            draw = overlay_segments if show == "overlay" else outline_segments
            drawn = draw(to_uint8(self.read_picture().opaque().pixels), self.classes)
        if legend:
            drawn = add_legend(drawn, [(one.class_id, one.label) for one in self.segments])
        return Image.fromarray(drawn)

    def mask(self) -> Image.Image:
        """The numbers of the classes as a palette picture, with VOC's colours to look at."""
        from cnnkit.tasks.segment.plots import class_palette

        image = Image.fromarray(self.classes)
        image.putpalette(class_palette().ravel().tolist())
        return image

    def read_picture(self) -> Picture:
        """The picture that was segmented, with its alpha.

        Raises:
            ImageError: it is a file that cannot be read any more.
        """
        return read_image(self.source, keep_alpha=True) if self.picture is None else self.picture

    def shown_labels(self) -> str:
        """Names of the classes that occur, for messages."""
        return ", ".join(one.label for one in self.segments) or "nothing but background"

    def to_record(self, rle: str = "none") -> Record:
        """What the command line's JSON says of the picture.

        Args:
            rle: masks as COCO's runs, "compressed" as text or "counts" as numbers; "none" without.
        """
        height, width = self.classes.shape
        items = tuple(self._item(one, rle) for one in self.segments)
        return Record(self.source, width, height, items, model=self.model, ms=self.ms)

    def _item(self, one: Segment, rle: str) -> dict[str, Any]:
        item = one.to_dict()
        if rle != "none":
            compressed = rle == "compressed"
            item["rle"] = coco_rle(self.classes == one.class_id, compressed=compressed)
            for part, written in zip(one.regions, item["regions"], strict=True):
                whole = np.zeros(self.classes.shape, bool)
                left, top, right, bottom = part.box_xyxy
                whole[top:bottom, left:right] = part.mask
                written["rle"] = coco_rle(whole, compressed=compressed)
        return item

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return self.to_record().to_json()

    def lines(self) -> list[str]:
        """For people: the picture, and its classes with their shares."""
        if not self.segments:
            return [f"{self.source}: nothing but background"]
        width = max(len(one.label) for one in self.segments)
        lines = [self.source]
        for one in self.segments:
            count = len(one.regions)
            parts = f"{count} region" + ("" if count == 1 else "s")
            lines.append(f"  {one.share:>6.1%}  {one.label:<{width}}  {parts}")
        return lines


@dataclass(frozen=True, eq=False, repr=False)
class Cutout(PlottedResult):
    """The subject of a picture, without its background.

    Attributes:
        source: path, "-", or what a picture in memory is called.
        picture: with alpha, or before another background; None where the subject is not in the
            picture.
        labels: of the subject's classes.
        segmentation: of the whole picture.
        subject: what was to be cut out; None for people, else what is largest.
    """

    source: str
    picture: Picture | None
    labels: tuple[str, ...]
    segmentation: Segmentation
    subject: str | None = None

    def __repr__(self) -> str:
        return f"Cutout({self.source}: {', '.join(self.labels) or 'nothing cut out'})"

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Those of the subject."""
        return tuple(one for one in self.segmentation.segments if one.label in self.labels)

    def cut_picture(self) -> Picture:
        """The subject as a picture.

        Raises:
            NothingFoundError: it is not in the picture.
        """
        if self.picture is not None:
            return self.picture
        wanted = "nothing to cut out" if self.subject is None else f"no {self.subject}"
        raise NothingFoundError(say_instead(self.segmentation, wanted))

    def plot(self) -> Image.Image:
        """The subject in 8 bits, as RGBA where it has no background; see `cut_picture`."""
        return to_pil(self.cut_picture())

    def to_record(self) -> Record:
        """What the command line's JSON says of the picture: the classes that were cut out."""
        others = [one.label for one in self.segmentation.segments if one.label not in self.labels]
        height, width = self.segmentation.classes.shape
        return Record(
            *(self.source, width, height, tuple(one.to_dict() for one in self.segments)),
            model=self.segmentation.model,
            ms=self.segmentation.ms,
            details={"others": others},
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return self.to_record().to_json()

    def lines(self) -> list[str]:
        """For people; none where nothing was cut out, which is an error."""
        if self.picture is None:
            return []
        share = sum(one.share for one in self.segments)
        return [f"{self.source}: {', '.join(self.labels)}, {share:.0%} of the picture"]


def say_instead(found: Segmentation, wanted: str) -> str:
    """Why nothing is written of a picture.

    Args:
        found: what it shows.
        wanted: what it does not show, such as "no dog".
    """
    only = f"only {found.shown_labels()}" if found.segments else "nothing but background"
    return f"{found.source}: {wanted} was found, {only}; nothing is written"


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A picture with its true and its predicted classes.

    Attributes:
        source: path of the picture.
        iou: mean IoU of the picture by itself.
        pixels: uint8 `(height, width, 3)`.
        true: uint8 `(height, width)`.
        predicted: uint8 `(height, width)`.
    """

    source: str
    iou: float
    pixels: npt.NDArray[np.uint8]
    true: npt.NDArray[np.uint8]
    predicted: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class SegmentEvaluation:
    """How well pixels are labelled.

    Attributes:
        pictures: number of those that could be read.
        failed: number of those that could not; they count nowhere.
        scores: of all pixels together.
        confusion: int64 `(C, C)`, true classes down, predicted ones across.
        names: of the C classes.
        split: the part of the data, such as "val".
        model: name of the network.
        sources: path of each picture.
        ious: float64 `(pictures,)`, mean IoU of each picture by itself.
        worst: those with the lowest, the lowest first.
    """

    pictures: int
    failed: int
    scores: SegmentationScores
    confusion: npt.NDArray[np.int64]
    names: tuple[str, ...]
    split: str
    model: str
    sources: tuple[str, ...]
    ious: npt.NDArray[np.float64]
    worst: tuple[LabelledPicture, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain JSON types; None where there is none."""
        scores = self.scores
        report: dict[str, Any] = to_plain(
            {
                "model": self.model,
                "split": self.split,
                "pictures": self.pictures,
                "failed": self.failed,
                "pixels": scores.pixels,
                "pixel_accuracy": scores.pixel_accuracy,
                "mean_accuracy": scores.mean_accuracy,
                "mean_iou": scores.mean_iou,
                "frequency_weighted_iou": scores.frequency_weighted_iou,
                "classes": [
                    {
                        "label": name,
                        "class_id": index,
                        "pixels": int(scores.support[index]),
                        "iou": float(scores.iou[index]),
                        "accuracy": float(scores.accuracy[index]),
                    }
                    for index, name in enumerate(self.names)
                ],
                "confusion": self.confusion,
            }
        )
        return report

    def to_csv(self) -> str:
        """A row for each picture: its file, and its mean IoU by itself."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["file", "mean_iou"])
        for source, iou in zip(self.sources, self.ious, strict=True):
            writer.writerow([source, f"{iou:.6f}"])
        return text.getvalue()

    def lines(self) -> list[str]:
        """For people: all figures, and those of the classes, the best first."""
        scores, names = self.scores, self.names
        of_part = "" if self.split == "all" else f" of {self.split}"
        failed = f", {self.failed} cannot be used" if self.failed else ""
        lines = [
            f"pictures         {self.pictures:,}{of_part}{failed}",
            f"pixel accuracy   {scores.pixel_accuracy:.2%}",
            f"mean accuracy    {scores.mean_accuracy:.2%}, of the classes that occur",
            f"mean IoU         {scores.mean_iou:.2%}",
            f"by frequency     {scores.frequency_weighted_iou:.2%}, IoU weighted by true pixels",
            "",
        ]
        occur = np.flatnonzero(~np.isnan(scores.iou)).tolist()
        width = max(len("class"), *(len(names[at]) for at in occur))
        total = max(1, scores.pixels)
        lines.append(f"{'class':<{width}}  pixels     IoU  found  taken for")
        for at in sorted(occur, key=lambda at: -scores.iou[at]):
            wrong = self.confusion[at].copy()
            wrong[at] = 0
            most = int(wrong.argmax())
            taken = names[most] if wrong[most] else ""
            found = "-" if np.isnan(scores.accuracy[at]) else f"{scores.accuracy[at]:.1%}"
            share = scores.support[at] / total
            lines.append(
                f"{names[at]:<{width}}  {share:>6.1%}  {scores.iou[at]:>6.1%}  {found:>6}  {taken}"
            )
        return [line.rstrip() for line in lines]


@dataclass(frozen=True, kw_only=True)
class TrainedSegmenter(RunResult):
    """What a training gave.

    Attributes, beside those of every training:
        classes: names of the classes.
        counts: pairs for training and for validation.
        variant: of `model`, such as "8s".
        stages: variant -> its best `mean_iou` and `pixel_accuracy` on the validation pairs, and
            its seconds.
        iou: class -> intersection over union on the validation pairs; None where none occurs.
    """

    classes: tuple[str, ...]
    counts: tuple[int, int]
    variant: str
    stages: Mapping[str, Mapping[str, float]]
    iou: Mapping[str, float | None]

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f"{stage:4}  mean IoU {scores['mean_iou']:.1%}, {scores['pixel_accuracy']:.1%} of the "
            f"pixels right, {scores['seconds']:.0f} s"
            for stage, scores in self.stages.items()
        ]
        return [
            *lines,
            self._model_line(f"{len(self.classes)} classes"),
        ]
