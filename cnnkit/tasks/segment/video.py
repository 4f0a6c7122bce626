"""A trained segmenter on videos: masks that go along with the motion, and do not shimmer."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnkit.images import Picture, to_uint8
from cnnkit.results import Record
from cnnkit.tasks.segment.cutout import cut_out, subject_alpha
from cnnkit.tasks.segment.predict import Segmenter
from cnnkit.tasks.segment.results import Segmentation
from cnnkit.video.motion import find_motion, warp
from cnnkit.video.reader import Frame, VideoFacts

_SEGMENT = 48
# Share of probabilities, and of a cutout's edges, that comes from the frame before, where that can
# be trusted.
_KEPT = 0.7
# Channels that are moved at a time.
_CHANNELS = 4


@dataclass(frozen=True)
class SegmentedFrame:
    """What was found in a frame, as `engine.video.FrameResult` has it."""

    pixels: npt.NDArray[np.uint8]
    record: Record

    def draw(self) -> npt.NDArray[np.uint8]:
        """The frame of the output."""
        return self.pixels

    def to_record(self) -> Record:
        """What the JSON says."""
        return self.record


class Trail:
    """Mixes maps of a video's frames with those before, moved along with the motion."""

    def __init__(self) -> None:
        self._frame: npt.NDArray[np.uint8] | None = None
        self._maps: npt.NDArray[np.float32] | None = None

    def mix(
        self, pixels: npt.NDArray[np.uint8], maps: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """The next frame.

        Args:
            pixels: uint8 `(height, width, 3)`.
            maps: of it, in [0, 1], `(height, width)` or `(height, width, channels)`.

        Returns:
            The same shape.
        """
        last, before = self._frame, self._maps
        if last is not None and before is not None and before.shape == maps.shape:
            motion = find_motion(last, pixels)
            if not motion.is_cut:
                kept = (_KEPT * motion.trust).reshape(*maps.shape[:2], *[1] * (maps.ndim - 2))
                moved = np.clip(_moved(before, motion.flow), 0.0, 1.0)
                maps = (maps + kept * (moved - maps)).astype(np.float32)
        self._frame, self._maps = pixels, maps
        return maps

    def state(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """What the next frame depends on, under a name."""
        if self._frame is None or self._maps is None:
            return {}
        return {f"{name}:frame": self._frame, f"{name}:maps": self._maps}

    def restore(self, state: Mapping[str, npt.NDArray[Any]], name: str) -> None:
        """Puts `state` back."""
        self._frame, self._maps = state.get(f"{name}:frame"), state.get(f"{name}:maps")


def _moved(maps: npt.NDArray[np.float32], flow: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if maps.ndim == 2:
        return warp(maps, flow)
    parts = [maps[..., at : at + _CHANNELS] for at in range(0, maps.shape[-1], _CHANNELS)]
    moved = [warp(np.ascontiguousarray(one), flow).reshape(one.shape) for one in parts]
    return np.concatenate(moved, axis=-1)


class SegmentVideo:
    """The classes of a video's pixels; see `engine.video.VideoTask`.

    Args:
        segmenter: that finds them.
        source: what results call the video.
        draw: what is found in a frame -> its picture.
        drawing: settings of that, as plain JSON types.
        to_record: what the JSON says of a frame.
    """

    batch = 1
    segment = _SEGMENT

    def __init__(
        self,
        segmenter: Segmenter,
        source: str,
        draw: Callable[[Segmentation], Any],
        drawing: Mapping[str, Any],
        to_record: Callable[[Segmentation], Record] = Segmentation.to_record,
    ):
        self._segmenter, self._source, self._drawing = segmenter, source, drawing
        self._draw, self._to_record = draw, to_record
        self._trail = Trail()
        # Frames that show a class.
        self._seen: Counter[str] = Counter()

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the frames depend on."""
        return {
            "task": "segment",
            "model": self._segmenter.name,
            "segment": dataclasses.asdict(self._segmenter.settings),
            "drawing": dict(self._drawing),
        }

    def begin(self, facts: VideoFacts) -> None:
        """Needs to know nothing of the video."""

    def run(self, frames: Sequence[Frame]) -> Iterator[SegmentedFrame]:
        """Labels frames that follow one another."""
        for frame in frames:
            pixels = frame.pixels
            picture = Picture(pixels.astype(np.float32) / np.float32(255.0), source=self._source)
            found = self._segmenter.label(picture, functools.partial(self._mix, pixels))
            self._seen.update(one.label for one in found.segments)
            yield SegmentedFrame(self._drawn(frame, found), self._to_record(found))

    def _mix(
        self, pixels: npt.NDArray[np.uint8], maps: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        height, width = maps.shape[:2]
        small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        return self._trail.mix(np.asarray(small), maps)

    def _drawn(self, frame: Frame, found: Segmentation) -> npt.NDArray[np.uint8]:
        return np.asarray(self._draw(found))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What the next frame depends on."""
        seen = {f"seen:{name}": np.array(count) for name, count in self._seen.items()}
        return {**seen, **self._trail.state("classes")}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up a state."""
        self._trail.restore(state, "classes")
        for key, value in state.items():
            if key.startswith("seen:"):
                self._seen[key.removeprefix("seen:")] = int(value)

    def summary(self) -> str:
        """What most frames show."""
        return ", ".join(name for name, _ in self._seen.most_common(5)) or "only background"


class CutoutVideo(SegmentVideo):
    """A video's subject before another background.

    What the subject is, is told from the first frame that shows one.

    Args:
        segmenter: that finds it.
        source: what results call the video.
        choose: the classes that stay, by what is found in a frame; () where it does not show them.
        background: of `read_background`.
        drawing: settings of both, as plain JSON types.
        to_record: what the JSON says of a frame.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        source: str,
        choose: Callable[[Segmentation], tuple[int, ...]],
        background: "str | Picture",
        drawing: Mapping[str, Any],
        to_record: Callable[[Segmentation], Record] = Segmentation.to_record,
    ):
        super().__init__(segmenter, source, lambda found: None, drawing, to_record)
        self._choose, self._background = choose, background
        self._class_ids: tuple[int, ...] = ()
        self._edges = Trail()

    def _drawn(self, frame: Frame, found: Segmentation) -> npt.NDArray[np.uint8]:
        self._class_ids = self._class_ids or self._choose(found)
        picture = found.read_picture()
        alpha = np.zeros(frame.pixels.shape[:2], np.float32)
        if self._class_ids:
            alpha = subject_alpha(picture, found, self._class_ids)
        alpha = self._edges.mix(frame.pixels, alpha)
        cut = cut_out(picture, found, self._class_ids, self._background, alpha=alpha)
        return to_uint8(cut.pixels)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What the next frame depends on."""
        return {
            **super().state(),
            "subject": np.array(self._class_ids, np.int64),
            **self._edges.state("edges"),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up a state."""
        super().restore(state)
        self._class_ids = tuple(int(one) for one in state["subject"])
        self._edges.restore(state, "edges")
