"""Who is in a video: faces that are followed, each with the name that most of its frames say."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.plots import draw_labels
from cnnkit.results import Record
from cnnkit.tasks.faces.predict import FaceBook
from cnnkit.tasks.faces.results import IdentifiedFace
from cnnkit.video.reader import Frame, VideoFacts
from cnnkit.video.tracker import Tracker

_SEGMENT = 48
# Seconds for which a face that turns away keeps its number.
_MEMORY = 1.5
# A face that was found is one: detectors of faces give no scores that compare.
_SURE = 1.0


@dataclass(frozen=True)
class NamedFaces:
    """The faces of a frame, as `engine.video.FrameResult` has them.

    Attributes:
        source: of the video.
        pixels: uint8 `(height, width, 3)`.
        faces: as they are in this frame alone.
        numbers: of what each face is followed as; 0 where it is seen for the first time.
        names: by all frames so far; None for somebody unknown.
        model: name of the recogniser.
        threshold: of its distances.
    """

    source: str
    pixels: np.ndarray
    faces: tuple[IdentifiedFace, ...]
    numbers: tuple[int, ...]
    names: tuple[str | None, ...]
    model: str
    threshold: float

    def draw(self) -> np.ndarray:
        """The frame with boxes and names."""
        return draw_labels(
            self.pixels,
            [one.face.box_xyxy for one in self.faces],
            [name or "unknown" for name in self.names],
            [name is not None for name in self.names],
        )

    def to_record(self) -> Record:
        """What the JSON says: `name` is that of all frames so far."""
        items = tuple(
            {**one.to_dict(), "name": name, "track": number}
            for one, number, name in zip(self.faces, self.numbers, self.names, strict=True)
        )
        height, width = self.pixels.shape[:2]
        return Record(self.source, width, height, items, self.model, self.threshold)


class IdentifyVideo:
    """The people of one video; see `engine.video.VideoTask`.

    Args:
        book: the gallery and its networks.
        source: what results call the video.
        matches: people to name for each face.
    """

    batch = 1
    segment = _SEGMENT

    def __init__(self, book: FaceBook, source: str, matches: int = 2):
        self._book, self._source, self._matches = book, source, matches
        self._tracker = Tracker(1)
        # By number: how often each name was said, "" for nobody known.
        self._votes: dict[int, Counter[str]] = {}

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the frames depend on."""
        recognizer = self._book.recognizer
        return {
            "task": "identify",
            "model": recognizer.similarity.encoder_hash,
            "faces": recognizer.analyzer.settings,
            "threshold": recognizer.threshold,
        }

    def begin(self, facts: VideoFacts) -> None:
        """Is told how many frames a second has."""
        self._tracker = Tracker(1, memory=max(2, round(_MEMORY * float(facts.rate))))

    def run(self, frames: Sequence[Frame]) -> Iterator[NamedFaces]:
        """Names the faces of frames that follow one another."""
        recognizer = self._book.recognizer
        pixels = [frame.pixels for frame in frames]
        for frame, faces in zip(
            frames, self._book.identify(pixels, matches=self._matches), strict=True
        ):
            boxes = np.array([one.face.box_xyxy for one in faces], float).reshape(-1, 4)
            count = len(faces)
            numbers, _ = self._tracker.update(boxes, np.full(count, _SURE), np.zeros(count, int))
            yield NamedFaces(
                self._source,
                frame.pixels,
                tuple(faces),
                tuple(numbers.tolist()),
                tuple(
                    self._vote(number, one.name)
                    for number, one in zip(numbers.tolist(), faces, strict=True)
                ),
                recognizer.model,
                recognizer.threshold,
            )

    def _vote(self, number: int, name: str | None) -> str | None:
        """The name that a face is known under after one more frame."""
        if not number:
            return name
        votes = self._votes.setdefault(number, Counter())
        votes[name or ""] += 1
        return _elected(votes)

    def state(self) -> dict[str, np.ndarray]:
        """Tracks and names so far."""
        votes = [
            (number, name, count)
            for number, some in self._votes.items()
            for name, count in some.items()
        ]
        return {
            **self._tracker.state(),
            "voted": np.array([[number, count] for number, _, count in votes]).reshape(-1, 2),
            "names": np.array([name for _, name, _ in votes], dtype=np.str_),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes up a state."""
        self._tracker.restore(state)
        for (number, count), name in zip(state["voted"], state["names"], strict=True):
            self._votes.setdefault(int(number), Counter())[str(name)] = int(count)

    def summary(self) -> str:
        """Who was seen, and how many unknown."""
        found = [_elected(votes) for votes in self._votes.values()]
        unknown = [f"{found.count(None)} unknown"] if None in found else []
        return ", ".join([*sorted({one for one in found if one}), *unknown]) or "no face"


def _elected(votes: Counter[str]) -> str | None:
    """The name that was said most often; a third is enough, since faces turn away."""
    known = [(count, name) for name, count in votes.items() if name]
    count, name = max(known, default=(0, ""))
    return name if name and 3 * count >= votes.total() else None
