"""Options of the commands that use a trained segmenter."""

from typing import Annotated

import typer

from cnnkit.errors import UsageError
from cnnkit.options import SEGMENTERS

NETWORK_PANEL = "Network"

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
        help="Larger pictures are seen at this long side, in pixels.",
        rich_help_panel=NETWORK_PANEL,
    ),
]
Flip = Annotated[
    bool,
    typer.Option(
        "--flip",
        help="Average with what is seen of the mirror image; takes twice the time.",
        rich_help_panel=NETWORK_PANEL,
    ),
]
Scales = Annotated[
    str,
    typer.Option(
        metavar="S,...",
        help="Average over pictures of these sizes, such as 0.75,1,1.25.",
        rich_help_panel=NETWORK_PANEL,
    ),
]


def read_scales(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--scales takes numbers such as 0.75,1,1.25, not {text!r}") from None
