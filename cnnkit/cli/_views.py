"""Options of the commands whose networks may look at a picture in several views."""

from typing import Annotated

import typer

from cnnkit.errors import UsageError

NETWORK_PANEL = "Network"

Flip = Annotated[
    bool,
    typer.Option(
        "--flip",
        help="Look at the mirror image too, and average; takes twice the time.",
        rich_help_panel=NETWORK_PANEL,
    ),
]
Scales = Annotated[
    str,
    typer.Option(
        metavar="S,...",
        help="Look at the picture at all these sizes, such as 0.75,1,1.25, and average.",
        rich_help_panel=NETWORK_PANEL,
    ),
]


def read_scales(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--scales takes numbers such as 0.75,1,1.25, not {text!r}") from None
