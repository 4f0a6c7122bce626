"""Neural style transfer, coarse to fine, by optimising the picture itself (Gatys et al. 2015).

Departures from the paper, each for a reason that was looked at:
- the style loss is by default the Wasserstein-2 distance of Gaussian fits instead of the Gram
  matrix's (both are offered): brush strokes come out clearer and colours truer;
- every loss is relative to its natural scale (`cnnkit.tasks.stylize.loss.StylizeLoss`);
- the run starts small and doubles the size, so that large forms and fine strokes both come out;
- from a draft few steps of L-BFGS do; Adam, for other starts, moves the levels of a Laplacian
  pyramid instead of pixels: less noise at the same loss;
- two networks look side by side, VGG-16 and a compact VGG-19 distilled from the real one, since
  each alone flatters pictures that were optimised on it alone; both with max pooling;
- the finest detail of colours is taken away (`soften_chroma`), which the optimiser would fill with
  specks.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import cnnkit
from cnnkit.engine.choice import current_engine
from cnnkit.images import Picture, as_picture, resize, to_uint8
from cnnkit.runtime import give_back_memory
from cnnkit.tasks.stylize.draft import draft_painter
from cnnkit.tasks.stylize.frame_memory import Carried, FrameMemory
from cnnkit.tasks.stylize.painting import Painting, plain_settings
from cnnkit.tasks.stylize.pictures import digest_of, in_kind_of, read_opaque
from cnnkit.tasks.stylize.plan import Planner
from cnnkit.tasks.stylize.results import StylizeProgress, StylizeResult
from cnnkit.tasks.stylize.scales import ScaleRun
from cnnkit.tasks.stylize.settings import StylizeSettings
from cnnkit.tasks.stylize.style import Style


def stylize(
    content_image: Any,
    style_image: Any,
    settings: StylizeSettings | None = None,
    *,
    mask: Any = None,
    on_progress: Callable[[StylizeProgress], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    options: StylizeSettings | None = None,
) -> StylizeResult:
    """Paints one picture in the style of another.

    Args:
        content_image: array `(height, width, 1, 3 or 4)` of uint8 or of floats in [0, 1], a
            `PIL.Image`, or a path. Not changed.
        style_image: the same kinds; or a list of pictures or of `(picture, weight)`.
        settings: see `StylizeSettings`.
        mask: picture of the content's shape: white is stylised, black stays, grey is between.
        on_progress: called after each step with a `StylizeProgress`. What it raises stops the
            run; a `KeyboardInterrupt`, there or anywhere else, ends it with the picture so far.
        on_note: called with a line of text when something is decided that the user may want to
            know: the backbone, the predicted time, a smaller step after a non-finite loss.
        options: the older name of `settings`, until 0.3.

    Returns:
        A `StylizeResult` whose `image` is of the same kind as `content_image`.

    Raises:
        CnnkitError: a picture that cannot be read, weights that are not there, too little
            memory, or an optimisation that diverges.

    Example:

    >>> import numpy as np
    >>> from cnnkit import StylizeSettings, stylize
    >>> noise = np.random.default_rng(0).random((2, 32, 32, 3))
    >>> result = stylize(noise[0], noise[1], StylizeSettings(size=32, steps=2))
    >>> result.image.shape
    (32, 32, 3)
    """
    stylizer = Stylizer(style_image, settings or options, on_note=on_note)
    return stylizer.run(content_image, mask=mask, on_progress=on_progress)


class Stylizer:
    """A style that is painted on any number of content pictures, read and measured once.

    Args:
        style_image: as in `stylize`.
        settings: see `StylizeSettings`.
        on_note: as in `stylize`.
        options: the older name of `settings`, until 0.3.

    Attributes:
        style: its pictures, statistics and networks.
    """

    def __init__(
        self,
        style_image: Any,
        settings: StylizeSettings | None = None,
        on_note: Callable[[str], None] | None = None,
        *,
        options: StylizeSettings | None = None,
    ):
        self.style = Style(style_image, settings or options, on_note)

    @property
    def settings(self) -> StylizeSettings:
        """The settings; of a style of one colour the strength may be lower than it was given."""
        return self.style.settings

    def run(
        self,
        content_image: Any,
        *,
        mask: Any = None,
        on_progress: Callable[[StylizeProgress], None] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        started: float | None = None,
    ) -> StylizeResult:
        """Stylises one picture.

        Args:
            content_image: as in `stylize`.
            mask: as in `stylize`.
            on_progress: as in `stylize`.
            checkpoint: file that the state of the run is written to every few seconds and when
                it is interrupted, and that is removed at the end; None writes none.
            resume: go on from `checkpoint`, where it is of the same run.
            started: `time.monotonic()` at which the budget began; now by default.

        Returns:
            As in `stylize`.
        """
        begin = time.monotonic()
        content = read_opaque(content_image, "the content picture")
        painting = Painting(self.style, content, mask)
        budget, deadline = self.settings.budget, None
        if budget is not None:
            deadline = (begin if started is None else started) + budget
        planner = Planner(painting, deadline, started)
        run = ScaleRun(painting, planner, on_progress, begin)
        path = Path(checkpoint) if checkpoint else None
        resumed = path if resume else None
        is_draft = self.settings.quality == "draft"
        if resumed is None and planner.is_late():
            is_draft, pixels = True, run.paint_late()
        else:
            planner.choose_backbone(resumed)
            planner.choose_tiles()
            with self.style.compiling(painting.height, painting.width, mask is not None):
                pixels = run.paint(path, resume)
        # In a folder, hundreds of megabytes would wait for the collector.
        give_back_memory()
        about = self.describe(is_draft)
        picture = Picture(pixels, None, content.source).with_alpha(painting.alpha)
        return StylizeResult(
            image=in_kind_of(content_image, picture),
            losses=run.reports[-1].losses if run.reports else {},
            scales=tuple(run.reports),
            seconds=time.monotonic() - begin,
            finished=run.finished,
            backbone=about["backbone"],
            backbone_hash=about["backbone_sha256"],
            settings={**about, "content": content.source, "tile": painting.tile},
        )

    def describe(self, is_draft: bool | None = None) -> dict[str, Any]:
        """All that a picture depends on beside the content, as plain JSON types.

        Args:
            is_draft: whether it is a draft; by default as the settings have it.
        """
        settings = self.settings
        if is_draft is None:
            is_draft = settings.quality == "draft"
        network = draft_painter() if is_draft else self.style.network
        return {
            "program": f"cnnkit {cnnkit.__version__}",
            "engine": draft_painter().engine if is_draft else current_engine(),
            **_keras_version(),
            "styles": [
                {"source": picture.source, "weight": weight, "sha256": digest_of(picture)}
                for picture, weight in self.style.pictures
            ],
            **plain_settings(settings),
            "optimizer": None if settings.quality == "draft" else settings.chosen_optimizer,
            "backbone": network.name,
            "backbone_sha256": network.hash,
        }

    def paint_frame(
        self,
        frame: np.ndarray,
        memory: FrameMemory,
        *,
        mask: Any = None,
        following: np.ndarray | None = None,
    ) -> np.ndarray:
        """Stylises the next frame of a video.

        Args:
            frame: uint8 `(height, width, 3)`.
            memory: what the frames before hand on; changed.
            mask: as in `stylize`.
            following: the next frame, where it is known: its motion is found beside the painting.

        Returns:
            uint8, at the size that the settings have it.
        """
        is_first, note = memory.frame is None, self.style.note
        if not is_first:
            # What was said of the first frame goes for all.
            self.style.note = lambda text: None
        try:
            painting = Painting(self.style, as_picture(frame, "the video"), mask)
            if is_first:
                Planner(painting).choose_tiles()
            return to_uint8(painting.finish(_paint_frame(painting, memory, following)))
        finally:
            self.style.note = note


def _paint_frame(
    painting: Painting, memory: FrameMemory, following: np.ndarray | None
) -> np.ndarray:
    carried = memory.move(to_uint8(painting.source_pixels))
    if following is not None:
        pixels = as_picture(following, "the video").pixels
        ahead = resize(pixels, painting.height, painting.width)
        memory.look_ahead(to_uint8(np.clip(ahead, 0.0, 1.0)))
    if painting.settings.quality == "draft":
        image = painting.paint_draft(steadiness=memory)
    elif carried is None:
        image = _optimize_anew(painting)
    else:
        image = _optimize_on(painting, carried)
    memory.image = image.astype(np.float32)
    return image


def _optimize_anew(painting: Painting) -> np.ndarray:
    """A frame that gets nothing from the last one, through all scales."""
    image = None
    for scale in painting.plan():
        optimizer = painting.prepare(scale, image)
        optimizer.run(lambda step, losses: None)
        image = painting.crop(optimizer.image(), scale)
    return painting.draft if image is None else image


def _optimize_on(painting: Painting, carried: Carried) -> np.ndarray:
    """A frame that starts from the last one, at the finest scale alone.

    What was not to be seen there starts from the draft.
    """
    start = carried.laid_over(painting.aligned_draft((painting.height, painting.width)))
    plan = painting.plan()
    if not plan:
        return start
    optimizer = painting.prepare(plan[-1], start, carried)
    optimizer.run(lambda step, losses: None)
    return painting.crop(optimizer.image(), plan[-1])


def _keras_version() -> dict[str, str]:
    """Version and backend of Keras, where it took part."""
    if "keras" not in sys.modules:
        return {}
    import keras

    return {"keras": f"{keras.__version__} ({keras.backend.backend()})"}
