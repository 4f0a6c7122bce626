"""Pictures with labels, and sheets of pictures."""

import textwrap
from collections.abc import Sequence

import numpy as np

from cnnkit.plots._style import GREEN, INK, ORANGE, QUIET, font_of

# Of a picture with text below it, in pixels.
_LEAST_WIDTH = 208


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
    font = font_of(max(11, round(max(height, width) / 50)))
    for box, label, known in zip(boxes_xyxy, labels, is_known, strict=True):
        color = GREEN if known else ORANGE
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
    font = font_of(13)
    for row, (label, pictures) in enumerate(rows):
        top = gap + row * (cell + gap)
        draw.text((gap * 2, top + cell / 2 - 18), label, fill=INK, font=font)
        count = f"{len(pictures)} face" + ("" if len(pictures) == 1 else "s")
        draw.text((gap * 2, top + cell / 2 + 2), count, fill=QUIET, font=font)
        for column, pixels in enumerate(pictures[:columns]):
            small = Image.fromarray(pixels).resize((cell, cell), Image.Resampling.LANCZOS)
            sheet.paste(small, (name + column * (cell + gap), top))
    return np.asarray(sheet)


def draw_captioned(pixels: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """Draws a picture with lines of text below it.

    Args:
        pixels: uint8 `(height, width, 3)`; not changed.
        lines: each is parted where it is too long.

    Returns:
        uint8, higher than the picture, and wider than a very narrow one.

    Example:

    >>> draw_captioned(np.zeros((40, 60, 3), np.uint8), ["a black picture"]).shape[0] > 40
    True
    """
    from PIL import Image, ImageDraw

    width = max(pixels.shape[1], _LEAST_WIDTH)
    size = max(12, round(width / 28))
    font, margin = font_of(size), size // 2
    letters = max(1, int((width - 2 * margin) / font.getlength("n")))
    parts = [part for line in lines for part in textwrap.wrap(line.strip(), letters)]
    height = pixels.shape[0] + 2 * margin + round(1.3 * size * len(parts))
    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(Image.fromarray(pixels), ((width - pixels.shape[1]) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(parts):
        y = pixels.shape[0] + margin + round(1.3 * size * number)
        draw.text((margin, y), line, fill=INK, font=font)
    return np.asarray(sheet)
