"""Figures of face verification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.plots._style import BLUE, GREEN, INK, ORANGE, PURPLE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_roc(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    title: str = "",
    smallest_rate: float = 1e-4,
) -> "Figure":
    """Plots receiver operating characteristics with a logarithmic false accept rate.

    Args:
        curves: by name, rising false accept and true accept rates `(T,)` in [0, 1], such as those
            of `RocCurve`.
        title: above the plot.
        smallest_rate: left end of the axis. A curve that starts farther left, as with no false
            accept at all, is drawn from the edge.

    Returns:
        A Figure of one plot.

    Raises:
        ValueError: no curve, a smallest rate outside (0, 1), or rates of different lengths.

    Example:

    >>> curve = np.array([0.0, 0.0, 0.01, 1.0]), np.array([0.0, 0.9, 0.99, 1.0])
    >>> plot_roc({"dlib": curve}).axes[0].get_xscale()
    'log'
    """
    if not curves or not 0 < smallest_rate < 1:
        raise ValueError(
            "expected at least one curve and a smallest rate in (0, 1). "
            f"Received: {len(curves)} curves, {smallest_rate}"
        )
    figure, axes = new_figure(title, 6.0, 4.6)
    colors = (BLUE, ORANGE, GREEN, PURPLE)
    lowest = 1.0
    for i, (name, (false_accepts, true_accepts)) in enumerate(curves.items()):
        false = np.asarray(false_accepts, np.float64)
        true = np.asarray(true_accepts, np.float64)
        if false.shape != true.shape or false.ndim != 1:
            raise ValueError(f"expected rates (T,). Received: {false.shape}, {true.shape}")
        # The best rate of all points left of the edge is what the curve has at the edge.
        at_edge = true[false <= smallest_rate].max(initial=0.0)
        inside = false > smallest_rate
        x = np.concatenate([[smallest_rate], false[inside]])
        y = np.concatenate([[at_edge], true[inside]])
        lowest = min(lowest, at_edge)
        color = colors[i % len(colors)]
        axes.plot(
            x, y, color=color, linewidth=2, drawstyle="steps-post", label=name,
            solid_joinstyle="round", clip_on=False,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(smallest_rate, 1)
    # All of the height for what there is to see, rounded down to a tenth.
    bottom = max(0.0, np.floor(lowest * 10) / 10 - 0.1)
    axes.set_ylim(bottom, 1.0)
    axes.set_xlabel("False accept rate (different people taken for the same)")
    axes.set_ylabel("True accept rate")
    axes.grid(True, which="major")
    axes.legend(loc="lower right", frameon=False, labelcolor=INK)
    return figure


def plot_distances(
    distances: np.ndarray,
    same: np.ndarray,
    threshold: float | None = None,
    *,
    title: str = "",
    bins: int = 60,
) -> "Figure":
    """Plots how the distances of same and of different pairs are spread.

    Each kind is scaled to an area of 1, so that both are seen however many there are.

    Args:
        distances: `(N,)`, NaN for missed pairs, which are left out and counted in the legend.
        same: `(N,)` booleans.
        threshold: to draw a line at; what lies on its wrong side is drawn darker.
        title: above the plot.
        bins: number of bars over the whole range.

    Returns:
        A Figure of one plot.

    Raises:
        ValueError: shapes differ, or no pair has a distance.

    Example:

    >>> figure = plot_distances(np.array([0.3, 0.8]), np.array([True, False]), 0.6)
    >>> figure.axes[0].get_xlabel()
    'Distance'
    """
    distances, same = np.asarray(distances, np.float64), np.asarray(same, bool)
    found = ~np.isnan(distances)
    if distances.shape != same.shape or distances.ndim != 1 or not found.any():
        raise ValueError(
            "expected as many distances as labels, not all of them missed. "
            f"Received: {distances.shape}, {same.shape}"
        )
    figure, axes = new_figure(title, 6.8, 4.0)
    low, high = float(distances[found].min()), float(distances[found].max())
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    width = (high - low or 1.0) / bins
    # An edge at the threshold, so that no bar is right and wrong at once.
    start = low if threshold is None else threshold - np.ceil((threshold - low) / width) * width
    edges = np.arange(start, high + 2 * width, width)
    for name, is_kind, color, wrong_side in (
        ("same person", same, BLUE, 1),
        ("different people", ~same, ORANGE, -1),
    ):
        values = distances[is_kind & found]
        if not values.size:
            continue
        heights = np.histogram(values, edges)[0] / (values.size * width)
        axes.stairs(heights, edges, fill=True, color=color, alpha=0.3, linewidth=0)
        if threshold is not None:
            middles = edges[:-1] + width / 2
            wrong = np.where((middles - threshold) * wrong_side > 0, heights, 0.0)
            axes.stairs(wrong, edges, fill=True, color=color, alpha=0.65, linewidth=0)
        missed = int(np.count_nonzero(is_kind & ~found))
        label = f"{name} ({values.size:,} pairs" + (f", {missed:,} missed)" if missed else ")")
        axes.stairs(heights, edges, color=color, linewidth=1.6, label=label)
    axes.set_xlim(edges[0], edges[-1])
    # Room above the highest bar for the legend and the line's label.
    axes.set_ylim(0, axes.get_ylim()[1] * 1.22)
    if threshold is not None:
        axes.axvline(threshold, 0, 0.86, color=INK, linewidth=1.4)
        axes.annotate(
            f"threshold {threshold:.3g}", (threshold, 0.88),
            xycoords=("data", "axes fraction"), ha="center", va="bottom", color=INK,
        )  # fmt: skip
    axes.set_xlabel("Distance")
    axes.set_ylabel("Density")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, frameon=False, labelcolor=INK
    )
    return figure


@dataclass(frozen=True, eq=False)
class FacePanel:
    """One side of a comparison of two faces.

    Attributes:
        title: name of the picture.
        pixels: uint8 `(height, width, 3)`.
        box_xyxy: of the face, in pixels of the picture.
        chip: uint8 `(S, S, 3)`, the face as the network sees it.
        points_xy: `(P, 2)`, landmarks in pixels of the chip.
        warnings: what makes the face hard to recognise.
    """

    title: str
    pixels: np.ndarray
    box_xyxy: tuple[float, float, float, float]
    chip: np.ndarray
    points_xy: np.ndarray
    warnings: tuple[str, ...] = ()


def plot_verification(
    first: FacePanel,
    second: FacePanel,
    *,
    verdict: str,
    lines: Sequence[str],
    distance: float,
    threshold: float,
) -> "Figure":
    """Draws two pictures with their faces, the faces cut out, and where the distance lies.

    Args:
        first: the left side.
        second: the right side.
        verdict: in large letters.
        lines: below it.
        distance: between the faces.
        threshold: nearer is the same person.

    Returns:
        A Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    color = GREEN if distance < threshold else ORANGE
    figure = Figure((8.0, 7.6), dpi=120)
    grid = figure.add_gridspec(
        3, 2, height_ratios=(3.2, 3.0, 0.5), hspace=0.3, wspace=0.08,
        left=0.04, right=0.96, top=0.86, bottom=0.1,
    )  # fmt: skip
    for column, panel in enumerate((first, second)):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(panel.pixels)
        left, top, right, bottom = panel.box_xyxy
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, ec=color, lw=2)
        )
        axes.set_title(_shortened(panel.title), color=INK, fontsize=10)
        axes.set_axis_off()
        axes = figure.add_subplot(grid[1, column])
        axes.imshow(panel.chip)
        axes.scatter(*panel.points_xy.T, s=14, c="white", edgecolors=INK, linewidths=0.8)
        said = ", ".join(panel.warnings)
        axes.set_title(said or "as the network sees it", color=ORANGE if said else INK, fontsize=9)
        axes.set_axis_off()
    axes = figure.add_subplot(grid[2, :])
    most = max(1.2, 1.2 * distance, 1.5 * threshold)
    axes.axvspan(0, threshold, color=GREEN, alpha=0.15, lw=0)
    axes.axvspan(threshold, most, color=ORANGE, alpha=0.15, lw=0)
    axes.axvline(threshold, color=INK, lw=1.2)
    axes.plot([distance], [0.5], "o", color=color, markersize=11, markeredgecolor="white")
    axes.set_xlim(0, most)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.tick_params(colors=INK, labelsize=9)
    axes.set_xlabel("Distance", color=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.text(0.5, 0.95, verdict, ha="center", color=color, fontsize=17, weight="bold")
    for row, line in enumerate(lines):
        figure.text(0.5, 0.92 - 0.022 * row, line, ha="center", color=INK, fontsize=9)
    return figure


def _shortened(text: str, length: int = 42) -> str:
    """The end of a long name, which is what tells it from others."""
    return text if len(text) <= length else "…" + text[1 - length :]
