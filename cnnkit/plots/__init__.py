"""Figures of results: arrays in, a `matplotlib.figure.Figure` or a picture out; nothing is shown.

Figures are made without pyplot, so that they need no display and leave no state behind. Save one
with `figure.savefig("roc.png")`, or as .svg or .pdf.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnkit.plots._style import encode_figure
    from cnnkit.plots._tiles import draw_tiles
    from cnnkit.plots.augmentation import draw_augmented
    from cnnkit.plots.classification import draw_mistakes, plot_calibration, plot_confusion
    from cnnkit.plots.pictures import draw_captioned, draw_labels, draw_sheet
    from cnnkit.plots.training import plot_learning_rates, plot_training
    from cnnkit.plots.verification import FacePanel, plot_distances, plot_roc, plot_verification

# Imported when they are first used: a command needs but one of them.
_HOMES = {
    "draw_augmented": "augmentation",
    "draw_captioned": "pictures",
    "draw_labels": "pictures",
    "draw_mistakes": "classification",
    "draw_sheet": "pictures",
    "draw_tiles": "_tiles",
    "encode_figure": "_style",
    "FacePanel": "verification",
    "plot_calibration": "classification",
    "plot_confusion": "classification",
    "plot_distances": "verification",
    "plot_roc": "verification",
    "plot_learning_rates": "training",
    "plot_training": "training",
    "plot_verification": "verification",
}

__all__ = [
    "FacePanel",
    "draw_augmented",
    "draw_captioned",
    "draw_labels",
    "draw_mistakes",
    "draw_sheet",
    "draw_tiles",
    "encode_figure",
    "plot_calibration",
    "plot_confusion",
    "plot_distances",
    "plot_learning_rates",
    "plot_roc",
    "plot_training",
    "plot_verification",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
