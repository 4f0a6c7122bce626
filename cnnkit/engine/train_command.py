"""Commands that train into a run folder: what was typed, taken up again, shown and printed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import typer

from cnnkit.engine.command import DeviceSettings, PrintSettings, typed_settings
from cnnkit.engine.observer import Observer, Trained, show_training, showing
from cnnkit.engine.settings import FitSettings, Resume, require_there
from cnnkit.errors import UsageError

_Settings = TypeVar("_Settings", bound=FitSettings)


@dataclass(frozen=True)
class RunSettings(DeviceSettings):
    """How a command goes about a training."""

    resume: Resume = False

    def check_data(self, data: Path | None, what: str) -> None:
        """Says at once, before an engine is imported, that there are no data.

        Args:
            data: that were named; None where a run that goes on knows them.
            what: they are, for the message, such as "a folder of pictures".

        Raises:
            DataError: the path does not exist.
            UsageError: none was named, and no run goes on.
        """
        require_there([data])
        if data is None and not self.resume:
            raise UsageError(f"no data is given; name {what}")


def run_training_command(
    context: typer.Context,
    data: Path | None,
    output: Path,
    settings: _Settings,
    run: RunSettings,
    printing: PrintSettings,
    *,
    train: Callable[[str | Path, _Settings, Observer], Trained],
    epoch_line: Callable[[int, dict[str, Any], _Settings], str],
    score: tuple[str, str] = ("", ""),
    try_next: str,
) -> int:
    """Trains, shows how it goes, and prints what came out.

    Args:
        context: of the command.
        data: what is trained on; None for those of the run that goes on.
        output: folder of the run.
        settings: of the training, as they were typed.
        run: how to go about it.
        printing: what is printed.
        train: takes the data, the settings and who is told; Keras is there when it is called.
        epoch_line: index and row of an epoch, and the settings -> a line about it.
        score: column of `results.csv` that tells good epochs from bad ones, and its name.
        try_next: command that takes the model.

    Returns:
        The exit code.
    """
    run.start_keras(printing.verbose)
    source: str | Path = data or ""
    if run.resume:
        from cnnkit.engine.run import read_run_settings

        # What was not typed is as it was; the training refuses what must not change.
        before_source, before = read_run_settings(output, type(settings))
        source = data or before_source
        settings = replace(before, **typed_settings(context, settings))
    console = printing.console()

    def line(epoch: int, row: dict[str, Any]) -> str:
        return epoch_line(epoch, row, settings)

    with showing(console, line, score, settings.time_budget) as observer:
        result = train(source, settings, observer)
    return show_training(console, result, is_json=printing.json, command=try_next, folder=output)


def class_line(epoch: int, row: Mapping[str, Any], epochs: int) -> str:
    """A line about an epoch of a classifier.

    >>> class_line(1, {"loss": 0.5, "accuracy": 0.75, "val_accuracy": 0.7}, 20)
    'epoch 2 of 20: loss 0.500, accuracy 75.0%, validation 70.0%'
    """
    checked = f", validation {row['val_accuracy']:.1%}" if "val_accuracy" in row else ""
    return (
        f"epoch {epoch + 1} of {epochs}: loss {row['loss']:.3f}, "
        f"accuracy {row['accuracy']:.1%}{checked}"
    )
