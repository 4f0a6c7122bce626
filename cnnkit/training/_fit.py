"""How networks are fitted: learning rates, and what is watched, kept and written meanwhile."""

import importlib.util
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.engine.settings import FitSettings
from cnnkit.errors import DivergenceError
from cnnkit.ops.inference import compiles_training
from cnnkit.runtime import has_accelerator
from cnnkit.training._batches import CountedEpochs, reading
from cnnkit.training._distribution import Team
from cnnkit.training._runs import (
    BEST,
    LAST,
    Backup,
    finished_epochs,
    read_results,
    restore,
    save_weights,
    state_file,
    weights_file,
    write_results,
)

# What an exponential schedule ends with, of the highest learning rate.
_EXPONENTIAL_END = 0.01
# Steps between two looks at the clock on JAX, where a look takes as long as a small step.
_SYNC_STEPS = 10


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, with steps before it in which the learning rate grows from 0.

    Args:
        after: the schedule that begins when they are over.
        steps: of the growth.
    """

    def __init__(self, after: keras.optimizers.schedules.LearningRateSchedule, steps: int):
        super().__init__()
        self._after, self._steps = after, steps

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        rate = self._after(keras.ops.maximum(step - self._steps, 0.0))
        return rate * keras.ops.minimum((step + 1.0) / max(self._steps, 1), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"after": self._after, "steps": self._steps}


def build_schedule(
    options: FitSettings, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate over so many steps.

    >>> from cnnkit.options import ClassifyTrainOptions
    >>> schedule = build_schedule(ClassifyTrainOptions(warmup=0.1, learning_rate=1.0), 100)
    >>> [round(float(schedule(step)), 2) for step in (0, 4, 10, 55, 100)]
    [0.1, 0.5, 1.0, 0.5, 0.0]
    """
    schedules = keras.optimizers.schedules
    growing = math.ceil(options.warmup * steps)
    peak, rest = options.peak_learning_rate, max(1, steps - growing)
    if options.schedule == "cosine":
        after = schedules.CosineDecay(peak, rest)
    else:
        end = _EXPONENTIAL_END if options.schedule == "exponential" else 1.0
        after = schedules.ExponentialDecay(peak, rest, end)
    return Warmup(after, growing)


def build_optimizer(
    options: FitSettings,
    learning_rate: Any,
    variables: Sequence[keras.Variable],
    slow: Sequence[keras.Variable] = (),
    clip_whole: bool = False,
) -> keras.optimizers.Optimizer:
    """The optimizer of Keras that is asked for; some variables learn more slowly.

    Args:
        options: of the training.
        learning_rate: a number, or a schedule.
        variables: that are trained.
        slow: those of them whose learning rate is that times `options.pretrained_rate`.
        clip_whole: `options.clip_norm` is for the gradient of all weights together (Pascanu et
            al. 2013), not for that of each layer's weights.

    Returns:
        An optimizer, to be built for `variables`.
    """
    classes = {
        "adamw": keras.optimizers.AdamW,
        "adam": keras.optimizers.Adam,
        "sgd": keras.optimizers.SGD,
        "rmsprop": keras.optimizers.RMSprop,
    }
    base = classes[options.optimizer]
    slow_ids = {id(variable) for variable in slow}
    factors = [options.pretrained_rate if id(one) in slow_ids else 1.0 for one in variables]

    class TwoRates(base):
        def update_step(self, gradient, variable, learning_rate):
            # The variable is Keras' own or the backend's; only Keras knows which is which.
            factor = factors[self._get_variable_index(variable)]
            return super().update_step(gradient, variable, learning_rate * factor)

    settings: dict[str, Any] = {
        "weight_decay": options.weight_decay or None,
        "global_clipnorm" if clip_whole else "clipnorm": options.clip_norm or None,
    }
    if options.optimizer == "sgd":
        settings |= {"momentum": 0.9, "nesterov": True}
    if options.ema:
        settings |= {"use_ema": True, "ema_momentum": options.ema}
    optimizer = TwoRates(learning_rate, name=options.optimizer, **settings)
    # Neither biases nor the two numbers of a normalisation are to shrink.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def training_policy(mixed_precision: str) -> str:
    """The dtype policy to train with: 16 bits where a GPU is faster with them, or where asked for.

    Args:
        mixed_precision: "auto", "on", "bfloat16", whose range is that of 32 bits, or "off".
    """
    if mixed_precision == "off":
        return "float32"
    if mixed_precision == "bfloat16":
        return "mixed_bfloat16"
    if has_accelerator():
        return "mixed_float16"
    return "mixed_bfloat16" if mixed_precision == "on" else "float32"


