"""A trained detector on pictures."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnkit.data._class_names import COCO_CLASSES
from cnnkit.data.letterbox import fill_canvas
from cnnkit.engine.model_file import read_settings
from cnnkit.engine.networks import Networks, NetworkSource, open_networks
from cnnkit.engine.predictor import (
    Loaded,
    PictureSource,
    collect,
    each_source,
    keep_last,
    load_pixels,
    milliseconds_since,
    predict_each,
    run_by_shape,
)
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.models.yolo_fastest import SIZE as YOLO_FASTEST_SIZE
from cnnkit.ops.boxes import Letterbox, fuse_boxes, non_maximum_suppression, select_detections
from cnnkit.results import Milliseconds
from cnnkit.tasks.detect.files import check_classes, find_detector_file
from cnnkit.tasks.detect.metrics import FoundBoxes
from cnnkit.tasks.detect.results import DetectedObject, Detection
from cnnkit.tasks.detect.settings import DEFAULT_DETECTOR, DetectSettings
from cnnkit.weights import fingerprint, locate
from cnnkit.weights.keras_file import SETTINGS_FILE

# Of the coarsest map, in pixels: canvases have whole places of it.
_STRIDE = 32
# Side of the pictures that a file may say it is for.
_LARGEST_SIZE = 10_000


@dataclass(frozen=True)
class DetectorFacts:
    """What is known of a detector beside its network.

    Attributes:
        names: of the classes.
        size: side of the pictures that it was trained with.
        fixed_size: side of the pictures that it insists on; None where it takes any size.
        name: for people.
        hash: SHA-256 of its file.
    """

    names: tuple[str, ...]
    size: int
    fixed_size: int | None
    name: str
    hash: str


def _load(model: str) -> tuple[DetectorFacts, Networks]:
    file = find_detector_file(model)
    names: tuple[str, ...] = COCO_CLASSES
    size: Any = YOLO_FASTEST_SIZE
    if file is None:
        path, name, builder = locate(model), model, "build_yolo_fastest"
    else:
        path, name, names, builder = file.path, file.name, file.classes, "build"
        size = read_settings(path).get("size")
    networks = open_networks(
        NetworkSource(f"detector {name}", f"cnnkit.tasks.detect.network:{builder}", (path,))
    )
    if len(names) != networks.facts["classes"]:
        raise DataError(
            f"{name} has {networks.facts['classes']} classes but there are {len(names)} names"
        )
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _LARGEST_SIZE:
        raise DataError(f"{path}/{SETTINGS_FILE} names no size; train or copy it again")
    facts = DetectorFacts(names, size, networks.facts["fixed_size"], name, fingerprint(path))
    return facts, networks


class Detector:
    """Finds objects in pictures with a trained detector, which stays loaded.

    Several threads may use one detector.

    Args:
        model: one of `settings.DETECTORS`, the folder of a run of `cnnkit train detect`, or a
            `.keras` file of that or of `cnnkit weights import`.
        settings: which objects are kept, and how pictures are looked at.

    Attributes:
        settings: the same.
        facts: what is known of the detector.

    Raises:
        UsageError: no such detector, or it does not know a class that is asked for.
        WeightsError: its file is not here.
        DataError: it has not a name for each class.

    Example:

    >>> from skimage.data import chelsea
    >>> Detector("coco80", DetectSettings(classes=("cat",))).detect(chelsea())
    [Detection(picture 1: cat ... %)]
    """

    def __init__(
        self, model: str | Path = DEFAULT_DETECTOR, settings: DetectSettings | None = None
    ):
        self.settings = settings or DetectSettings()
        self.facts, networks = _load(str(model))
        check_classes(self.settings.classes, self.facts.names, self.facts.name)
        wanted = self.settings.classes
        self._is_wanted = np.array([wanted is None or name in wanted for name in self.facts.names])
        fixed = self.facts.fixed_size
        self._is_square = fixed is not None or networks.compiles_each_size
        # Rounded up, so that every map has whole places; of scales none comes twice.
        size = self.settings.size or self.facts.size
        sizes = [math.ceil(scale * size / _STRIDE) for scale in self.settings.scales]
        self._sizes = [_STRIDE * count for count in dict.fromkeys(sizes)]
        if fixed is not None and self._sizes != [fixed]:
            raise UsageError(
                f"{self.facts.name} takes pictures of {fixed} pixels; no --size and --scales"
            )
        self._run = networks["detector"]

    def detect(self, sources: Any) -> list[Detection]:
        """Finds the objects in pictures; for arguments and errors see `cnnkit.detect`."""
        return collect(
            each_source(sources), self.detect_each, lambda found: replace(found, pixels=None)
        )

    def detect_each(
        self,
        sources: Iterable[PictureSource],
        *,
        batch: int = 8,
        stdin: Callable[[], bytes] | None = None,
    ) -> Iterator[Detection | CnnkitError]:
        """Finds the objects in pictures one after another; one that cannot be read gives its error.

        The next batch is read while the network looks at one; no more is in memory.

        Args:
            sources: paths, "-", or pictures.
            batch: pictures at a time.
            stdin: reads what "-" stands for.

        Yields:
            For each a `Detection` with the pixels, or why there is none.
        """
        return predict_each(
            sources, lambda source: load_pixels(source, stdin), self.describe, batch=batch
        )

    def describe(self, pictures: Sequence[Loaded[npt.NDArray[np.uint8]]]) -> Iterator[Detection]:
        """Finds the objects in pictures that were read, uint8 `(height, width, 3)`."""
        settings, facts = self.settings, self.facts
        found = self.find(
            [one.value for one in pictures],
            lambda scores: np.where(self._is_wanted, scores, -1.0),
            conf=settings.conf,
            iou=settings.iou,
            most=settings.max_det,
        )
        for one, (boxes, *times) in zip(pictures, found, strict=True):
            rows = zip(boxes.boxes_xyxy, boxes.class_ids, boxes.scores, strict=True)
            yield Detection(
                one.source,
                tuple(
                    DetectedObject(
                        facts.names[class_id],
                        int(class_id),
                        float(score),
                        (float(left), float(top), float(right), float(bottom)),
                    )
                    for (left, top, right, bottom), class_id, score in rows
                ),
                one.value.shape[:2],
                facts.name,
                Milliseconds(*(round(ms, 1) for ms in (one.ms, *times))),
                one.value,
                settings.conf,
            )

    def find(
        self,
        pictures: Sequence[npt.NDArray[np.uint8]],
        choose: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
        *,
        conf: float,
        iou: float,
        most: int,
        multi_label: bool = False,
    ) -> list[tuple[FoundBoxes, float, float, float]]:
        """Boxes of pictures, fused where they are looked at in several views.

        Args:
            pictures: uint8 `(H, W, 3)` of any sizes.
            choose: scores of all places `(N, classes)` -> those that count.
            conf: see `select_detections`.
            iou: see `select_detections`.
            most: see `select_detections`.
            multi_label: see `select_detections`.

        Returns:
            For each its boxes in pixels of the picture, and the milliseconds to prepare it, its
            share of the network's, and those to select the boxes.
        """
        views = [
            (size, is_flipped)
            for size in self._sizes
            for is_flipped in ((False, True) if self.settings.flip else (False,))
        ]
        parts: list[list[FoundBoxes]] = [[] for _ in pictures]
        times = np.zeros((len(pictures), 3))
        for size, is_flipped in views:
            seen = [pixels[:, ::-1] for pixels in pictures] if is_flipped else pictures
            for index, (boxes, scores, frame, pre, net) in enumerate(self.predict(seen, size)):
                begin = time.monotonic()
                boxes, class_ids, values = select_detections(
                    boxes,
                    choose(scores),
                    # A mean over the views reaches `conf` with less in one of them.
                    conf=conf / len(views),
                    iou=iou,
                    most=most,
                    suppression=self.settings.suppression,
                    multi_label=multi_label,
                )
                boxes = frame.to_picture(boxes)
                if is_flipped:
                    boxes[:, [0, 2]] = pictures[index].shape[1] - boxes[:, [2, 0]]
                parts[index].append(FoundBoxes(boxes, class_ids, values))
                times[index] += pre, net, milliseconds_since(begin)
        result = []
        for index, found in enumerate(parts):
            begin = time.monotonic()
            fused = found[0] if len(views) == 1 else self._fuse(found, conf, iou, most)
            pre, net, post = times[index].tolist()
            result.append((fused, pre, net, post + milliseconds_since(begin)))
        return result

    def _fuse(self, views: Sequence[FoundBoxes], conf: float, iou: float, most: int) -> FoundBoxes:
        boxes, class_ids, scores = fuse_boxes(
            [(one.boxes_xyxy, one.class_ids, one.scores) for one in views]
        )
        kept = np.flatnonzero(scores >= conf)
        if self.settings.suppression == "agnostic":
            kept = kept[non_maximum_suppression(boxes[kept], scores[kept], iou)]
        kept = kept[:most]
        return FoundBoxes(boxes[kept], class_ids[kept], scores[kept])

    def predict(
        self, pictures: Sequence[npt.NDArray[np.uint8]], size: int
    ) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any], Letterbox, float, float]]:
        """What the network predicts at all places.

        Args:
            pictures: uint8 `(H, W, 3)` of any sizes.
            size: long side of their canvases in pixels.

        Returns:
            For each the boxes `(N, 4)` on its canvas, the scores `(N, classes)`, how the picture
            lies on the canvas, and milliseconds to prepare it and in the network.
        """
        stride = None if self._is_square else _STRIDE
        frames, canvases, times = [], [], []
        for pixels in pictures:
            begin = time.monotonic()
            height, width = pixels.shape[:2]
            frame = Letterbox.fit(height, width, size, stride)
            frames.append(frame)
            canvases.append(fill_canvas(pixels, frame).astype(np.float32) / 255.0)
            times.append(milliseconds_since(begin))
        return [
            (one[:, :4], one[:, 4:], frame, pre, net)
            for (one, net), frame, pre in zip(
                run_by_shape(self._run, canvases), frames, times, strict=True
            )
        ]


_detector = keep_last(Detector)


def detect(
    sources: Any,
    settings: DetectSettings | None = None,
    *,
    model: str | Path = DEFAULT_DETECTOR,
    options: DetectSettings | None = None,
) -> list[Detection]:
    """Finds the objects in pictures.

    The detector stays loaded for the next call with the same settings.

    Args:
        sources: paths of pictures, or pictures in memory: arrays `(height, width)` or `(height,
            width, 1, 3 or 4)` of uint8 or of floats in [0, 1], `PIL.Image`, `Picture`; one or an
            iterable of them.
        settings: least score, overlap, classes and size; see `DetectSettings`.
        model: "coco80" (shipped: COCO's 80 classes), the folder of a run of `cnnkit train detect`,
            its `.keras` file, or "yolo-fastest-xl" once its weights were fetched.
        options: the older name of `settings`, until 0.3.

    Returns:
        A `Detection` for each picture, in order; boxes in pixels of the upright picture.

    Raises:
        UsageError: no such detector, or a class that it does not know.
        WeightsError: its file is not here.
        ImageError: a picture cannot be read.
        ValueError: an array is no picture.
    """
    return _detector(str(model), settings or options).detect(sources)
