"""How networks are trained: the learning rate, the optimizer, and the way from start to end."""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import keras

from cnnkit.engine.callbacks import Backup, Clock, Follow, Guard, InStep, Record, Stage, Tell
from cnnkit.engine.dataset import CountedEpochs, reading
from cnnkit.engine.distribution import CommonStop, Team
from cnnkit.engine.observer import Observer
from cnnkit.engine.range_test import find_learning_rate
from cnnkit.engine.run import finished_epochs, read_results, restore, state_file
from cnnkit.engine.settings import FitSettings
from cnnkit.errors import DivergenceError, UsageError
from cnnkit.images import write_bytes
from cnnkit.ops.inference import compiles_training
from cnnkit.plots import encode_figure, plot_training
from cnnkit.runtime import has_accelerator

# What an exponential schedule ends with, of the highest learning rate.
_EXPONENTIAL_END = 0.01


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

    >>> from cnnkit.tasks.classify.settings import TrainSettings
    >>> schedule = build_schedule(TrainSettings(warmup=0.1, learning_rate=1.0), 100)
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


def cosine_decay(
    learning_rate: float, steps: int, warmup_steps: int, end: float = 0.0
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A step size that grows for `warmup_steps`, then falls to a share `end` as a half cosine."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 100,
        decay_steps=max(1, steps - warmup_steps),
        alpha=end,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
    )


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
        slow: those of them whose learning rate is that times `options.slow_rate`.
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
    factors = [options.slow_rate if id(one) in slow_ids else 1.0 for one in variables]

    class TwoRates(base):  # type: ignore[misc, valid-type]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> Any:
            # The variable is Keras' own or the backend's; only Keras knows which is which.
            factor = factors[self._get_variable_index(variable)]
            return super().update_step(gradient, variable, learning_rate * factor)

        @property
        def ema_momentum(self) -> Any:
            # The average of as many steps as there were, at first: a training shorter than the
            # momentum is long would keep the weights that it began with.
            steps = keras.ops.cast(self.iterations, "float32")
            return keras.ops.minimum(self._most_momentum, (1.0 + steps) / (10.0 + steps))

        @ema_momentum.setter
        def ema_momentum(self, momentum: Any) -> None:
            self._most_momentum = momentum

    settings: dict[str, Any] = {
        "weight_decay": options.weight_decay or None,
        "global_clipnorm" if clip_whole else "clipnorm": options.clip_norm or None,
    }
    if options.optimizer == "sgd":
        settings |= {"momentum": 0.9, "nesterov": True}
    if options.averaging:
        settings |= {"use_ema": True, "ema_momentum": options.averaging}
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


class TrainedModel(Protocol):
    """What a training gives; `model` is the file that was written."""

    @property
    def model(self) -> Path: ...


_Trained = TypeVar("_Trained", bound=TrainedModel)


def gather_team(
    devices: int | None, settings: FitSettings, observer: Observer | None
) -> tuple[Team, Observer]:
    """The devices that train together, and whom this process tells what.

    Args:
        devices: of each process, which share every batch: on JAX any, on TensorFlow GPUs of one
            machine. All GPUs, or else one device, by default. Several processes are those that
            `runtime.configure` joined; all train with the same arguments, into the same folder,
            and process 0 alone writes into it and tells.
        settings: of the training.
        observer: whom process 0 tells.

    Raises:
        UsageError: there are fewer devices, or they cannot share a batch equally, or several
            processes are to end in time.
    """
    if settings.keeps_on_device and devices is None:
        devices = 1
    team = Team(devices)
    if settings.keeps_on_device:
        team.check_alone("--on-device")
    team.check_batch(settings.batch_size)
    if team.processes > 1 and settings.time_budget is not None:
        raise UsageError("--time-budget is for one process: clocks differ; use --epochs")
    return team, (observer or Observer()) if team.is_first else Observer()


def run_training(
    fit: Callable[[], str],
    finish: Callable[[str], _Trained],
    folder: Path,
    observer: Observer,
    team: Team | None = None,
) -> _Trained:
    """Trains, and writes what came out, after Ctrl-C and a loss that is no finite number too.

    Args:
        fit: trains to the end, from where the run stands; gives the reason why it ended.
        finish: writes the model with the best weights, and what there is to say about it.
        folder: of the run.
        observer: is told where the best so far is.
        team: devices that train; this process alone by default.

    Raises:
        KeyboardInterrupt: the user stopped it; the best so far is written.
        DivergenceError: the loss is no finite number; the best so far is written.
        LostProcessError: another process of the training ended.
    """
    team = team or Team(devices=1)
    stopped: KeyboardInterrupt | DivergenceError | None = None
    try:
        reason = fit()
    except KeyboardInterrupt as error:
        stopped, reason = error, reason_of(error)
        if team.processes > 1:
            if not isinstance(error, CommonStop):
                raise
            if not team.is_first:
                team.part()
                raise
            team.go_alone()
    except DivergenceError as error:
        stopped, reason = error, reason_of(error)
    if stopped is not None and not read_results(folder):
        raise stopped
    team.meet()
    result = finish(reason)
    if isinstance(stopped, KeyboardInterrupt):
        team.part()
    conclude(stopped, result.model, observer.on_note)
    return result


