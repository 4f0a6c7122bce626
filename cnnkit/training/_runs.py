"""Folders of trainings: the state to go on from, the rows of `results.csv`, the settings."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.errors import CnnkitError
from cnnkit.images import write_bytes
from cnnkit.weights.keras_file import size_of, writing_anew

BEST, LAST = "best", "last"
RESULTS = "results.csv"


def weights_file(which: str, stage: str = "") -> str:
    """Name of a run's file of weights.

    Args:
        which: `BEST` or `LAST`.
        stage: of a run of several; "" for the whole.

    >>> weights_file(BEST), weights_file(LAST, "16s")
    ('best.weights.h5', 'last-16s.weights.h5')
    """
    return f"{which}{_ending(stage)}.weights.h5"


def state_file(stage: str = "") -> str:
    """Name of the file that a run, or a stage of it, goes on from."""
    return f"state{_ending(stage)}.npz"


def _ending(stage: str) -> str:
    return f"-{stage}" if stage else ""


BEST_WEIGHTS = weights_file(BEST)
STATE = state_file()


class Backup(keras.callbacks.Callback):
    """After each epoch: keeps all that a training has a state in, in one file, all or nothing.

    `keras.callbacks.BackupAndRestore` leaves out the states of random layers, and writes weights
    and the epoch into two files. Put it behind what writes the rows: an epoch that was kept
    without one would never get it.

    Args:
        path: of the file.
        is_broken: whether the epoch is not to be kept.
    """

    def __init__(self, path: Path, is_broken: Callable[[], bool] = lambda: False):
        super().__init__()
        self._path, self._is_broken = path, is_broken

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        if self._is_broken():
            return
        values = {
            str(index): keras.ops.convert_to_numpy(variable)
            for index, variable in enumerate(_states(self.model))
        }
        size = sum(value.nbytes for value in values.values())
        with writing_anew(self._path, size) as temporary:
            np.savez(temporary, epoch=epoch + 1, **values)


def finished_epochs(path: Path) -> int:
    """The epoch that a run goes on with whose state is in this file; 0 where there is none."""
    if not path.exists():
        return 0
    with np.load(path) as file:
        return int(file["epoch"])


def restore(path: Path, model: keras.Model) -> None:
    """Puts a model that was compiled into the state that `Backup` kept, if it kept one."""
    # Keras would build at the first step, and a run would be restored into nothing.
    model.optimizer.build(model.trainable_variables)
    if not path.exists():
        return
    with np.load(path) as file:
        for index, variable in enumerate(_states(model)):
            variable.assign(file[str(index)])


def _states(model: keras.Model) -> list[keras.Variable]:
    """Weights, states of random layers, and the optimizer's variables; not those of metrics."""
    measured = {id(variable) for metric in model.metrics for variable in metric.variables}
    own = [variable for variable in model.variables if id(variable) not in measured]
    return [*own, *model.optimizer.variables]


def save_weights(model: keras.Model, path: Path) -> None:
    """All or nothing: a run that is killed here finds the file of before."""
    with writing_anew(path, size_of(model)) as temporary:
        model.save_weights(temporary)


def read_results(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of a run's `results.csv`, numbers as such; none where there is none yet."""
    path = Path(folder) / RESULTS
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def write_results(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes all rows of a run's `results.csv`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(folder / RESULTS, text.getvalue().encode())


def _number(text: str) -> int | float | str:
    """
    >>> [_number(text) for text in ("3", "0.5", "inf", "hard")]
    [3, 0.5, inf, 'hard']
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def check_same_run(folder: Path, settings: Mapping[str, Any]) -> None:
    """Keeps the settings of a run, or refuses to go on with one that has others."""
    path = folder / "args.json"
    if path.exists():
        before = json.loads(path.read_text())
        changed = sorted(key for key in settings if before.get(key) != settings[key])
        if changed:
            raise CnnkitError(
                f"{folder} holds a run with other settings ({', '.join(changed)}); "
                "give another --output, or the same settings to resume it"
            )
    write_bytes(path, json.dumps(settings, indent=1).encode())
