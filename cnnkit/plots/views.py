"""What a network sees: activations, filters, pictures that excite units, evidence for a class."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.plots._style import BLUE, INK, PALE, font_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEAT = "inferno"
_QUIET = "#7A808A"
_MARGIN, _GAP, _CAPTION, _HEADING = 16, 10, 20, 52
# Of the heat over the picture, where it is strongest.
_OPACITY = 0.75


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
) -> np.ndarray:
    """A sheet of small pictures, each with a line below it.

    Args:
        tiles: uint8 `(height, width, 3)`, all of one size.
        captions: a line for each.
        title: above the sheet.
        subtitle: below the title.
        picture: uint8 `(height, width, 3)`, shown large at the left.
        side: longer side of a tile on the sheet, in pixels.
        columns: tiles in a row; as many as make the sheet a little wider than high by default.
        smooth: interpolate where tiles are resized; otherwise each pixel stays a rectangle.

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
    small = font_of(11)
    widest = math.ceil(max(map(small.getlength, captions), default=0.0))
    cell = max(size[0], widest), size[1] + _CAPTION
    if columns is None:
        columns = _columns(len(tiles), 1.4 * cell[1] / cell[0])
    rows = math.ceil(len(tiles) / columns)
    left = _MARGIN
    grid_height = rows * (cell[1] + _GAP) - _GAP
    shown = None
    if picture is not None:
        shown = Image.fromarray(picture)
        fit = min(2.2 * side / max(shown.size), (grid_height - _CAPTION) / shown.height)
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
    draw.text((_MARGIN, 31), subtitle, fill=_QUIET, font=heading[1])
    if shown is not None:
        sheet.paste(shown, (_MARGIN, _HEADING))
    method = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x = left + index % columns * (cell[0] + _GAP)
        y = _HEADING + index // columns * (cell[1] + _GAP)
        sheet.paste(Image.fromarray(tile).resize(size, method), (x, y))
        draw.text((x, y + size[1] + 3), caption, fill=INK, font=small)
    return np.asarray(sheet)


def _columns(count: int, shape: float) -> int:
    """Tiles in a row: near to `shape` times the rows, and few empty places in the last one."""
    ideal = math.sqrt(count * shape)
    few, many = max(1, math.floor(0.8 * ideal)), min(count, math.ceil(1.6 * ideal))
    return min(range(few, max(few, many) + 1), key=lambda n: (-count % n, abs(n - ideal)))


def color_map(values: np.ndarray) -> np.ndarray:
    """A map of activations in colours: black at and below 0, pale yellow at its own largest value.

    Args:
        values: `(height, width)`.

    Returns:
        uint8 `(height, width, 3)`.

    >>> color_map(np.array([[0.0, 2.0]])).tolist()
    [[[0, 0, 3], [252, 254, 164]]]
    """
    from matplotlib import colormaps

    most = float(values.max())
    shares = np.clip(values / most, 0.0, 1.0) if most > 0 else np.zeros_like(values)
    return (colormaps[_HEAT](shares)[..., :3] * 255).astype(np.uint8)


def kernel_picture(kernel: np.ndarray) -> np.ndarray:
    """A kernel as a picture: grey is 0, and its largest weight of either sign is full.

    Args:
        kernel: `(height, width, 3)` in RGB, or `(height, width, 1)`.

    Returns:
        uint8 `(height, width, 3)`.

    >>> kernel_picture(np.array([[[-2.0], [0.0], [1.0]]]))[0, :, 0].tolist()
    [0, 127, 191]
    """
    most = float(np.abs(kernel).max()) or 1.0
    pixels = (127.5 + 127.5 * kernel / most).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def plot_units(
    units: Sequence[int], values: Sequence[float], *, title: str, label: str = "activation"
) -> "Figure":
    """Draws the activations of units without places as bars, in the order given.

    Args:
        units: index of each.
        values: of each.
        title: above it all.
        label: of the axis of values.

    Returns:
        A Figure.

    >>> len(plot_units([3, 1], [2.0, 1.0], title="fc1").axes[0].patches)
    2
    """
    figure, axes = new_figure(title, 6.0, max(2.0, 0.9 + 0.24 * len(units)))
    places = np.arange(len(units))
    axes.barh(places, values, color=BLUE, height=0.7)
    axes.set_yticks(places, [f"{unit}" for unit in units], fontsize=8)
    axes.invert_yaxis()
    axes.set_ylabel("unit")
    axes.set_xlabel(label)
    axes.axvline(0.0, color=PALE, lw=1)
    axes.grid(axis="x")
    return figure


