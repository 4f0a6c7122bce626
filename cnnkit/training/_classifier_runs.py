"""What trainings of classifiers share: how they are fitted, and what is written of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit import __version__
from cnnkit.images import write_bytes
from cnnkit.metrics.classification import (
    accuracy,
    best_temperature,
    confusion_matrix,
    mean_class_accuracy,
    tempered,
)
from cnnkit.options import ClassifyTrainOptions, TextTrainOptions
from cnnkit.plots import encode_figure, plot_confusion, plot_training
from cnnkit.training._batches import CountedEpochs, reading
from cnnkit.training._distribution import Team
from cnnkit.training._fit import (
    Clock,
    Follow,
    Guard,
    InStep,
    Record,
    best_epoch,
    build_optimizer,
    build_schedule,
    seconds_of,
)
from cnnkit.training._runs import STATE, Backup, finished_epochs, read_results, restore
from cnnkit.weights.keras_file import CLASSES_FILE, MODEL_FILE, SETTINGS_FILE, write_keras_file

# Examples for validation from which on probabilities are calibrated.
_CALIBRATION_LEAST = 50


@dataclass(frozen=True)
class ClassifierTraining:
    """What a training gave.

    Attributes:
        model: the `.keras` file, with the weights of the best epoch.
        classes: names of the classes.
        counts: examples for training, validation and test.
        epochs: passes over the data that were made, in all runs together.
        best: the epoch whose weights were kept, from 1.
        seconds: that the epochs took.
        weights: number of weights that were trained, and of all.
        scores: "val" and, where there is a test split, "test" -> accuracy and mean accuracy of
            the classes, in [0, 1].
        temperature: by which the best weights' logits were divided in `model`, so that its
            probabilities are right as often as they say on the validation data; 1 where there is
            too little of that.
        reason: why the training ended: "epochs", "patience" or "time budget".
    """

    model: Path
    classes: tuple[str, ...]
    counts: tuple[int, int, int]
    epochs: int
    best: int
    seconds: float
    weights: tuple[int, int]
    scores: Mapping[str, Mapping[str, float]]
    temperature: float
    reason: str


def compile_classifier(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, label_smoothing: float
) -> None:
    """Compiles a model of probabilities, for targets that are one-hot."""
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing),
        metrics=["accuracy"],
        jit_compile=keras.backend.backend() == "jax",
    )


def class_weights_of(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights by which rare classes count as much as frequent ones.

    Args:
        labels: `(N,)` of the training data.
        classes: their number.

    Returns:
        float32 `(classes,)`.

    Example:

    >>> class_weights_of(np.array([0, 0, 1]), 2).tolist()
    [0.75, 1.5]
    """
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)


