"""Options of commands that are not made of settings yet; they are those of `engine`."""

from typing import Any

from cnnkit.engine.batch import BatchSettings
from cnnkit.engine.command import EngineSettings, PrintSettings, option_type
from cnnkit.engine.settings import OUTPUT_PANEL, RUN_PANEL, FitSettings, Settings, require_there

__all__ = ["OUTPUT_PANEL", "RUN_PANEL", "require_there"]


def setting_option(kind: type[Settings], name: str) -> Any:
    """The option of a setting as Typer takes it."""
    return option_type(name, kind.option_of(name), getattr(kind, name))


Quiet = setting_option(PrintSettings, "quiet")
Verbose = setting_option(PrintSettings, "verbose")
Json = setting_option(PrintSettings, "json")
JsonLines = setting_option(BatchSettings, "jsonl")
Overwrite = setting_option(BatchSettings, "overwrite")
SkipExisting = setting_option(BatchSettings, "skip_existing")
Recursive = setting_option(BatchSettings, "recursive")
Threads = setting_option(EngineSettings, "threads")
Device = setting_option(EngineSettings, "device")
Seed = setting_option(FitSettings, "seed")
