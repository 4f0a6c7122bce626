"""Figures of classification: who is taken for whom, the worst mistakes, and calibration."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.plots._style import BLUE, GRID, INK, ORANGE, PALE, QUIET, new_figure
from cnnkit.plots._tiles import draw_tiles
from cnnkit.results import ConfidenceCalibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Classes that have room for a number in each cell, and for a name at each row.
_MOST_NUMBERS, _MOST_NAMES = 20, 40
# Pairs that are named beside the matrix, and inches for them.
_PAIRS, _BESIDE = 20, 3.8
# Characters of a name.
_LONGEST = 24
_TILE = 144
# Below this side the pixels of a picture are shown as they are.
_TINY = 64


def plot_confusion(matrix: np.ndarray, names: Sequence[str], *, title: str = "") -> "Figure":
    """Plots which classes are taken for which.

    The colour of a cell is its share of the row, that is of the pictures of one class; a row
    without pictures is white. Up to 20 classes have their counts in the cells, and up to 40 their
    names at the rows. Of more, the pairs that are confused most are named beside the matrix.

    Args:
        matrix: `(C, C)`, true classes down, predicted ones across.
        names: of the classes, C.
        title: above the plot.

    Returns:
        A Figure.

    Raises:
        ValueError: a matrix that is not square, or another number of names.

    Example:

    >>> figure = plot_confusion(np.array([[8, 2], [1, 9]]), ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['8', '2', '1', '9']
    """
    matrix = np.asarray(matrix)
    classes = len(names)
    if matrix.shape != (classes, classes):
        raise ValueError(
            f"expected a confusion matrix (C, C) and C names. Received: {matrix.shape}, "
            f"{classes} names"
        )
    support = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(support, 1)
    is_named = classes <= _MOST_NAMES
    side = max(2.4, 0.36 * classes if classes <= _MOST_NUMBERS else 0.2 * classes)
    side = min(side, 6.8)
    room = (1.7, 1.8) if is_named else (1.2 + _BESIDE, 1.4)
    figure, axes = new_figure("", side + room[0], side + room[1])
    if title:
        # Over all of it: above the matrix it would meet the legend.
        figure.suptitle(title, x=0.02, ha="left", color=INK, fontsize=12)
    if not is_named:
        left, right = figure.add_gridspec(1, 2, width_ratios=(side + 1.2, _BESIDE))
        axes.set_subplotspec(left)
        _name_pairs(figure.add_subplot(right), matrix, names)
    shown = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest")
    for spine in axes.spines.values():
        spine.set_visible(True)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0 if is_named else 3, color=PALE)
    if is_named:
        places, size = np.arange(classes), 9 if classes <= _MOST_NUMBERS else 7
        labels = [_shortened(name) for name in names]
        axes.set_yticks(places, labels, fontsize=size)
        axes.set_xticks(places, labels, fontsize=size, rotation=90)
    if classes <= _MOST_NUMBERS:
        for row, column in np.ndindex(classes, classes):
            count = int(matrix[row, column])
            axes.text(
                column, row, f"{count:,}" if count or row == column else "",
                ha="center", va="center", fontsize=9 if matrix.max() < 1000 else 7,
                color="white" if shares[row, column] > 0.55 else INK,
            )  # fmt: skip
    legend = figure.colorbar(
        shown, ax=axes, shrink=0.5, aspect=18, pad=0.02, anchor=(0.0, 1.0), location="right",
        ticks=[0, 0.5, 1], format=lambda share, _: f"{share:.0%}",
    )  # fmt: skip
    legend.ax.tick_params(labelsize=8, colors=INK, length=0)
    legend.outline.set_visible(False)
    return figure


def _name_pairs(beside: "Axes", matrix: np.ndarray, names: Sequence[str]) -> None:
    """The pairs of classes that are confused most, in a column beside the matrix."""
    wrong = matrix - np.diag(matrix.diagonal())
    support = matrix.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    lines = []
    for row, column in zip(*np.unravel_index(order, matrix.shape), strict=True):
        if wrong[row, column]:
            lines.append(
                f"{wrong[row, column]:,} of {support[row]:,}   {_shortened(names[row], 18)} → "
                f"{_shortened(names[column], 18)}"
            )
    beside.set_axis_off()
    heading = "Confused most (true → predicted)" if lines else "No mistake"
    for place, line in enumerate((heading, *lines)):
        text = beside.text(0, 1 - 0.04 * place, line, fontsize=8, color=QUIET, va="top")
        # Long names may reach the edge; they do not squeeze the matrix.
        text.set_in_layout(False)


def draw_mistakes(
    pictures: Iterable[np.ndarray],
    true_names: Sequence[str],
    predicted_names: Sequence[str],
    probabilities: Sequence[float],
    *,
    title: str = "Worst mistakes",
) -> np.ndarray:
    """Draws pictures that were taken for something else, with what it was and what they are.

    Args:
        pictures: each uint8, or float in [0, 1], `(height, width, 3 or 1)`, of any size.
        true_names: what they are.
        predicted_names: what they were taken for.
        probabilities: of that, in [0, 1].
        title: above the sheet.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: no picture, or other numbers of names.

    Example:

    >>> draw_mistakes([np.zeros((4, 6, 3))], ["cat"], ["dog"], [0.9]).shape[2]
    3
    """
    # One large picture at a time.
    tiles = [_tile(picture) for picture in pictures]
    if not tiles:
        raise ValueError("expected a picture at least. Received: 0")
    captions = [
        f"{_shortened(predicted, 18)} {share:.0%}\nis {_shortened(true)}"
        for true, predicted, share in zip(true_names, predicted_names, probabilities, strict=True)
    ]
    return draw_tiles(
        tiles,
        captions,
        title=title,
        subtitle="taken for, how surely, and what it is",
        side=_TILE,
    )


def _tile(picture: np.ndarray) -> np.ndarray:
    """A picture of any shape in the middle of a pale square."""
    from PIL import Image

    if picture.dtype.kind == "f":
        picture = (np.clip(picture, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
    height, width = picture.shape[:2]
    image = Image.fromarray(np.broadcast_to(picture, (height, width, 3)).astype(np.uint8))
    scale = _TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = Image.Resampling.NEAREST if max(height, width) < _TINY else Image.Resampling.LANCZOS
    square = Image.new("RGB", (_TILE, _TILE), GRID)
    square.paste(image.resize(size, method), ((_TILE - size[0]) // 2, (_TILE - size[1]) // 2))
    return np.asarray(square)


def plot_calibration(calibration: ConfidenceCalibration, *, title: str = "") -> "Figure":
    """Plots how often a classifier is right against how sure it is, and how sure it is how often.

    Bars below the diagonal: it is surer than it may be. Niculescu-Mizil and Caruana, Predicting
    Good Probabilities With Supervised Learning, 2005.

    Args:
        calibration: of `metrics.classification.calibration`.
        title: above the plot.

    Returns:
        A Figure.

    Example:

    >>> bins = ConfidenceCalibration(0.1, [0, 0.5, 1], [0, 4], [np.nan, 0.9], [np.nan, 1.0])
    >>> plot_calibration(bins).axes[0].get_ylabel()
    'accuracy'
    """
    edges = np.asarray(calibration.edges)
    counts = np.asarray(calibration.counts)
    is_full = counts > 0
    middles, widths = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    confidences, accuracies = (
        np.asarray(values)[is_full] for values in (calibration.confidences, calibration.accuracies)
    )
    figure, axes = new_figure(title, 4.8, 6.0)
    upper, lower = figure.add_gridspec(2, 1, height_ratios=(3, 1))
    axes.set_subplotspec(upper)
    axes.bar(
        middles[is_full], accuracies, 0.94 * widths[is_full], color=BLUE, alpha=0.85,
        label="share that is right",
    )  # fmt: skip
    axes.vlines(confidences, accuracies, confidences, color=ORANGE, lw=2)
    axes.plot(confidences, confidences, "o", ms=5, color=ORANGE, label="mean probability")
    axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls="--")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("accuracy")
    axes.grid(axis="y")
    axes.legend(loc="upper left", frameon=False, labelcolor=INK, fontsize=9)
    axes.annotate(
        f"expected calibration error {calibration.error:.1%}", (0.98, 0.03),
        xycoords="axes fraction", ha="right", color=INK, fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 3},
    )  # fmt: skip
    axes.tick_params(labelbottom=False)
    below = figure.add_subplot(lower, sharex=axes)
    below.bar(middles, counts / counts.sum(), 0.94 * widths, color=PALE)
    below.set_xlabel("probability of the predicted class", color=INK)
    below.set_ylabel("share of\npictures", color=INK)
    below.tick_params(colors=INK, labelbottom=True)
    for name, spine in below.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(PALE)
    return figure


def _shortened(name: str, length: int = _LONGEST) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
