"""Options of the commands that use a trained segmenter."""

from typing import Annotated

import typer

from cnnkit.cli._views import NETWORK_PANEL
from cnnkit.options import SEGMENTERS

Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="RUN|FILE.keras|NAME",
        help=f"The folder of a training run, its model.keras, or {', '.join(SEGMENTERS)}.",
        rich_help_panel=NETWORK_PANEL,
    ),
]
Size = Annotated[
    int,
    typer.Option(
        min=32,
        help="Larger pictures are seen at this long side, in pixels; by deeplab all.",
        rich_help_panel=NETWORK_PANEL,
    ),
]
