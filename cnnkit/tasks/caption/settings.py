"""Settings of captioning, and the names of captioners."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from cnnkit.engine.settings import (
    DATA_PANEL,
    FIT_PANEL,
    MODEL_PANEL,
    Argument,
    FitSettings,
    LabelSmoothing,
    Option,
    Settings,
    check_split,
)
from cnnkit.errors import UsageError
from cnnkit.options import CAPTION_CELLS

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_CAPTIONER = "captions"
# Captioners that have a name, and weights in the table.
CAPTIONERS = (DEFAULT_CAPTIONER,)
# What captioners see with, and the side of the pictures in pixels.
BACKBONES = {"efficientnet-lite0": 256, "compact": 160}
# Parts of sentences that can be evaluated; "all" is every picture.
SPLITS = ("train", "val", "all")


Model = Annotated[
    str,
    Option(
        f"The folder of a training run, its model.keras, or {', '.join(CAPTIONERS)}.",
        metavar="RUN|FILE.keras|NAME",
    ),
]
DATA = Argument(
    "A CSV with the columns file and sentence, a JSON file of COCO's captions, or a folder with "
    "such for train and val.",
    metavar="DATA",
)
# Where the pictures of sentences are.
_IMAGES_HELP, _IMAGES_DEFAULT = "Where the pictures are.", "beside DATA, or where COCO has them"


@dataclass(frozen=True)
class SearchSettings(Settings):
    """How the best sentence about a picture is searched for.

    Of the length penalties 0.5, 0.8 and 1 the default has the highest CIDEr-D on the pictures that
    the shipped captioner was validated with.
    """

    beams: Annotated[
        int, Option("Sentences that are followed at a time; 1 takes the most probable word.", min=1)
    ] = 4
    max_words: Annotated[int, Option("Words of a sentence.", min=1)] = 20
    length_penalty: Annotated[
        float,
        Option(
            "0 prefers probable sentences, which are short; more, longer ones.", min=0.0, max=2.0
        ),
    ] = 1.0


@dataclass(frozen=True)
class CaptionSettings(SearchSettings):
    """Which sentences `cnnkit.caption` writes about a picture."""

    candidates: Annotated[
        int, Option("Sentences for each picture, at most as many as beams.", min=1)
    ] = 1

    def check(self) -> None:
        """Refuses more sentences than are followed."""
        if self.candidates > self.beams:
            raise UsageError(
                f"{self.candidates} candidates need as many beams, not {self.beams}; "
                f"use --beams {self.candidates}"
            )


@dataclass(frozen=True)
class EvaluateSettings(SearchSettings):
    """What a captioner is measured on."""

    images: Annotated[
        Path | None, Option(_IMAGES_HELP, metavar="DIR", show_default=_IMAGES_DEFAULT)
    ] = None
    split: Annotated[
        str | None,
        Option("Part of the data.", metavar="|".join(SPLITS), show_default="val, else all"),
    ] = None

    def check(self) -> None:
        """Refuses splits that no data have."""
        check_split(self.split, SPLITS)


@dataclass(frozen=True)
class TrainSettings(FitSettings):
    """Settings of `cnnkit train caption`.

    With "head" the decoder alone is trained, on what the backbone sees of each picture once. For
    mirror images "left" and "right" change places.
    """

    trains = "a captioner"
    former: ClassVar[Mapping[str, str]] = {"mirror": "horizontal_flip"}

    images: Annotated[
        Path | None, Option(_IMAGES_HELP, DATA_PANEL, metavar="DIR", show_default=_IMAGES_DEFAULT)
    ] = None
    vocabulary: Annotated[
        int, Option("Words at most; the rarest are left out.", DATA_PANEL, min=5)
    ] = 5000
    min_count: Annotated[
        int, Option("Words that occur less often are left out.", DATA_PANEL, min=1)
    ] = 2
    max_words: Annotated[
        int, Option("Words of a sentence; longer ones lose their end.", DATA_PANEL, min=1)
    ] = 20
    horizontal_flip: Annotated[
        bool,
        Option(
            "Train on mirror images too, and swap left and right in their sentences.",
            DATA_PANEL,
            former=("--mirror/--no-mirror",),
        ),
    ] = True
    backbone: Annotated[
        str,
        Option("What the pictures are seen with.", MODEL_PANEL, choices=tuple(BACKBONES)),
    ] = "efficientnet-lite0"
    cell: Annotated[
        str, Option("What the decoder is made of.", MODEL_PANEL, choices=CAPTION_CELLS)
    ] = "lstm"
    attention: Annotated[
        bool, Option("Look at places of the picture for each word.", MODEL_PANEL)
    ] = True
    units: Annotated[int, Option("Numbers in the decoder's state.", MODEL_PANEL, min=1)] = 192
    embedding: Annotated[int, Option("Numbers that stand for a word.", MODEL_PANEL, min=1)] = 96
    transfer: Annotated[
        str,
        Option(
            "What is trained: the decoder, the last N layers of the backbone too, or all.",
            MODEL_PANEL,
            metavar="head|last:N|all",
        ),
    ] = "head"
    size: Annotated[
        int | None,
        Option(
            "Side that pictures are stretched to, in pixels.",
            MODEL_PANEL,
            show_default=", ".join(f"{side} for {one}" for one, side in BACKBONES.items()),
            min=32,
        ),
    ] = None
    dropout: Annotated[
        float,
        Option(
            "Share of what is seen that is left out in training.", MODEL_PANEL, min=0.0, max=0.9
        ),
    ] = 0.4
    epochs: Annotated[int, Option("Passes over the sentences.", FIT_PANEL, min=1)] = 20
    batch_size: Annotated[int, Option("Sentences in a step.", FIT_PANEL, ("--batch",), min=1)] = 64
    learning_rate: Annotated[
        float | None,
        Option(
            "At its highest.",
            FIT_PANEL,
            show_default="0.002, 0.001 where the backbone trains; 50 times that for sgd",
            above=0.0,
        ),
    ] = None
    pretrained_rate: Annotated[
        float, Option("Of the learning rate, for the backbone.", FIT_PANEL, min=0.0, max=1.0)
    ] = 0.03
    label_smoothing: LabelSmoothing = 0.0
    clip_norm: float = 5.0
    patience: int = 5
    beams: Annotated[
        int,
        Option("Of the search for the sentences that the training ends with.", FIT_PANEL, min=1),
    ] = 4

    def check(self) -> None:
        """Refuses layers to train that nobody can count."""
        if not re.fullmatch(r"head|all|last:[1-9]\d*", self.transfer):
            raise UsageError(f"transfer must be head, last:N or all, not {self.transfer}")

    @classmethod
    def of_run(cls, values: Mapping[str, Any]) -> "Self":
        """See `FitSettings.of_run`; runs of before there were several backbones have "compact"."""
        return super().of_run({"backbone": "compact", **values})

    @property
    def side(self) -> int:
        """Of the pictures, in pixels."""
        return self.size or BACKBONES[self.backbone]

    @property
    def usual_learning_rate(self) -> float:
        """What the learning rate is at its highest where none is given."""
        default = 2e-3 if self.transfer == "head" else 1e-3
        return default * (50 if self.optimizer == "sgd" else 1)
