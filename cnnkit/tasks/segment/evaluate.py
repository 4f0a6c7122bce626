"""How well a segmenter labels pixels, against true masks."""

import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cnnkit.data._class_names import IGNORE
from cnnkit.engine.evaluator import read_batches
from cnnkit.engine.observer import Observer
from cnnkit.errors import DataError, UsageError
from cnnkit.images import as_picture
from cnnkit.tasks.segment.data import MaskCoding, MaskData, MaskPairs, read_mask, read_masks
from cnnkit.tasks.segment.metrics import pixel_confusion, segmentation_scores
from cnnkit.tasks.segment.predict import Segmenter
from cnnkit.tasks.segment.results import LabelledPicture, SegmentEvaluation
from cnnkit.tasks.segment.settings import DEFAULT_SEGMENTER, EvaluateSettings, SegmentSettings

# Pictures that are kept to be shown, those with the lowest mean IoU.
_SHOWN = 6


def evaluate_segment(
    data: str | Path,
    settings: EvaluateSettings | None = None,
    *,
    model: str | Path = DEFAULT_SEGMENTER,
    observer: Observer | None = None,
) -> SegmentEvaluation:
    """Measures how well a segmenter labels pixels.

    Args:
        data: a folder of pictures and masks; see `data.read_masks`. Its classes are told from the
            segmenter's by their names.
        settings: the part of the data, and how the segmenter looks at pictures.
        model: see `segment`.
        observer: is told what was read of the data and what was left out, how far the evaluation
            is, and why a pair cannot be used.

    Returns:
        A `SegmentEvaluation`. Pictures that cannot be read are left out, and counted.

    Raises:
        UsageError: no such segmenter, or no such split.
        WeightsError: its weights are not here.
        DataError: the data cannot be read, or have a class that the segmenter does not know.
    """
    settings, observer = settings or EvaluateSettings(), observer or Observer()
    masks, pairs, part = read_pairs(data, settings.split)
    for line in masks.lines():
        observer.on_note(line)
    segmenter = Segmenter(model, SegmentSettings(settings.size, settings.flip, settings.scales))
    names = segmenter.names
    coding = coding_for(masks, names, segmenter.name)
    confusion = np.zeros((len(names), len(names)), np.int64)
    sources: list[str] = []
    ious: list[float] = []
    worst: list[LabelledPicture] = []
    for one, counted in _label(segmenter, pairs, coding, observer):
        confusion += counted
        sources.append(one.source)
        ious.append(one.iou)
        if not np.isnan(one.iou):
            bisect.insort(worst, one, key=lambda kept: kept.iou)
            del worst[_SHOWN:]
    if not sources:
        raise DataError(f"none of the {len(pairs)} pairs can be used; see the lines above")
    return SegmentEvaluation(
        pictures=len(sources),
        failed=len(pairs) - len(sources),
        scores=segmentation_scores(confusion),
        confusion=confusion,
        names=names,
        split=part,
        model=segmenter.name,
        sources=tuple(sources),
        ious=np.array(ious),
        worst=tuple(worst),
    )


def _label(
    segmenter: Segmenter, pairs: MaskPairs, coding: MaskCoding, observer: Observer
) -> Iterator[tuple[LabelledPicture, np.ndarray]]:
    """Each pair that can be used with what is predicted, and how its pixels are counted."""
    for some in read_batches(pairs.pictures, 1, observer):
        for index, pixels in some:
            source, mask = pairs.pictures[index], pairs.masks[index]
            try:
                true = read_mask(mask, coding)
                if true.shape != pixels.shape[:2]:
                    raise DataError(
                        f"{mask} is {true.shape[1]}x{true.shape[0]} but its picture "
                        f"{pixels.shape[1]}x{pixels.shape[0]}; give them one size"
                    )
            except DataError as error:
                observer.on_error(error)
                continue
            predicted = segmenter.label(as_picture(pixels, source)).classes
            counted = pixel_confusion(true, predicted, len(segmenter.names))
            iou = segmentation_scores(counted).mean_iou
            yield LabelledPicture(source, iou, pixels, true, predicted), counted


def read_pairs(data: str | Path, split: str | None = None) -> tuple[MaskData, MaskPairs, str]:
    """The part of the data to evaluate on; see `evaluate_segment`.

    Returns:
        All of the data, the pairs of the part, and its name.
    """
    masks = read_masks(data, val_share=0.0)
    has_parts = len(masks.train) > 0
    name = split or ("val" if has_parts else "all")
    if name == "all":
        pairs = MaskPairs(
            masks.train.pictures + masks.val.pictures, masks.train.masks + masks.val.masks
        )
        return masks, pairs, name
    if not has_parts:
        raise UsageError(f"{data} has no part named {name}: --split can be all")
    return masks, masks.train if name == "train" else masks.val, name


def coding_for(data: MaskData, names: Sequence[str], model: str) -> MaskCoding:
    """What the values of masks mean in the classes of a segmenter.

    Args:
        data: the masks' own classes and coding.
        names: of the segmenter's classes.
        model: its name, for the message.

    Raises:
        DataError: the segmenter does not know a class.
    """
    unknown = [name for name in data.classes if name not in names]
    if unknown:
        raise DataError(
            f"{model} knows no class {', '.join(unknown)}; call the classes in classes.txt as it "
            f"does ({', '.join(names[:4])} ...), or 'ignore'"
        )
    # What is no class stays that.
    new = np.arange(256, dtype=np.uint8)
    new[: len(data.classes)] = [list(names).index(name) for name in data.classes]
    colors = {
        color: index if index == IGNORE else int(new[index])
        for color, index in data.coding.colors.items()
    }
    return MaskCoding(new[data.coding.table], colors)
