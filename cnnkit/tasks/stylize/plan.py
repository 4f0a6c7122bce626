"""What a painting takes of memory and time, and the plan that fits into what there is."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from cnnkit.errors import ResourceError, UsageError
from cnnkit.ops.schedule import Scale, fit_steps_to_budget
from cnnkit.runtime import measure_memory
from cnnkit.tasks.stylize.checkpoint import read_state
from cnnkit.tasks.stylize.painting import Painting
from cnnkit.tasks.stylize.style import SMALL_BACKBONE

if TYPE_CHECKING:
    from cnnkit.tasks.stylize.tiled_loss import Tiling

# Measured peak of a run on TensorFlow, CPU: the process without a picture, and what a pixel of
# the finest scale adds, in bytes (peaks in benchmarks/RESULTS.md). Others count as "vgg19".
_MEMORY = {
    "compact": (1_000e6, 1_100),
    "vgg16": (2_000e6, 2_500),
    "vgg19": (1_000e6, 6_500),
}
# The same where the network looks at tiles, beside what the largest tile takes, and sides of tiles,
# the quickest first (benchmarks/stylize_tiles.py).
_TILED_BASE_BYTES, _TILED_BYTES_PER_PIXEL = 2_000e6, 430
_TILES = (1024, 512, 256)
# The same of a draft, which works on large pictures in tiles.
_DRAFT_BASE_BYTES, _DRAFT_BYTES_PER_PIXEL = 1_600e6, 70
# What a step costs in looks at the same canvas, and what compiling it costs in what compiling the
# look did; and the share of a plan's steps that the larger networks are worth taking for.
_LOOKS_OF_A_STEP, _COMPILINGS, _LEAST_SHARE_OF_STEPS = 3.5, 2.0, 0.5
# Of the time that the program took to start: what a draft, compiling and a few steps take at least,
# and what the larger networks take at least (benchmarks/stylize_budget.py).
_LEAST_OF_START, _LOOK_OF_START = 1.5, 3.0
_LONG_RUN_COST = 40e6  # steps x pixels from which a run is worth a prediction


class Planner:
    """Chooses networks, tiles, scales and steps of a painting by memory and time.

    Args:
        painting: that is planned.
        deadline: `time.monotonic()` at the end of the budget; None without one.
        started: the same when the program was started; None where that is not known.
    """

    def __init__(
        self, painting: Painting, deadline: float | None = None, started: float | None = None
    ):
        self._painting, self._settings = painting, painting.settings
        self._style, self._note = painting.style, painting.style.note
        self._deadline, self._started = deadline, started

    def _left(self) -> float:
        """Seconds until the deadline, without those that finishing the picture may take."""
        if self._deadline is None:
            return math.inf
        reserve = 0.3 + 2e-6 * self._painting.height * self._painting.width
        return self._deadline - reserve - time.monotonic()

    def choose_backbone(self, checkpoint: Path | None) -> None:
        """Takes the compact network alone where there is no time for the others.

        Where it is plain from how long the program took to start that there is none, no look is
        taken. Otherwise how fast the machine is, is told from one look at the coarsest canvas,
        which is needed anyway; a step takes about three times as long, since its gradient goes back
        through the networks.

        Args:
            checkpoint: of an interrupted run, which goes on with the networks that it had chosen;
                None for a run that begins.
        """
        if not self._style.may_be_smaller:
            return
        if checkpoint is not None:
            if checkpoint.is_file() and read_state(checkpoint).get("backbone") == SMALL_BACKBONE:
                self._style.use_backbone(SMALL_BACKBONE)
            return
        if self._deadline is None:
            return
        now = time.monotonic()
        is_late = self._started is not None and self._deadline - now < _LOOK_OF_START * (
            now - self._started
        )
        if is_late:
            self._style.use_backbone(SMALL_BACKBONE)
            self._note(f"backbone: {SMALL_BACKBONE}, for want of time for the larger networks")
            return
        canvas = self._painting.smallest_canvas()
        begin = time.monotonic()
        self._style.activations(canvas)
        first = time.monotonic()
        self._style.activations(canvas)
        looking = time.monotonic() - first
        per_pixel = _LOOKS_OF_A_STEP * looking / (canvas.shape[0] * canvas.shape[1])
        # Half of the steps at the final size are still worth their time.
        work = sum(scale.pixels * scale.steps for scale in self._painting.plan())
        needed = _LEAST_SHARE_OF_STEPS * work * per_pixel + _COMPILINGS * (first - begin)
        if needed > self._left():
            self._style.use_backbone(SMALL_BACKBONE)
            self._note(
                f"backbone: {SMALL_BACKBONE}: with the larger networks it would take "
                f"{_duration(needed)} and more"
            )

    def is_late(self) -> bool:
        """Whether there is no time left for compiling and a few steps, by how long it took so far.

        Then the draft is all that there is time for, and that is noted.
        """
        if self._deadline is None or self._started is None:
            return False
        is_possible = self._settings.init == "fast" and self._settings.quality != "draft"
        spent = time.monotonic() - self._started
        if not is_possible or self._left() >= _LEAST_OF_START * spent:
            return False
        self._note_draft()
        return True

    def _note_draft(self) -> None:
        self._note(f"{self._budget}: there is no time for a step; the picture is a draft")

    @property
    def _budget(self) -> str:
        return f"budget {_duration(self._settings.budget or 0.0)}"

    def _memory(self, tiling: "Tiling | None", pixels: int | None = None) -> float:
        """Bytes that the run takes, with these tiles or none."""
        if pixels is None:
            pixels = self._painting.height * self._painting.width
        if self._settings.quality == "draft":
            return _DRAFT_BASE_BYTES + _DRAFT_BYTES_PER_PIXEL * pixels
        base, per_pixel = _memory_of(self._style.backbone)
        if tiling is None:
            return base + per_pixel * pixels
        # What the draft took is there for the tiles.
        tile = max(_TILED_BASE_BYTES, base + per_pixel * tiling.pixels)
        return tile + _TILED_BYTES_PER_PIXEL * pixels

    def choose_tiles(self) -> None:
        """Has the picture seen in tiles where it would not fit as a whole, or where they are asked
        for.

        Raises:
            UsageError: nobody knows how the tiles of these networks must lie.
            ResourceError: the picture would not fit in tiles either.
        """
        settings = self._settings
        available = measure_memory().available + psutil.Process().memory_info().rss
        tiling = self._find_tiling(available)
        memory = self._memory(tiling)
        if memory <= available:
            if tiling is not None and settings.tile is None:
                self._note(
                    f"looked at in tiles of {tiling.side} pixels for want of memory, which takes "
                    "more time"
                )
            self._painting.use_tiles(tiling)
        elif self._style.may_be_smaller:
            self._style.use_backbone(SMALL_BACKBONE)
            self._note(
                f"backbone: {SMALL_BACKBONE}, for want of memory: {memory / 1e9:.1f} GB would be "
                f"needed and {available / 1e9:.1f} GB are free"
            )
            self.choose_tiles()
        else:
            raise ResourceError(self._explain_memory(tiling, available))

    def _find_tiling(self, available: float) -> "Tiling | None":
        """The tiles that are asked for, or those that the memory allows; None for the whole."""
        if self._settings.tile is not None:
            tiling = self._style.tiling(self._settings.tile)
            if tiling is None:
                raise UsageError(
                    f"{self._style.network.name} has layers of which it is not known what they "
                    "see: leave out --tile"
                )
            return tiling
        tiling = None
        if self._memory(None) > available and self._settings.quality != "draft":
            for side in _TILES:
                tiling = self._style.tiling(side)
                if tiling is None or self._memory(tiling) <= available:
                    break
        return tiling

    def _explain_memory(self, tiling: "Tiling | None", available: float) -> str:
        height, width = self._painting.height, self._painting.width
        base = self._memory(tiling, 0)
        fits = max(0.0, available - base) / (self._memory(tiling, 1) - base)
        long_side = int(math.sqrt(fits / (height * width)) * max(height, width))
        remedy = f"--size {max(64, long_side // 16 * 16)} would fit"
        if self._settings.quality != "draft" and self._settings.chosen_optimizer != "lbfgs":
            remedy += "; --optimizer lbfgs takes less, in tiles"
        return (
            f"{width}x{height} needs about {self._memory(tiling) / 1e9:.1f} GB and "
            f"{available / 1e9:.1f} GB are free; {remedy}"
        )

    def _work(self, height: int, width: int) -> float:
        """Of a step at a size, as a multiple of that without tiles."""
        tiling = self._painting.tiling
        return 1.0 if tiling is None else tiling.work(height, width)

    def _seconds(self, plan: Sequence[Scale], per_pixel: float, start: float) -> float:
        """Of a plan, by those of one step and pixel and those to start a scale."""
        return sum(
            scale.pixels * scale.steps * per_pixel * self._work(scale.height, scale.width) + start
            for scale in plan
        )

    def _time_step(self) -> tuple[float, float]:
        """Times a few steps of the coarsest: `(seconds per step and pixel, to start a scale)`."""
        painting = self._painting
        sizes = painting.sizes
        pixels = [height * width for height, width in sizes]
        # The draft is made once, whatever follows.
        painting.starts_from_draft  # noqa: B018
        begin = time.monotonic()
        optimizer = painting.prepare(Scale(*sizes[0], 6), None)
        times = [time.monotonic()]
        optimizer.run(lambda step, losses: times.append(time.monotonic()))
        first = (times[1] if len(times) > 1 else time.monotonic()) - times[0]
        # A picture that is done at its first step has none that could be timed.
        per_step = float(np.median(np.diff(times[1:]))) if len(times) > 2 else 0.02 * first
        if self._settings.chosen_optimizer == "lbfgs":
            # What was compiled serves all scales; what is looked at before a scale grows with it.
            start = (times[0] - begin) * float(np.mean(pixels)) / pixels[0]
        else:
            start = first - per_step
        return per_step / (pixels[0] * self._work(*sizes[0])), max(0.0, start)

    def plan(self) -> list[Scale]:
        """The scales and steps that end before the deadline; says what they are.

        They are those of the settings where the user counted the steps and there is time for all,
        and where there is no deadline. Empty where there is not time for one step.
        """
        wanted = self._painting.plan()
        if self._deadline is not None:
            return self._plan_in_time(wanted)
        if sum(scale.pixels * scale.steps for scale in wanted) >= _LONG_RUN_COST:
            seconds = self._seconds(wanted, *self._time_step())
            memory = self._memory(self._painting.tiling) / 1e9
            self._note(f"predicted: about {_duration(seconds)} and {memory:.1f} GB")
        return wanted

    def _plan_in_time(self, wanted: list[Scale]) -> list[Scale]:
        painting, settings = self._painting, self._settings
        per_pixel, overhead = self._time_step()
        # Larger maps leave the caches: a step costs a little more than its pixels say.
        left, cost, start = self._left(), 1.15 * per_pixel, 1.2 * overhead
        sizes, preset = painting.sizes, painting.preset
        work = [self._work(*size) for size in sizes]
        if painting.starts_from_draft:
            plan = fit_to_draft(sizes, preset, left, cost, start, work)
        else:
            plan = fit_steps_to_budget(sizes, preset, left, 1e6 * cost, start, work)
        is_counted = settings.steps or settings.scale_steps
        if is_counted and self._seconds(wanted, cost, start) <= left:
            plan = wanted
        if not plan:
            self._note_draft()
            return plan
        last = plan[-1]
        steps = "/".join(str(scale.steps) for scale in plan)
        self._note(
            f"{self._budget}: {steps} steps at "
            + ", ".join(f"{scale.width}x{scale.height}" for scale in plan)
        )
        if (last.height, last.width) != sizes[-1]:
            self._note(
                f"the budget does not reach {painting.width}x{painting.height}: the picture is "
                f"painted at {last.width}x{last.height} and enlarged"
            )
        return plan

    def end_of(self, plan: Sequence[Scale]) -> float:
        """`time.monotonic()` by which the first of some scales has to end, for the others' sake."""
        pixels = [scale.pixels * scale.steps for scale in plan]
        return time.monotonic() + self._left() * pixels[0] / sum(pixels)

    def is_too_late(self, scale: Scale, before: tuple[int, float] | None) -> bool:
        """Whether a scale could not be begun before the deadline.

        Args:
            scale: to be begun.
            before: pixels of the scale before, and the seconds that it took to begin that.
        """
        return before is not None and before[1] * scale.pixels / before[0] > self._left()


