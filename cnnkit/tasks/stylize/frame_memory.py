"""What a painted frame of a video hands on to the next.

The last frame goes along with the motion and is a start and a target for the next (Ruder,
Dosovitskiy & Brox 2016). Departures: the statistics that a frame is painted by are averages over
the last frames, so that colours do not pump; a draft's grain, from which the texture of flat places
grows, moves with what it lies on, and is that of the first frame wherever the scene is still; and
what is still, far from all that moves, is painted as the average of all its frames.
"""

import functools
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.tasks.stylize.draft import Steadiness
from cnnkit.tasks.stylize.layer_statistics import LayerStatistics, mix_statistics

if TYPE_CHECKING:
    from cnnkit.video.motion import Motion

# Share of the statistics of the frames before.
_INERTIA = 0.85
# Share of what a level of a draft has painted that comes from the frame before, where that can be
# trusted. What the finest level paints has the style's strokes again, which going along with the
# motion blurs (benchmarks/video_flicker.py).
_KEPT = {3: 0.5, 2: 0.5}
# Share of new grain in that which moves, and becomes smoother with each step.
_FRESH = 0.1
# Share of the first frame's grain that comes back where all is still.
_RETURNING = 0.2
# Pixels around what moves in which its colours spread into the background: to hold them there would
# leave a trail behind it.
_REACH = 40
# Differences of colours from 0 to 255, after a blur, of what is still from that which its painting
# was made of: up to the first it is held, from twice that on it is not.
_CHANGED = 6.0


