"""Settings of classifying pictures."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from cnnkit.engine.settings import (
    AUGMENT_PANEL,
    DATA_PANEL,
    FIT_PANEL,
    MODEL_PANEL,
    Argument,
    AugmentSettings,
    Ema,
    FitSettings,
    LabelSmoothing,
    MixedPrecision,
    Option,
    Settings,
    Split,
    check_split,
)
from cnnkit.errors import UsageError
from cnnkit.options import CLASSIFIERS

if TYPE_CHECKING:
    from typing_extensions import Self

Model = Annotated[
    str,
    Option(
        f"The folder of a training run, a Keras model, or {', '.join(CLASSIFIERS)}.",
        metavar="RUN|FILE.keras|NAME",
    ),
]
DATA = Argument("A folder per class, or a CSV of files.", metavar="DATA")


@dataclass(frozen=True)
class ReadSettings(Settings):
    """What the file of a classifier does not say of itself."""

    classes: Annotated[
        Path | None,
        Option(
            "Names of the classes, one a line, in the order of the outputs.",
            metavar="FILE",
            show_default="classes.txt in or beside the model",
        ),
    ] = None
    pixels: Annotated[
        str,
        Option(
            "What a .keras file that does not say so expects: unit [0, 1], byte [0, 255] or "
            "signed [-1, 1].",
            choices=("unit", "byte", "signed"),
        ),
    ] = "unit"


@dataclass(frozen=True)
class ClassifySettings(Settings):
    """Which classes `cnnkit.classify` tells of a picture."""

    top: Annotated[int, Option("Classes for each picture, at most.", min=1)] = 5
    group: Annotated[
        bool, Option("Of imagenet: sum the classes into everyday groups (dog, car) too.")
    ] = False
    conf: Annotated[
        float, Option("Only classes that are as probable as this.", min=0.0, max=1.0)
    ] = 0.0


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """What a classifier is measured on."""

    split: Split = None

    def check(self) -> None:
        """Refuses splits that no data have."""
        check_split(self.split)


# What `cnnkit train classify` builds, besides a `.keras` file.
TRAINABLE = (
    *("compact", "lenet5", "alexnet", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50"),
    *("inception", "mobilenet-v2", "convnet1d", "convnet3d", "yolov1"),
    *(f"efficientnet-lite{number}" for number in range(5)),
)
# Those of them that have trained weights, by what these are called in the table of weights; the
# first is what is meant where none is named.
PRETRAINED = {
    "efficientnet-lite0": "efficientnet-lite0",
    "compact": "compact",
    "vgg16": "vgg16-classifier",
    "vgg19": "vgg19-classifier",
    "mobilenet-v2": "mobilenet-v2",
}


@dataclass(frozen=True)
class TrainSettings(FitSettings, AugmentSettings):
    """Settings of `cnnkit train classify`.

    With "head" the classes alone are trained, on activations that are computed once; a random head
    would spoil the trained weights below it, so that "last:N" and "all" begin with epochs for the
    head alone. Arrays are not augmented.
    """

    trains = "a classifier"
    former: ClassVar[Mapping[str, str]] = {"mirror": "horizontal_flip"}

    model: Annotated[
        str,
        Option(
            f"{', '.join(TRAINABLE)}, or a file to start from.",
            MODEL_PANEL,
            metavar="NAME|FILE.keras",
        ),
    ] = "efficientnet-lite0"
    transfer: Annotated[
        str | None,
        Option(
            "What is trained: the classes alone, the last N layers too, everything from the "
            "trained weights, or everything from random ones.",
            MODEL_PANEL,
            metavar="head|last:N|all|scratch",
            show_default="head where there are trained weights, else scratch",
        ),
    ] = None
    size: Annotated[
        int | None,
        Option(
            "Side that pictures are stretched to, in pixels.",
            MODEL_PANEL,
            show_default="the model's own",
            min=8,
        ),
    ] = None
    width: Annotated[
        float, Option("Of yolov1: filters, as a part of the paper's.", MODEL_PANEL)
    ] = 1.0
    dropout: Annotated[
        float | None,
        Option(
            "Share of the head's inputs left out.",
            MODEL_PANEL,
            show_default="0.5, 0.2 from scratch",
            min=0.0,
            max=0.95,
        ),
    ] = None
    val_share: Annotated[
        float,
        Option(
            "Share of each class kept for validation, where DATA has none.",
            DATA_PANEL,
            above=0.0,
            below=1.0,
        ),
    ] = 0.15
    per_class: Annotated[
        int | None,
        Option("Training pictures of each class at most.", DATA_PANEL, show_default="all", min=1),
    ] = None
    class_weights: Annotated[
        bool, Option("Let rare classes count as much as frequent ones.", DATA_PANEL)
    ] = False
    epochs: Annotated[
        int | None,
        Option("Passes over the data.", FIT_PANEL, show_default="60, 20 for last:N and all", min=1),
    ] = None
    head_epochs: Annotated[
        int, Option("Of last:N and all: passes before, for the head alone.", FIT_PANEL, min=0)
    ] = 30
    learning_rate: Annotated[
        float | None,
        Option(
            "At its highest.",
            FIT_PANEL,
            show_default="0.001, 0.0003 for last:N and all; 50 times that for sgd",
            above=0.0,
        ),
    ] = None
    pretrained_rate: Annotated[
        float,
        Option("Of the learning rate, for weights that come trained.", FIT_PANEL, min=0.0, max=1.0),
    ] = 0.03
    label_smoothing: LabelSmoothing = 0.1
    ema: Ema = 0.0
    mixed_precision: MixedPrecision = "auto"
    augment: Annotated[bool, Option("Change pictures at random.", AUGMENT_PANEL)] = True

    def check(self) -> None:
        """Refuses what does not go together."""
        if self.model not in TRAINABLE and not self.model.endswith(".keras"):
            nearest = difflib.get_close_matches(self.model, TRAINABLE, n=1, cutoff=0.0)[0]
            raise UsageError(
                f"model must be a .keras file or one of {', '.join(TRAINABLE)}, "
                f"not {self.model!r}; did you mean {nearest}?"
            )
        if self.transfer is not None and not re.fullmatch(
            r"head|all|scratch|last:[1-9]\d*", self.transfer
        ):
            raise UsageError(f"transfer must be head, last:N, all or scratch, not {self.transfer}")
        if self.transfer not in (None, "scratch") and not self.is_pretrained:
            raise UsageError(
                f"{self.model} has no trained weights to start from; use --transfer scratch, or "
                f"--model {', '.join(PRETRAINED)} or a .keras file"
            )
        if not 0.0 < self.width <= 1.0 or (self.width != 1.0 and self.model != "yolov1"):
            raise UsageError(
                f"width must be over 0 and at most 1, and is for yolov1 alone, not {self.width}"
            )

    @classmethod
    def of_run(cls, values: Mapping[str, Any]) -> "Self":
        """See `FitSettings.of_run`."""
        before = values.get("augment")
        if isinstance(before, Mapping):
            # Until 0.2 the changes to pictures were settings within the settings.
            values = {**values, **before, "augment": True}
        return super().of_run(values)

    @property
    def changes(self) -> AugmentSettings:
        """How pictures are changed."""
        if not self.augment:
            return AugmentSettings.off()
        return AugmentSettings(**{name: getattr(self, name) for name in AugmentSettings.options})

    @property
    def is_pretrained(self) -> bool:
        """Whether the model comes with trained weights."""
        return self.model in PRETRAINED or self.model.endswith(".keras")

    @property
    def regime(self) -> str:
        """What is trained: `transfer`, or what it stands for when it is None."""
        return self.transfer or ("head" if self.is_pretrained else "scratch")

    @property
    def total_epochs(self) -> int:
        """Passes over the training data."""
        return self.epochs or {"head": 60, "scratch": 60}.get(self.regime, 20)

    @property
    def usual_learning_rate(self) -> float:
        """What the learning rate is at its highest where none is given."""
        default = 1e-3 if self.regime in ("head", "scratch") else 3e-4
        return default * (50 if self.optimizer == "sgd" else 1)

    @property
    def head_dropout(self) -> float:
        """Share of the head's inputs that is left out in training."""
        if self.dropout is not None:
            return self.dropout
        return 0.5 if self.is_pretrained else 0.2
