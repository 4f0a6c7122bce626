"""What the commands that use a trained classifier of texts share."""

from typing import Annotated

import typer

from cnnkit.cli._options import RUN_PANEL

TextModel = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="RUN|FILE.keras",
        help="The folder of a run of train text, or its model.keras.",
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column",
        metavar="NAME",
        help="Column of the texts.",
        show_default="as the model was trained",
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label-column",
        metavar="NAME",
        help="Column of the labels.",
        show_default="as the model was trained",
    ),
]
TextBatch = Annotated[
    int,
    typer.Option(
        "--batch",
        min=1,
        help="Texts that the network sees at a time.",
        rich_help_panel=RUN_PANEL,
    ),
]


def shortened(text: str, most: int = 72) -> str:
    """A text as one line that is not too long.

    >>> shortened("a long  story", 8)
    'a long…'
    """
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
