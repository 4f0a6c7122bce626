"""Figures of results: arrays in, a `matplotlib.figure.Figure` out; nothing is ever shown.

Figures are made without pyplot, so that they need no display and leave no state behind. Save one
with `figure.savefig("roc.png")`, or as .svg or .pdf.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.ImageFont import FreeTypeFont

# Told apart in grey and by colour-blind eyes (Okabe and Ito, 2008).
_BLUE, _ORANGE, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_INK, _PALE = "#30343B", "#D5D8DD"


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
    figure, axes = _figure(title, 6.0, 4.6)
    colors = (_BLUE, _ORANGE, _GREEN, _PURPLE)
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
    axes.legend(loc="lower right", frameon=False, labelcolor=_INK)
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
    figure, axes = _figure(title, 6.8, 4.0)
    low, high = float(distances[found].min()), float(distances[found].max())
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    width = (high - low or 1.0) / bins
    # An edge at the threshold, so that no bar is right and wrong at once.
    start = low if threshold is None else threshold - np.ceil((threshold - low) / width) * width
    edges = np.arange(start, high + 2 * width, width)
    for name, is_kind, color, wrong_side in (
        ("same person", same, _BLUE, 1),
        ("different people", ~same, _ORANGE, -1),
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
        axes.axvline(threshold, 0, 0.86, color=_INK, linewidth=1.4)
        axes.annotate(
            f"threshold {threshold:.3g}", (threshold, 0.88),
            xycoords=("data", "axes fraction"), ha="center", va="bottom", color=_INK,
        )  # fmt: skip
    axes.set_xlabel("Distance")
    axes.set_ylabel("Density")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, frameon=False, labelcolor=_INK
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

    color = _GREEN if distance < threshold else _ORANGE
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
        axes.set_title(_shortened(panel.title), color=_INK, fontsize=10)
        axes.set_axis_off()
        axes = figure.add_subplot(grid[1, column])
        axes.imshow(panel.chip)
        axes.scatter(*panel.points_xy.T, s=14, c="white", edgecolors=_INK, linewidths=0.8)
        said = ", ".join(panel.warnings)
        axes.set_title(
            said or "as the network sees it", color=_ORANGE if said else _INK, fontsize=9
        )
        axes.set_axis_off()
    axes = figure.add_subplot(grid[2, :])
    most = max(1.2, 1.2 * distance, 1.5 * threshold)
    axes.axvspan(0, threshold, color=_GREEN, alpha=0.15, lw=0)
    axes.axvspan(threshold, most, color=_ORANGE, alpha=0.15, lw=0)
    axes.axvline(threshold, color=_INK, lw=1.2)
    axes.plot([distance], [0.5], "o", color=color, markersize=11, markeredgecolor="white")
    axes.set_xlim(0, most)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.tick_params(colors=_INK, labelsize=9)
    axes.set_xlabel("Distance", color=_INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.text(0.5, 0.95, verdict, ha="center", color=color, fontsize=17, weight="bold")
    for row, line in enumerate(lines):
        figure.text(0.5, 0.92 - 0.022 * row, line, ha="center", color=_INK, fontsize=9)
    return figure


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
        axes.plot(steps, values, color=_BLUE, linewidth=2)
        axes.set_title(name.replace("_", " "), loc="left", color=_INK, fontsize=10)
        axes.tick_params(colors=_INK, labelsize=8)
        axes.grid(True, color="#ECEEF1")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure


def plot_filtering(
    image: np.ndarray,
    output: np.ndarray,
    *,
    kernel: np.ndarray | None,
    window: tuple[int, int],
    title: str,
    lines: Sequence[str],
) -> "Figure":
    """Draws a picture, the window that slid over it, and what came out.

    What a kernel gives has a sign: blue where it is negative, red where it is positive, white where
    the kernel saw nothing. The darkest half percent of the pixels share one colour.

    Args:
        image: `(height, width)` or `(height, width, 3)` in [0, 1].
        output: `(new height, new width)`, of a pooling also with three channels.
        kernel: `(rows, columns)`, or None for a pooling, whose output is a picture again.
        window: rows and columns of the window.
        title: above it all.
        lines: below, such as the arithmetic of the sizes.

    Returns:
        A Figure.

    Example:

    >>> ramp = np.tile(np.linspace(0, 1, 9), (9, 1))
    >>> figure = plot_filtering(
    ...     ramp, ramp[:7, :7], kernel=np.eye(3), window=(3, 3), title="eye", lines=["7"]
    ... )
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['9 x 9', '3 x 3', '7 x 7']
    """
    from matplotlib.figure import Figure

    figure = Figure((10.0, 4.9), dpi=150)
    grid = figure.add_gridspec(
        1, 5, width_ratios=(4, 0.1, 2, 0.1, 4), wspace=0.14,
        left=0.03, right=0.97, top=0.8, bottom=0.2,
    )  # fmt: skip
    before, middle, after = (figure.add_subplot(grid[0, column]) for column in (0, 2, 4))
    before.imshow(image, cmap="gray", vmin=0, vmax=1)
    _draw_window(middle, kernel, window)
    if kernel is None:
        after.imshow(np.clip(output, 0, 1), cmap="gray", vmin=0, vmax=1)
    else:
        # A few extreme pixels must not make all others pale.
        most = float(np.quantile(np.abs(output), 0.995)) or float(np.abs(output).max()) or 1.0
        shown = after.imshow(output, cmap="RdBu_r", vmin=-most, vmax=most)
        below = after.inset_axes((0.0, -0.09, 1.0, 0.035))
        bar = figure.colorbar(shown, cax=below, orientation="horizontal")
        bar.set_ticks([-most, 0, most], labels=[f"−{most:.3g}", "0", f"{most:.3g}"])
        bar.ax.tick_params(labelsize=8, colors=_INK, length=0)
        bar.outline.set_visible(False)
    sizes = (image.shape[:2], window, output.shape[:2])
    for axes, (height, width) in zip((before, middle, after), sizes, strict=True):
        axes.set_title(f"{height} x {width}", color=_INK, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(_PALE)
    for column, sign in ((1, "→" if kernel is None else "∗"), (3, "→" if kernel is None else "=")):
        axes = figure.add_subplot(grid[0, column])
        axes.set_axis_off()
        axes.text(0.5, 0.5, sign, ha="center", va="center", fontsize=22, color=_INK)
    figure.text(0.03, 0.93, title, color=_INK, fontsize=14, weight="bold", va="center")
    for row, line in enumerate(lines):
        figure.text(0.03, 0.1 - 0.045 * row, line, color=_INK, fontsize=9.5, family="monospace")
    return figure


def _draw_window(axes: "Axes", kernel: np.ndarray | None, window: tuple[int, int]) -> None:
    """The numbers of a kernel in their cells, or the empty cells of a pooling."""
    rows, columns = window
    numbers = np.zeros(window) if kernel is None else kernel
    most = float(np.abs(numbers).max()) or 1.0
    # Twice the range: pale enough for black numbers.
    axes.imshow(numbers, cmap="RdBu_r", vmin=-2 * most, vmax=2 * most)
    if max(window) > 15:
        return
    axes.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color=_PALE, lw=1)
    axes.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color=_PALE, lw=1)
    if kernel is None:
        return
    size = min(15.0, 62.0 / max(window))
    for row in range(rows):
        for column in range(columns):
            axes.text(
                column, row, f"{kernel[row, column]:.3g}".replace("-", "−"),
                ha="center", va="center", fontsize=size, color=_INK,
            )  # fmt: skip


def encode_figure(figure: "Figure") -> bytes:
    """A Figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def draw_labels(
    pixels: np.ndarray,
    boxes_xyxy: Sequence[tuple[float, float, float, float]],
    labels: Sequence[str],
    is_known: Sequence[bool],
) -> np.ndarray:
    """Draws boxes with names into a picture.

    Args:
        pixels: uint8 `(height, width, 3)`; not changed.
        boxes_xyxy: in pixels.
        labels: a name for each box.
        is_known: boxes that are green; the others are orange.

    Returns:
        uint8 `(height, width, 3)`.

    Example:

    >>> bool(draw_labels(np.zeros((50, 80, 3), np.uint8), [(9, 9, 30, 30)], ["Ada"], [True]).any())
    True
    """
    from PIL import Image, ImageDraw

    height, width = pixels.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(image)
    line = max(2, round(max(height, width) / 400))
    font = _font(max(11, round(max(height, width) / 50)))
    for box, label, known in zip(boxes_xyxy, labels, is_known, strict=True):
        color = _GREEN if known else _ORANGE
        left, top, right, bottom = box
        draw.rectangle((left, top, right - 1, bottom - 1), outline=color, width=line)
        text = draw.textbbox((0, 0), label, font=font)
        wide, high = text[2] + 2 * line, text[3] + 2 * line
        # Above the box, or inside of it at the upper edge, and never beyond the right edge.
        x = max(0, min(left, width - wide))
        y = top - high if top >= high else top
        draw.rectangle((x, y, x + wide, y + high), fill=color)
        draw.text((x + line, y + line), label, fill="white", font=font)
    return np.asarray(image)


