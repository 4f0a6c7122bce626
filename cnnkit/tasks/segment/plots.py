"""Classes of pixels as colours: masks, overlays, outlines, and a legend."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.data._class_names import IGNORE
from cnnkit.plots import plot_confusion
from cnnkit.plots._style import INK, font_of
from cnnkit.tasks.segment.metrics import confusion_percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP, _PAD = 8, 10


def class_palette(count: int = 256) -> np.ndarray:
    """The colours of Pascal VOC: the bits of a class index, spread over red, green and blue.

    Args:
        count: of colours.

    Returns:
        uint8 `(count, 3)`; class 0 is black, class 15 (person) is `(192, 128, 128)`, 255 is the
        cream of VOC's borders.

    Example:

    >>> class_palette()[[0, 1, 15, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [192, 128, 128], [224, 224, 192]]
    """
    index = np.arange(count)
    palette = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((index >> (3 * bit + channel) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return palette


def color_segments(classes: np.ndarray) -> np.ndarray:
    """Each pixel in the colour of its class.

    Args:
        classes: uint8 `(height, width)`.

    Returns:
        uint8 `(height, width, 3)`.
    """
    return class_palette()[classes]


def overlay_segments(
    pixels: np.ndarray, classes: np.ndarray, *, opacity: float = 0.55, contour: bool = True
) -> np.ndarray:
    """A picture with colours over all that is not background.

    Args:
        pixels: uint8 `(height, width, 3)`; not changed.
        classes: uint8 `(height, width)`; 0 and 255 stay as they are.
        opacity: of the colours, in [0, 1].
        contour: draw a white line around each region.

    Returns:
        uint8 `(height, width, 3)`.
    """
    shown = (classes != 0) & (classes != IGNORE)
    result = pixels.astype(np.float32)
    colors = color_segments(classes).astype(np.float32)
    result[shown] += opacity * (colors[shown] - result[shown])
    if contour:
        result[contours(np.where(shown, classes, 0), _line_width(classes.shape))] = 255.0
    return (result + 0.5).astype(np.uint8)


def outline_segments(pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """A picture with the outline of each region, in its class' colour beside a white line.

    Args:
        pixels: uint8 `(height, width, 3)`; not changed.
        classes: uint8 `(height, width)`.

    Returns:
        uint8 `(height, width, 3)`.
    """
    shown = np.where(classes == IGNORE, 0, classes)
    width = _line_width(classes.shape)
    result = pixels.copy()
    wide = contours(shown, 3 * width) & (shown != 0)
    result[wide] = color_segments(shown)[wide]
    result[contours(shown, width)] = 255
    return result


def contours(classes: np.ndarray, width: int = 1) -> np.ndarray:
    """Where regions of different classes meet.

    Args:
        classes: `(height, width)`.
        width: of the lines, in pixels: how far they reach into each region, and 1 more.

    Returns:
        bool `(height, width)`.

    Example:

    >>> contours(np.array([[0, 0, 0, 1, 1, 1]])).astype(int).tolist()
    [[0, 0, 1, 0, 0, 0]]
    """
    edges = np.zeros(classes.shape, bool)
    edges[:-1] |= classes[:-1] != classes[1:]
    edges[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    for _ in range(width - 1):
        grown = edges.copy()
        grown[1:] |= edges[:-1]
        grown[:-1] |= edges[1:]
        grown[:, 1:] |= edges[:, :-1]
        grown[:, :-1] |= edges[:, 1:]
        edges = grown
    return edges


def _line_width(shape: tuple[int, ...]) -> int:
    return max(1, round(max(shape) / 500))


def add_legend(
    pixels: np.ndarray, found: Sequence[tuple[int, str]], *, least_width: int = 0
) -> np.ndarray:
    """A picture with a line below it that names the colours.

    Args:
        pixels: uint8 `(height, width, 3)`.
        found: index and name of each class, in their order.
        least_width: narrower pictures get a wider line.

    Returns:
        uint8, higher than the picture; the picture alone where nothing is found.
    """
    from PIL import Image, ImageDraw

    if not found:
        return pixels
    size = max(12, round(pixels.shape[1] / 48))
    font, box, palette = font_of(size), size, class_palette()
    width = max(pixels.shape[1], least_width)
    places, x, y = [], _PAD, _PAD
    for index, name in found:
        wide = box + 6 + math.ceil(font.getlength(name)) + 2 * _PAD
        if x > _PAD and x + wide - _PAD > width:
            x, y = _PAD, y + size + _GAP
        places.append((x, y, index, name))
        x += wide
    widest = max(at + box + 6 + math.ceil(font.getlength(name)) for at, _, _, name in places)
    width = max(width, widest + _PAD)
    sheet = Image.new("RGB", (width, pixels.shape[0] + y + size + _PAD), "white")
    sheet.paste(Image.fromarray(pixels), ((width - pixels.shape[1]) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for x, y, index, name in places:
        top = pixels.shape[0] + y
        draw.rectangle((x, top, x + box - 1, top + box - 1), fill=tuple(palette[index].tolist()))
        draw.text((x + box + 6, top + box / 2), name, fill=INK, font=font, anchor="lm")
    return np.asarray(sheet)


def draw_segments(
    rows: Sequence[Sequence[np.ndarray]],
    names: Sequence[str],
    *,
    predictions: Sequence[str] = ("predicted",),
    side: int = 260,
) -> np.ndarray:
    """A sheet of pictures, their true classes and those that were predicted.

    Args:
        rows: uint8 pictures `(height, width, 3)`, true classes and those of each prediction, all
            `(height, width)`.
        names: of the classes.
        predictions: what each is called.
        side: longer side of a picture on the sheet, in pixels.

    Returns:
        uint8 `(height, width, 3)`, with a legend of the classes that occur.
    """
    from PIL import Image, ImageDraw

    head = 26
    tiles, seen = [], set()
    for pixels, *maps in rows:
        scale = side / max(pixels.shape)
        size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        picture = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
        line = [picture]
        for classes in maps:
            seen |= set(np.unique(classes).tolist())
            small = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))
            colors = color_segments(small)
            line.append((0.25 * picture + 0.75 * colors).astype(np.uint8))
        tiles.append(line)
    titles = ("picture", "true", *predictions)
    width = len(titles) * (side + _GAP) + _GAP
    height = head + sum(line[0].shape[0] + _GAP for line in tiles)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        x = _GAP + column * (side + _GAP) + side // 2
        draw.text((x, head // 2), title, fill=INK, font=font_of(13), anchor="mm")
    top = head
    for line in tiles:
        for column, tile in enumerate(line):
            x = _GAP + column * (side + _GAP) + (side - tile.shape[1]) // 2
            sheet.paste(Image.fromarray(tile), (x, top))
        top += line[0].shape[0] + _GAP
    found = [(index, names[index]) for index in sorted(seen) if index < len(names)]
    return add_legend(np.asarray(sheet), found)


def plot_pixel_confusion(confusion: np.ndarray, names: Sequence[str], *, title: str) -> "Figure":
    """Plots how many of a hundred pixels of each class are called what.

    Args:
        confusion: `(classes, classes)`, as `metrics.pixel_confusion` counts it.
        names: of the classes; those that do not occur are left out.
        title: above the plot.
    """
    used = np.flatnonzero(confusion.any(axis=0) | confusion.any(axis=1))
    shares = confusion_percent(confusion)[np.ix_(used, used)]
    return plot_confusion(shares, [names[at] for at in used.tolist()], title=title)
