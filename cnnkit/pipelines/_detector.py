"""A trained detector, compiled, on files: read ahead by threads, in batches, in order."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cnnkit.data._class_names import COCO_CLASSES
from cnnkit.data.letterbox import fill_canvas
from cnnkit.engine.networks import Networks, NetworkSource
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.images import read_pixels, to_uint8
from cnnkit.models.yolo_fastest import SIZE as YOLO_FASTEST_SIZE
from cnnkit.ops.boxes import (
    Letterbox,
    fuse_boxes,
    non_maximum_suppression,
    select_detections,
)
from cnnkit.options import DetectOptions
from cnnkit.pipelines._detector_files import check_classes, find_detector_file
from cnnkit.pipelines._model_files import read_settings
from cnnkit.pipelines._read_ahead import read_ahead
from cnnkit.pipelines._sources import Source, loaded, name_of
from cnnkit.results import DetectedObject, Detection, Milliseconds
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
    if file is None:
        path, name, names, size = locate(model), model, COCO_CLASSES, YOLO_FASTEST_SIZE
        builder = "build_yolo_fastest"
    else:
        path, name, names, builder = file.path, file.name, file.classes, "build"
        size = read_settings(path).get("size")
    networks = Networks(
        NetworkSource(f"detector {name}", f"cnnkit.pipelines._detector_network:{builder}", (path,))
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
    """Finds objects with a trained detector, compiled for inference.

    Args:
        model: one of `options.DETECTORS`, the folder of a run of `cnnkit train detect`, or a
            `.keras` file of that or of `cnnkit weights import`.
        options: what is kept.

    Raises:
        UsageError: no such detector, or it does not know a class that is asked for.
        WeightsError: its file is not here.
        DataError: it has not a name for each class.
    """

    def __init__(self, model: str, options: DetectOptions | None = None):
        self.options = options or DetectOptions()
        self.detector, networks = _load(model)
        names = self.detector.names
        check_classes(self.options.classes, names, self.detector.name)
        self._wanted = np.array(
            [self.options.classes is None or name in self.options.classes for name in names]
        )
        fixed = self.detector.fixed_size
        self._is_square = fixed is not None or networks.compiles_each_size
        # Rounded up, so that every map has whole places; of scales none comes twice.
        size = self.options.size or self.detector.size
        sizes = [math.ceil(scale * size / _STRIDE) for scale in self.options.scales]
        self._sizes = [_STRIDE * count for count in dict.fromkeys(sizes)]
        if fixed is not None and self._sizes != [fixed]:
            raise UsageError(
                f"{self.detector.name} takes pictures of {fixed} pixels; no --size and --scales"
            )
        self._run = networks["detector"]

    def detect(
        self,
        sources: Iterable[Source],
        *,
        batch: int = 8,
        stdin: Callable[[], bytes] | None = None,
        keep_pixels: bool = False,
    ) -> Iterator[tuple[str, Detection | CnnkitError]]:
        """What is in pictures, in their order; one that cannot be read comes with the reason.

        The next batch is read while the network looks at one; no more is in memory.

        Args:
            sources: paths, "-", or pictures.
            batch: of them at a time.
            stdin: reads what "-" stands for.
            keep_pixels: give the pictures too.
        """

        def read(source: Source) -> tuple[str, np.ndarray | CnnkitError, float]:
            begin, name = time.monotonic(), name_of(source)
            try:
                picture = loaded(source, stdin)
                pixels = read_pixels(name) if picture is None else to_uint8(picture.pixels)
            except CnnkitError as error:
                return name, error, 0.0
            return name, pixels, 1e3 * (time.monotonic() - begin)

        for now in read_ahead(sources, read, batch):
            good = [pixels for _, pixels, _ in now if isinstance(pixels, np.ndarray)]
            found = iter(self.detect_pixels(good))
            for path, pixels, load in now:
                if isinstance(pixels, CnnkitError):
                    yield path, pixels
                    continue
                objects, pre, net, post = next(found)
                yield (
                    path,
                    Detection(
                        path,
                        objects,
                        pixels.shape[:2],
                        self.detector.name,
                        Milliseconds(*(round(ms, 1) for ms in (load, pre, net, post))),
                        pixels if keep_pixels else None,
                    ),
                )

    def detect_pixels(
        self, pictures: Sequence[np.ndarray]
    ) -> list[tuple[tuple[DetectedObject, ...], float, float, float]]:
        """What is in pictures that are read already.

        Args:
            pictures: uint8 `(H, W, 3)` of any sizes.

        Returns:
            For each the objects, best first, and the milliseconds to prepare it, its share of the
            network's, and those to choose the boxes.
        """
        options, names = self.options, self.detector.names
        found = self.find(
            pictures,
            lambda scores: np.where(self._wanted, scores, -1.0),
            conf=options.conf,
            iou=options.iou,
            most=options.max_det,
        )
        return [
            (
                tuple(
                    DetectedObject(
                        names[class_id], int(class_id), float(value), tuple(map(float, box))
                    )
                    for box, class_id, value in zip(*detections, strict=True)
                ),
                *times,
            )
            for detections, *times in found
        ]

    def find(
        self,
        pictures: Sequence[np.ndarray],
        choose: Callable[[np.ndarray], np.ndarray],
        *,
        conf: float,
        iou: float,
        most: int,
        several: bool = False,
    ) -> list[tuple[tuple[np.ndarray, np.ndarray, np.ndarray], float, float, float]]:
        """Boxes of pictures, fused where they are looked at in several views.

        Args:
            pictures: uint8 `(H, W, 3)` of any sizes.
            choose: takes the scores of all places `(N, classes)` and gives those that count.
            conf: see `select_detections`, like the next three.
            iou: the same.
            most: the same.
            several: the same.

        Returns:
            For each what `select_detections` gives, in pixels of the picture, and the milliseconds
            to prepare it, its share of the network's, and those to choose the boxes.
        """
        options = self.options
        views = [
            (size, is_mirrored)
            for size in self._sizes
            for is_mirrored in ((False, True) if options.flip else (False,))
        ]
        parts: list[list] = [[] for _ in pictures]
        times = np.zeros((len(pictures), 3))
        for size, is_mirrored in views:
            seen = [pixels[:, ::-1] for pixels in pictures] if is_mirrored else pictures
            for index, (boxes, scores, frame, pre, net) in enumerate(self.predict(seen, size)):
                begin = time.monotonic()
                boxes, class_ids, values = select_detections(
                    boxes,
                    choose(scores),
                    # A mean over the views reaches `conf` with less in one of them.
                    conf=conf / len(views),
                    iou=iou,
                    most=most,
                    suppression=options.suppression,
                    several=several,
                )
                boxes = frame.to_picture(boxes)
                if is_mirrored:
                    boxes[:, [0, 2]] = pictures[index].shape[1] - boxes[:, [2, 0]]
                parts[index].append((boxes, class_ids, values))
                times[index] += pre, net, 1e3 * (time.monotonic() - begin)
        result = []
        for index, found in enumerate(parts):
            begin = time.monotonic()
            detections = found[0] if len(views) == 1 else self._fuse(found, conf, iou, most)
            times[index, 2] += 1e3 * (time.monotonic() - begin)
            result.append((detections, *times[index].tolist()))
        return result

    def _fuse(
        self,
        views: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
        conf: float,
        iou: float,
        most: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        boxes, class_ids, scores = fuse_boxes(views)
        kept = np.flatnonzero(scores >= conf)
        if self.options.suppression == "agnostic":
            kept = kept[non_maximum_suppression(boxes[kept], scores[kept], iou)]
        kept = kept[:most]
        return boxes[kept], class_ids[kept], scores[kept]

    def predict(
        self, pictures: Sequence[np.ndarray], size: int
    ) -> list[tuple[np.ndarray, np.ndarray, Letterbox, float, float]]:
        """What the network says of all places.

        Args:
            pictures: uint8 `(H, W, 3)` of any sizes.
            size: long side of their canvases in pixels.

        Returns:
            For each the boxes `(N, 4)` on its canvas, the scores `(N, classes)`, how the picture
            lies on the canvas, and milliseconds to prepare it and in the network.
        """
        stride = None if self._is_square else _STRIDE
        prepared = []
        for pixels in pictures:
            begin = time.monotonic()
            frame = Letterbox.fit(*pixels.shape[:2], size, stride)
            prepared.append((frame, fill_canvas(pixels, frame), 1e3 * (time.monotonic() - begin)))
        result: list = [None] * len(prepared)
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, (_, canvas, _) in enumerate(prepared):
            by_shape.setdefault(canvas.shape, []).append(index)
        for indices in by_shape.values():
            begin = time.monotonic()
            canvases = np.stack([prepared[index][1] for index in indices])
            predictions = self._run(canvases.astype(np.float32) / 255.0)
            net = 1e3 * (time.monotonic() - begin) / len(indices)
            for index, one in zip(indices, predictions, strict=True):
                frame, _, pre = prepared[index]
                result[index] = (one[:, :4], one[:, 4:], frame, pre, net)
        return result