def draw_sheet(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]], *, cell: int = 96, columns: int = 10
) -> np.ndarray:
    """A contact sheet: for each row its name and small pictures.

    Args:
        rows: name and uint8 `(S, S, 3)` pictures; more than `columns` of them are left out.
        cell: side of a picture on the sheet, in pixels.
        columns: pictures in a row.

    Returns:
        uint8 `(height, width, 3)`.
    """
    from PIL import Image, ImageDraw

    gap, name = 6, 150
    most = min(columns, max((len(pictures) for _, pictures in rows), default=1))
    size = (name + most * (cell + gap) + gap, len(rows) * (cell + gap) + gap)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = _font(13)
    for row, (label, pictures) in enumerate(rows):
        top = gap + row * (cell + gap)
        draw.text((gap * 2, top + cell / 2 - 18), label, fill=_INK, font=font)
        count = f"{len(pictures)} face" + ("" if len(pictures) == 1 else "s")
        draw.text((gap * 2, top + cell / 2 + 2), count, fill="#7A808A", font=font)
        for column, pixels in enumerate(pictures[:columns]):
            small = Image.fromarray(pixels).resize((cell, cell), Image.Resampling.LANCZOS)
            sheet.paste(small, (name + column * (cell + gap), top))
    return np.asarray(sheet)


def _font(size: int) -> "FreeTypeFont":
    """matplotlib's, which has the letters of most languages."""
    import matplotlib
    from PIL import ImageFont

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, size)


def _shortened(text: str, length: int = 42) -> str:
    """The end of a long name, which is what tells it from others."""
    return text if len(text) <= length else "…" + text[1 - length :]


def _figure(title: str, width: float, height: float) -> "tuple[Figure, Axes]":
    # Imported here: matplotlib takes longer to import than most commands run.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "font.size": 10,
        "text.color": _INK,
        "axes.edgecolor": _PALE,
        "axes.labelcolor": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#ECEEF1",
        "xtick.color": _INK,
        "ytick.color": _INK,
    }
    with rc_context(style):
        figure = Figure((width, height), dpi=150, layout="constrained")
        axes = figure.add_subplot()
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, loc="left", color=_INK, fontsize=12, pad=12)
    return figure, axes
