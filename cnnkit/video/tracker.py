"""Which boxes of a video are the same thing.

ByteTrack (Zhang, Sun, Jiang, Yu, Weng, Yuan, Luo, Liu & Wang 2022): a Kalman filter says where each
thing will be; boxes with high scores are paired with these places by their overlap, then boxes with
low scores with what is left, since a thing that is half hidden has a low score. Departures:
- the filter follows width and height, not the ratio of sides and the height (as BoT-SORT does);
- a pair of different classes counts half, and a thing is of the class that its boxes gave the most
  scores to, so that a dog that is taken for a cat in one frame stays the same dog;
- where nothing overlaps, a thing that was seen in the last frame may have moved by as much as its
  own size: the pairs are then the nearest of similar size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnkit.ops.assignment import assign
from cnnkit.ops.boxes import intersection_over_union

# Least overlap of a pair with a high and with a low score, and of one whose thing is new.
_LEAST_HIGH, _LEAST_LOW, _LEAST_NEW = 0.2, 0.5, 0.3
# Above the least score: what begins a new track.
_ABOVE_FOR_NEW = 0.1
# Overlap from which two tracks are one, of which the older stays.
_SAME = 0.85
_OTHER_CLASS = 0.5
# Overlap with a box that belongs to a track, from which another one begins none.
_DOUBLE = 0.6
# Standard deviations in parts of the box's size: of where it is seen, and of how its speed changes.
_PLACE, _SPEED = 1.0 / 20.0, 1.0 / 160.0
# Distance in sizes of the boxes, and ratio of sizes, up to which boxes that do not overlap pair.
_FARTHEST, _OTHER_SIZE = 1.0, 1.7
# Scores that a class keeps from one frame to the next.
_MEMORY = 0.97
_NEW, _TRACKED, _LOST = range(3)


@dataclass
class _Track:
    """A thing on its way.

    Attributes:
        number: from 1.
        mean: middle, width and height in pixels, and their change from frame to frame, `(8,)`.
        covariance: of that, `(8, 8)`.
        votes: scores of its boxes, by class.
        state: new, tracked or lost.
        unseen: frames since it was seen.
    """

    number: int
    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    votes: npt.NDArray[np.float64]
    state: int = _NEW
    unseen: int = 0

    @property
    def box(self) -> npt.NDArray[np.float64]:
        half = np.maximum(self.mean[2:4], 1e-3) / 2
        return np.concatenate([self.mean[:2] - half, self.mean[:2] + half])

    @property
    def class_id(self) -> int:
        return int(np.argmax(self.votes))


class Tracker:
    """Numbers the boxes of frames that follow one another.

    Args:
        classes: number of classes.
        conf: scores from which a box is sure; less sure ones only go on with tracks. Detections
            should be given from a fifth of it on.
        memory: frames for which a thing that is hidden keeps its number.

    Example:

    >>> tracker = Tracker(1)
    >>> for x in (0.0, 2.0, 4.0):
    ...     box = np.array([[x, 0, x + 10, 10]])
    ...     numbers, _ = tracker.update(box, np.ones(1), np.zeros(1, int))
    >>> numbers
    array([1])
    """

    def __init__(self, classes: int, conf: float = 0.25, memory: int = 30):
        self._classes, self._conf, self._memory = classes, conf, memory
        self._tracks: list[_Track] = []
        self._count = self._frames = 0

    def update(
        self,
        boxes_xyxy: npt.NDArray[Any],
        scores: npt.NDArray[Any],
        class_ids: npt.NDArray[Any],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Takes the boxes of the next frame.

        Args:
            boxes_xyxy: `(n, 4)` in pixels.
            scores: `(n,)` in [0, 1].
            class_ids: `(n,)`.

        Returns:
            The number of each box's track, 0 where it has none, and the class of that track, both
            `(n,)`. A thing gets its number when it is seen for the second time, in the first frame
            at once.
        """
        boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
        for track in self._tracks:
            _predict(track)
        found = np.full(len(boxes), -1)
        tracks = self._tracks
        is_sure = scores >= self._conf
        held = [at for at, one in enumerate(tracks) if one.state != _NEW]
        self._pair(held, np.flatnonzero(is_sure), boxes, scores, class_ids, found, _LEAST_HIGH)
        left = [at for at in held if at not in found and tracks[at].state == _TRACKED]
        self._pair(left, np.flatnonzero(~is_sure), boxes, scores, class_ids, found, _LEAST_LOW)
        rest = np.flatnonzero(is_sure & (found < 0))
        self._pair_near([at for at in left if at not in found], rest, boxes, class_ids, found)
        new = [at for at, one in enumerate(tracks) if one.state == _NEW]
        rest = np.flatnonzero(is_sure & (found < 0))
        self._pair(new, rest, boxes, scores, class_ids, found, _LEAST_NEW)
        self._pair_near([at for at in new if at not in found], rest, boxes, class_ids, found)
        for at, track in enumerate(tracks):
            track.votes *= _MEMORY
            if at not in found:
                track.unseen += 1
                track.state = _NEW if track.state == _NEW else _LOST
        for index in np.flatnonzero(found >= 0):
            track = tracks[found[index]]
            _correct(track, boxes[index])
            track.votes[class_ids[index]] += scores[index]
            track.state, track.unseen = _TRACKED, 0
        seen = [tracks[at] if at >= 0 else None for at in found]
        overlaps = intersection_over_union(boxes, boxes)
        is_taken = found >= 0
        for index in np.argsort(-np.asarray(scores), kind="stable"):
            # A second box around a thing, of another class, is no other thing.
            is_double = (overlaps[index, is_taken] > _DOUBLE).any()
            if is_taken[index] or is_double or scores[index] < self._conf + _ABOVE_FOR_NEW:
                continue
            is_taken[index] = True
            seen[index] = self._begin(boxes[index], int(class_ids[index]), float(scores[index]))
        self._frames += 1
        self._tracks = self._kept()
        shown = [
            one if one is not None and one.state == _TRACKED and one in self._tracks else None
            for one in seen
        ]
        return (
            np.array([0 if one is None else one.number for one in shown], np.int64),
            np.array(
                [
                    int(class_id) if one is None else one.class_id
                    for one, class_id in zip(shown, class_ids, strict=True)
                ],
                np.int64,
            ),
        )

    def _begin(self, box: npt.NDArray[np.float64], class_id: int, score: float) -> _Track:
        self._count += 1
        size = _spread(box)
        # The second sight of a thing tells its speed.
        deviation = np.concatenate([2 * _PLACE * size, 10 * _PLACE * size])
        votes = np.zeros(self._classes)
        votes[class_id] = score
        track = _Track(
            self._count,
            np.concatenate([_measure(box), np.zeros(4)]),
            np.diag(deviation**2),
            votes,
            # What is there from the beginning needs no second look.
            _NEW if self._frames else _TRACKED,
        )
        self._tracks.append(track)
        return track

    def _kept(self) -> list[_Track]:
        """Without new things not seen again, those long lost, and second tracks of one thing."""
        held = [
            one for one in self._tracks if one.unseen <= (0 if one.state == _NEW else self._memory)
        ]
        if len(held) < 2:
            return held
        overlaps = intersection_over_union(*[np.array([one.box for one in held])] * 2)
        dropped = set()
        for first, second in zip(*np.nonzero(np.triu(overlaps > _SAME, 1)), strict=True):
            one, other = held[first], held[second]
            # Two that are seen at once are two.
            if (one.state == _TRACKED) != (other.state == _TRACKED) and _LOST in (
                one.state,
                other.state,
            ):
                dropped.add(int(first if one.state == _LOST else second))
        return [one for at, one in enumerate(held) if at not in dropped]

    def _pair(
        self,
        which: list[int],
        candidates: npt.NDArray[Any],
        boxes: npt.NDArray[np.float64],
        scores: npt.NDArray[Any],
        class_ids: npt.NDArray[Any],
        found: npt.NDArray[Any],
        least: float,
    ) -> None:
        """Pairs tracks with boxes by their overlap; `found` gets the track of each box."""
        if not which or not len(candidates):
            return
        overlaps = intersection_over_union(
            np.array([self._tracks[at].box for at in which]), boxes[candidates]
        )
        classes = np.array([self._tracks[at].class_id for at in which])
        is_other = classes[:, None] != class_ids[candidates][None]
        values = overlaps * np.where(is_other, _OTHER_CLASS, 1.0)
        # Of two boxes that fit alike, the surer one.
        costs = np.where(values >= least, 1.0 - values * (0.9 + 0.1 * scores[candidates]), np.inf)
        for row, column in assign(costs, 1.0):
            found[candidates[column]] = which[row]

    def _pair_near(
        self,
        which: list[int],
        candidates: npt.NDArray[Any],
        boxes: npt.NDArray[np.float64],
        class_ids: npt.NDArray[Any],
        found: npt.NDArray[Any],
    ) -> None:
        """The same by distance, for what moves faster than its own size."""
        if not which or not len(candidates):
            return
        means = np.array([self._tracks[at].mean[:4] for at in which])
        seen = np.array([_measure(box) for box in boxes[candidates]])
        sizes = np.sqrt(np.maximum(means[:, 2] * means[:, 3], 1e-6))[:, None]
        others = np.sqrt(np.maximum(seen[:, 2] * seen[:, 3], 1e-6))[None]
        distances = np.linalg.norm(means[:, None, :2] - seen[None, :, :2], axis=-1)
        classes = np.array([self._tracks[at].class_id for at in which])
        is_possible = (
            (classes[:, None] == class_ids[candidates][None])
            & (np.maximum(sizes / others, others / sizes) < _OTHER_SIZE)
            & (distances < _FARTHEST * (sizes + others) / 2)
        )
        costs = np.where(is_possible, distances / sizes, np.inf)
        for row, column in assign(costs):
            found[candidates[column]] = which[row]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as arrays; see `restore`."""
        tracks = self._tracks
        return {
            "tracks": np.array(
                [[one.number, one.state, one.unseen] for one in tracks], np.int64
            ).reshape(-1, 3),
            "means": np.array([one.mean for one in tracks]).reshape(-1, 8),
            "covariances": np.array([one.covariance for one in tracks]).reshape(-1, 8, 8),
            "votes": np.array([one.votes for one in tracks]).reshape(-1, self._classes),
            "counts": np.array([self._count, self._frames]),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Puts `state()` back."""
        self._count, self._frames = (int(one) for one in state["counts"])
        rows = zip(
            *(state[name] for name in ("tracks", "means", "covariances", "votes")), strict=True
        )
        self._tracks = [
            _Track(
                int(number), mean.copy(), covariance.copy(), votes.copy(), int(kind), int(unseen)
            )
            for (number, kind, unseen), mean, covariance, votes in rows
        ]