class StepClock:
    """Predicts the time that is left from the steps so far.

    Args:
        plan: scales that are left, of which the first is being painted.

    Attributes:
        seconds_per_step: of the last steps.
    """

    def __init__(self, plan: Sequence[Scale]):
        self._plan = plan
        self._times: list[float] = []
        self.seconds_per_step = 0.0

    def tick(self) -> None:
        """Counts a step."""
        self._times = [*self._times[-20:], time.monotonic()]
        if len(self._times) > 1:
            self.seconds_per_step = float(np.median(np.diff(self._times)))

    def left(self, step: int) -> float | None:
        """Seconds that are left after a step; None before there is anything to tell it from."""
        if len(self._times) < 3:
            return None
        scale, *others = self._plan
        cost = (scale.steps - step) * scale.pixels + sum(one.steps * one.pixels for one in others)
        return cost * self.seconds_per_step / scale.pixels


def _memory_of(backbone: str) -> tuple[float, float]:
    """Bytes of a process with these networks, and those that each pixel adds."""
    if backbone in _MEMORY:
        return _MEMORY[backbone]
    is_vgg16 = "vgg16" in backbone and "vgg19" not in backbone and not backbone.endswith(".keras")
    return _MEMORY["vgg16" if is_vgg16 else "vgg19"]


