"""How well a segmenter labels pixels, against true masks."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from cnnkit.data._class_names import IGNORE
from cnnkit.engine.settings import check_split
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.images import Picture, read_image, to_uint8
from cnnkit.options import DEFAULT_SEGMENTER, MASK_SPLITS, SEGMENT_SIZE
from cnnkit.results import SegmentEvaluation
from cnnkit.tasks.segment.data import MaskCoding, MaskData, MaskPairs, read_mask, read_masks
from cnnkit.tasks.segment.metrics import pixel_confusion, segmentation_scores
from cnnkit.tasks.segment.plots import draw_segments
from cnnkit.tasks.segment.predict import Segmenter

# Pictures on the sheet of the worst.
_SHOWN = 8


def evaluate_segment(
    data: str | Path,
    *,
    model: str | Path = DEFAULT_SEGMENTER,
    split: str | None = None,
    size: int = SEGMENT_SIZE,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> SegmentEvaluation:
    """Measures how well a segmenter labels pixels.

    Args:
        data: a folder of pictures and masks; see `data.masks.read_masks`. Its classes are told
            from the segmenter's by their names.
        model: see `segment`.
        split: "train", "val" or "all"; val by default, which is all of it where the data have no
            parts.
        size: see `segment`.
        flip: see `segment`.
        scales: see `segment`.

    Returns:
        A `SegmentEvaluation`. Pictures that cannot be read are left out, and counted.

    Raises:
        UsageError: no such segmenter, or no such split.
        WeightsError: its weights are not here.
        DataError: the data cannot be read, or have a class that the segmenter does not know.
    """
    masks, pairs, part = read_pairs(data, split)
    segmenter = Segmenter(str(model), size=size, flip=flip, scales=scales)
    return SegmentJudge(segmenter).evaluate(masks, pairs, part)


def read_pairs(data: str | Path, split: str | None = None) -> tuple[MaskData, MaskPairs, str]:
    """The part of the data to evaluate on; see `evaluate_segment`.

    Returns:
        All of the data, the pairs of the part, and its name.
    """
    check_split(split, MASK_SPLITS)
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
    return masks, getattr(masks, name), name


class SegmentJudge:
    """Evaluates a segmenter.

    Args:
        segmenter: that is evaluated.
        on_progress: called with the pictures done and their number.
        on_error: called with the reason for each pair that cannot be used.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        on_error: Callable[[CnnkitError], None] | None = None,
    ):
        self._segmenter = segmenter
        self._on_progress, self._on_error = on_progress, on_error

    def evaluate(self, data: MaskData, pairs: MaskPairs, split: str) -> SegmentEvaluation:
        """Labels all pictures and counts.

        Args:
            data: that the pairs are of.
            pairs: to evaluate on.
            split: their name.

        Raises:
            DataError: a class that the segmenter does not know, or no pair could be used.
        """
        names = self._segmenter.names
        coding = coding_for(data, names, self._segmenter.name)
        confusion = np.zeros((len(names), len(names)), np.int64)
        sources, ious, failed = [], [], 0
        for done, (picture, mask) in enumerate(
            zip(pairs.pictures, pairs.masks, strict=True), start=1
        ):
            try:
                _, true, predicted = self._look(picture, mask, coding)
            except CnnkitError as error:
                failed += 1
                if self._on_error:
                    self._on_error(error)
            else:
                counted = pixel_confusion(true, predicted, len(names))
                confusion += counted
                sources.append(picture)
                ious.append(segmentation_scores(counted).mean_iou)
            if self._on_progress:
                self._on_progress(done, len(pairs))
        if not sources:
            raise DataError(f"none of the {len(pairs)} pairs can be used; see the lines above")
        return SegmentEvaluation(
            pictures=len(sources),
            failed=failed,
            scores=segmentation_scores(confusion),
            confusion=confusion,
            names=names,
            split=split,
            model=self._segmenter.name,
            sources=tuple(sources),
            ious=np.array(ious),
        )

    def _look(
        self, picture: str, mask: str, coding: MaskCoding
    ) -> tuple[Picture, np.ndarray, np.ndarray]:
        true = read_mask(mask, coding)
        read = read_image(picture)
        predicted = self._segmenter.segment(read).classes
        if predicted.shape != true.shape:
            raise DataError(
                f"{mask} is {true.shape[1]}x{true.shape[0]} but its picture "
                f"{predicted.shape[1]}x{predicted.shape[0]}; give them one size"
            )
        return read, true, predicted

    def draw_worst(self, evaluation: SegmentEvaluation, data: MaskData) -> np.ndarray:
        """The pictures with the lowest mean IoU of their own, as a sheet.

        Returns:
            uint8 `(height, width, 3)`.
        """
        known = dict(
            zip(
                data.train.pictures + data.val.pictures,
                data.train.masks + data.val.masks,
                strict=True,
            )
        )
        coding = coding_for(data, evaluation.names, evaluation.model)
        order = np.argsort(np.nan_to_num(evaluation.ious, nan=2.0), kind="stable")[:_SHOWN]

        def rows() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            for at in order:
                source = evaluation.sources[at]
                read, true, predicted = self._look(source, known[source], coding)
                yield to_uint8(read.pixels), true, predicted

        return draw_segments(list(rows()), evaluation.names)


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
