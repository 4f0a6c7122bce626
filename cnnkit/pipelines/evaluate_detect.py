"""How good a detector is on pictures with boxes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cnnkit.data.boxes import BoxedData, BoxedPictures, read_boxed
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.images import read_pixels
from cnnkit.options import check_split
from cnnkit.results import DetectEvaluation
from cnnkit.tasks.detect.metrics import TrueBoxes, coco_scores, voc_average_precision
from cnnkit.tasks.detect.predict import Detector
from cnnkit.tasks.detect.settings import DetectSettings

# As COCO's figures want it: boxes of nearly any score, a hundred of each picture and class.
LEAST_SCORE, OVERLAP, MOST = 0.001, 0.6, 300


def evaluate_detect(
    data: str | Path,
    *,
    model: str | Path,
    split: str | None = None,
    size: int | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    batch: int = 8,
    on_progress: Callable[[int, int], None] | None = None,
    on_error: Callable[[CnnkitError], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> DetectEvaluation:
    """Measures how good a detector is, as COCO and Pascal VOC do.

    Args:
        data: pictures with boxes; see `data.read_boxed`.
        model: see `detect`.
        split: "train", "val", "test" or "all"; by default test where the data have it, else val,
            else all.
        size: long side that the network sees pictures at; the model's own by default.
        flip: see `DetectSettings`.
        scales: the same.
        batch: pictures at a time.
        on_progress: called with the pictures done and their number.
        on_error: called with the reason for each picture that cannot be read.
        on_note: takes lines about what was read of the data and what was left out.

    Returns:
        A `DetectEvaluation`. Pictures that cannot be read are left out, and counted.

    Raises:
        UsageError: no such detector, or no such split.
        WeightsError: its file is not here.
        DataError: the data cannot be read, or have objects of a class that the detector does not
            know.
    """
    boxed, pictures, name = read_split(data, split)
    for line in boxed.lines() if on_note else ():
        on_note(line)
    detector = Detector(str(model), DetectSettings(size=size, flip=flip, scales=tuple(scales)))
    columns = _columns(boxed, pictures, detector.facts.names, detector.facts.name)
    truth, found = [], []
    failed = 0
    for begin in range(0, len(pictures), batch):
        rows, some = [], []
        for row in range(begin, min(begin + batch, len(pictures))):
            try:
                some.append(read_pixels(pictures.paths[row]))
                rows.append(row)
            except CnnkitError as error:
                failed += 1
                if on_error:
                    on_error(error)
        for row, pixels, (detections, *_) in zip(
            rows,
            some,
            detector.find(
                some,
                lambda scores: scores[:, columns],
                conf=LEAST_SCORE,
                iou=OVERLAP,
                most=MOST,
                multi_label=True,
            ),
            strict=True,
        ):
            found.append(detections)
            truth.append(_truth(pictures, row, pixels.shape[:2]))
        if on_progress:
            on_progress(min(begin + batch, len(pictures)), len(pictures))
    if not truth:
        raise DataError(f"none of the {len(pictures)} pictures could be read; see the errors above")
    # Classes of the data that the detector does not know have no objects, and no column.
    known = [boxed.classes.index(detector.facts.names[column]) for column in columns]
    back = {class_id: place for place, class_id in enumerate(known)}
    truth = [
        TrueBoxes(one.boxes_xyxy, [back[i] for i in one.class_ids], one.ignored, one.areas)
        for one in truth
    ]
    count = len(known)
    return DetectEvaluation(
        pictures=len(truth),
        failed=failed,
        names=tuple(boxed.classes[class_id] for class_id in known),
        split=name,
        model=detector.facts.name,
        coco=coco_scores(truth, found, count),
        voc_11=voc_average_precision(truth, found, count, rule="11"),
        voc_all=voc_average_precision(truth, found, count),
    )


def read_split(data: str | Path, split: str | None) -> tuple[BoxedData, BoxedPictures, str]:
    """The part of the data to evaluate on; see `evaluate_detect`.

    Returns:
        All of the data, the pictures of the part, and its name.
    """
    check_split(split)
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


def _truth(pictures: BoxedPictures, row: int, size: tuple[int, int]) -> TrueBoxes:
    height, width = size
    return TrueBoxes(
        pictures.boxes_xyxy_normalized[row] * [width, height, width, height],
        pictures.class_ids[row],
        pictures.ignored[row],
        pictures.areas_normalized[row] * (height * width),
    )