class Guard(keras.callbacks.Callback):
    """Stops where the loss is no finite number, before anything is written."""

    def __init__(self):
        super().__init__()
        self.broken: tuple[int, int] | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs=None) -> None:
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


def reason_of(stopped: BaseException) -> str:
    """What a report calls the end of a training that this stopped."""
    return "Ctrl-C" if isinstance(stopped, KeyboardInterrupt) else "divergence"


def conclude(stopped: BaseException | None, model: str, note: Callable[[str], None]) -> None:
    """After a training was written: raises what stopped it, if anything did.

    Args:
        stopped: a `KeyboardInterrupt` or `DivergenceError`.
        model: the file that has the best so far.
        note: takes a line for people.
    """
    if isinstance(stopped, KeyboardInterrupt):
        note(f"stopped; the best so far is in {model}; go on with --resume")
        raise stopped
    if stopped is not None:
        raise DivergenceError(f"{stopped}; the best before that is in {model}") from None


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

    def on_train_batch_begin(self, batch: int, logs=None) -> None:
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

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        self._last_batch = time.monotonic()
        if self._first is None:
            self._first = self._last_batch
        if self._last_batch - self._start > self._budget - self._tail:
            self.is_over = True
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs=None) -> None:
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

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
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

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        self._steps += 1
        self._check_stop(self._steps)

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        self._meet()


class Record(keras.callbacks.Callback):
    """After each epoch: measures, appends a row to `results.csv`, keeps the best weights.

    Args:
        folder: of the run.
        kept: the model whose weights are written.
        measure: gives the row's further figures, from what Keras says of the epoch; the weights are
            those that are kept then.
        quality: of a row; the best epoch has the largest, and is the first of equals.
        guard: that knows of broken epochs.
        options: of the training.
        begin: epoch that the training begins or goes on with.
        stage: name of the part of a run whose epochs are compared; "" for the whole.
        patience: epochs without a better one after which to stop; 0 for never.
        writes: whether this process writes files.
        on_epoch: called with the epoch's index and its row.

    Attributes:
        rows: of all epochs so far.
    """

    def __init__(
        self,
        folder: Path,
        kept: keras.Model,
        measure: Callable[[Mapping[str, float]], dict[str, Any]],
        quality: Callable[[Mapping[str, Any]], Any],
        guard: Guard,
        options: FitSettings,
        begin: int,
        *,
        stage: str = "",
        patience: int = 0,
        writes: bool = True,
        on_epoch: Callable[[int, dict], None] | None = None,
    ):
        super().__init__()
        self._folder, self._kept, self._measure, self._quality = folder, kept, measure, quality
        self._guard, self._options, self._stage, self._patience = guard, options, stage, patience
        self._writes, self._on_epoch = writes, on_epoch
        # A row of an epoch that was not backed up is written again.
        self.rows = [row for row in read_results(folder) if row["epoch"] < begin]
        self._start = time.monotonic() - seconds_of(self.rows)

    @property
    def spent(self) -> float:
        """Seconds that the epochs of the stage took."""
        before = [row for row in self.rows if row.get("stage", "") != self._stage]
        return seconds_of(self.rows) - seconds_of(before)

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        if self._guard.broken is not None:
            return
        logs = logs or {}
        row = {
            "epoch": epoch,
            **({"stage": self._stage} if self._stage else {}),
            "seconds": 0.0,
            "learning_rate": float(self.model.optimizer.learning_rate),
            "loss": float(logs["loss"]),
        }
        own = [one for one in self.rows if one.get("stage", "") == self._stage]
        put_back = averaged_weights(self.model) if self._options.ema else None
        try:
            row |= self._measure(logs)
            row["seconds"] = time.monotonic() - self._start
            if self._writes:
                if not own or self._quality(row) > max(map(self._quality, own)):
                    save_weights(self._kept, self._folder / weights_file(BEST, self._stage))
                save_weights(self._kept, self._folder / weights_file(LAST, self._stage))
        finally:
            if put_back is not None:
                put_back()
        self.rows.append(row)
        if self._writes:
            write_results(self._folder, self.rows)
        if self._on_epoch:
            self._on_epoch(epoch, row)
        if self._patience and epoch - best_row([*own, row], self._quality)["epoch"] >= (
            self._patience
        ):
            self.model.stop_training = True