def _measure(box: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Middle, width and height of a box."""
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])


def _spread(box: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What the uncertainty of each of the four is a part of."""
    wide, high = np.maximum(box[2:] - box[:2], 1.0)
    return np.array([wide, high, wide, high])


def _predict(track: _Track) -> None:
    """A step of the filter: things keep their speed, but for noise; hidden ones their size."""
    if track.unseen:
        track.mean[6:] = 0.0
    move = np.eye(8)
    move[:4, 4:] = np.eye(4)
    size = np.tile(np.maximum(track.mean[[2, 3]], 1.0), 2)
    noise = np.diag(np.concatenate([_PLACE * size, _SPEED * size]) ** 2)
    track.mean = move @ track.mean
    track.covariance = move @ track.covariance @ move.T + noise


def _correct(track: _Track, box: npt.NDArray[np.float64]) -> None:
    """The filter is told where the thing was seen."""
    noise = np.diag((_PLACE * np.tile(np.maximum(track.mean[[2, 3]], 1.0), 2)) ** 2)
    gain = np.linalg.solve(track.covariance[:4, :4] + noise, track.covariance[:4]).T
    track.mean = track.mean + gain @ (_measure(box) - track.mean[:4])
    track.covariance = track.covariance - gain @ track.covariance[:4]
