"""What all figures share: colours, letters, and how they become files."""

import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.ImageFont import FreeTypeFont

# Told apart in grey and by colour-blind eyes (Okabe and Ito, 2008).
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
INK, QUIET, PALE, GRID = "#30343B", "#7A808A", "#D5D8DD", "#ECEEF1"


def encode_figure(figure: "Figure") -> bytes:
    """A Figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def font_of(size: int) -> "FreeTypeFont":
    """matplotlib's, which has the letters of most languages."""
    from PIL import ImageFont

    # Found without importing it, which would take as long as a picture does.
    spec = importlib.util.find_spec("matplotlib")
    folder = Path(spec.submodule_search_locations[0]) / "mpl-data"
    return ImageFont.truetype(folder / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def new_figure(title: str, width: float, height: float) -> "tuple[Figure, Axes]":
    # Imported here: matplotlib takes longer to import than most commands run.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": PALE,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": GRID,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with rc_context(style):
        figure = Figure((width, height), dpi=150, layout="constrained")
        axes = figure.add_subplot()
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, loc="left", color=INK, fontsize=12, pad=12)
    return figure, axes
