"""Commands that train into a run folder: what was typed, taken up again, shown and printed."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cnnkit.console import Console
from cnnkit.engine.command import DeviceSettings, PrintSettings, typed_settings
from cnnkit.engine.observer import Observer, Trained, show_training, showing
from cnnkit.engine.settings import FitSettings, Option, Resume, require_there
from cnnkit.errors import CnnkitError, ExitCode, UsageError

if TYPE_CHECKING:
    from cnnkit.runtime import Cluster

_Settings = TypeVar("_Settings", bound=FitSettings)
_DEVICES_PANEL = "Several devices"


@dataclass(frozen=True)
class RunSettings(DeviceSettings):
    """How a command goes about a training."""

    resume: Resume = False

    @property
    def cluster(self) -> "Cluster | None":
        """The processes that this one trains with; None for this one alone.

        Raises:
            UsageError: what is said of them does not fit together.
        """
        return None

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


@dataclass(frozen=True)
class SharedRunSettings(RunSettings):
    """How a command goes about a training that several devices and processes may share."""

    devices: Annotated[
        int | None,
        Option(
            "That share each batch, on this machine: GPUs, or whatever JAX has.",
            _DEVICES_PANEL,
            show_default="all GPUs, else one device",
            min=1,
        ),
    ] = None
    processes: Annotated[
        int | None,
        Option(
            "That train together, each with its devices, on JAX; 1 for this one alone. Also "
            "CNNKIT_PROCESSES, or what srun of Slurm says.",
            _DEVICES_PANEL,
            show_default="1",
            min=1,
        ),
    ] = None
    process_id: Annotated[
        int | None,
        Option(
            "Which of them this is, from 0; 0 alone writes. Also CNNKIT_PROCESS_ID, Slurm's "
            "number, or JOB_COMPLETION_INDEX of Kubernetes.",
            _DEVICES_PANEL,
            show_default="none",
            min=0,
        ),
    ] = None
    coordinator: Annotated[
        str | None,
        Option(
            "Where process 0 is found; any free port. Also CNNKIT_COORDINATOR, or Slurm's first "
            "node.",
            _DEVICES_PANEL,
            metavar="HOST:PORT",
            show_default="none",
        ),
    ] = None

    @property
    def cluster(self) -> "Cluster | None":
        """See `RunSettings.cluster`."""
        from cnnkit.runtime import find_cluster

        return find_cluster(self.coordinator, self.processes, self.process_id)


@contextlib.contextmanager
def leaving_at_once(console: Console) -> Iterator[None]:
    """Ends one of several processes where it fails: at its usual end it would wait for the others,
    which wait for it in their next step.
    """
    try:
        yield
        return
    except CnnkitError as error:
        console.error(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        console.note("stopped by Ctrl-C")
        code = ExitCode.INTERRUPTED
    except Exception:
        traceback.print_exc()
        code = ExitCode.BUG
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


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
    cluster = run.cluster
    is_first = cluster is None or cluster.process_id == 0
    console = Console(quiet=printing.quiet or not is_first, verbose=printing.verbose and is_first)
    if cluster is not None:
        console.note(f"waiting at {cluster.coordinator} for all {cluster.processes} processes")
    source: str | Path = data or ""
    with contextlib.nullcontext() if cluster is None else leaving_at_once(console):
        run.start_keras(printing.verbose, cluster)
        if run.resume:
            from cnnkit.engine.run import read_run_settings

            # What was not typed is as it was; the training refuses what must not change.
            before_source, before = read_run_settings(output, type(settings))
            source = data or before_source
            settings = replace(before, **typed_settings(context, settings))

        def line(epoch: int, row: dict[str, Any]) -> str:
            return epoch_line(epoch, row, settings)

        with showing(console, line, score, settings.time_budget) as observer:
            result = train(source, settings, observer)
    if not is_first:
        return int(ExitCode.DONE)
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
