"""The learning rate that a training begins with, by a range test (Smith 2017)."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.engine.callbacks import Stage
from cnnkit.engine.dataset import CountedEpochs, reading
from cnnkit.engine.observer import Observer
from cnnkit.engine.settings import FitSettings
from cnnkit.images import write_bytes
from cnnkit.ops.inference import compiles_training
from cnnkit.plots import encode_figure, plot_learning_rates

RATE_FILE, RATE_PICTURE = "learning-rate.json", "learning-rate.png"
# Steps of the test, and how much of it the smoothed loss looks back on.
_STEPS, _MOMENTUM = 100, 0.9
# The test is over where the smoothed loss is so many times its lowest.
_FAR_UP = 4.0
# Share of the points at the beginning that the average of few losses makes unsteady.
_UNSTEADY = 0.1
# Where the test begins and ends, relative to the learning rate that is usual for the training.
_LOWEST, _HIGHEST = 1e-4, 1e2


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Attributes:
        rates: learning rates, growing by the same factor from step to step.
        losses: of the steps, smoothed.
        learning_rate: where the loss falls most steeply over the logarithm of the learning rate;
            None where it does not fall.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    learning_rate: float | None


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The learning rate at which a smoothed loss falls most steeply.

    Args:
        rates: growing learning rates.
        losses: of these, smoothed.

    Returns:
        One of `rates` before the lowest loss; None where the loss does not fall.

    Example:

    >>> steepest([0.001, 0.01, 0.1, 1.0], [1.0, 0.9, 0.2, 0.19])
    0.01
    """
    if len(rates) < 3:
        return None
    slopes = np.gradient(np.asarray(losses, float), np.log(rates))
    begin = math.ceil(_UNSTEADY * len(rates)) if len(rates) >= 1 / _UNSTEADY else 0
    end = max(int(np.argmin(losses)), begin + 1)
    place = begin + int(np.argmin(slopes[begin:end]))
    return float(rates[place]) if slopes[place] < 0.0 else None


def run_range_test(
    stage: Stage,
    batches: CountedEpochs,
    settings: FitSettings,
    build: Callable[[float], keras.optimizers.Optimizer],
    on_progress: Callable[[int, int], None] | None = None,
) -> RangeTest:
    """Trains a few steps with a learning rate that grows, and takes them back.

    Args:
        stage: what is trained; its model is as before afterwards, but for how it is compiled.
        batches: to train on.
        settings: of the training.
        build: an optimizer with a learning rate.
        on_progress: called with the number of steps done, and of all.

    Raises:
        DataError: a file could not be read.
    """
    trainer, usual = stage.trainer, settings.peak_learning_rate
    rates = np.geomspace(_LOWEST * usual, _HIGHEST * usual, _STEPS)
    before = [(one, np.array(keras.ops.convert_to_numpy(one.value))) for one in trainer.variables]
    trainer.compile(optimizer=build(rates[0]), loss=stage.loss, jit_compile=compiles_training())
    losses: list[float] = []
    average = 0.0
    with reading(batches):
        for step, rate in enumerate(rates):
            trainer.optimizer.learning_rate = float(rate)
            x, y, *weights = batches[step % len(batches)]
            loss = trainer.train_on_batch(x, y, *weights, return_dict=True)["loss"]
            average = _MOMENTUM * average + (1.0 - _MOMENTUM) * float(loss)
            # Corrected for having begun at zero.
            smooth = average / (1.0 - _MOMENTUM ** (step + 1))
            if not math.isfinite(smooth) or (losses and smooth > _FAR_UP * min(losses)):
                break
            losses.append(smooth)
            if on_progress is not None:
                on_progress(step + 1, _STEPS)
    if on_progress is not None:
        on_progress(_STEPS, _STEPS)
    for variable, value in before:
        variable.assign(value)
    seen = rates[: len(losses)].tolist()
    return RangeTest(tuple(seen), tuple(losses), steepest(seen, losses))


def find_learning_rate(
    stage: Stage,
    batches: CountedEpochs,
    folder: Path,
    settings: FitSettings,
    build: Callable[[float], keras.optimizers.Optimizer],
    observer: Observer,
) -> float:
    """The learning rate of a run that asks for a range test, which is made once for a run.

    Args:
        stage: see `run_range_test`.
        batches: see `run_range_test`.
        folder: of the run; `learning-rate.json` and `learning-rate.png` are written there.
        settings: see `run_range_test`.
        build: see `run_range_test`.
        observer: is told what was found.
    """
    path = folder / RATE_FILE
    if path.exists():
        values: dict[str, Any] = json.loads(path.read_text())
        return float(values["learning_rate"] or settings.peak_learning_rate)
    found = run_range_test(
        stage,
        batches,
        settings,
        build,
        lambda done, total: observer.on_progress("learning rate", done, total),
    )
    figure = plot_learning_rates(found.rates, found.losses, found.learning_rate)
    write_bytes(folder / RATE_PICTURE, encode_figure(figure))
    write_bytes(path, json.dumps(asdict(found)).encode())
    if found.learning_rate is None:
        observer.on_note(
            f"--find-lr: the loss falls at no learning rate within {_STEPS} steps; the usual "
            f"{settings.peak_learning_rate:.2g} is taken"
        )
        return settings.peak_learning_rate
    observer.on_note(
        f"learning rate {found.learning_rate:.2g}: there the loss falls most steeply; see "
        f"{folder / RATE_PICTURE}"
    )
    return found.learning_rate
