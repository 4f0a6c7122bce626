"""What is watched, kept and written while a network is trained."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.engine.dataset import CountedEpochs
from cnnkit.engine.observer import Step
from cnnkit.engine.run import (
    BEST,
    LAST,
    read_results,
    save_state,
    save_weights,
    weights_file,
    write_results,
)
from cnnkit.engine.settings import FitSettings
from cnnkit.errors import DivergenceError

# Steps between two looks at the clock on JAX, where a look takes as long as a small step.
_SYNC_STEPS = 10


class Guard(keras.callbacks.Callback):
    """Stops where the loss is no finite number, before anything is written."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: tuple[int, int] | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            self.broken = (self._epoch, batch)
            self.model.stop_training = True

    def check(self, options: FitSettings) -> None:
        """Says what to do where the loss was no finite number.

        Raises:
            DivergenceError: it was.
        """
        if self.broken is not None:
            epoch, batch = self.broken
            raise DivergenceError(
                f"the loss is no finite number in epoch {epoch + 1}, step {batch + 1}; give a "
                f"--learning-rate below {options.peak_learning_rate:g}, or --clip-norm 1"
            )


class Clock(keras.callbacks.Callback):
    """Ends a training in time: the learning rate falls with the steps or with the seconds,
    whichever is further on.

    The seconds until the end of the first step, in which the backend compiles, are no part of the
    schedule: a warm-up would be over before a step was made.

    Args:
        schedule: of the learning rate over `steps`.
        steps: of the whole run.
        budget: seconds of the whole run.
        before: seconds of it that are over already.
    """

    def __init__(
        self,
        schedule: keras.optimizers.schedules.LearningRateSchedule,
        steps: int,
        budget: float,
        before: float,
    ):
        super().__init__()
        self._schedule, self._steps, self._budget = schedule, steps, budget
        self._start = time.monotonic() - before
        self._before = before
        # Keras' own attribute puts JAX's copies of the variables back whenever it is looked at.
        self._watched: keras.Model | None = None
        # When the first step of this run was over.
        self._first: float | None = None
        # Of what comes after the last step of an epoch.
        self._tail = 0.0
        self._last_batch = self._start
        self.is_over = False

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._watched = model

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        sync = getattr(self._watched, "jax_state_sync", None)
        if sync is not None:
            # JAX trains copies of the variables: what is not put back first is lost.
            if batch % _SYNC_STEPS:
                return
            sync()
        now = time.monotonic()
        first = now if self._first is None else self._first
        compiling = first - self._start - self._before
        spent = self._before + now - first
        share = spent / max(1e-3, self._budget - self._tail - compiling)
        step = max(float(self.model.optimizer.iterations), share * self._steps)
        rate = float(self._schedule(min(step, self._steps)))
        self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._last_batch = time.monotonic()
        if self._first is None:
            self._first = self._last_batch
        if self._last_batch - self._start > self._budget - self._tail:
            self.is_over = True
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._tail = time.monotonic() - self._last_batch


class Follow(keras.callbacks.Callback):
    """Tells batches which epoch begins, where they cannot count: with several devices TensorFlow
    reads a first epoch, and parts of later ones, that it does not train on.

    Args:
        batches: that are trained on.
    """

    def __init__(self, batches: CountedEpochs):
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._batches.epoch = epoch


class InStep(keras.callbacks.Callback):
    """Has the processes wait for one another after each epoch, until process 0 has written, and
    stop after the same step.

    Args:
        meet: returns when all have called it.
        check_stop: called after each step with the number of steps that were made.
    """

    def __init__(self, meet: Callable[[], None], check_stop: Callable[[int], None]):
        super().__init__()
        self._meet, self._check_stop = meet, check_stop
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._steps += 1
        self._check_stop(self._steps)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._meet()


class Tell(keras.callbacks.Callback):
    """Tells after each step where the training stands.

    Args:
        on_step: takes that.
        epochs: that there will be.
        steps: that each of them has.
        examples: in a step.
    """

    def __init__(self, on_step: Callable[[Step], None], epochs: int, steps: int, examples: int):
        super().__init__()
        self._on_step, self._epochs, self._steps, self._examples = on_step, epochs, steps, examples
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if not self._epoch:
            self._tell(epoch + 1, 0, math.nan)
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._tell(self._epoch, batch + 1, float((logs or {}).get("loss", math.nan)))

    def _tell(self, epoch: int, step: int, loss: float) -> None:
        self._on_step(Step(epoch, self._epochs, step, self._steps, loss, self._examples))


