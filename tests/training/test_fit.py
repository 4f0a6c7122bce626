"""What is watched while networks are fitted."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from cnnkit.options import ClassifyTrainOptions
from cnnkit.training._batches import CountedEpochs
from cnnkit.training._fit import fit_epochs


class Ones(CountedEpochs):
    """Two batches of the same."""

    def __init__(self):
        super().__init__(0)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        self._took(index)
        return np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)


def fit(folder, **settings):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    return fit_epochs(
        model,
        Ones(),
        folder,
        ClassifyTrainOptions(epochs=1, **settings),
        1,
        loss=keras.losses.MeanSquaredError(),
        kept=model,
        measure=lambda logs: {},
        quality=lambda row: -row["loss"],
    )


@pytest.mark.parametrize("is_here", [True, False])
def test_tensorboard_gets_its_logs_where_tensorflow_is(tmp_path, monkeypatch, is_here):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if is_here else None)
    assert fit(tmp_path) == "epochs"
    assert (tmp_path / "results.csv").exists()
    assert (tmp_path / "tensorboard").exists() == is_here


# Within an epoch, which is all that there is: the rate is looked at as the optimizer uses it.
SCRIPT = """
import keras, numpy as np
from cnnkit.options import ClassifyTrainOptions
from cnnkit.training._fit import Clock, build_schedule

inputs = keras.Input((1,))
layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
model = keras.Model(inputs, layer(inputs))
model.compile(keras.optimizers.SGD(1.0), lambda truth, found: keras.ops.mean(found))
options = ClassifyTrainOptions(learning_rate=1.0, warmup=0.0)
clock = Clock(build_schedule(options, 40), 40, 1e9, 0.0)
weights = []
seen = keras.callbacks.LambdaCallback(
    on_train_batch_end=lambda batch, logs: weights.append(logs["loss"])
)
model.fit(np.ones((40, 1)), np.ones((40, 1)), batch_size=1, shuffle=False, verbose=0,
          callbacks=[clock, seen])
# The weight falls by the rate in each step. Keras reports the mean loss so far.
sums = np.array(weights) * np.arange(1, 41)
print(*(-np.diff(np.diff(sums, prepend=0.0))).round(4).tolist())
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
    rates = np.array(found.stdout.split(), float)
    expected = 0.5 + 0.5 * np.cos(np.pi * np.arange(39) / 40)
    # On JAX it is set anew every tenth step.
    step = 10 if backend == "jax" else 1
    np.testing.assert_allclose(rates, expected[np.arange(39) // step * step], atol=2e-3)
