"""How good a detector is on pictures with boxes."""

from pathlib import Path

import numpy as np

from cnnkit.engine.evaluator import read_batches
from cnnkit.engine.observer import Observer
from cnnkit.errors import DataError, UsageError
from cnnkit.tasks.detect.data import BoxedData, BoxedPictures, read_boxed
from cnnkit.tasks.detect.metrics import TrueBoxes, coco_scores, voc_average_precision
from cnnkit.tasks.detect.predict import Detector
from cnnkit.tasks.detect.results import DetectEvaluation
from cnnkit.tasks.detect.settings import DEFAULT_DETECTOR, DetectSettings, EvaluateSettings

# As COCO's figures want it: boxes of nearly any score, a hundred of each picture and class.
LEAST_SCORE, OVERLAP, MOST = 0.001, 0.6, 300


def evaluate_detect(
    data: str | Path,
    settings: EvaluateSettings | None = None,
    *,
    model: str | Path = DEFAULT_DETECTOR,
    batch: int = 8,
    observer: Observer | None = None,
) -> DetectEvaluation:
    """Measures how good a detector is, as COCO and Pascal VOC do.

    Args:
        data: pictures with boxes; see `data.read_boxed`.
        settings: the part of the data, and how the detector looks at pictures.
        model: see `detect`.
        batch: pictures at a time.
        observer: is told what was read of the data and what was left out, how far the evaluation
            is, and why a picture cannot be read.

    Returns:
        A `DetectEvaluation`. Pictures that cannot be read are left out, and counted.

    Raises:
        UsageError: no such detector, or no such split.
        WeightsError: its file is not here.
        DataError: the data cannot be read, or have objects of a class that the detector does not
            know.
    """
    settings, observer = settings or EvaluateSettings(), observer or Observer()
    boxed, pictures, name = read_split(data, settings.split)
    for line in boxed.lines():
        observer.on_note(line)
    detector = Detector(
        model, DetectSettings(size=settings.size, flip=settings.flip, scales=settings.scales)
    )
    columns = _columns(boxed, pictures, detector.facts.names, detector.facts.name)
    # Classes of the data that the detector does not know have no objects, and no column.
    known = [boxed.classes.index(detector.facts.names[column]) for column in columns]
    truth, found = [], []
    for some in read_batches(pictures.paths, batch, observer):
        boxes = detector.find(
            [pixels for _, pixels in some],
            lambda scores: scores[:, columns],
            conf=LEAST_SCORE,
            iou=OVERLAP,
            most=MOST,
            multi_label=True,
        )
        found += [one for one, *_ in boxes]
        truth += [_truth(pictures, row, known, pixels.shape[:2]) for row, pixels in some]
    if not truth:
        raise DataError(f"none of the {len(pictures)} pictures could be read; see the errors above")
    return DetectEvaluation(
        pictures=len(truth),
        failed=len(pictures) - len(truth),
        names=tuple(boxed.classes[class_id] for class_id in known),
        split=name,
        model=detector.facts.name,
        coco=coco_scores(truth, found, len(known)),
        voc_11=voc_average_precision(truth, found, len(known), rule="11"),
        voc_all=voc_average_precision(truth, found, len(known)),
    )


def read_split(data: str | Path, split: str | None) -> tuple[BoxedData, BoxedPictures, str]:
    """The part of the data to evaluate on; see `evaluate_detect`.

    Returns:
        All of the data, the pictures of the part, and its name.
    """
    boxed = read_boxed(data, val_share=0.0)
    splits = {name: pictures for name, pictures in boxed.splits.items() if len(pictures)}
    name = split or next((name for name in ("test", "val") if name in splits), "all")
    if name == "all":
        return boxed, BoxedPictures.join(tuple(splits.values())), name
    if name not in splits:
        raise UsageError(
            f"{data} has no part named {name}: --split can be {', '.join([*splits, 'all'])}"
        )
    return boxed, splits[name], name


def _columns(
    boxed: BoxedData, pictures: BoxedPictures, names: tuple[str, ...], model: str
) -> list[int]:
    """The detector's classes that the data have too, in the order of the data."""
    used = set(np.concatenate([np.zeros(0, np.int64), *pictures.class_ids]).tolist())
    missing = [boxed.classes[index] for index in sorted(used) if boxed.classes[index] not in names]
    if missing:
        raise DataError(
            f"{model} does not know {missing[0]!r}"
            + (f" and {len(missing) - 1} more classes" if len(missing) > 1 else "")
            + "; evaluate a model that was trained on them"
        )
    return [names.index(name) for name in boxed.classes if name in names]


def _truth(pictures: BoxedPictures, row: int, known: list[int], size: tuple[int, int]) -> TrueBoxes:
    """The objects of a picture, numbered by the classes that both know."""
    height, width = size
    return TrueBoxes(
        pictures.boxes_xyxy_normalized[row] * [width, height, width, height],
        np.array([known.index(class_id) for class_id in pictures.class_ids[row]], int),
        pictures.ignored[row],
        pictures.areas_normalized[row] * (height * width),
    )