def best_row(
    rows: Sequence[dict[str, Any]], quality: Callable[[Mapping[str, Any]], Any]
) -> dict[str, Any]:
    """The row of the best epoch, the first of equals."""
    return max(rows, key=quality)


def fit_epochs(
    trainer: keras.Model,
    batches: CountedEpochs,
    folder: Path,
    options: FitSettings,
    epochs: int,
    *,
    loss: keras.losses.Loss,
    metrics: Sequence[str] = (),
    kept: keras.Model,
    measure: Callable[[Mapping[str, float]], dict[str, Any]],
    quality: Callable[[Mapping[str, Any]], Any],
    first: int = 0,
    stage: str = "",
    budget: float | None = None,
    patience: int | None = None,
    team: Team | None = None,
    slow: Sequence[keras.Variable] = (),
    clip_whole: bool = False,
    check_data: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[int, dict], None] | None = None,
) -> str:
    """Trains to the end, from where a run stands; a run may have several stages of epochs.

    Args:
        trainer: what trains.
        batches: from the epoch on where the run stands.
        folder: of the run.
        options: of the training.
        epochs: that the run has at the end, those of earlier stages too.
        loss: of `trainer`.
        metrics: that Keras counts beside it.
        kept: the model whose weights are written.
        measure: see `Record`.
        quality: see `Record`.
        first: epoch that the stage begins with.
        stage: its name; "" where there is but one.
        budget: its seconds; the options' by default.
        patience: of the stage; the options' by default.
        team: devices that train; this process alone by default.
        slow: variables that learn more slowly; see `build_optimizer`.
        clip_whole: see `build_optimizer`.
        check_data: called with epoch and step of a loss that is no finite number; raises where it
            is the data.
        on_epoch: called with the epoch's index and its row.

    Returns:
        Why it ended: "epochs", "patience" or "time budget".

    Raises:
        DivergenceError: the loss is no finite number.
    """
    team = team or Team(devices=1)
    budget = options.time_budget if budget is None else budget
    state = folder / state_file(stage)
    begin = max(first, finished_epochs(state))
    steps = (epochs - first) * len(batches)
    schedule = build_schedule(options, steps)
    with team.building():
        rate = schedule if budget is None else options.peak_learning_rate
        variables = trainer.trainable_variables
        trainer.compile(
            optimizer=build_optimizer(options, rate, variables, slow, clip_whole=clip_whole),
            loss=loss,
            metrics=list(metrics),
            jit_compile=compiles_training(),
        )
        restore(state, trainer)
    guard = Guard()
    record = Record(
        folder,
        kept,
        measure,
        quality,
        guard,
        options,
        begin,
        stage=stage,
        patience=options.patience if patience is None else patience,
        writes=team.is_first,
        on_epoch=on_epoch,
    )
    callbacks: list[keras.callbacks.Callback] = [guard]
    clock = None
    if budget is not None:
        clock = Clock(schedule, steps, budget, record.spent)
        callbacks.append(clock)
    callbacks.append(record)
    if team.is_first:
        callbacks.append(Backup(state, lambda: guard.broken is not None))
        # It is TensorFlow that writes them, with other backends too.
        if importlib.util.find_spec("tensorflow") is not None:
            callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False))
    if team.is_several:
        callbacks += [Follow(batches), InStep(team.meet, team.check_stop)]
    is_over = budget is not None and begin > first and record.spent >= budget
    # All have read what process 0 writes anew from now on.
    team.meet()
    if begin < epochs and not is_over:
        with reading(batches), team.fitting(), team.stoppable():
            trainer.fit(
                batches,
                epochs=epochs,
                initial_epoch=begin,
                shuffle=False,
                callbacks=callbacks,
                verbose=0,
            )
    if guard.broken is not None and check_data is not None:
        check_data(*guard.broken)
    guard.check(options)
    if is_over or (clock is not None and clock.is_over):
        return "time budget"
    return "epochs" if record.rows and record.rows[-1]["epoch"] + 1 >= epochs else "patience"


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