@dataclass(frozen=True, eq=False)
class Stage:
    """What a run trains, and what its epochs are measured by; some runs have several stages.

    Attributes:
        trainer: the model that trains.
        loss: of `trainer`.
        kept: the model whose weights are written.
        measure: gives an epoch's further figures, from what Keras says of it; the weights are those
            that are kept then.
        quality: of a row of figures; the best epoch has the largest, and is the first of equals.
        end: epochs that the run has when the stage is over, those of earlier stages too.
        begin: the epoch that it begins with.
        name: of the stage; "" where there is but one.
        metrics: that Keras counts beside the loss.
        budget: its seconds; None for the settings' own.
        patience: epochs without a better one after which to stop, 0 for never; None for the
            settings' own.
        slow: variables that learn more slowly; see `trainer.build_optimizer`.
        clip_whole: see `trainer.build_optimizer`.
        check_data: called with epoch and step of a loss that is no finite number; raises where it
            is the data.
    """

    trainer: keras.Model
    loss: keras.losses.Loss
    kept: keras.Model
    measure: Callable[[Mapping[str, float]], dict[str, Any]]
    quality: Callable[[Mapping[str, Any]], Any]
    end: int
    begin: int = 0
    name: str = ""
    metrics: Sequence[str] = ()
    budget: float | None = None
    patience: int | None = None
    slow: Sequence[keras.Variable] = ()
    clip_whole: bool = False
    check_data: Callable[[int, int], None] | None = None


class Record(keras.callbacks.Callback):
    """After each epoch: measures, appends a row to `results.csv`, keeps the best weights.

    Args:
        folder: of the run.
        stage: that is trained.
        settings: of the training.
        guard: that knows of broken epochs.
        begin: epoch that the training begins or goes on with.
        writes: whether this process writes files.
        on_epoch: called with the epoch's index and its row.

    Attributes:
        rows: of all epochs so far.
    """

    def __init__(
        self,
        folder: Path,
        stage: Stage,
        settings: FitSettings,
        guard: Guard,
        begin: int,
        writes: bool = True,
        on_epoch: Callable[[int, dict[str, Any]], None] | None = None,
    ):
        super().__init__()
        self._folder, self._stage, self._settings = folder, stage, settings
        self._guard, self._writes, self._on_epoch = guard, writes, on_epoch
        # A row of an epoch that was not backed up is written again.
        self.rows = [row for row in read_results(folder) if row["epoch"] < begin]
        self._start = time.monotonic() - seconds_of(self.rows)

    @property
    def spent(self) -> float:
        """Seconds that the epochs of the stage took."""
        before = [row for row in self.rows if row.get("stage", "") != self._stage.name]
        return seconds_of(self.rows) - seconds_of(before)

    def _own_rows(self) -> list[dict[str, Any]]:
        """Those of the stage."""
        return [row for row in self.rows if row.get("stage", "") == self._stage.name]

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._guard.broken is not None:
            return
        logs, stage = logs or {}, self._stage
        row = {
            "epoch": epoch,
            **({"stage": stage.name} if stage.name else {}),
            "seconds": 0.0,
            "learning_rate": float(self.model.optimizer.learning_rate),
            "loss": float(logs["loss"]),
        }
        own = self._own_rows()
        put_back = averaged_weights(self.model) if self._settings.averaging else None
        try:
            row |= stage.measure(logs)
            row["seconds"] = time.monotonic() - self._start
            if self._writes:
                if not own or stage.quality(row) > max(map(stage.quality, own)):
                    save_weights(stage.kept, self._folder / weights_file(BEST, stage.name))
                save_weights(stage.kept, self._folder / weights_file(LAST, stage.name))
        finally:
            if put_back is not None:
                put_back()
        self.rows.append(row)
        if self._writes:
            write_results(self._folder, self.rows)
        if self._on_epoch:
            self._on_epoch(epoch, row)
        patience = self._settings.patience if stage.patience is None else stage.patience
        if patience and epoch - best_row([*own, row], stage.quality)["epoch"] >= patience:
            self.model.stop_training = True


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

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._is_broken():
            return
        save_state(self._path, self.model, epoch + 1)


def best_row(
    rows: Sequence[dict[str, Any]], quality: Callable[[Mapping[str, Any]], Any]
) -> dict[str, Any]:
    """The row of the best epoch, the first of equals."""
    return max(rows, key=quality)


def seconds_of(rows: Sequence[dict[str, float]]) -> float:
    """Seconds that the epochs of a run took together."""
    return rows[-1]["seconds"] if rows else 0.0


def averaged_weights(model: keras.Model) -> Callable[[], None]:
    """Puts the averaged weights into a model; what is returned puts the others back."""
    variables = model.trainable_variables
    kept = [keras.ops.convert_to_numpy(variable) for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    for variable in variables:
        # A copy of its own: JAX gives what `predict` was given back to the memory.
        variable.assign(np.array(keras.ops.convert_to_numpy(variable)))

    def put_back() -> None:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)

    return put_back
