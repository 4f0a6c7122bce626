"""Options of the commands that use a trained captioner."""

from typing import Annotated

import typer

from cnnkit.cli._options import RUN_PANEL
from cnnkit.options import CAPTIONERS

Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="RUN|FILE.keras|NAME",
        help=f"The folder of a training run, its model.keras, or {', '.join(CAPTIONERS)}.",
    ),
]
Beams = Annotated[
    int,
    typer.Option(
        min=1, help="Sentences that are followed at a time; 1 takes the most probable word."
    ),
]
MaxWords = Annotated[int, typer.Option(min=1, help="Words of a sentence.")]
LengthPenalty = Annotated[
    float,
    typer.Option(
        min=0.0, max=2.0, help="0 prefers probable sentences, which are short; more, longer ones."
    ),
]
Batch = Annotated[
    int,
    typer.Option(
        min=1, help="Pictures that the network sees at a time.", rich_help_panel=RUN_PANEL
    ),
]
