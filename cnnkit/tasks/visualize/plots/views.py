"""What a network sees: activations, filters, pictures that excite units, evidence for a class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.plots._style import BLUE, INK, PALE, QUIET, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEAT = "inferno"
# Of the heat over the picture, where it is strongest.
_OPACITY = 0.75


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
    figure.text(x, 1 - 0.55 / size[1], "  ·  ".join(lines), color=QUIET, fontsize=9, va="center")
    return figure


def _show(axes: "Axes", image: np.ndarray) -> None:
    axes.imshow(np.clip(image, 0.0, 1.0))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
