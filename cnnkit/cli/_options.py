"""Options of commands that are not made of settings yet; they are those of `engine`."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cnnkit.engine.batch import BatchSettings
from cnnkit.engine.command import OUTPUT_PANEL, EngineSettings, PrintSettings, option_type
from cnnkit.engine.settings import RUN_PANEL, FitSettings, Settings
from cnnkit.errors import DataError

__all__ = ["OUTPUT_PANEL", "RUN_PANEL"]


def setting_option(settings: type[Settings], name: str) -> Any:
    """The option of a setting as Typer takes it."""
    return option_type(name, settings.option_of(name), getattr(settings, name))


Quiet = setting_option(PrintSettings, "quiet")
Verbose = setting_option(PrintSettings, "verbose")
Json = setting_option(PrintSettings, "json")
JsonLines = setting_option(BatchSettings, "jsonl")
Overwrite = setting_option(BatchSettings, "overwrite")
SkipExisting = setting_option(BatchSettings, "skip_existing")
Recursive = setting_option(BatchSettings, "recursive")
Threads = setting_option(EngineSettings, "threads")
Device = setting_option(EngineSettings, "device")
Engine = setting_option(EngineSettings, "engine")
Seed = setting_option(FitSettings, "seed")


def require_there(paths: Iterable[str | Path | None]) -> None:
    """Says at once, before an engine is imported, that data are not there; None is left alone.

    Raises:
        DataError: a path does not exist, or is a URL.
    """
    for path in paths:
        if path is not None and not os.path.lexists(path):
            from cnnkit.images import explain_missing

            raise DataError(explain_missing(str(path)))