class FrameMemory(Steadiness):
    """What a video looked like, up to the last frame.

    Attributes:
        frame: the last frame at the size of the result, uint8 `(height, width, 3)`.
        image: what was painted of it, float32 `(height, width, 3)`, before the content's colours or
            a mask are put back.
    """

    def __init__(self) -> None:
        self.frame: np.ndarray | None = None
        self.image: np.ndarray | None = None
        # By name: what frames were painted by; by level: what it had painted, and the grain at 0.
        self._statistics: dict[str, LayerStatistics] = {}
        self._levels: dict[int, np.ndarray] = {}
        self._motion: Motion | None = None
        self._count = 0
        # Of the pixels: for how many frames each has been still and far from what moves; and what
        # its painting was made of, blurred.
        self._ages: np.ndarray | None = None
        self._content: np.ndarray | None = None
        # Share of each that comes from the frames before for this reason.
        self._held: np.ndarray | None = None
        # The next frame, and its motion, which is being found.
        self._ahead: tuple[np.ndarray, Future[Motion]] | None = None

    def move(self, pixels: np.ndarray) -> "Carried | None":
        """Goes on to the next frame.

        Args:
            pixels: uint8 `(height, width, 3)`, at the size of the result.

        Returns:
            What it gets from the last one; None for the first frame, and after a cut.
        """
        from cnnkit.video.motion import find_motion, warp

        last, self.frame = self.frame, pixels
        ahead, self._ahead = self._ahead, None
        self._motion = None
        if last is not None and self.image is not None:
            if ahead is not None and np.array_equal(ahead[0], pixels):
                motion = ahead[1].result()
            else:
                motion = find_motion(last, pixels)
            if not motion.is_cut:
                self._motion = motion
                self._count += 1
                self._hold(pixels, motion)
                return Carried(np.clip(warp(self.image, motion.flow), 0.0, 1.0), motion.trust)
        self._statistics, self._levels, self.image, self._count = {}, {}, None, 0
        self._ages = self._content = self._held = None
        return None

    def look_ahead(self, pixels: np.ndarray) -> None:
        """Has the motion to the next frame found in a thread, while this one is painted.

        Args:
            pixels: of the next frame, as `move` will get them.
        """
        from cnnkit.video.motion import find_motion

        if self.frame is not None:
            self._ahead = pixels, _searching().submit(find_motion, self.frame, pixels)

    def _hold(self, pixels: np.ndarray, motion: "Motion") -> None:
        """Finds what of a frame is to stay as it was painted before."""
        from cnnkit.video.motion import blur, distance_from_motion

        now = blur(pixels)
        if self._ages is None or self._content is None:
            self._ages, self._content = np.ones(motion.trust.shape, np.float32), now
        changed = np.abs(now - self._content).max(axis=-1)
        still = distance_from_motion(motion, _REACH) * np.clip(2.0 - changed / _CHANGED, 0.0, 1.0)
        self._ages = 1.0 + still * self._ages
        self._held = still * (1.0 - 1.0 / self._ages)
        self._content = now + self._held[..., None] * (self._content - now)

    def smooth(self, name: str, found: LayerStatistics) -> LayerStatistics:
        """See `Steadiness`: averages, so that colours do not pump."""
        before = self._statistics.get(name)
        if before is not None:
            found = mix_statistics([before, found], [_INERTIA, 1.0 - _INERTIA])
        self._statistics[name] = found
        return found

    def grain(self, height: int, width: int, seed: int) -> np.ndarray:
        """See `Steadiness`: it moves with what it lies on, and stays on what is still."""
        first = super().grain(height, width, seed)
        before, motion = self._levels.get(0), self._motion
        if before is not None and motion is not None:
            fresh = super().grain(height, width, seed + self._count)
            is_moving = np.any(motion.flow != 0.0, axis=-1)
            new = np.maximum(np.where(is_moving, _FRESH, 0.0), 1.0 - motion.trust)
            new = self._on_canvas(new, fresh)
            moved = self._moved(before, motion)
            # Moved by parts of pixels it is smoothed, and fainter grain would be less texture.
            # Shares whose squares sum to one keep the variance.
            moved = np.sqrt(1.0 - new**2) / moved.std() * moved + new * fresh
            if motion.camera_stands:
                # Grain that moved by mistake, or with a thing that has passed, would be another
                # texture for ever.
                back = self._on_canvas(np.where(is_moving, 0.0, _RETURNING), fresh)
                moved += back * (first - moved)
            first = moved.astype(np.float32)
        self._levels[0] = first
        return first

    def blend(self, level: int, picture: np.ndarray) -> np.ndarray:
        """See `Steadiness`: some levels are mixed with what they painted before."""
        if level not in _KEPT:
            return picture
        before, motion = self._levels.get(level), self._motion
        if before is not None and motion is not None:
            kept = _KEPT[level] * motion.trust
            if self._held is not None:
                kept = np.maximum(kept, self._held)
            kept = self._on_canvas(kept, picture)[..., None]
            picture = picture + kept * (np.clip(self._moved(before, motion), 0.0, 1.0) - picture)
        self._levels[level] = picture
        return picture

    def _moved(self, canvas: np.ndarray, motion: "Motion") -> np.ndarray:
        """A canvas of the last frame as it lies in this one."""
        from cnnkit.video.motion import warp

        height, width = motion.trust.shape
        return self._on_canvas(warp(canvas[:height, :width], motion.flow), canvas)

    def _on_canvas(self, array: np.ndarray, canvas: np.ndarray) -> np.ndarray:
        """An array of the frame's size as large as a canvas, which mirrors it beyond its edges."""
        sides = zip(canvas.shape, array.shape, strict=False)
        padding = [(0, whole - side) for whole, side in list(sides)[:2]]
        return np.pad(array, [*padding, *[(0, 0)] * (array.ndim - 2)], mode="symmetric")

    def state(self) -> dict[str, np.ndarray]:
        """All of it as arrays; see `restore`."""
        arrays = {"count": np.array(self._count)}
        arrays |= {f"level:{level}": canvas for level, canvas in self._levels.items()}
        for name in ("frame", "image", "_ages", "_content"):
            value = getattr(self, name)
            if value is not None:
                arrays[name.removeprefix("_")] = value
        for name, one in self._statistics.items():
            arrays[f"mean:{name}"], arrays[f"gram:{name}"] = one.mean, one.gram
        return arrays

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Puts `state()` back."""
        self._count = int(state["count"])
        self.frame, self.image = state.get("frame"), state.get("image")
        self._ages, self._content = state.get("ages"), state.get("content")
        for key, value in state.items():
            kind, _, name = key.partition(":")
            if kind == "level":
                self._levels[int(name)] = value
            elif kind == "mean":
                self._statistics[name] = LayerStatistics(value, state[f"gram:{name}"])


@functools.cache
def _searching() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "cnnkit-motion")


@dataclass(frozen=True)
class Carried:
    """What a frame gets from the last one.

    Attributes:
        image: what was painted of it, moved along, float32 `(height, width, 3)`.
        trust: `(height, width)` in [0, 1]: where that is to be seen.
    """

    image: np.ndarray
    trust: np.ndarray

    def laid_over(self, image: np.ndarray, kept: float = 1.0) -> np.ndarray:
        """A picture of the same size with it, where it can be trusted."""
        return image + kept * self.trust[..., None] * (self.image - image)
