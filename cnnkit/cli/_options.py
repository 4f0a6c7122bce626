"""Options that several commands share, said once."""

from typing import Annotated

import typer

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
Seed = Annotated[int, typer.Option(help="Seed of everything random.", rich_help_panel=RUN_PANEL)]
