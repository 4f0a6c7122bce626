"""Which scales a coarse-to-fine run visits, how many steps each gets, and what that costs."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """One scale of a coarse-to-fine run.

    Attributes:
        height: of the picture at this scale, in pixels.
        width: of the picture at this scale, in pixels.
        steps: optimisation steps.
    """

    height: int
    width: int
    steps: int

    @property
    def pixels(self) -> int:
        return self.height * self.width


def scale_sizes(
    height: int, width: int, smallest: int = 128, factor: float = 2.0
) -> list[tuple[int, int]]:
    """Sizes from coarse to fine: the last is `(height, width)`, each `factor` times the one before.

    Args:
        height: of the result, in pixels.
        width: of the result, in pixels.
        smallest: the coarsest long side is at least this, where the result is.
        factor: ratio of neighbouring scales, more than 1.

    Returns:
        List of `(height, width)`.

    Example:

    >>> scale_sizes(384, 512)
    [(96, 128), (192, 256), (384, 512)]
    """
    if factor <= 1.0:
        raise ValueError(f"factor must be more than 1. Received: {factor}")
    sizes = [(height, width)]
    # Half a per cent of slack, so that 512 / sqrt(2)^4 = 128 is not lost to rounding.
    while max(height, width) / factor ** len(sizes) >= smallest * 0.995:
        shrink = factor ** len(sizes)
        sizes.append((max(1, round(height / shrink)), max(1, round(width / shrink))))
    return sizes[::-1]


def plan_scales(
    sizes: Sequence[tuple[int, int]], preset: Sequence[int], total: int | None = None
) -> list[Scale]:
    """Gives each scale its number of steps.

    Args:
        sizes: from coarse to fine.
        preset: steps of each scale, coarsest first; the last one serves for all finer scales.
        total: if given, the preset is stretched or shrunk to this sum, each scale keeping one
            step at least where there are as many steps as scales.

    Returns:
        A `Scale` for each size.

    Example:

    >>> [scale.steps for scale in plan_scales([(8, 8), (16, 16)], (30, 10), total=20)]
    [15, 5]
    """
    wanted = [preset[min(index, len(preset) - 1)] for index in range(len(sizes))]
    if total is not None:
        ratio = total / sum(wanted)
        wanted = [max(1, int(count * ratio)) for count in wanted]
        # What rounding left over goes to the coarsest scale, where a step costs least; where there
        # are fewer steps than scales, the coarse scales go first.
        index = 0
        while sum(wanted) > max(total, 1) and index < len(wanted):
            cut = min(wanted[index], sum(wanted) - total)
            wanted[index] -= cut
            index += 1
        wanted[next(i for i, count in enumerate(wanted) if count)] += max(0, total - sum(wanted))
    return [
        Scale(height, width, steps)
        for (height, width), steps in zip(sizes, wanted, strict=True)
        if steps
    ]


def fit_steps_to_budget(
    sizes: Sequence[tuple[int, int]],
    preset: Sequence[int],
    seconds: float,
    seconds_per_megapixel: float,
    seconds_per_scale: float,
    work: Sequence[float] = (),
) -> list[Scale]:
    """The plan that uses a time budget: fewer or more steps, and a smaller last scale if it must.

    Args:
        sizes: from coarse to fine.
        preset: steps of each scale; their proportions are kept.
        seconds: time that is left.
        seconds_per_megapixel: measured time of one step divided by the megapixels of the scale.
        seconds_per_scale: measured cost of starting a scale (tracing and compiling).
        work: what a pixel of each size costs, as a multiple of that; 1 by default.

    Returns:
        A plan whose predicted time is at most `seconds`, ending at the finest size that affords
        a tenth of its preset's steps and one whole step; at least one step at the coarsest size.
    """
    for last in range(len(sizes), 0, -1):
        kept = list(sizes[:last])
        wanted = [preset[min(index, len(preset) - 1)] for index in range(last)]
        cost = sum(
            count * height * width / 1e6 * seconds_per_megapixel * times
            for count, (height, width), times in zip(
                wanted, kept, work[:last] or [1.0] * last, strict=True
            )
        )
        ratio = (seconds - seconds_per_scale * last) / cost
        counts = [int(count * max(ratio, 0.0)) for count in wanted]
        if (ratio >= 0.1 and min(counts) >= 1) or last == 1:
            return [
                Scale(height, width, max(1, count))
                for count, (height, width) in zip(counts, kept, strict=True)
            ]
    raise ValueError(f"sizes must not be empty. Received: {sizes}")
