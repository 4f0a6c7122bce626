"""What is watched while networks are fitted."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from cnnkit.engine import callbacks
from cnnkit.engine.callbacks import Clock, Stage
from cnnkit.engine.dataset import CountedEpochs
from cnnkit.engine.observer import Observer
from cnnkit.engine.range_test import run_range_test, steepest
from cnnkit.engine.run import read_results
from cnnkit.engine.trainer import build_optimizer, build_schedule, fit_stage
from cnnkit.errors import UsageError
from cnnkit.tasks.classify.settings import TrainSettings


class Ones(CountedEpochs):
    """Two batches of the same."""

    def __init__(self):
        super().__init__(0)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        self._took(index)
        return np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)


def fit(folder, observer=None, **settings):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    stage = Stage(
        model,
        loss=keras.losses.MeanSquaredError(),
        kept=model,
        measure=lambda logs: {},
        quality=lambda row: -row["loss"],
        end=1,
    )
    settings = TrainSettings(epochs=1, **settings)
    return fit_stage(stage, Ones(), folder, settings, observer=observer)


@pytest.mark.parametrize("is_here", [True, False])
def test_tensorboard_gets_its_logs_where_tensorflow_is(tmp_path, monkeypatch, is_here):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if is_here else None)
    assert fit(tmp_path) == "epochs"
    assert (tmp_path / "results.csv").exists()
    assert (tmp_path / "tensorboard").exists() == is_here


@pytest.mark.parametrize("momentum", [0.3, 0.999])
def test_averaged_weights_are_of_all_steps_of_a_short_training(momentum):
    weight = keras.Variable([0.0])
    optimizer = build_optimizer(TrainSettings(optimizer="sgd", ema=momentum), 1.0, [weight])
    average = np.array([0.0])
    for step in range(40):
        optimizer.apply([keras.ops.array([-1.0])], [weight])
        kept = min(momentum, (1 + step) / (10 + step)) if step else 0.0
        average = kept * average + (1.0 - kept) * np.array(weight)
    last = np.array(weight).item()
    optimizer.finalize_variable_values([weight])
    np.testing.assert_allclose(np.array(weight), average, rtol=1e-4)
    assert average.item() > 0.5 * last


def test_the_time_to_compile_is_no_part_of_the_schedule(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now)
    options = TrainSettings(learning_rate=1.0, warmup=0.0)
    clock = Clock(build_schedule(options, 40), steps=40, budget=110.0, before=10.0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5))
    clock.set_model(model)

    def begin(batch):
        clock.on_train_batch_begin(batch)
        return float(model.optimizer.learning_rate)

    # A tenth of the run was over before this part of it began.
    at_a_tenth = 0.5 + 0.5 * np.cos(np.pi * 10 / 110)
    assert begin(0) == pytest.approx(at_a_tenth)
    now += 40.0
    clock.on_train_batch_end(0)
    # It compiled for 40 seconds: of 70 that are left, and those ten, ten are over.
    assert begin(1) == pytest.approx(0.5 + 0.5 * np.cos(np.pi * 10 / 70))
    now += 30.0
    assert begin(2) == pytest.approx(0.5 + 0.5 * np.cos(np.pi * 40 / 70))
    clock.on_train_batch_end(2)
    assert not clock.is_over
    now += 31.0
    clock.on_train_batch_end(3)
    assert clock.is_over


# Within an epoch, which is all that there is: the rate is looked at as the optimizer uses it.
SCRIPT = """
import keras, numpy as np
from cnnkit.engine.run import read_results
from cnnkit.errors import UsageError
from cnnkit.tasks.classify.settings import TrainSettings
from cnnkit.engine.callbacks import Clock, Stage
from cnnkit.engine.trainer import build_schedule

