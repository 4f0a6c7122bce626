"""Settings of classifiers of texts."""

from dataclasses import dataclass
from typing import Annotated

from cnnkit.engine.settings import (
    DATA_PANEL,
    FIT_PANEL,
    MODEL_PANEL,
    RUN_PANEL,
    Argument,
    Ema,
    FitSettings,
    LabelSmoothing,
    Option,
    Settings,
    check_split,
)
from cnnkit.errors import UsageError

# What `cnnkit train text` builds: networks over the words of a text, and a bag of these; and what
# texts are split into.
NETWORKS = ("lstm", "gru", "rnn", "bag")
UNITS = ("word", "character")


Model = Annotated[
    str,
    Option("The folder of a run of train text, or its model.keras.", metavar="RUN|FILE.keras"),
]
DATA = Argument(
    "A row for each text, with its label; a column split may say train, val or test.",
    metavar="FILE.csv",
)
TextColumn = Annotated[
    str | None,
    Option("Column of the texts.", metavar="NAME", show_default="as the model was trained"),
]
BatchSize = Annotated[
    int, Option("Texts that the network sees at a time.", RUN_PANEL, ("--batch",), min=1)
]


@dataclass(frozen=True)
class TextSettings(Settings):
    """Which classes `cnnkit.classify_text` tells of a text."""

    top: Annotated[int, Option("Classes for each text, at most.", min=1)] = 5
    conf: Annotated[
        float, Option("Only classes that are as probable as this.", min=0.0, max=1.0)
    ] = 0.0


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """What a classifier of texts is measured on."""

    split: Annotated[
        str | None,
        Option(
            "Part of the data.",
            metavar="train|val|test|all",
            show_default="test where the file has it, else val, else all",
        ),
    ] = None
    text_column: TextColumn = None
    label_column: Annotated[
        str | None,
        Option("Column of the labels.", metavar="NAME", show_default="as the model was trained"),
    ] = None

    def check(self) -> None:
        """Refuses splits that no data have."""
        check_split(self.split)


@dataclass(frozen=True)
class TrainSettings(FitSettings):
    """Settings of `cnnkit train text`.

    Of `table_columns` `NAME:number`, `NAME:yes-no` and `NAME:category` say what one is. Gradients
    of long texts explode now and then, so that they are clipped, all weights together.
    """

    trains = "a classifier of texts"

    text_column: Annotated[str, Option("Column of the texts.", DATA_PANEL, metavar="NAME")] = "text"
    label_column: Annotated[str, Option("Column of the labels.", DATA_PANEL, metavar="NAME")] = (
        "label"
    )
    table_columns: Annotated[
        tuple[str, ...],
        Option(
            "Others that help to tell the label: numbers, yes or no, or categories; zip:category "
            "says what zip is.",
            DATA_PANEL,
            metavar="NAME,...",
            show_default="none",
        ),
    ] = ()
    class_weights: Annotated[
        bool, Option("Let rare classes count as much as frequent ones.", DATA_PANEL)
    ] = False
    network: Annotated[
        str,
        Option(
            "What reads the text; a bag of words knows no order, and is there to compare.",
            MODEL_PANEL,
            choices=NETWORKS,
        ),
    ] = "lstm"
    by: Annotated[str, Option("What texts are split into.", MODEL_PANEL, choices=UNITS)] = "word"
    vocabulary_size: Annotated[
        int,
        Option(
            "Words that are told apart, the most frequent; the others are unknown.",
            MODEL_PANEL,
            min=3,
        ),
    ] = 10_000
    embedding_size: Annotated[
        int, Option("Numbers that are learned for each word; 0 for one-hots.", MODEL_PANEL, min=0)
    ] = 32
    units: Annotated[
        int, Option("Size of the network's state, in each direction.", MODEL_PANEL, min=1)
    ] = 64
    bidirectional: Annotated[bool, Option("Read from the end too.", MODEL_PANEL)] = False
    max_words: Annotated[
        int, Option("Of each text; what comes later is left out.", MODEL_PANEL, min=1)
    ] = 200
    dropout: Annotated[
        float, Option("Share of the last layer's inputs left out.", MODEL_PANEL, min=0.0, max=0.95)
    ] = 0.3
    val_share: Annotated[
        float,
        Option(
            "Share of each class kept for validation, where no row is for that.",
            DATA_PANEL,
            above=0.0,
            below=1.0,
        ),
    ] = 0.15
    epochs: Annotated[int, Option("Passes over the data.", FIT_PANEL, min=1)] = 20
    batch_size: Annotated[int, Option("Texts in a step.", FIT_PANEL, ("--batch",), min=1)] = 32
    optimizer: str = "adam"
    learning_rate: Annotated[
        float | None,
        Option("At its highest.", FIT_PANEL, show_default="0.002, 0.1 for sgd", above=0.0),
    ] = None
    weight_decay: float = 0.0
    label_smoothing: LabelSmoothing = 0.0
    ema: Ema = 0.0
    clip_norm: Annotated[
        float,
        Option(
            "Longest gradient of a step, all weights together; 0 for any.",
            FIT_PANEL,
            min=0.0,
            max=1e6,
        ),
    ] = 1.0

    def check(self) -> None:
        """Refuses columns that cannot be several things at once."""
        for name in (self.label_column, *self.table_columns):
            if name == self.text_column:
                raise UsageError(f"the column '{name}' is that of the texts; name another one")
        if self.label_column in self.table_columns:
            raise UsageError(
                f"the column '{self.label_column}' is that of the labels; leave it out"
            )

    @property
    def usual_learning_rate(self) -> float:
        """What the learning rate is at its highest where none is given."""
        return 0.1 if self.optimizer == "sgd" else 2e-3
