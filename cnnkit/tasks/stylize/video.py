"""Videos in the style of a picture, steadily; see `frame_memory` for how."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cnnkit.results import Record
from cnnkit.tasks.stylize.frame_memory import FrameMemory
from cnnkit.tasks.stylize.predict import Stylizer
from cnnkit.video.reader import Frame, VideoFacts

# Frames after which what is done is kept: some minutes of work at most.
_SEGMENTS = {"draft": 48, "standard": 8, "fine": 4}


@dataclasses.dataclass(frozen=True)
class PaintedFrame:
    """A frame, as `engine.video.FrameResult` has it."""

    source: str
    pixels: np.ndarray

    def draw(self) -> np.ndarray:
        """The painted frame."""
        return self.pixels

    def to_record(self) -> Record:
        """What the JSON says."""
        return Record(self.source, self.pixels.shape[1], self.pixels.shape[0])


class StylizeVideo:
    """One video on its way through a style; see `engine.video.VideoTask`.

    Args:
        stylizer: with the style.
        source: what results call the video.
        mask: which part of a frame uint8 `(height, width, 3)` is stylised; None for all of it.
        mask_name: what the masks depend on, to know a run again by.
    """

    # While a frame is painted, the motion to the next one of these is found.
    batch = 4

    def __init__(
        self,
        stylizer: Stylizer,
        source: str,
        mask: Callable[[np.ndarray], Any] = lambda frame: None,
        mask_name: str = "",
    ):
        self._stylizer, self._source, self._mask = stylizer, source, mask
        self._mask_name = mask_name
        self._memory = FrameMemory()
        self.segment = _SEGMENTS[stylizer.settings.quality]

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the frames depend on."""
        return {"task": "stylize", "mask": self._mask_name, **self._stylizer.describe()}

    def begin(self, facts: VideoFacts) -> None:
        """Needs to know nothing of the video."""

    def run(self, frames: Sequence[Frame]) -> Iterator[PaintedFrame]:
        """Paints frames that follow one another."""
        for frame, following in itertools.zip_longest(frames, frames[1:]):
            painted = self._stylizer.paint_frame(
                frame.pixels,
                self._memory,
                mask=self._mask(frame.pixels),
                following=None if following is None else following.pixels,
            )
            yield PaintedFrame(self._source, painted)

    def state(self) -> dict[str, np.ndarray]:
        """What the next frame depends on."""
        return self._memory.state()

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes up a state."""
        self._memory.restore(state)

    def summary(self) -> str:
        """How it was painted."""
        return self._stylizer.settings.quality
