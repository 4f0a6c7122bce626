"""What a kernel or a pooling window does to a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.plots._style import INK, PALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_filtering(
    image: np.ndarray,
    output: np.ndarray,
    *,
    kernel: np.ndarray | None,
    window: tuple[int, int],
    title: str,
    lines: Sequence[str],
) -> "Figure":
    """Draws a picture, the window that slid over it, and what came out.

    What a kernel gives has a sign: blue where it is negative, red where it is positive, white where
    the kernel saw nothing. The darkest half percent of the pixels share one colour.

    Args:
        image: `(height, width)` or `(height, width, 3)` in [0, 1].
        output: `(new height, new width)`, of a pooling also with three channels.
        kernel: `(rows, columns)`, or None for a pooling, whose output is a picture again.
        window: rows and columns of the window.
        title: above it all.
        lines: below, such as the arithmetic of the sizes.

    Returns:
        A Figure.

    Example:

    >>> ramp = np.tile(np.linspace(0, 1, 9), (9, 1))
    >>> figure = plot_filtering(
    ...     ramp, ramp[:7, :7], kernel=np.eye(3), window=(3, 3), title="eye", lines=["7"]
    ... )
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['9 x 9', '3 x 3', '7 x 7']
    """
    from matplotlib.figure import Figure

    figure = Figure((10.0, 4.9), dpi=150)
    grid = figure.add_gridspec(
        1, 5, width_ratios=(4, 0.1, 2, 0.1, 4), wspace=0.14,
        left=0.03, right=0.97, top=0.8, bottom=0.2,
    )  # fmt: skip
    before, middle, after = (figure.add_subplot(grid[0, column]) for column in (0, 2, 4))
    before.imshow(image, cmap="gray", vmin=0, vmax=1)
    _draw_window(middle, kernel, window)
    if kernel is None:
        after.imshow(np.clip(output, 0, 1), cmap="gray", vmin=0, vmax=1)
    else:
        # A few extreme pixels must not make all others pale.
        most = float(np.quantile(np.abs(output), 0.995)) or float(np.abs(output).max()) or 1.0
        shown = after.imshow(output, cmap="RdBu_r", vmin=-most, vmax=most)
        below = after.inset_axes((0.0, -0.09, 1.0, 0.035))
        bar = figure.colorbar(shown, cax=below, orientation="horizontal")
        bar.set_ticks([-most, 0, most], labels=[f"−{most:.3g}", "0", f"{most:.3g}"])
        bar.ax.tick_params(labelsize=8, colors=INK, length=0)
        bar.outline.set_visible(False)
    sizes = (image.shape[:2], window, output.shape[:2])
    for axes, (height, width) in zip((before, middle, after), sizes, strict=True):
        axes.set_title(f"{height} x {width}", color=INK, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(PALE)
    for column, sign in ((1, "→" if kernel is None else "∗"), (3, "→" if kernel is None else "=")):
        axes = figure.add_subplot(grid[0, column])
        axes.set_axis_off()
        axes.text(0.5, 0.5, sign, ha="center", va="center", fontsize=22, color=INK)
    figure.text(0.03, 0.93, title, color=INK, fontsize=14, weight="bold", va="center")
    for row, line in enumerate(lines):
        figure.text(0.03, 0.1 - 0.045 * row, line, color=INK, fontsize=9.5, family="monospace")
    return figure


def _draw_window(axes: "Axes", kernel: np.ndarray | None, window: tuple[int, int]) -> None:
    """The numbers of a kernel in their cells, or the empty cells of a pooling."""
    rows, columns = window
    numbers = np.zeros(window) if kernel is None else kernel
    most = float(np.abs(numbers).max()) or 1.0
    # Twice the range: pale enough for black numbers.
    axes.imshow(numbers, cmap="RdBu_r", vmin=-2 * most, vmax=2 * most)
    if max(window) > 15:
        return
    axes.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color=PALE, lw=1)
    axes.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color=PALE, lw=1)
    if kernel is None:
        return
    size = min(15.0, 62.0 / max(window))
    for row in range(rows):
        for column in range(columns):
            axes.text(
                column, row, f"{kernel[row, column]:.3g}".replace("-", "−"),
                ha="center", va="center", fontsize=size, color=INK,
            )  # fmt: skip
