"""Boxes drawn into pictures, and curves of precision over recall."""

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.plots._style import GRID, INK, QUIET, font_of, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Curves of single classes in one figure; with more classes only their mean is drawn.
_MOST_CURVES = 8
# By which hues of neighbouring numbers differ most, whatever their count: the golden ratio.
_GOLDEN = 0.6180339887


def class_color(class_id: int) -> tuple[int, int, int]:
    """The colour of a class, RGB: those of the first classes differ most.

    >>> class_color(0) != class_color(1), class_color(0) == class_color(0)
    (True, True)
    """
    hue = (0.58 + class_id * _GOLDEN) % 1.0
    lightness = (0.42, 0.6, 0.5)[class_id % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_detections(
    pixels: np.ndarray,
    boxes_xyxy: np.ndarray,
    labels: Sequence[str],
    scores: np.ndarray,
    class_ids: np.ndarray,
) -> np.ndarray:
    """Draws boxes with names and scores into a picture.

    Small boxes lie over large ones, and names where they hide no other name and few small boxes. A
    name that finds no such place is left out; the colour of its box tells the class.

    Args:
        pixels: uint8 `(height, width, 3)`; not changed.
        boxes_xyxy: `(n, 4)` in pixels.
        labels: name of each.
        scores: `(n,)` in [0, 1].
        class_ids: `(n,)`, which the colours come from.

    Returns:
        uint8 `(height, width, 3)`.

    Example:

    >>> black = np.zeros((60, 80, 3), np.uint8)
    >>> box = np.array([[9, 20, 50, 50]])
    >>> bool(draw_detections(black, box, ["cat"], np.array([0.9]), np.array([0])).any())
    True
    """
    from PIL import Image, ImageDraw

    height, width = pixels.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(image)
    long_side = max(height, width)
    line = max(1, round(long_side / 300))
    font = font_of(max(11, round(long_side / 52)))
    boxes = np.asarray(boxes_xyxy, float).reshape(-1, 4)
    order = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind="stable")
    for index in order:
        left, top, right, bottom = np.round(boxes[index]).astype(int).tolist()
        corners = left, top, max(left, right - 1), max(top, bottom - 1)
        draw.rectangle(corners, outline=class_color(int(class_ids[index])), width=line + 1)
    taken: list[tuple[float, float, float, float]] = []
    # The best first: they get the best places.
    for index in np.argsort(-np.asarray(scores, float), kind="stable"):
        color = class_color(int(class_ids[index]))
        others = [*taken, *np.delete(boxes, index, axis=0).tolist()]
        # With its score, without it, or not at all where it would hide another name.
        for text in (f"{labels[index]} {scores[index]:.0%}", labels[index]):
            edges = draw.textbbox((0, 0), text, font=font)
            size = edges[2] + 2 * line + 2, edges[3] + line + 2
            x, y = _place(boxes[index], size, (width, height), taken, others)
            place = x, y, x + size[0], y + size[1]
            if not _hidden(place, taken):
                break
        else:
            continue
        taken.append(place)
        draw.rectangle((x, y, place[2] - 1, place[3] - 1), fill=color)
        # Luma, so that letters stand out.
        is_light = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
        draw.text((x + line + 1, y + 1), text, fill="black" if is_light else "white", font=font)
    return np.asarray(image)


def _place(
    box: np.ndarray,
    size: tuple[float, float],
    picture: tuple[int, int],
    taken: Sequence[Sequence[float]],
    others: Sequence[Sequence[float]],
) -> tuple[int, int]:
    """Where a name goes: above its box, inside or below it; no other name, then least, hidden."""
    left, top, right, bottom = box
    wide, high = size
    places = []
    for y in (top - high, top, bottom - high, bottom, (top + bottom - high) / 2):
        if y < 0 or y + high > picture[1]:
            y = min(max(0, y), max(0, picture[1] - high))
        for x in (left, right - wide, left - wide, right):
            x = min(max(0, x), max(0, picture[0] - wide))
            place = x, y, x + wide, y + high
            # What is larger than the name is not hidden by it.
            small = [one for one in others if _area(one) < 3 * wide * high]
            places.append((_hidden(place, taken), _hidden(place, small), round(x), round(y)))
    # The first of equals.
    _, _, x, y = min(places, key=lambda one: one[:2])
    return x, y


def _hidden(place: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """Square pixels of others that a place covers."""
    left, top, right, bottom = place
    return sum(
        max(0.0, min(right, other[2]) - max(left, other[0]))
        * max(0.0, min(bottom, other[3]) - max(top, other[1]))
        for other in others
    )


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def plot_precision_recall(
    precision: np.ndarray, average: np.ndarray, names: Sequence[str], *, title: str = ""
) -> "Figure":
    """Plots precision over recall.

    Args:
        precision: `(recalls, classes)` at recalls from 0 to 1; NaN for a class without objects.
        average: `(classes,)`, the average precision of each.
        names: of the classes.
        title: above the plot.

    Returns:
        A Figure: a curve for each class that has objects, or with many classes each in grey, and
        their mean.

    Example:

    >>> len(plot_precision_recall(np.ones((101, 1)), np.ones(1), ["cat"]).axes[0].lines)
    1
    """
    seen = np.flatnonzero(~np.isnan(average))
    recall = np.linspace(0.0, 1.0, len(precision))
    figure, axes = new_figure(title, 6.4, 4.4)
    axes.grid(True, color=GRID)
    is_few = len(seen) <= _MOST_CURVES
    for class_id in seen.tolist():
        label: str | None = None
        color: str | tuple[float, ...] = QUIET
        if is_few:
            label = f"{names[class_id]} {average[class_id]:.1%}"
            color = tuple(part / 255 for part in class_color(class_id))
        axes.plot(
            recall,
            precision[:, class_id],
            color=color,
            linewidth=1.6 if is_few else 0.6,
            alpha=1.0 if is_few else 0.35,
            label=label,
        )
    if len(seen) > 1:
        mean = precision[:, seen].mean(axis=1)
        axes.plot(recall, mean, color=INK, linewidth=2.4, label=f"mean of {len(seen)} classes")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    if len(seen):
        axes.legend(frameon=False, fontsize=9, loc="best")
    return figure
