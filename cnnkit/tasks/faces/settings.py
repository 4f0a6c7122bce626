"""Settings of recognising faces."""

from dataclasses import dataclass
from typing import Annotated

from cnnkit.engine.settings import (
    DATA_PANEL,
    MODEL_PANEL,
    Option,
    Seed,
    Settings,
    StepsPerEpoch,
)
from cnnkit.errors import UsageError
from cnnkit.options import FACE_FORMS, MININGS

LOSSES = ("triplet", "binary")
ENCODERS = ("scratch", "dlib")
# Which face of a picture counts where there are several.
CHOICES = ("main", "largest")

FACE_PANEL = "Faces"

Model = Annotated[
    str,
    Option(
        "dlib's network, or a .keras file of 'cnnkit train faces'.",
        FACE_PANEL,
        metavar="dlib|FILE",
    ),
]
MaxSide = Annotated[
    int,
    Option(
        "Search larger pictures at this long side, in pixels.", FACE_PANEL, min=32, unit="pixels"
    ),
]
Upsample = Annotated[
    int,
    Option(
        "Double the picture this often before the search, 0 to 2: finds smaller faces.",
        FACE_PANEL,
        min=0,
        max=2,
    ),
]
Choose = Annotated[
    str,
    Option(
        "The face of a picture that counts: a large one near to the middle, or the largest.",
        FACE_PANEL,
        choices=CHOICES,
    ),
]


@dataclass(frozen=True)
class FaceSettings(Settings):
    """How faces are found and compared.

    Attributes:
        fallback: double the picture once more where nothing is found.
    """

    model: Model = "dlib"
    threshold: Annotated[
        float | None,
        Option(
            "Faces nearer than this are of one person.",
            FACE_PANEL,
            show_default="the model's own",
            above=0.0,
        ),
    ] = None
    calibration: Annotated[
        str | None,
        Option(
            "Threshold and odds of 'cnnkit faces calibrate'.",
            FACE_PANEL,
            metavar="FILE",
        ),
    ] = None
    max_side: MaxSide = 1000
    upsample: Upsample = 0
    fallback: bool = True


@dataclass(frozen=True)
class EmbedSettings(Settings):
    """How faces are found and made vectors of."""

    model: Model = "dlib"
    max_side: MaxSide = 1000
    upsample: Upsample = 0

    @property
    def faces(self) -> FaceSettings:
        """The same, where what is compared is of no matter."""
        return FaceSettings(self.model, max_side=self.max_side, upsample=self.upsample)


@dataclass(frozen=True)
class TrainSettings(Settings):
    """Settings of `cnnkit train faces`.

    Attributes:
        restarts: how often a collapsed training is taken up again with easier triplets.
        patience: steps that the loss may be stuck before that is called a collapse.
    """

    loss: Annotated[
        str,
        Option(
            "triplet: a small encoder; binary: weights for the differences of dlib's.",
            MODEL_PANEL,
            choices=LOSSES,
        ),
    ] = "triplet"
    encoder: Annotated[
        str | None,
        Option(
            "Where embeddings come from.",
            MODEL_PANEL,
            metavar="|".join(ENCODERS),
            show_default="scratch for triplet, dlib for binary",
        ),
    ] = None
    mining: Annotated[
        str, Option("How triplets are chosen from a batch.", MODEL_PANEL, choices=MININGS)
    ] = "semi-hard"
    form: Annotated[
        str,
        Option(
            "What a binary head weighs: |f - g|, (f - g)^2 / (f + g), or (f - g)^2.",
            MODEL_PANEL,
            choices=FACE_FORMS,
        ),
    ] = "squared"
    margin: Annotated[
        float,
        Option("By which others are to be farther, of distances up to 2.", MODEL_PANEL, above=0.0),
    ] = 0.2
    people: Annotated[int, Option("People in a batch.", min=2)] = 32
    pictures: Annotated[int, Option("Pictures of each in a batch.", min=2)] = 3
    steps: Annotated[
        int | None,
        Option("Optimizer steps.", show_default="2000 for triplet, 400 for binary", min=1),
    ] = None
    steps_per_epoch: StepsPerEpoch = 100
    learning_rate: Annotated[
        float | None,
        Option(
            "Adam's step size at its highest.",
            show_default="0.002 for triplet, 0.05 for binary",
            above=0.0,
        ),
    ] = None
    val_share: Annotated[
        float,
        Option("Share of the people kept for validation.", DATA_PANEL, above=0.0, below=1.0),
    ] = 0.15
    restarts: int = 3
    patience: int = 100
    seed: Seed = 0

    def check(self) -> None:
        """Refuses an encoder that the loss does not train."""
        trained = "scratch" if self.loss == "triplet" else "dlib"
        if self.encoder not in (None, trained):
            raise UsageError(
                f"{self.loss} loss goes with the encoder {trained}, not {self.encoder}: "
                "triplets train an encoder from scratch, a binary head compares dlib's embeddings"
            )

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.steps or (2000 if self.loss == "triplet" else 400)

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch; all of a shorter run."""
        return min(self.steps_per_epoch, self.total_steps)

    @property
    def peak_learning_rate(self) -> float:
        """Adam's step size at its highest."""
        return self.learning_rate or (2e-3 if self.loss == "triplet" else 0.05)


# Until 0.3.
FaceOptions = FaceSettings
