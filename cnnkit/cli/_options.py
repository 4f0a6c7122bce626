"""Options that several commands share, said once."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from cnnkit.errors import DataError

OUTPUT_PANEL = "Output"
RUN_PANEL = "Run"

Quiet = Annotated[
    bool,
    typer.Option(
        "-q", "--quiet", help="Print only results and errors.", rich_help_panel=OUTPUT_PANEL
    ),
]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Print details too.", rich_help_panel=OUTPUT_PANEL)
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=OUTPUT_PANEL),
]
JsonLines = Annotated[
    bool,
    typer.Option(
        "--jsonl", help="Print one JSON object per input on stdout.", rich_help_panel=OUTPUT_PANEL
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=OUTPUT_PANEL),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing", help="Leave files that exist and go on.", rich_help_panel=OUTPUT_PANEL
    ),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "-r", "--recursive", help="Look into folders of folders.", rich_help_panel=RUN_PANEL
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(help="Compute threads.", show_default="all cores", rich_help_panel=RUN_PANEL),
]
Device = Annotated[str, typer.Option(help="auto, cpu, or gpu.", rich_help_panel=RUN_PANEL)]
Engine = Annotated[
    str,
    typer.Option(help="What computes: auto, openvino, or tensorflow.", rich_help_panel=RUN_PANEL),
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", rich_help_panel=RUN_PANEL)]


def require_there(paths: Iterable[str | Path | None]) -> None:
    """Says at once, before an engine is imported, that data are not there; None is left alone.

    Raises:
        DataError: a path does not exist, or is a URL.
    """
    for path in paths:
        if path is not None and not os.path.lexists(path):
            from cnnkit.images import explain_missing

            raise DataError(explain_missing(str(path)))
