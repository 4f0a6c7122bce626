"""Curves of a training."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cnnkit.plots._style import BLUE, GRID, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_training(steps: Sequence[int], curves: Mapping[str, Sequence[float]]) -> "Figure":
    """Plots how the numbers of a training went, each in a frame of its own.

    Args:
        steps: optimizer steps at which they were taken.
        curves: by name, as many numbers as steps.

    Returns:
        A Figure of one plot per curve, two in a row.

    Example:

    >>> len(plot_training([10, 20], {"loss": [0.3, 0.2], "val_auc": [0.6, 0.7]}).axes)
    2
    """
    from matplotlib.figure import Figure

    rows = max(1, -(-len(curves) // 2))
    figure = Figure((8.0, 2.2 * rows), dpi=120, layout="constrained")
    for place, (name, values) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(rows, 2, place)
        axes.plot(steps, values, color=BLUE, linewidth=2)
        axes.set_title(name.replace("_", " "), loc="left", color=INK, fontsize=10)
        axes.tick_params(colors=INK, labelsize=8)
        axes.grid(True, color=GRID)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure


def plot_learning_rates(
    rates: Sequence[float], losses: Sequence[float], chosen: float | None
) -> "Figure":
    """Plots the loss over a learning rate that grew from step to step.

    Args:
        rates: the learning rates.
        losses: of these, smoothed.
        chosen: the learning rate that is taken; None for none.

    Example:

    >>> plot_learning_rates([0.001, 0.01, 0.1], [1.0, 0.5, 2.0], 0.01).axes[0].get_xscale()
    'log'
    """
    from matplotlib.figure import Figure

    figure = Figure((6.0, 3.4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=BLUE, linewidth=2)
    axes.set_xscale("log")
    title = "loss over the learning rate"
    if chosen is not None:
        axes.axvline(chosen, color=INK, linewidth=1, linestyle="--")
        title += f"; {chosen:.2g} is taken, where it falls most steeply"
    axes.set_title(title, loc="left", color=INK, fontsize=10)
    axes.set_xlabel("learning rate", color=INK, fontsize=9)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(True, color=GRID)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
