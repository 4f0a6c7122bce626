"""Settings of classifying pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cnnkit.engine.settings import Argument, Option, Settings, Split, check_split
from cnnkit.options import CLASSIFIERS

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
            "signed [-1, 1]."
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