def plot_class_map(
    image: np.ndarray,
    heat: np.ndarray,
    *,
    title: str,
    label: str,
    peak_xy: tuple[int, int] | None = None,
    lines: Sequence[str] = (),
) -> "Figure":
    """Draws a picture, and beside it the places that speak for a class over its grey.

    Args:
        image: `(height, width, 3)` in [0, 1].
        heat: `(height, width)`; 0 and less leaves the picture grey.
        title: such as the class and its score.
        label: what the colours measure.
        peak_xy: pixel to mark with a cross.
        lines: below the title.

    Returns:
        A Figure.

    >>> heat = np.eye(8)
    >>> figure = plot_class_map(np.zeros((8, 8, 3)), heat, title="cat", label="share")
    >>> len(figure.axes)
    2
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    height, width = heat.shape
    # Of the panels, in inches: as high as wide at most, and the legend along the longer side.
    is_wide = width >= height
    across = 4.6 if is_wide else max(1.0, 4.6 * width / height)
    down = across * height / width if is_wide else 4.6
    left, gap, top = 0.15, 0.18, 0.75
    right, bottom = (0.3, 0.62) if is_wide else (0.85, 0.15)
    size = max(2 * across + left + gap + right, 5.5), down + top + bottom
    figure = Figure(size, dpi=150)
    before, over = (
        figure.add_axes(
            (start / size[0], bottom / size[1], across / size[0], down / size[1]), anchor="NW"
        )
        for start in (left, left + across + gap)
    )
    most = float(heat.max())
    shares = np.clip(heat / most, 0.0, 1.0) if most > 0 else np.zeros_like(heat)
    grey = (image @ np.array([0.2126, 0.7152, 0.0722]))[..., None]
    opacity = _OPACITY * shares[..., None]
    mixed = (1 - opacity) * grey + opacity * colormaps[_HEAT](shares)[..., :3]
    _show(before, image)
    _show(over, mixed)
    if peak_xy is not None and most > 0:
        over.plot(*peak_xy, marker="+", ms=11, mew=3.0, color=INK)
        over.plot(*peak_xy, marker="+", ms=10, mew=1.4, color="white")
    scale = ScalarMappable(Normalize(0.0, most if most > 0 else 1.0), colormaps[_HEAT])
    place = (
        (0.0, -0.2 / down, 1.0, 0.1 / down)
        if is_wide
        else (1 + 0.1 / across, 0.0, 0.1 / across, 1.0)
    )
    legend = figure.colorbar(
        scale, cax=over.inset_axes(place), orientation="horizontal" if is_wide else "vertical"
    )
    legend.set_label(label, color=INK, fontsize=9)
    legend.ax.tick_params(labelsize=8, colors=INK, length=0)
    legend.outline.set_visible(False)
    x = left / size[0]
    figure.text(x, 1 - 0.28 / size[1], title, color=INK, fontsize=13, weight="bold", va="center")
    figure.text(x, 1 - 0.55 / size[1], "  ·  ".join(lines), color=_QUIET, fontsize=9, va="center")
    return figure


def _show(axes: "Axes", image: np.ndarray) -> None:
    axes.imshow(np.clip(image, 0.0, 1.0))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
