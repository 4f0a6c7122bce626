"""What a stylisation gives, and tells while it goes on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from cnnkit.engine.result import PlottedResult
from cnnkit.images import as_picture, to_pil


@dataclass(frozen=True)
class StylizeProgress:
    """Where a stylisation stands, after each step.

    Attributes:
        scale: index of the scale, from 1.
        scales: number of scales.
        height: of this scale, in pixels.
        width: of this scale, in pixels.
        step: steps done at this scale.
        steps: steps planned for this scale.
        total_step: steps done at all scales.
        total_steps: steps planned for all scales.
        losses: "loss", "content", "style" and "tv" at the beginning of the step.
        seconds: since the start.
        seconds_left: predicted, or None before there is anything to predict from.
        image: call it for the picture so far, float32 `(height, width, 3)` in [0, 1].
    """

    scale: int
    scales: int
    height: int
    width: int
    step: int
    steps: int
    total_step: int
    total_steps: int
    losses: Mapping[str, float]
    seconds: float
    seconds_left: float | None
    image: Callable[[], Any]


@dataclass(frozen=True)
class ScaleReport:
    """What one scale of a stylisation did: size in pixels, steps, and the losses at its end."""

    height: int
    width: int
    steps: int
    losses: Mapping[str, float]


@dataclass(frozen=True, repr=False)
class StylizeResult(PlottedResult):
    """A stylised picture and how it came about.

    Attributes:
        image: the picture, of the same kind as the content that was given: a float32 or uint8
            array `(height, width, 3 or 4)`, or a `PIL.Image`.
        losses: final "loss", "content", "style" and "tv".
        scales: one report per scale.
        seconds: time of the run.
        finished: False when it was stopped before its last step.
        backbone: name of the feature network.
        backbone_hash: SHA-256 of its weights file.
        settings: everything needed to run it again.
    """

    image: Any
    losses: Mapping[str, float]
    scales: tuple[ScaleReport, ...]
    seconds: float
    finished: bool
    backbone: str
    backbone_hash: str
    settings: Mapping[str, Any]

    def plot(self) -> Image.Image:
        """The picture."""
        return to_pil(as_picture(self.image, "the picture", keep_alpha=True))

    def __repr__(self) -> str:
        picture = self.plot()
        state = "" if self.finished else ", stopped before its end"
        return (
            f"StylizeResult({picture.width}x{picture.height}, {self.backbone}, "
            f"{self.seconds:.1f} s{state})"
        )
