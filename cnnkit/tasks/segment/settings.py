"""Settings of segmentation, and the names of segmenters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from cnnkit.engine.settings import (
    DATA_PANEL,
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
    check_scales,
    check_split,
)
from cnnkit.errors import UsageError
from cnnkit.options import FCN_VARIANTS

DEFAULT_SEGMENTER = "voc21"
# Segmenters that have a name, and weights in the table.
SEGMENTERS = (DEFAULT_SEGMENTER, "deeplab")
# Of the shorter side of pictures, for the network's coarsest map to have a place.
SMALLEST_SIDE = 32
# Parts of labelled data that can be evaluated; "all" is every picture.
SPLITS = ("train", "val", "all")

# What `cnnkit train segment` builds segmenters on.
BACKBONES = ("compact", "vgg16", "coco80", "mobilenet-v2", "efficientnet-lite0")
# Feature pyramids with the pixels between their scores.
PYRAMIDS = {"pyramid": 4, "pyramid-8s": 8}
VARIANTS = (*FCN_VARIANTS, *PYRAMIDS)
PYRAMID_BACKBONES = ("efficientnet-lite0",)
# What crops look like to these may be kept in files. Of the latter its last convolutions may be
# trained on what is kept of those before.
VIEWED_BACKBONES = ("compact", "efficientnet-lite0")
MOST_AFTER_VIEWS = 15
TEACHER_VIEWS = ("crops", "pictures")

PICTURE_PANEL = "Picture"
_CROP_PANEL = "Crops"

Model = Annotated[
    str,
    Option(
        f"The folder of a training run, its model.keras, or {', '.join(SEGMENTERS)}.",
        NETWORK_PANEL,
        metavar="RUN|FILE.keras|NAME",
    ),
]
DATA = Argument(
    "A folder with images/ and labels/, or train/ and val/ of those, or masks beside their "
    "pictures, and classes.txt; or one of Pascal VOC, labelme, CVAT or COCO's panoptic segments.",
    metavar="DATA",
)
Background = Annotated[
    str | None,
    Option(
        "Put what is cut out before this: white, #ffcc00, blur or a picture.",
        PICTURE_PANEL,
        metavar="COLOR|blur|IMAGE",
    ),
]


@dataclass(frozen=True)
class SegmentSettings(Settings):
    """How a segmenter looks at a picture."""

    size: Annotated[
        int,
        Option(
            "Long side that pictures are seen at; your own models see smaller ones as they are.",
            NETWORK_PANEL,
            min=SMALLEST_SIDE,
            unit="pixels",
        ),
    ] = 512
    flip: Flip = False
    scales: Scales = (1.0,)

    def check(self) -> None:
        """Refuses scales that no network could look at a picture at."""
        check_scales(self.scales)


@dataclass(frozen=True)
class CutoutSettings(SegmentSettings):
    """What `cnnkit.cutout` cuts out of a picture, and how it looks at it."""

    subject: Annotated[
        str | None,
        Option(
            "What to cut out, such as dog or person,bicycle.",
            PICTURE_PANEL,
            metavar="LABEL,...",
            show_default="people, else what is largest",
        ),
    ] = None


@dataclass(frozen=True)
class EvaluateSettings(SegmentSettings):
    """What a segmenter is measured on, and how it looks at pictures."""

    split: Annotated[
        str | None,
        Option("Part of the data.", metavar="|".join(SPLITS), show_default="val, else all"),
    ] = None

    def check(self) -> None:
        """Refuses splits that no data have, and scales that no network could look at."""
        super().check()
        check_split(self.split, SPLITS)


@dataclass(frozen=True)
class TrainSettings(FitSettings):
    """Settings of `cnnkit train segment`.

    The learning rate grows and falls in each stage; patience counts in the last one. A teacher
    scores the same classes, at any stride, of RGB in [0, 1]; one that takes pictures of one size
    only is given the crops at that. Of efficientnet-lite0 `views` may be kept with "last:N" too, up
    to 15: those after the map at stride 16.
    """

    trains = "a segmenter"
    former: ClassVar[Mapping[str, str]] = {
        "mirror": "horizontal_flip",
        "imitation": "distillation",
        "hints": "distill_features",
    }

    backbone: Annotated[
        str,
        Option(
            "Network below the scores: the compact one knows textures, the shipped detector coco80 "
            "objects; so do efficientnet-lite0 (ImageNet), and vgg16 and mobilenet-v2, whose "
            "weights are fetched.",
            MODEL_PANEL,
            choices=BACKBONES,
        ),
    ] = "compact"
    variant: Annotated[
        str,
        Option(
            "Pixels between the scores of an FCN: fewer are finer; or a feature pyramid, with "
            f"4 or 8 between them, of {' or '.join(PYRAMID_BACKBONES)}.",
            MODEL_PANEL,
            choices=VARIANTS,
        ),
    ] = "8s"
    staged: Annotated[
        bool, Option("Begin with 32s, and start 16s from it and 8s from that.", MODEL_PANEL)
    ] = True
    transfer: Annotated[
        str,
        Option(
            "What is trained: all but the backbone, its last N layers too, or everything.",
            MODEL_PANEL,
            metavar="head|last:N|all",
        ),
    ] = "head"
    start: Annotated[
        str | None,
        Option(
            "An earlier training whose weights this one begins with, where layers agree.",
            MODEL_PANEL,
            metavar="NAME|RUN|FILE.keras",
            show_default="none",
        ),
    ] = None
    teacher: Annotated[
        str | None,
        Option(
            "Another network whose scores of the same classes are imitated beside learning the "
            "labels.",
            MODEL_PANEL,
            metavar="NAME|RUN|FILE.keras",
            show_default="none",
        ),
    ] = None
    distillation: Distillation = 1.0
    teacher_sees: Annotated[
        str,
        Option(
            "Every crop, or each picture once, whole: that is kept in the run folder.",
            MODEL_PANEL,
            choices=TEACHER_VIEWS,
        ),
    ] = "crops"
    distill_features: Annotated[
        float,
        Option(
            "Of --teacher-sees pictures: weight of what the teacher's scores are made of, e.g. 1; "
            "0 for the scores alone.",
            MODEL_PANEL,
            min=0.0,
            max=100.0,
            former=("--hints",),
        ),
    ] = 0.0
    dropout: Annotated[
        float | None,
        Option(
            "Share of the deepest maps left out.",
            MODEL_PANEL,
            show_default="0.1, 0.5 for vgg16",
            min=0.0,
            max=0.95,
        ),
    ] = None
    val_size: Annotated[
        int,
        Option(
            "Long side that larger pictures are validated at, in pixels.",
            DATA_PANEL,
            min=SMALLEST_SIDE,
        ),
    ] = 512
    class_weights: Annotated[
        bool,
        Option("Let rare classes count more, by one over the root of their share.", DATA_PANEL),
    ] = False
    balance: Annotated[
        float,
        Option(
            "Draw pictures of classes that fewer than this share of the pictures show more often, "
            "e.g. 0.1; 0 for all alike.",
            DATA_PANEL,
            min=0.0,
            max=1.0,
        ),
    ] = 0.0
    views: Annotated[
        int,
        Option(
            "Of --transfer head, or up to last:15 of efficientnet-lite0: crops of each picture "
            "that the backbone sees once, for many quick epochs; 0 for fresh crops.",
            _CROP_PANEL,
            min=0,
        ),
    ] = 0
    crop: Annotated[
        int,
        Option("Side of the squares to train on, in pixels, a multiple of 32.", _CROP_PANEL),
    ] = 224
    scale: Annotated[
        tuple[float, ...],
        Option(
            "Size of pictures in them, of their own.",
            _CROP_PANEL,
            metavar="LEAST,MOST",
            example="0.5,1.5",
        ),
    ] = (0.5, 1.5)
    mosaic: Annotated[
        float,
        Option(
            "Share that is laid out instead: one picture or several, each about as large as its "
            "part.",
            _CROP_PANEL,
            min=0.0,
            max=1.0,
        ),
    ] = 0.0
    horizontal_flip: Annotated[
        float,
        Option("Share that is mirrored.", _CROP_PANEL, min=0.0, max=1.0, former=("--mirror",)),
    ] = 0.5
    color: Annotated[
        float,
        Option(
            "Change of brightness, contrast, saturation, channels.", _CROP_PANEL, min=0.0, max=1.0
        ),
    ] = 0.3
    epochs: Annotated[
        int, Option("Passes over the data, in all stages together.", FIT_PANEL, min=1)
    ] = 20
    batch_size: Annotated[int, Option("Crops in a step.", FIT_PANEL, ("--batch",), min=1)] = 16
    learning_rate: Annotated[
        float | None,
        Option(
            "At its highest, in each stage.",
            FIT_PANEL,
            show_default="0.001, 0.0001 for vgg16; 50 times that for sgd",
            above=0.0,
        ),
    ] = None
    pretrained_rate: Annotated[
        float, Option("Of the learning rate, for the backbone.", FIT_PANEL, min=0.0, max=1.0)
    ] = 0.01
    weight_decay: float = 0.01
    dice: Annotated[
        float,
        Option("Weight of the dice loss beside the cross-entropy.", FIT_PANEL, min=0.0, max=100.0),
    ] = 0.0
    ema: Ema = 0.0
    clip_norm: float = 5.0
    mixed_precision: MixedPrecision = "auto"
    on_device: OnDevice = False

    def check(self) -> None:
        """Refuses what does not go together."""
        if not re.fullmatch(r"head|all|last:[1-9]\d*", self.transfer):
            raise UsageError(f"transfer must be head, last:N or all, not {self.transfer}")
        if self.variant in PYRAMIDS and self.backbone not in PYRAMID_BACKBONES:
            raise UsageError(
                f"a pyramid is built on {' or '.join(PYRAMID_BACKBONES)}; give that backbone, or "
                "another variant"
            )
        if self.views and not self._keeps_views:
            raise UsageError(
                "views are kept of a compact backbone or efficientnet-lite0 that does not change, "
                f"or of the latter up to its last {MOST_AFTER_VIEWS} layers; leave them out, or "
                "use --backbone efficientnet-lite0 --transfer head"
            )
        if self.crop < 32 or self.crop % 32:
            raise UsageError(f"crop must be a multiple of 32, not {self.crop}")
        if self.epochs < len(self.stages):
            raise UsageError(
                f"epochs must be {len(self.stages)} at least, one for each stage, not "
                f"{self.epochs}; give more, or --no-staged"
            )
        if len(self.scale) != 2 or not 0.05 <= self.scale[0] <= self.scale[1] <= 20.0:
            scale = ",".join(f"{one:g}" for one in self.scale)
            raise UsageError(f"scale must be LEAST,MOST from 0.05 to 20, not {scale}")
        self._check_teacher()

    def _check_teacher(self) -> None:
        if self.teacher is None:
            if self.distillation != TrainSettings.distillation:
                raise UsageError(
                    "distillation is the weight of what a teacher sees; give a teacher"
                )
            if self.teacher_sees == "pictures":
                raise UsageError("teacher_sees says what a teacher is shown; give a teacher")
        elif self.views:
            raise UsageError("a teacher sees fresh crops; leave out the views, or the teacher")
        if self.distill_features and self.variant in PYRAMIDS:
            raise UsageError(
                "distill-features is for the scores of an FCN; leave it out for a pyramid"
            )
        if self.distill_features and self.teacher_sees != "pictures":
            raise UsageError("distill-features is from whole pictures; use --teacher-sees pictures")
        if self.teacher_sees == "pictures" and self.on_device:
            raise UsageError(
                "what a teacher says of whole pictures is not kept on the device; leave out "
                "--on-device, or use --teacher-sees crops"
            )

    @property
    def _keeps_views(self) -> bool:
        if self.transfer == "head":
            return self.backbone in VIEWED_BACKBONES
        count = self.transfer.removeprefix("last:")
        return (
            self.backbone == VIEWED_BACKBONES[1]
            and count.isdigit()
            and int(count) <= MOST_AFTER_VIEWS
        )

    @property
    def stages(self) -> tuple[str, ...]:
        """The networks that are trained one after the other.

        >>> TrainSettings(variant="16s").stages
        ('32s', '16s')
        """
        if not self.staged or self.variant in PYRAMIDS:
            return (self.variant,)
        return FCN_VARIANTS[: FCN_VARIANTS.index(self.variant) + 1]

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """The epoch that each stage ends before: the last one has half of all or more.

        >>> TrainSettings(epochs=20).stage_ends
        (5, 10, 20)
        """
        before = len(self.stages) - 1
        each = max(1, self.epochs // (2 * before)) if before else 0
        return (*(each * stage for stage in range(1, before + 1)), self.epochs)

    @property
    def usual_learning_rate(self) -> float:
        """What the learning rate is at its highest where none is given."""
        default = 1e-4 if self.backbone == "vgg16" else 1e-3
        return default * (50 if self.optimizer == "sgd" else 1)

    @property
    def head_dropout(self) -> float:
        """Share of the deepest maps that is left out in training."""
        if self.dropout is not None:
            return self.dropout
        return 0.5 if self.backbone == "vgg16" else 0.1