def fit_to_draft(
    sizes: Sequence[tuple[int, int]],
    preset: Sequence[int],
    seconds: float,
    seconds_per_pixel: float,
    seconds_per_scale: float,
    work: Sequence[float] = (),
) -> list[Scale]:
    """The plan from a draft: with little time it leaves coarse scales out, never the finest.

    Args:
        sizes: as `fit_steps_to_budget` takes them, like the next two.
        preset: steps of each scale.
        seconds: time that is left.
        seconds_per_pixel: of one step.
        seconds_per_scale: to start a scale.
        work: as `fit_steps_to_budget` takes it.

    Returns:
        The plan of all scales whose finest gets half of its preset's steps, of all but the coarsest
        and so on, or at last of the finest alone; empty where not even one step is affordable.
    """
    plan: list[Scale] = []
    for first in range(len(sizes)):
        steps = [preset[min(index, len(preset) - 1)] for index in range(first, len(sizes))]
        plan = fit_steps_to_budget(
            sizes[first:],
            steps,
            seconds,
            1e6 * seconds_per_pixel,
            seconds_per_scale,
            work[first:],
        )
        last = plan[-1]
        if (last.height, last.width) == sizes[-1] and last.steps >= 0.5 * steps[-1]:
            return plan
    least = seconds_per_scale + seconds_per_pixel * plan[0].pixels * (work[-1] if work else 1.0)
    return plan if least <= seconds else []


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
