"""How good tracks are: CLEAR MOT and IDF1."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnnkit.ops.assignment import assign
from cnnkit.ops.boxes import intersection_over_union


@dataclass(frozen=True)
class FrameTracks:
    """Boxes of one frame, with the numbers of what they belong to.

    Attributes:
        boxes_xyxy: `(n, 4)`.
        numbers: `(n,)`, each once.
    """

    boxes_xyxy: npt.NDArray[np.float64]
    numbers: npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrackScores:
    """Figures of tracks.

    Attributes:
        mota: 1 less the share of misses, false boxes and switches in the true boxes.
        idf1: share of boxes with the right number, where each true track is given one number.
        misses: true boxes without one.
        false: boxes without a true one.
        switches: true boxes that follow on one with another number.
        fragments: times that a true track is found again after it was missed.
    """

    mota: float
    idf1: float
    misses: int
    false: int
    switches: int
    fragments: int


def score_tracks(
    truth: Sequence[FrameTracks], found: Sequence[FrameTracks], iou: float = 0.5
) -> TrackScores:
    """Compares tracks with true ones.

    Bernardin & Stiefelhagen (2008), "Evaluating multiple object tracking performance: the CLEAR MOT
    metrics"; Ristani, Solera, Zou, Cucchiara & Tomasi (2016), "Performance measures and a data set
    for multi-target, multi-camera tracking".

    Args:
        truth: of each frame.
        found: of the same frames.
        iou: overlap of boxes from which they are one.

    Raises:
        ValueError: different numbers of frames.

    Example:

    >>> one = FrameTracks(np.array([[0.0, 0, 9, 9]]), np.array([5]))
    >>> score_tracks([one, one], [one, one]).mota
    1.0
    """
    if len(truth) != len(found):
        raise ValueError(
            f"found must have the frames of truth. Received: {len(found)} and {len(truth)}"
        )
    before: dict[int, int] = {}
    is_missed: dict[int, bool] = {}
    misses = false = switches = fragments = 0
    shared: dict[tuple[int, int], int] = {}
    for real, tracked in zip(truth, found, strict=True):
        overlaps = intersection_over_union(
            real.boxes_xyxy.reshape(-1, 4), tracked.boxes_xyxy.reshape(-1, 4)
        )
        for row, column in zip(*np.nonzero(overlaps >= iou), strict=True):
            key = int(real.numbers[row]), int(tracked.numbers[column])
            shared[key] = shared.get(key, 0) + 1
        pairs = _pair(real, tracked, overlaps, before, iou)
        misses += len(real.numbers) - len(pairs)
        false += len(tracked.numbers) - len(pairs)
        for number in real.numbers.tolist():
            if number not in pairs:
                is_missed[number] = number in before
                continue
            switches += before.get(number, pairs[number]) != pairs[number]
            fragments += is_missed.get(number, False)
            is_missed[number] = False
            before[number] = pairs[number]
    count = sum(len(one.numbers) for one in truth)
    total = count + sum(len(one.numbers) for one in found)
    return TrackScores(
        mota=1.0 - (misses + false + switches) / count if count else float("nan"),
        idf1=2.0 * _identified(shared) / total if total else float("nan"),
        misses=misses,
        false=false,
        switches=switches,
        fragments=fragments,
    )


def _pair(
    real: FrameTracks,
    tracked: FrameTracks,
    overlaps: npt.NDArray[np.float64],
    before: dict[int, int],
    iou: float,
) -> dict[int, int]:
    """True number -> the number it is found under; a pair of before stays where it still is one."""
    rows = {int(number): at for at, number in enumerate(real.numbers)}
    columns = {int(number): at for at, number in enumerate(tracked.numbers)}
    pairs = {
        number: other
        for number, other in before.items()
        if number in rows and other in columns and overlaps[rows[number], columns[other]] >= iou
    }
    free_rows = [number for number in rows if number not in pairs]
    free_columns = [number for number in columns if number not in pairs.values()]
    costs = np.array(
        [
            [1.0 - overlaps[rows[number], columns[other]] for other in free_columns]
            for number in free_rows
        ]
    ).reshape(len(free_rows), len(free_columns))
    # As many pairs as there can be: alone costs more than any pair.
    for row, column in assign(np.where(costs <= 1.0 - iou, costs, np.inf)):
        pairs[free_rows[row]] = free_columns[column]
    return pairs


def _identified(shared: dict[tuple[int, int], int]) -> int:
    """Boxes with the right number, by the best pairing of true tracks with numbers."""
    if not shared:
        return 0
    real = sorted({one for one, _ in shared})
    other = sorted({one for _, one in shared})
    counts = np.zeros((len(real), len(other)))
    for (one, two), count in shared.items():
        counts[real.index(one), other.index(two)] = count
    return int(sum(counts[pair] for pair in assign(-counts)))
