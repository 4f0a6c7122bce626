"""The way of a picture through all its scales, with progress, checkpoints and a deadline."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.ops.schedule import Scale
from cnnkit.tasks.stylize.checkpoint import Checkpoint, read_checkpoint
from cnnkit.tasks.stylize.painting import Painting
from cnnkit.tasks.stylize.plan import Planner, StepClock
from cnnkit.tasks.stylize.results import ScaleReport, StylizeProgress


class ScaleRun:
    """Paints a picture scale after scale, or as a draft.

    Args:
        painting: the picture.
        planner: of its scales and steps.
        on_progress: see `cnnkit.stylize`.
        begin: `time.monotonic()` when the run began.

    Attributes:
        reports: of the scales so far.
        finished: whether no Ctrl-C came before the last step.
    """

    def __init__(
        self,
        painting: Painting,
        planner: Planner,
        on_progress: Callable[[StylizeProgress], None] | None,
        begin: float,
    ):
        self._painting, self._planner = painting, planner
        self._on_progress, self._begin = on_progress, begin
        self._note = painting.style.note
        # Pixels of the last scale, and the seconds that it took to begin it.
        self._begun: tuple[int, float] | None = None
        self.reports: list[ScaleReport] = []
        self.finished = True

    def paint(self, path: Path | None, resume: bool) -> np.ndarray:
        """The picture at the size of the result.

        Args:
            path: of the file for the state of the run; None for none.
            resume: go on from there.

        Raises:
            UsageError: the file is of another run.
            ImageError: the file is damaged.
        """
        painting = self._painting
        if painting.settings.quality == "draft":
            return self._paint_draft()
        fingerprint = painting.fingerprint() if path is not None else ""
        state = None
        if resume and path is not None:
            state = read_checkpoint(path, fingerprint)
            if state is None:
                self._note("there is no interrupted run of this picture; starting anew")
        if state is None:
            plan = self._planner.plan()
        else:
            plan = [Scale(*numbers) for numbers in state["plan"]]
            side = state["tile"]
            painting.use_tiles(None if side is None else painting.style.tiling(side))
        checkpoint = Checkpoint(
            path, fingerprint, plan, painting.tile, painting.style.backbone, self._note
        )
        image = self._optimize(plan, checkpoint, state) if plan else self._take_draft()
        if self.finished:
            checkpoint.remove()
        return painting.finish(image)

    def paint_late(self) -> np.ndarray:
        """The draft, where there is no time for a step."""
        return self._painting.finish(self._take_draft())

    def _take_draft(self) -> np.ndarray:
        self.reports = [ScaleReport(self._painting.height, self._painting.width, 0, {})]
        return self._painting.draft

    def _paint_draft(self) -> np.ndarray:
        """The picture without an optimizer, with progress after each level."""
        painting, done = self._painting, 0
        image: np.ndarray | None = None

        def on_level(pixels: np.ndarray, levels: int) -> None:
            nonlocal image, done
            image, done = pixels, done + 1
            levels_as_steps = [Scale(painting.height, painting.width, levels)]
            self._tell(levels_as_steps, 0, done, {}, None, lambda: pixels)

        try:
            image = painting.paint_draft(on_level=on_level)
        except KeyboardInterrupt:
            if image is None:
                raise
            self.finished = False
        self.reports = [ScaleReport(painting.height, painting.width, 0, {})]
        return painting.finish(image)

    def _optimize(
        self, plan: Sequence[Scale], checkpoint: Checkpoint, state: Mapping[str, Any] | None
    ) -> np.ndarray:
        image, first = None, 0
        if state is not None:
            self.reports = [ScaleReport(**report) for report in state["reports"]]
            image, first = state["arrays"].get("start"), state["scale"]
        for index in range(first, len(plan)):
            resumed = state if index == first else None
            if index and self._planner.is_too_late(plan[index], self._begun):
                self._note("the budget is used up before the finest scale: the picture is enlarged")
                break
            try:
                image = self._paint_scale(plan, index, image, checkpoint, resumed)
            except KeyboardInterrupt:
                # Before the first step of a scale: what there is, is the scale before.
                if image is None:
                    raise
                if resumed is None:
                    checkpoint.write()
                self.finished = False
            if not self.finished:
                break
        assert image is not None
        return image

    def _paint_scale(
        self,
        plan: Sequence[Scale],
        index: int,
        image: np.ndarray | None,
        checkpoint: Checkpoint,
        resumed: Mapping[str, Any] | None,
    ) -> np.ndarray:
        """Optimises one scale, and reports it."""
        from cnnkit.tasks.stylize.scale_optimizer import OutOfTime

        painting, scale = self._painting, plan[index]
        checkpoint.enter(index, image, self.reports)
        begin = time.monotonic()
        optimizer = painting.prepare(scale, image)
        self._begun = scale.pixels, time.monotonic() - begin
        if resumed is not None and resumed["losses"]:
            optimizer.restore(resumed["arrays"], resumed["losses"])
        end = self._planner.end_of(plan[index:])
        clock = StepClock(plan[index:])

        def on_step(step: int, losses: Mapping[str, float]) -> None:
            clock.tick()
            checkpoint.step(optimizer)
            left = clock.left(step)
            self._tell(
                plan, index, step, losses, left, lambda: painting.crop(optimizer.image(), scale)
            )
            if time.monotonic() + clock.seconds_per_step > end:
                raise OutOfTime

        try:
            optimizer.run(on_step)
        except OutOfTime:
            pass
        except KeyboardInterrupt:
            self.finished = False
            optimizer.settle()
            checkpoint.write(optimizer)
        report = ScaleReport(scale.height, scale.width, optimizer.steps_done, optimizer.losses)
        self.reports.append(report)
        return painting.crop(optimizer.image(), scale)

    def _tell(
        self,
        plan: Sequence[Scale],
        index: int,
        step: int,
        losses: Mapping[str, float],
        seconds_left: float | None,
        image: Callable[[], np.ndarray],
    ) -> None:
        """Tells where the run stands after a step of a scale."""
        if self._on_progress is None:
            return
        scale = plan[index]
        progress = StylizeProgress(
            scale=index + 1,
            scales=len(plan),
            height=scale.height,
            width=scale.width,
            step=step,
            steps=scale.steps,
            total_step=sum(one.steps for one in plan[:index]) + step,
            total_steps=sum(one.steps for one in plan),
            losses=losses,
            seconds=time.monotonic() - self._begin,
            seconds_left=seconds_left,
            image=lambda: self._painting.finish(image()),
        )
        self._on_progress(progress)
