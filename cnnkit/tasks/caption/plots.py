"""Sheets of pictures with sentences."""

import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from cnnkit.plots._style import GRID, INK, font_of
from cnnkit.plots._tiles import draw_tiles

_SIDE = 208
# Letters of the small font in the width of a tile.
_LETTERS = 36


def draw_captions(
    pictures: Iterable[np.ndarray],
    sentences: Sequence[str],
    *,
    title: str = "Captions",
    subtitle: str = "",
    columns: int | None = None,
) -> np.ndarray:
    r"""Draws pictures with a sentence below each.

    Args:
        pictures: uint8 `(height, width, 3)`, of any size.
        sentences: one for each; "\n" begins a new line.
        title: above the sheet.
        subtitle: below the title.
        columns: pictures in a row.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: no picture.

    Example:

    >>> draw_captions([np.zeros((4, 6, 3), np.uint8)], ["a black picture"]).shape[2]
    3
    """
    # One large picture at a time.
    tiles = [_tile(picture) for picture in pictures]
    if not tiles:
        raise ValueError("expected a picture at least. Received: 0")
    captions = [
        "\n".join(line for part in one.split("\n") for line in textwrap.wrap(part, _LETTERS))
        for one in sentences
    ]
    return draw_tiles(
        tiles,
        captions,
        title=title,
        subtitle=subtitle,
        side=_SIDE,
        columns=columns,
        smooth=True,
    )


def _tile(picture: np.ndarray) -> np.ndarray:
    """A picture of any shape in the middle of a pale square."""
    from PIL import Image

    image = Image.fromarray(picture)
    scale = _SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    square = Image.new("RGB", (_SIDE, _SIDE), GRID)
    square.paste(
        image.resize(size, Image.Resampling.LANCZOS),
        ((_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2),
    )
    return np.asarray(square)


def draw_captioned(pixels: np.ndarray, sentence: str) -> np.ndarray:
    """Draws a picture with a sentence below it.

    Args:
        pixels: uint8 `(height, width, 3)`; not changed.
        sentence: as many lines as it needs.

    Returns:
        uint8, higher than the picture, and wider than a very narrow one.

    Example:

    >>> draw_captioned(np.zeros((40, 60, 3), np.uint8), "a black picture").shape[0] > 40
    True
    """
    from PIL import Image, ImageDraw

    width = max(pixels.shape[1], _SIDE)
    size = max(12, round(width / 28))
    font, margin = font_of(size), size // 2
    letters = max(1, int((width - 2 * margin) / font.getlength("n")))
    lines = textwrap.wrap(sentence, letters)
    height = pixels.shape[0] + 2 * margin + round(1.3 * size * len(lines))
    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(Image.fromarray(pixels), ((width - pixels.shape[1]) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        y = pixels.shape[0] + margin + round(1.3 * size * number)
        draw.text((margin, y), line, fill=INK, font=font)
    return np.asarray(sheet)