def write_curves(
    folder: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ()
) -> None:
    """Draws the figures of all epochs into the folder of a run; all of them by default."""
    names = names or [name for name in rows[0] if name not in ("epoch", "seconds")]
    curves = {name: [row[name] for row in rows] for name in names}
    figure = plot_training([row["epoch"] + 1 for row in rows], curves)
    write_bytes(folder / "curves.png", encode_figure(figure))


def reason_of(stopped: BaseException) -> str:
    """What a report calls the end of a training that this stopped."""
    return "Ctrl-C" if isinstance(stopped, KeyboardInterrupt) else "divergence"


def conclude(stopped: BaseException | None, model: str | Path, note: Callable[[str], None]) -> None:
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


def fit_stage(
    stage: Stage,
    batches: CountedEpochs,
    folder: Path,
    settings: FitSettings,
    *,
    team: Team | None = None,
    observer: Observer | None = None,
) -> str:
    """Trains a stage to its end, from where the run stands.

    Args:
        stage: what is trained.
        batches: from the epoch on where the run stands.
        folder: of the run.
        settings: of the training.
        team: devices that train; this process alone by default.
        observer: is told of steps and epochs.

    Returns:
        Why it ended: "epochs", "patience" or "time budget".

    Raises:
        UsageError: several devices are to find the learning rate.
        DivergenceError: the loss is no finite number.
    """
    team, observer = team or Team(devices=1), observer or Observer()
    trainer = stage.trainer
    budget = settings.time_budget if stage.budget is None else stage.budget
    state = folder / state_file(stage.name)
    begin = max(stage.begin, finished_epochs(state))

    def build(rate: Any) -> keras.optimizers.Optimizer:
        variables = trainer.trainable_variables
        return build_optimizer(settings, rate, variables, stage.slow, clip_whole=stage.clip_whole)

    if settings.find_lr:
        if team.is_several:
            raise UsageError("--find-lr is for one device; find it there, and give --learning-rate")
        rate = find_learning_rate(stage, batches, folder, settings, build, observer)
        settings = replace(settings, find_lr=False, learning_rate=rate)
    steps = (stage.end - stage.begin) * len(batches)
    schedule = build_schedule(settings, steps)
    with team.building():
        trainer.compile(
            optimizer=build(schedule if budget is None else settings.peak_learning_rate),
            loss=stage.loss,
            metrics=list(stage.metrics),
            jit_compile=compiles_training(),
        )
        restore(state, trainer)
    guard = Guard()
    record = Record(folder, stage, settings, guard, begin, team.is_first, observer.on_epoch)
    callbacks: list[keras.callbacks.Callback] = [guard]
    clock = None
    if budget is not None:
        clock = Clock(schedule, steps, budget, record.spent)
        callbacks.append(clock)
    callbacks.append(record)
    if team.is_first:
        count = len(batches)
        callbacks.append(Tell(observer.on_step, stage.end, count, settings.batch_size))
        callbacks.append(Backup(state, lambda: guard.broken is not None))
        # It is TensorFlow that writes them, with other backends too.
        if importlib.util.find_spec("tensorflow") is not None:
            callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False))
    if team.is_several:
        callbacks += [Follow(batches), InStep(team.meet, team.check_stop)]
    is_over = budget is not None and begin > stage.begin and record.spent >= budget
    # All have read what process 0 writes anew from now on.
    team.meet()
    if begin < stage.end and not is_over:
        with reading(batches), team.fitting(), team.stoppable():
            trainer.fit(
                batches,
                epochs=stage.end,
                initial_epoch=begin,
                shuffle=False,
                callbacks=callbacks,
                verbose=0,
            )
    if guard.broken is not None and stage.check_data is not None:
        stage.check_data(*guard.broken)
    guard.check(settings)
    if is_over or (clock is not None and clock.is_over):
        return "time budget"
    return "epochs" if record.rows and record.rows[-1]["epoch"] + 1 >= stage.end else "patience"