def fit_classifier(
    trainer: keras.Model,
    batches: CountedEpochs,
    folder: Path,
    options: ClassifyTrainOptions | TextTrainOptions,
    epochs: int,
    *,
    kept: keras.Model,
    validate: Callable[[], np.ndarray | None],
    val_labels: np.ndarray,
    team: Team,
    slow: Sequence[keras.Variable] = (),
    clip_whole: bool = False,
    check_data: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[int, dict], None] | None = None,
) -> str:
    """Trains to the end, from where a run stands.

    Args:
        trainer: what trains.
        batches: from the epoch on where the run stands.
        folder: of the run.
        options: of the training.
        epochs: of the whole run.
        kept: the model whose weights are written.
        validate: probabilities `(N, classes)` of the validation data by `kept`, or None.
        val_labels: `(N,)` of these.
        team: devices that train.
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
    state = folder / STATE
    begin = finished_epochs(state)
    steps = epochs * len(batches)
    schedule = build_schedule(options, steps)
    is_timed = options.time_budget is not None
    rate = options.peak_learning_rate if is_timed else schedule
    with team.building():
        variables = trainer.trainable_variables
        optimizer = build_optimizer(options, rate, variables, slow, clip_whole=clip_whole)
        compile_classifier(trainer, optimizer, options.label_smoothing)
        restore(state, trainer)
    guard = Guard()
    rows = read_results(folder)[:begin]
    clock = None
    callbacks: list[keras.callbacks.Callback] = [guard]
    if is_timed:
        clock = Clock(schedule, steps, options.time_budget, seconds_of(rows))
        callbacks.append(clock)
    record = Record(
        folder, kept, validate, val_labels, guard, options, begin, team.is_first, on_epoch
    )
    callbacks.append(record)
    if team.is_first:
        callbacks += [
            Backup(state, lambda: guard.broken is not None),
            keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
        ]
    if team.is_several:
        callbacks += [Follow(batches), InStep(team.meet, team.check_stop)]
    is_over = is_timed and rows and seconds_of(rows) >= options.time_budget
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
    return "epochs" if len(record.rows) >= epochs else "patience"


def summarize_classifier(
    folder: Path,
    classes: tuple[str, ...],
    counts: tuple[int, int, int],
    weights: tuple[int, int],
    found: Mapping[str, tuple[np.ndarray, np.ndarray]],
    reason: str,
) -> ClassifierTraining:
    """What a training gave, from its rows and from what its best weights say.

    Args:
        folder: of the run.
        classes: their names.
        counts: examples for training, validation and test.
        weights: number of weights that were trained, and of all.
        found: "val" and "test", where there are some -> labels `(N,)` and probabilities
            `(N, classes)` by the best weights.
        reason: why the training ended.
    """
    rows = read_results(folder)
    scores = {}
    for split, (labels, probabilities) in found.items():
        predicted = probabilities.argmax(axis=1)
        matrix = confusion_matrix(labels, predicted, len(classes))
        scores[split] = {
            "accuracy": accuracy(labels, predicted),
            "mean_class_accuracy": mean_class_accuracy(matrix),
        }
    temperature = 1.0
    if "val" in found and len(found["val"][0]) >= _CALIBRATION_LEAST:
        labels, probabilities = found["val"]
        temperature = best_temperature(probabilities, labels)
    return ClassifierTraining(
        model=folder / MODEL_FILE,
        classes=classes,
        counts=counts,
        epochs=len(rows),
        best=best_epoch(rows) + 1,
        seconds=seconds_of(rows),
        weights=weights,
        scores=scores,
        temperature=temperature,
        reason=reason,
    )


def write_classifier(
    model: keras.Model,
    result: ClassifierTraining,
    found: Mapping[str, tuple[np.ndarray, np.ndarray]],
    options: ClassifyTrainOptions | TextTrainOptions,
    settings: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
) -> dict[str, np.ndarray]:
    """Writes the model, and the report with its pictures.

    Args:
        model: with the best weights, not calibrated; its last layer has a softmax.
        result: of `summarize_classifier`.
        found: the same as there.
        options: of the training.
        settings: what the model expects.
        files: to lie in the model's file and beside it, by name.

    Returns:
        "val" and "test", where there are some -> probabilities as the written model gives them.
    """
    folder = result.model.parent
    names = "".join(f"{name}\n" for name in result.classes).encode("utf-8", "surrogateescape")
    beside = {CLASSES_FILE: names, **(files or {})}
    last = model.layers[-1]
    last.set_weights([value / result.temperature for value in last.get_weights()])
    described = json.dumps({**settings, "cnnkit": __version__}).encode()
    write_keras_file(model, result.model, {**beside, SETTINGS_FILE: described})
    for name, content in beside.items():
        write_bytes(folder / name, content)
    calibrated = {}
    for split, (labels, probabilities) in found.items():
        matrix = confusion_matrix(labels, probabilities.argmax(axis=1), len(result.classes))
        figure = plot_confusion(matrix, result.classes)
        write_bytes(folder / f"confusion{end_of(split)}.png", encode_figure(figure))
        calibrated[split] = tempered(probabilities, result.temperature)
    _write_curves(folder)
    report = {**asdict(result), "model": MODEL_FILE, "options": asdict(options)}
    write_bytes(folder / "report.json", json.dumps(report, indent=1).encode())
    return calibrated


def end_of(split: str) -> str:
    """What names of files about a split end with."""
    return "" if split == "val" else f"-{split}"


def _write_curves(folder: Path) -> None:
    rows = read_results(folder)
    curves = {
        name: [row[name] for row in rows] for name in rows[0] if name not in ("epoch", "seconds")
    }
    figure = plot_training([row["epoch"] + 1 for row in rows], curves)
    write_bytes(folder / "curves.png", encode_figure(figure))