inputs = keras.Input((1,))
layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
model = keras.Model(inputs, layer(inputs))
model.compile(keras.optimizers.SGD(1.0), lambda truth, found: keras.ops.mean(found))
options = TrainSettings(learning_rate=1.0, warmup=0.0)
clock = Clock(build_schedule(options, 40), 40, 1e9, 0.0)
weights, syncs = [], []
if keras.backend.backend() == "jax":
    sync = model.jax_state_sync
    # Keras asks for it wherever a callback looks at its model.
    model.jax_state_sync = lambda: (syncs.append(1), sync())
seen = keras.callbacks.LambdaCallback(
    on_train_batch_end=lambda batch, logs: weights.append(logs["loss"])
)
model.fit(np.ones((40, 1)), np.ones((40, 1)), batch_size=1, shuffle=False, verbose=0,
          callbacks=[clock, seen])
# The weight falls by the rate in each step. Keras reports the mean loss so far.
sums = np.array(weights) * np.arange(1, 41)
print(len(syncs), *(-np.diff(np.diff(sums, prepend=0.0))).round(4).tolist())
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_rate_falls_within_an_epoch_on_every_backend(backend):
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    syncs, *rates = found.stdout.split()
    rates = np.array(rates, float)
    expected = 0.5 + 0.5 * np.cos(np.pi * np.arange(39) / 40)
    # On JAX it is set anew every tenth step.
    step = 10 if backend == "jax" else 1
    np.testing.assert_allclose(rates, expected[np.arange(39) // step * step], atol=2e-3)
    # Of the 40 steps every tenth, where the model is then looked at, and the end: each costs as
    # long as a small step.
    assert int(syncs) < 20


class Line(CountedEpochs):
    """Points of a line, of which one learns the slope."""

    def __init__(self):
        super().__init__(0)
        self._x = np.random.default_rng(0).normal(size=(4, 16, 3)).astype(np.float32)

    def __len__(self):
        return len(self._x)

    def __getitem__(self, index):
        return self._x[index], 3.0 * self._x[index].sum(axis=1, keepdims=True)


def test_the_learning_rate_is_the_steepest_point_before_the_lowest_loss():
    rates = np.geomspace(1e-5, 1.0, 6)
    assert steepest(rates, [2.0, 1.9, 1.2, 1.0, 1.5, 0.9]) == pytest.approx(1e-3)
    # The loss of a falling curve is lowest at its end; that of a growing one falls nowhere.
    assert steepest(rates, [6.0, 5.0, 4.0, 3.0, 1.0, 0.5]) == pytest.approx(1e-2)
    assert steepest(rates, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) is None
    assert steepest(rates[:2], [2.0, 1.0]) is None


def test_a_range_test_takes_back_what_it_trained():
    inputs = keras.Input((3,))
    x = keras.layers.BatchNormalization()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dropout(0.1)(x)))
    before = [np.array(one) for one in model.get_weights()]
    loss = keras.losses.MeanSquaredError()
    stage = Stage(model, loss=loss, kept=model, measure=dict, quality=len, end=1)
    settings = TrainSettings(optimizer="sgd", learning_rate=0.01)
    found = run_range_test(stage, Line(), settings, keras.optimizers.SGD)
    # SGD on a parabola: too little below, divergence above, and in between it falls.
    assert 1e-3 < found.learning_rate < 0.3
    assert found.losses[-1] > min(found.losses)
    assert found.rates[0] == pytest.approx(1e-6)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_finds_its_learning_rate_once(tmp_path):
    notes, changes = [], {"find_lr": True, "schedule": "constant", "warmup": 0.0}
    fit(tmp_path, Observer(on_note=notes.append), **changes)
    [line] = notes
    assert line.startswith("learning rate ")
    assert line.endswith("learning-rate.png")
    found = json.loads((tmp_path / "learning-rate.json").read_text())["learning_rate"]
    [row] = read_results(tmp_path)
    assert row["learning_rate"] == pytest.approx(found)
    fit(tmp_path, Observer(on_note=notes.append), **changes)
    assert len(notes) == 1


def test_a_learning_rate_is_found_or_given():
    with pytest.raises(UsageError, match="--find-lr chooses the learning rate; leave out"):
        TrainSettings(find_lr=True, learning_rate=0.1)
