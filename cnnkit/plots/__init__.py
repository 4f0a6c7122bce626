"""Figures of results: arrays in, a `matplotlib.figure.Figure` or a picture out; nothing is shown.

Figures are made without pyplot, so that they need no display and leave no state behind. Save one
with `figure.savefig("roc.png")`, or as .svg or .pdf.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnkit.plots._style import encode_figure
    from cnnkit.plots._tiles import draw_tiles
    from cnnkit.plots.architecture import plot_architecture
    from cnnkit.plots.augmentation import draw_augmented
    from cnnkit.plots.classification import draw_mistakes, plot_calibration, plot_confusion
    from cnnkit.plots.filtering import plot_filtering
    from cnnkit.plots.pictures import draw_captioned, draw_labels, draw_sheet
    from cnnkit.plots.training import plot_learning_rates, plot_training
    from cnnkit.plots.units import draw_units
    from cnnkit.plots.units_page import units_page
    from cnnkit.plots.verification import FacePanel, plot_distances, plot_roc, plot_verification
    from cnnkit.plots.views import color_map, kernel_picture, plot_class_map, plot_units
    from cnnkit.plots.words import plot_words

# Imported when they are first used: a command needs but one of them.
_HOMES = {
    "color_map": "views",
    "draw_augmented": "augmentation",
    "draw_captioned": "pictures",
    "draw_labels": "pictures",
    "draw_mistakes": "classification",
    "draw_sheet": "pictures",
    "draw_tiles": "_tiles",
    "draw_units": "units",
    "encode_figure": "_style",
    "FacePanel": "verification",
    "kernel_picture": "views",
    "plot_architecture": "architecture",
    "plot_calibration": "classification",
    "plot_class_map": "views",
    "plot_confusion": "classification",
    "plot_distances": "verification",
    "plot_filtering": "filtering",
    "plot_roc": "verification",
    "plot_learning_rates": "training",
    "plot_training": "training",
    "plot_units": "views",
    "plot_verification": "verification",
    "plot_words": "words",
    "units_page": "units_page",
}

__all__ = [
    "FacePanel",
    "color_map",
    "draw_augmented",
    "draw_captioned",
    "draw_labels",
    "draw_mistakes",
    "draw_sheet",
    "draw_tiles",
    "draw_units",
    "encode_figure",
    "kernel_picture",
    "plot_architecture",
    "plot_calibration",
    "plot_class_map",
    "plot_confusion",
    "plot_distances",
    "plot_filtering",
    "plot_learning_rates",
    "plot_roc",
    "plot_training",
    "plot_units",
    "plot_verification",
    "plot_words",
    "units_page",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
