"""Words where their vectors lie."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.plots._style import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = (BLUE, ORANGE, GREEN, PURPLE)
# Of an inch, from a point to its label, the nearest first; and the directions, right first.
_DISTANCES = (0.07, 0.16, 0.28, 0.42, 0.6)
_DIRECTIONS = tuple(np.pi * k / 8 for k in (0, 8, 4, 12, 2, 6, 14, 10, 1, 7, 15, 9, 3, 5, 13, 11))
_DPI = 150
# Room around a label, in pixels.
_AIR = 2.0


def plot_words(
    points: np.ndarray,
    words: Sequence[str],
    groups: Mapping[int, Sequence[int]] | None = None,
    *,
    shares: tuple[float, float] | None = None,
    title: str = "",
    most_labels: int = 60,
) -> "Figure":
    """Plots words as points of a plane, with labels that do not lie on one another.

    Args:
        points: `(N, 2)`, those of the most frequent words first.
        words: N.
        groups: words that are asked for -> those near them, by their indices; in colours. Their
            labels are placed first; of the others as many as there is room for.
        shares: of the variance along both axes.
        title: above.
        most_labels: of words in no group.

    Returns:
        A Figure.

    Example:

    >>> figure = plot_words(np.array([[0.0, 0.0], [1.0, 1.0]]), ["cat", "dog"])
    >>> sorted(text.get_text() for text in figure.axes[0].texts)
    ['cat', 'dog']
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = np.asarray(points, np.float64)
    groups = groups or {}
    figure = Figure((8.0, 6.4), dpi=_DPI)
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    # Fixed, so that it is known where points lie before the figure is drawn.
    left, bottom, width, height = 0.075, 0.085, 0.9, 0.84
    axes = figure.add_axes((left, bottom, width, height))
    _set_up(axes, points, shares, title)
    # Numbers such as -0.15 beside the axis push its name out of the figure.
    drawn = axes.get_tightbbox(renderer)
    hidden = 0.0 if drawn is None else max(0.0, _AIR - drawn.x0) / figure.bbox.width
    axes.set_position((left + hidden, bottom, width - hidden, height))
    colors, sizes = _looks(len(words), groups)
    known = [place for place in range(len(words)) if colors[place] != PALE]
    axes.scatter(points[:, 0], points[:, 1], s=14, color=PALE, linewidths=0, zorder=1)
    axes.scatter(
        points[known, 0],
        points[known, 1],
        s=[34 if place in groups else 18 for place in known],
        color=[colors[place] for place in known],
        linewidths=0,
        zorder=2,
    )
    spots = axes.transData.transform(points)
    taken = [np.zeros(4), *(np.array([x - 3, y - 3, x + 3, y + 3]) for x, y in spots[known])]
    dots = np.concatenate([spots - 2, spots + 2], axis=1)
    frame = np.array(axes.get_window_extent(renderer).extents)
    others = [place for place in range(len(words)) if colors[place] == PALE][:most_labels]
    order = [*groups, *(place for place in known if place not in groups), *others]
    for place in order:
        is_asked, is_near = place in groups, colors[place] != PALE
        label = axes.text(
            0,
            0,
            words[place],
            fontsize=sizes[place],
            color=colors[place] if is_near else QUIET,
            fontweight="bold" if is_asked else "normal",
            ha="center",
            va="center",
            zorder=3,
        )
        extent = label.get_window_extent(renderer)
        half = np.array([extent.width / 2 + _AIR, extent.height / 2 + _AIR])
        middle = _free_spot(spots[place], half, np.concatenate([taken, dots]), frame, is_near)
        if middle is None and is_near:
            # Rather on a dot of another word than not at all.
            middle = _free_spot(spots[place], half, np.array(taken), frame, is_near)
        if middle is None:
            label.remove()
            continue
        taken.append(np.concatenate([middle - half, middle + half]))
        x, y = axes.transData.inverted().transform(middle)
        label.set_position((x, y))
        if np.abs(middle - spots[place]).max() > half.max() + 0.2 * _DPI:
            ends = axes.transData.inverted().transform([spots[place], middle])
            axes.plot(*ends.T, color=colors[place], linewidth=0.5, zorder=1)
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    return figure


def _set_up(
    axes: "Axes", points: np.ndarray, shares: tuple[float, float] | None, title: str
) -> None:
    low, high = points.min(axis=0), points.max(axis=0)
    room = 0.08 * np.where(high > low, high - low, 1.0)
    axes.set_xlim(low[0] - room[0], high[0] + room[0])
    axes.set_ylim(low[1] - room[1], high[1] + room[1])
    for side in axes.spines.values():
        side.set_color(PALE)
    axes.tick_params(colors=QUIET, labelsize=8)
    if shares is not None:
        first, second = (f"{share:.0%} of the variance" for share in shares)
        axes.set_xlabel(f"first main axis, {first}", color=QUIET)
        axes.set_ylabel(f"second main axis, {second}", color=QUIET)
    if title:
        axes.set_title(title, loc="left", color=INK, fontsize=12, pad=10)


def _looks(count: int, groups: Mapping[int, Sequence[int]]) -> tuple[list[str], list[float]]:
    """Colours and sizes of the letters; a word that is near to several is of the first."""
    colors, sizes = [PALE] * count, [7.5] * count
    for number, near in enumerate(groups.values()):
        for place in near:
            if colors[place] == PALE:
                colors[place], sizes[place] = _COLORS[number % len(_COLORS)], 9.0
    for number, asked in enumerate(groups):
        colors[asked], sizes[asked] = _COLORS[number % len(_COLORS)], 11.0
    return colors, sizes


def _free_spot(
    point: np.ndarray,
    half: np.ndarray,
    taken: np.ndarray,
    frame: np.ndarray,
    may_be_far: bool,
) -> np.ndarray | None:
    """The middle of a label near its point where there is nothing yet.

    Args:
        point: in pixels.
        half: width and height of the label.
        taken: `(n, 4)` boxes of other labels and of points.
        frame: that it must lie in.
        may_be_far: or else it stands beside the point or not at all.
    """
    for distance in _DISTANCES if may_be_far else _DISTANCES[:1]:
        for angle in _DIRECTIONS:
            direction = np.array([np.cos(angle), np.sin(angle)])
            # The box touches the circle of that distance.
            middle = point + direction * distance * _DPI + np.sign(direction.round(6)) * half
            low, high = middle - half, middle + half
            if (low < frame[:2]).any() or (high > frame[2:]).any():
                continue
            apart = (taken[:, 2:] <= low).any(axis=1) | (taken[:, :2] >= high).any(axis=1)
            if apart.all():
                return middle
    return None
