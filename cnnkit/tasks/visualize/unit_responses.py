"""What units respond to."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class UnitPatch:
    """What one unit sees in one picture.

    Attributes:
        value: its response.
        source: name of the picture.
        row: of the unit's map, where the response is from; 0 for a layer without maps.
        column: of the same.
        box_xyxy: what the unit sees, in pixels of the upright picture; it may reach beyond.
        pixels: uint8 `(height, width, 3)`, what it sees, as the network sees it.
        reconstruction: uint8 of the same shape, drawn by the deconvnet; None without it.
    """

    value: float
    source: str
    row: int
    column: int
    box_xyxy: tuple[float, float, float, float]
    pixels: np.ndarray
    reconstruction: np.ndarray | None = None

    def to_dict(self) -> dict[str, Any]:
        """All but pictures."""
        box = dict(zip(("x1", "y1", "x2", "y2"), self.box_xyxy, strict=True))
        places = {"row": self.row, "column": self.column, "box": box}
        return {"value": self.value, "source": self.source, **places}


@dataclass(frozen=True, eq=False)
class UnitResponse:
    """What one unit of a layer responds to.

    Attributes:
        unit: its number in the layer, from 0.
        patches: the strongest, best first.
        mean: of its strongest response to each picture.
        silent: pictures to which it does not respond at all.
        histogram_edges: of the bins of its strongest response to each picture, one more than bins.
        histogram_counts: pictures in each bin; the silent ones are in none.
    """

    unit: int
    patches: tuple[UnitPatch, ...]
    mean: float
    silent: int
    histogram_edges: tuple[float, ...]
    histogram_counts: tuple[int, ...]

    @property
    def is_reconstructed(self) -> bool:
        """Whether the deconvnet drew any of the patches."""
        return any(patch.reconstruction is not None for patch in self.patches)

    def to_dict(self) -> dict[str, Any]:
        """All but pictures."""
        return {
            "unit": self.unit,
            "mean": self.mean,
            "silent": self.silent,
            "histogram": {"edges": self.histogram_edges, "counts": self.histogram_counts},
            "patches": [patch.to_dict() for patch in self.patches],
        }


@dataclass(frozen=True, eq=False)
class LayerResponses:
    """What units of one layer respond to.

    Attributes:
        layer: its name.
        total_units: units that it has.
        receptive_field: rows and columns of the picture that a unit sees; None where a unit sees
            all of it, or where that is not known.
        silent_units: numbers of the units that responded to no picture.
        units: those that were chosen.
    """

    layer: str
    total_units: int
    receptive_field: tuple[int, int] | None
    silent_units: tuple[int, ...]
    units: tuple[UnitResponse, ...]

    def to_dict(self) -> dict[str, Any]:
        """All but pictures."""
        return {
            "layer": self.layer,
            "total_units": self.total_units,
            "receptive_field": self.receptive_field,
            "silent_units": self.silent_units,
            "units": [unit.to_dict() for unit in self.units],
        }
