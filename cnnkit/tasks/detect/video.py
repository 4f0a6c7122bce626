"""A trained detector on videos, with numbers for what is the same from frame to frame."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnkit.engine.predictor import Loaded
from cnnkit.results import Record
from cnnkit.tasks.detect.predict import Detector
from cnnkit.tasks.detect.results import Detection
from cnnkit.tasks.detect.settings import DetectSettings
from cnnkit.video.reader import Frame, VideoFacts
from cnnkit.video.tracker import Tracker

# Frames after which what is done is kept.
_SEGMENT = 96
# Of the least score: how sure a box must be to go on with a track.
_UNSURE = 0.4
# Seconds for which a thing that is hidden keeps its number.
_MEMORY = 1.2


def tracking_settings(settings: DetectSettings) -> DetectSettings:
    """Those that a detector is to have whose boxes are tracked: it finds less sure boxes too."""
    return replace(settings, conf=_UNSURE * settings.conf)


@dataclass(frozen=True)
class DetectionFrame:
    """What was found in a frame, as `engine.video.FrameResult` has it."""

    found: Detection

    def draw(self) -> npt.NDArray[np.uint8]:
        """The frame with boxes."""
        return np.asarray(self.found.plot())

    def to_record(self) -> Record:
        """What the JSON says."""
        return self.found.to_record()


class DetectVideo:
    """The objects of one video; see `engine.video.VideoTask`.

    Args:
        detector: with `tracking_settings` where objects are tracked.
        source: what results call the video.
        conf: least score of what is kept.
        track: give what is the same from frame to frame a number.
        batch: frames that the network sees at a time.
    """

    segment = _SEGMENT

    def __init__(
        self, detector: Detector, source: str, conf: float, *, track: bool = False, batch: int = 8
    ):
        self._detector, self._source, self._conf = detector, source, conf
        self._tracks = track
        self.batch = batch
        self._tracker: Tracker | None = None
        # Of a class, the numbers of its tracks, or how many there were at once.
        self._numbers: dict[str, set[int]] = {}
        self._most: Counter[str] = Counter()

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the frames depend on."""
        facts = self._detector.facts
        return {
            "task": "detect",
            "model": facts.hash,
            "track": self._tracks,
            "detect": asdict(self._detector.settings),
        }

    def begin(self, facts: VideoFacts) -> None:
        """Is told how many frames a second has."""
        if self._tracks:
            memory = max(2, round(_MEMORY * float(facts.rate)))
            self._tracker = Tracker(len(self._detector.facts.names), self._conf, memory)

    def run(self, frames: Sequence[Frame]) -> Iterator[DetectionFrame]:
        """Finds the objects of frames that follow one another."""
        loaded = [Loaded(self._source, one.pixels, 0.0) for one in frames]
        for found in self._detector.describe(loaded):
            followed = found if self._tracker is None else self._follow(found, self._tracker)
            self._count(followed)
            yield DetectionFrame(followed)

    def _follow(self, found: Detection, tracker: Tracker) -> Detection:
        """With the numbers of tracks, and without what belongs to none."""
        objects = found.objects
        numbers, class_ids = tracker.update(
            np.array([one.box_xyxy for one in objects]).reshape(-1, 4),
            np.array([one.score for one in objects]),
            np.array([one.class_id for one in objects], int),
        )
        names = self._detector.facts.names
        rows = zip(objects, numbers.tolist(), class_ids.tolist(), strict=True)
        return replace(
            found,
            objects=tuple(
                replace(one, track=number, class_id=class_id, label=names[class_id])
                for one, number, class_id in rows
                if number
            ),
            threshold=self._conf,
        )

    def _count(self, found: Detection) -> None:
        self._most |= Counter(one.label for one in found.objects)
        for one in found.objects:
            if one.track is not None:
                self._numbers.setdefault(one.label, set()).add(one.track)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Tracks, and what was counted so far."""
        counts = {name: np.array(count) for name, count in self._most.items()}
        numbers = {name: np.array(sorted(some)) for name, some in self._numbers.items()}
        return {
            **{f"most:{name}": count for name, count in counts.items()},
            **{f"numbers:{name}": some for name, some in numbers.items()},
            **({} if self._tracker is None else self._tracker.state()),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up a state."""
        for key, value in state.items():
            kind, _, name = key.partition(":")
            if kind == "most":
                self._most[name] = int(value)
            elif kind == "numbers":
                self._numbers[name] = set(value.tolist())
        if self._tracker is not None:
            self._tracker.restore(state)

    def summary(self) -> str:
        """How many of what."""
        if self._tracks:
            counts = Counter({name: len(some) for name, some in self._numbers.items()})
            return _words(counts) or "nothing found"
        return f"at most {_words(self._most)} at once" if self._most else "nothing found"


def _words(counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered)
