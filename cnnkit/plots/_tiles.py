"""Sheets of small pictures."""

import math
from collections.abc import Sequence

import numpy as np

from cnnkit.plots._style import INK, QUIET, font_of

_MARGIN, _GAP, _HEADING = 16, 10, 52


def draw_tiles(
    tiles: Sequence[np.ndarray],
    captions: Sequence[str],
    *,
    title: str,
    subtitle: str = "",
    picture: np.ndarray | None = None,
    side: int = 144,
    columns: int | None = None,
    smooth: bool = False,
    text_size: int = 11,
) -> np.ndarray:
    r"""A sheet of small pictures, each with a line below it, or several.

    Args:
        tiles: uint8 `(height, width, 3)`, all of one size.
        captions: a line for each, or more with "\n" between them.
        title: above the sheet.
        subtitle: below the title.
        picture: uint8 `(height, width, 3)`, shown large at the left.
        side: longer side of a tile on the sheet, in pixels.
        columns: tiles in a row; as many as make the sheet a little wider than high by default.
        smooth: interpolate where tiles are resized; otherwise each pixel stays a rectangle.
        text_size: of the captions, in pixels.

    Returns:
        uint8 `(height, width, 3)`.

    Example:

    >>> draw_tiles([np.zeros((3, 3, 3), np.uint8)] * 2, ["0", "1"], title="two", side=99).shape
    (187, 240, 3)
    """
    from PIL import Image, ImageDraw

    height, width = tiles[0].shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = font_of(text_size)
    line_height = text_size + 4
    lines = [line for caption in captions for line in caption.split("\n")]
    widest = math.ceil(max(map(small.getlength, lines), default=0.0))
    below = (
        line_height
        + 5
        + line_height * max((caption.count("\n") for caption in captions), default=0)
    )
    cell = max(size[0], widest), size[1] + below
    if columns is None:
        columns = _columns(len(tiles), 1.4 * cell[1] / cell[0])
    rows = math.ceil(len(tiles) / columns)
    left = _MARGIN
    grid_height = rows * (cell[1] + _GAP) - _GAP
    shown = None
    if picture is not None:
        shown = Image.fromarray(picture)
        fit = min(2.2 * side / max(shown.size), (grid_height - below) / shown.height)
        fit = max(fit, side / max(shown.size))
        shown = shown.resize(
            (max(1, round(shown.width * fit)), max(1, round(shown.height * fit))),
            Image.Resampling.LANCZOS,
        )
        left += shown.width + 2 * _GAP
        grid_height = max(grid_height, shown.height)
    heading = font_of(15), font_of(11)
    wide = max(font.getlength(text) for font, text in zip(heading, (title, subtitle), strict=True))
    total = left + columns * (cell[0] + _GAP) - _GAP + _MARGIN
    sheet = Image.new(
        "RGB",
        (max(total, math.ceil(wide) + 2 * _MARGIN), _HEADING + grid_height + _MARGIN),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 10), title, fill=INK, font=heading[0])
    draw.text((_MARGIN, 31), subtitle, fill=QUIET, font=heading[1])
    if shown is not None:
        sheet.paste(shown, (_MARGIN, _HEADING))
    method = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x = left + index % columns * (cell[0] + _GAP)
        y = _HEADING + index // columns * (cell[1] + _GAP)
        sheet.paste(Image.fromarray(tile).resize(size, method), (x, y))
        for number, line in enumerate(caption.split("\n")):
            draw.text((x, y + size[1] + 3 + line_height * number), line, fill=INK, font=small)
    return np.asarray(sheet)


def _columns(count: int, shape: float) -> int:
    """Tiles in a row: near to `shape` times the rows, and few empty places in the last one."""
    ideal = math.sqrt(count * shape)
    few, many = max(1, math.floor(0.8 * ideal)), min(count, math.ceil(1.6 * ideal))
    return min(range(few, max(few, many) + 1), key=lambda n: (-count % n, abs(n - ideal)))
