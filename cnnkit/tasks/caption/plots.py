"""Sheets of pictures with sentences."""

import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from cnnkit.plots._style import GRID
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
