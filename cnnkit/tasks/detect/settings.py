"""Settings of detection, and the names of detectors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cnnkit.engine.settings import (
    NETWORK_PANEL,
    Argument,
    Flip,
    Option,
    Scales,
    Settings,
    Split,
    check_scales,
    check_split,
)

DEFAULT_DETECTOR = "coco80"
# Detectors that have a name, and weights in the table.
DETECTORS = (DEFAULT_DETECTOR, "yolo-fastest-xl")
# See `ops.boxes.select_detections`.
SUPPRESSIONS = ("class", "agnostic", "soft")

_BOX_PANEL = "Boxes"

Model = Annotated[
    str,
    Option(
        f"{', '.join(DETECTORS)} (fetched), a run of 'cnnkit train detect', or a file.",
        metavar="NAME|RUN|FILE.keras",
    ),
]
Data = Annotated[
    Path,
    Argument(
        "Folder of YOLO, Pascal VOC or COCO; or a .yaml (Ultralytics, Roboflow), .data "
        "(Darknet) or .json (COCO).",
        metavar="DATA",
    ),
]
Size = Annotated[
    int | None,
    Option(
        "Long side that the network sees pictures at, in pixels.",
        NETWORK_PANEL,
        show_default="the model's own",
        min=32,
        unit="pixels",
    ),
]


@dataclass(frozen=True)
class DetectSettings(Settings):
    """Which objects `cnnkit.detect` finds in a picture, and how it looks at it.

    What is found in several views is fused (see `ops.boxes.fuse_boxes`): scores are means over the
    views.
    """

    conf: Annotated[float, Option("Least score, from 0 to 1.", _BOX_PANEL, min=0.0, max=1.0)] = 0.25
    iou: Annotated[
        float,
        Option("Largest overlap of two boxes that are both kept.", _BOX_PANEL, min=0.0, max=1.0),
    ] = 0.5
    max_det: Annotated[int, Option("Objects in a picture, at most.", _BOX_PANEL, min=1)] = 100
    classes: Annotated[
        tuple[str, ...] | None,
        Option("Look only for these.", _BOX_PANEL, metavar="NAME,...", show_default="all"),
    ] = None
    size: Size = None
    suppression: Annotated[
        str,
        Option(
            "Drop overlapping boxes of one class, of all, or lower their scores.",
            _BOX_PANEL,
            choices=SUPPRESSIONS,
        ),
    ] = "class"
    flip: Flip = False
    scales: Scales = (1.0,)

    def check(self) -> None:
        """Refuses scales that no network could look at a picture at."""
        check_scales(self.scales)


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """What a detector is measured on, and how it looks at pictures."""

    split: Split = None
    size: Size = None
    flip: Flip = False
    scales: Scales = (1.0,)

    def check(self) -> None:
        """Refuses splits that no data have, and scales that no network could look at."""
        check_split(self.split)
        check_scales(self.scales)


# Until 0.3.
DetectOptions = DetectSettings
