"""Settings of detection, and the names of detectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from cnnkit.engine.settings import (
    FIT_PANEL,
    MODEL_PANEL,
    NETWORK_PANEL,
    Argument,
    Distillation,
    Ema,
    FitSettings,
    Flip,
    MixedPrecision,
    OnDevice,
    Option,
    Scales,
    Settings,
    Split,
    Workers,
    check_scales,
    check_split,
    is_count,
)
from cnnkit.errors import UsageError

DEFAULT_DETECTOR = "coco80"
# Detectors that have a name, and weights in the table.
DETECTORS = (DEFAULT_DETECTOR, "yolo-fastest-xl")
# See `ops.boxes.select_detections`.
SUPPRESSIONS = ("class", "agnostic", "soft")

# What `cnnkit train detect` builds, besides a `.keras` file.
TRAINABLE_DETECTORS = (DEFAULT_DETECTOR, "efficientnet-lite0", "anchors", "compact", "yolov1")
# Side of the scenes that a network learns from, in pixels, where none is given.
_SIDE, _YOLOV1_SIDE = 320, 448

_BOX_PANEL, _SCENE_PANEL = "Boxes", "Scenes (0 switches off)"

Model = Annotated[
    str,
    Option(
        f"{', '.join(DETECTORS)} (fetched), a run of 'cnnkit train detect', or a file.",
        metavar="NAME|RUN|FILE.keras",
    ),
]
DATA = Argument(
    "Folder of YOLO, Pascal VOC or COCO; or a .yaml (Ultralytics, Roboflow), .data (Darknet) or "
    ".json (COCO).",
    metavar="DATA",
)
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


def _is_path(model: str) -> bool:
    """Whether a model is not meant by a name, but by a run folder or a file."""
    return model.endswith(".keras") or "/" in model or "\\" in model or Path(model).is_dir()


@dataclass(frozen=True)
class TrainSettings(FitSettings):
    """Settings of `cnnkit train detect`.

    The model is "coco80", the shipped detector, or an earlier run, whose weights are taken over,
    those of the classes where the names are the same; "efficientnet-lite0", anew on that network of
    ImageNet; "anchors", anew on the compact network; "compact", one without anchors on that, which
    has a finer map too; or "yolov1", from random weights, as in the paper. Networks that learned
    from small scenes often find more in larger pictures, see `val_size`. A teacher with anchors is
    imitated in its answers and the features before them, one of "compact" in its activations at
    strides 8, 16 and 32.
    """

    trains = "a detector"
    former: ClassVar[Mapping[str, str]] = {
        "mirror": "horizontal_flip",
        "imitation": "distillation",
    }

    model: Annotated[
        str,
        Option(
            f"{', '.join(TRAINABLE_DETECTORS)}, or a run or file to start from.",
            MODEL_PANEL,
            metavar="NAME|RUN|FILE.keras",
        ),
    ] = DEFAULT_DETECTOR
    freeze: Annotated[
        bool, Option("Leave the trained network below the detector as it is.", MODEL_PANEL)
    ] = True
    size: Annotated[
        int | None,
        Option(
            "Side of the scenes in pixels, a multiple of 32, of 64 for yolov1.",
            MODEL_PANEL,
            show_default=f"{_SIDE}, {_YOLOV1_SIDE} for yolov1",
        ),
    ] = None
    val_size: Annotated[
        int | None,
        Option(
            "Long side to see pictures at for validation, and later in 'detect'.",
            MODEL_PANEL,
            show_default="that of the scenes",
        ),
    ] = None
    width: Annotated[
        float, Option("Of yolov1: filters, as a part of the paper's.", MODEL_PANEL)
    ] = 1.0
    pretrained: Annotated[
        str | None,
        Option(
            "Of yolov1: a run of 'train classify --model yolov1', whose 20 convolutions it begins "
            "with. Of anchors and compact: a run of this command with either, for the stages.",
            MODEL_PANEL,
            metavar="NAME|RUN|FILE.keras",
            show_default="random weights",
        ),
    ] = None
    teacher: Annotated[
        str | None,
        Option(
            "Another detector to imitate beside learning the boxes: it sees every scene too, and "
            "its answers, or for compact its activations, are targets.",
            MODEL_PANEL,
            metavar="NAME|RUN|FILE.keras",
            show_default="none",
        ),
    ] = None
    distillation: Distillation = 1.0
    labels: Annotated[
        float, Option("Weight of the boxes beside a teacher.", MODEL_PANEL, min=0.0, max=1.0)
    ] = 1.0
    epochs: Annotated[int, Option("Passes over the data.", FIT_PANEL, min=1)] = 60
    batch_size: Annotated[int, Option("Scenes in a step.", FIT_PANEL, ("--batch",), min=1)] = 8
    learning_rate: Annotated[
        float | None,
        Option("At its highest.", FIT_PANEL, show_default="0.001, 0.002 from new", above=0.0),
    ] = None
    pretrained_rate: Annotated[
        float,
        Option(
            "Of the learning rate, for the network below with --no-freeze.",
            FIT_PANEL,
            min=0.0,
            max=1.0,
        ),
    ] = 0.003
    warmup: float = 0.03
    weight_decay: float = 0.02
    ema: Ema = 0.0
    clip_norm: float = 10.0
    mosaic: Annotated[
        float,
        Option(
            "Share of the scenes put together from several pictures.",
            _SCENE_PANEL,
            min=0.0,
            max=1.0,
        ),
    ] = 0.75
    scale: Annotated[
        float,
        Option("Change of sizes, as a natural logarithm each way.", _SCENE_PANEL, min=0.0, max=2.0),
    ] = 0.5
    horizontal_flip: Annotated[
        float,
        Option("Share of mirrored pictures.", _SCENE_PANEL, min=0.0, max=1.0, former=("--mirror",)),
    ] = 0.5
    color: Annotated[
        float,
        Option("Brightness, contrast, saturation, channels.", _SCENE_PANEL, min=0.0, max=1.0),
    ] = 0.2
    mixed_precision: MixedPrecision = "off"
    workers: Workers = 0
    on_device: OnDevice = False

    def check(self) -> None:
        """Refuses what does not go together."""
        self._check_model()
        self._check_sizes()
        self._check_teacher()

    def _check_model(self) -> None:
        if self.model not in TRAINABLE_DETECTORS and not _is_path(self.model):
            raise UsageError(
                f"model must be {', '.join(TRAINABLE_DETECTORS)} or a .keras file, "
                f"not {self.model!r}"
            )
        if self.pretrained is not None and self.model not in ("anchors", "compact", "yolov1"):
            raise UsageError(
                "pretrained is for a model that begins anew; a run to start from is given as the "
                "model"
            )

    def _check_sizes(self) -> None:
        is_yolov1 = self.model == "yolov1"
        step = 64 if is_yolov1 else 32
        if self.size is not None and (not is_count(self.size, step) or self.size % step):
            raise UsageError(f"size must be a multiple of {step}, not {self.size!r}")
        if self.val_size is not None:
            if is_yolov1:
                raise UsageError("yolov1 sees pictures at one size; give it as the size alone")
            if not is_count(self.val_size, 32) or self.val_size % 32:
                raise UsageError(f"val-size must be a multiple of 32, not {self.val_size!r}")
        if not 0.0 < self.width <= 1.0 or (self.width != 1.0 and not is_yolov1):
            raise UsageError(
                f"width must be over 0 and at most 1, and is for yolov1 alone, not {self.width}"
            )

    def _check_teacher(self) -> None:
        if self.teacher is None:
            if self.distillation != TrainSettings.distillation:
                raise UsageError(
                    "distillation is the weight of what a teacher sees; give a teacher"
                )
            if self.labels != TrainSettings.labels:
                raise UsageError("labels is their weight beside a teacher; give a teacher")
            return
        if self.model == "yolov1":
            raise UsageError("yolov1 has no teacher; train another model with it")
        if self.teacher not in DETECTORS and not _is_path(self.teacher):
            raise UsageError(
                f"teacher must be {', '.join(DETECTORS)} or a .keras file, not {self.teacher!r}"
            )

    @property
    def side(self) -> int:
        """Of the scenes, in pixels."""
        return self.size or (_YOLOV1_SIDE if self.model == "yolov1" else _SIDE)

    @property
    def seen_side(self) -> int:
        """Of pictures that are looked at whole, in pixels."""
        return self.val_size or self.side

    @property
    def usual_learning_rate(self) -> float:
        """What the learning rate is at its highest where none is given."""
        return 2e-3 if self.model in TRAINABLE_DETECTORS[1:] else 1e-3


# Until 0.3.
DetectOptions = DetectSettings
