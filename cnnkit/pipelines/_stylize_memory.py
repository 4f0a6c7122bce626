"""What a painted frame of a video hands on to the next.

The last frame goes along with the motion and is a start and a target for the next (Ruder,
Dosovitskiy & Brox 2016). Departures: the statistics that a frame is painted by are averages over
the last frames, so that colours do not pump; and a draft's grain, from which the texture of flat
places grows, moves with what it lies on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.losses._layer_statistics import LayerStatistics, mix_statistics
from cnnkit.pipelines._stylize_fast import Steadiness

if TYPE_CHECKING:
    from cnnkit.video.motion import Motion

# Share of the statistics of the frames before.
_INERTIA = 0.85
# Share of what a level of a draft has painted that comes from the frame before, where that can be
# trusted. What the fine levels paint anew has the style's strokes again, which going along with the
# motion blurs (benchmarks/video_flicker.py).
_KEPT = {3: 0.65, 1: 0.25}
# Share of new grain in that which moves: it becomes smoother with each step.
_FRESH = 0.2


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

    def move(self, pixels: np.ndarray) -> "Carried | None":
        """Goes on to the next frame.

        Args:
            pixels: uint8 `(height, width, 3)`, at the size of the result.

        Returns:
            What it gets from the last one; None for the first frame, and after a cut.
        """
        from cnnkit.video.motion import find_motion, warp

        last, self.frame = self.frame, pixels
        self._motion = None
        if last is not None and self.image is not None:
            motion = find_motion(last, pixels)
            if not motion.is_cut:
                self._motion = motion
                self._count += 1
                return Carried(np.clip(warp(self.image, motion.flow), 0.0, 1.0), motion.trust)
        self._statistics, self._levels, self.image, self._count = {}, {}, None, 0
        return None

    def smooth(self, name: str, found: LayerStatistics) -> LayerStatistics:
        """See `Steadiness`: averages, so that colours do not pump."""
        before = self._statistics.get(name)
        if before is not None:
            found = mix_statistics([before, found], [_INERTIA, 1.0 - _INERTIA])
        self._statistics[name] = found
        return found

    def grain(self, height: int, width: int, seed: int) -> np.ndarray:
        """See `Steadiness`: it moves with what it lies on."""
        fresh = super().grain(height, width, seed + self._count)
        before, motion = self._levels.get(0), self._motion
        if before is not None and motion is not None:
            new = np.where(np.any(motion.flow != 0.0, axis=-1), _FRESH, 0.0)
            new = self._on_canvas(np.maximum(new, 1.0 - motion.trust), fresh)
            # Shares whose squares sum to one keep the variance.
            moved = np.sqrt(1.0 - new**2) * self._moved(before, motion) + new * fresh
            fresh = moved.astype(np.float32)
        self._levels[0] = fresh
        return fresh

    def blend(self, level: int, picture: np.ndarray) -> np.ndarray:
        """See `Steadiness`: some levels are mixed with what they painted before."""
        if level not in _KEPT:
            return picture
        before, motion = self._levels.get(level), self._motion
        if before is not None and motion is not None:
            kept = self._on_canvas(_KEPT[level] * motion.trust, picture)[..., None]
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
        for name in ("frame", "image"):
            value = getattr(self, name)
            if value is not None:
                arrays[name] = value
        for name, one in self._statistics.items():
            arrays[f"mean:{name}"], arrays[f"gram:{name}"] = one.mean, one.gram
        return arrays

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Puts `state()` back."""
        self._count = int(state["count"])
        self.frame, self.image = state.get("frame"), state.get("image")
        for key, value in state.items():
            kind, _, name = key.partition(":")
            if kind == "level":
                self._levels[int(name)] = value
            elif kind == "mean":
                self._statistics[name] = LayerStatistics(value, state[f"gram:{name}"])


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
