"""Sheets of what the units of a network respond to, as in Zeiler & Fergus (2014)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit.plots._style import INK, QUIET, font_of
from cnnkit.tasks.visualize.unit_responses import LayerResponses

if TYPE_CHECKING:
    from PIL import Image

_EMPTY = "#F4F5F7"
_SIDE = 3  # patches in a row
_CELL = 72
_LINE = 2  # between patches
_GAP = 22  # between units
_MARGIN = 28
_LABEL = 20
# Smaller patches are shown with their pixels.
_PIXELS_SHOWN = 16


def draw_units(
    layers: Sequence[LayerResponses], *, title: str, notes: Sequence[str] = (), columns: int = 4
) -> np.ndarray:
    """Draws the strongest patches of units, three by three.

    Beside them, on their left, stand the reconstructions where there are any. The units of one
    layer are laid out in rows; several layers stand side by side, their units below one another.

    Args:
        layers: at least one.
        title: in large letters.
        notes: lines below it.
        columns: units in a row, of one layer.

    Returns:
        uint8 `(height, width, 3)`.

    Example:

    >>> from cnnkit.tasks.visualize.unit_responses import UnitResponse
    >>> unit = UnitResponse(7, (), 0.0, 0, (0.0, 1.0), (0,))
    >>> layer = LayerResponses("conv", 8, (3, 3), (), (unit,))
    >>> draw_units([layer], title="conv").shape[2]
    3
    """
    from PIL import Image, ImageDraw

    if not layers:
        raise ValueError("layers must have at least one. Received: none")
    has_drawings = any(unit.is_reconstructed for layer in layers for unit in layer.units)
    block = _SIDE * (_CELL + _LINE) - _LINE
    tile = (2 * block + 3 * _LINE if has_drawings else block, block + _LABEL)
    several = len(layers) > 1
    rows = (
        max(len(layer.units) for layer in layers)
        if several
        else math.ceil(len(layers[0].units) / columns)
    )
    across = len(layers) if several else min(columns, max(1, len(layers[0].units)))
    heading = 40 + 20 * len(notes) + (48 if several else 8)
    fonts = {size: font_of(size) for size in (11, 12, 13, 22)}
    width = max(
        2 * _MARGIN + across * (tile[0] + _GAP) - _GAP,
        2 * _MARGIN + int(fonts[22].getlength(title)),
        *(2 * _MARGIN + int(fonts[12].getlength(note)) for note in notes),
    )
    height = 2 * _MARGIN + heading + rows * (tile[1] + _GAP) - _GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 6), title, fill=INK, font=fonts[22])
    for line, note in enumerate(notes):
        draw.text((_MARGIN, _MARGIN + 30 + 20 * line), note, fill=QUIET, font=fonts[12])

    top = _MARGIN + heading
    for column, layer in enumerate(layers):
        left = _MARGIN + column * (tile[0] + _GAP)
        if several:
            name = _fitting(f"{column + 1}. {layer.layer}", tile[0], fonts[13])
            draw.text((left, top - 44), name, fill=INK, font=fonts[13])
            draw.text((left, top - 26), _field(layer), fill=QUIET, font=fonts[11])
        for index, unit in enumerate(layer.units):
            place = (index, 0) if several else divmod(index, columns)
            x = left + place[1] * (tile[0] + _GAP)
            y = top + place[0] * (tile[1] + _GAP)
            draw.text((x, y), f"unit {unit.unit}", fill=INK, font=fonts[12])
            best = f"{unit.patches[0].value:.3g}" if unit.patches else "silent"
            draw.text((x + tile[0], y), best, fill=QUIET, font=fonts[12], anchor="ra")
            if has_drawings:
                drawn = [patch.reconstruction for patch in unit.patches]
                _paste(sheet, drawn, (x, y + _LABEL))
                x += block + 3 * _LINE
            _paste(sheet, [patch.pixels for patch in unit.patches], (x, y + _LABEL))
    return np.asarray(sheet)


def _paste(sheet: "Image.Image", patches: Sequence[Any], place: tuple[int, int]) -> None:
    from PIL import Image

    for index in range(_SIDE * _SIDE):
        row, column = divmod(index, _SIDE)
        cell = Image.new("RGB", (_CELL, _CELL), _EMPTY)
        if index < len(patches) and patches[index] is not None:
            small = _scaled(patches[index])
            cell.paste(small, ((_CELL - small.width) // 2, (_CELL - small.height) // 2))
        step = _CELL + _LINE
        sheet.paste(cell, (place[0] + column * step, place[1] + row * step))


def _scaled(pixels: np.ndarray) -> "Image.Image":
    """A patch that fills its cell, or as much of it as its shape allows."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    longer = max(image.size)
    width, height = (max(1, round(side * _CELL / longer)) for side in image.size)
    if longer <= _PIXELS_SHOWN:
        # First by a whole number: each pixel as large as the next.
        times = math.ceil(_CELL / longer)
        whole = (image.width * times, image.height * times)
        image = image.resize(whole, Image.Resampling.NEAREST)
        return image.resize((width, height), Image.Resampling.BOX)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _field(layer: LayerResponses) -> str:
    if layer.receptive_field is None:
        return "whole pictures"
    rows, columns = layer.receptive_field
    return f"{columns} × {rows} pixels"


def _fitting(text: str, width: int, font: Any) -> str:
    while len(text) > 1 and font.getlength(text) > width:
        text = "…" + text.removeprefix("…")[1:]
    return text
