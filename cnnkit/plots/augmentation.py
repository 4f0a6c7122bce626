"""Pictures beside what a network is trained on in their place."""

import math
from collections.abc import Sequence

import numpy as np

from cnnkit.plots._style import INK, PALE, QUIET, font_of

_MARGIN, _GAP, _HEADING = 16, 6, 34
_CHANGED = "what the network sees"


def draw_augmented(
    originals: Sequence[np.ndarray],
    variants: Sequence[Sequence[np.ndarray]],
    *,
    labels: Sequence[str] = (),
    cell: int = 112,
) -> np.ndarray:
    """A sheet with a picture in each row, as it is and then changed at random.

    Args:
        originals: uint8 `(height, width, 3)`.
        variants: of each, float `(height, width, 3)` or `(height, width, 1)` in [0, 1].
        labels: the class of each, above its row.
        cell: longer side of a picture on the sheet, in pixels.

    Returns:
        uint8 `(height, width, 3)`.

    Example:

    >>> picture = np.zeros((8, 8, 3), np.uint8)
    >>> draw_augmented([picture], [[picture / 255.0] * 3], cell=64).shape
    (114, 318, 3)
    """
    from PIL import Image, ImageDraw

    heading, small = font_of(12), font_of(11)
    caption = 18 if labels else 0
    row_height = cell + caption + _GAP
    # A little more between a picture and its variants, with a line in it.
    left = _MARGIN + cell + 3 * _GAP
    count = max(map(len, variants))
    wide = max(count * (cell + _GAP) - _GAP, math.ceil(heading.getlength(_CHANGED)))
    size = left + wide + _MARGIN
    height = _HEADING + len(originals) * row_height - _GAP + _MARGIN
    sheet = Image.new("RGB", (size, height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 11), "picture", fill=INK, font=heading)
    draw.text((left, 11), _CHANGED, fill=INK, font=heading)
    middle = left - 1.5 * _GAP
    draw.line((middle, _HEADING, middle, height - _MARGIN), fill=PALE)
    for row, (original, changed) in enumerate(zip(originals, variants, strict=True)):
        top = _HEADING + row * row_height
        if labels:
            draw.text((_MARGIN, top), labels[row], fill=QUIET, font=small)
        tiles = [original, *(_as_bytes(one) for one in changed)]
        for column, tile in enumerate(tiles):
            x = _MARGIN if column == 0 else left + (column - 1) * (cell + _GAP)
            image = Image.fromarray(tile)
            scale = cell / max(image.size)
            fitted = [max(1, round(side * scale)) for side in image.size]
            image = image.resize(fitted, Image.Resampling.LANCZOS)
            sheet.paste(image, (x, top + caption))
    return np.asarray(sheet)


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    pixels = (np.clip(pixels, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
