"""The depthwise layer that is fast on every backend."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from cnnkit.models._depthwise import DepthwiseConv2D

SCRIPT = """
import jax, keras, numpy as np
from cnnkit.models._depthwise import DepthwiseConv2D

x = np.random.default_rng(0).standard_normal((2, 9, 8, 6)).astype(np.float32)
for settings in (
    {"strides": 2, "padding": "same"},
    {"strides": 2, "use_bias": False},
    {"activation": "relu"},
    {"dilation_rate": 2, "padding": "same"},
):
    ours = DepthwiseConv2D(3, **settings)
    theirs = keras.layers.DepthwiseConv2D(3, **settings)
    theirs.build(x.shape)
    ours.build(x.shape)
    weights = [np.random.default_rng(1).standard_normal(one.shape) for one in ours.weights]
    for layer in (ours, theirs):
        layer.set_weights(weights)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)
    text = [jax.jit(layer.call).lower(x).as_text() for layer in (ours, theirs)]
    print(*("convolution" in one for one in text))
"""


@pytest.mark.slow
def test_on_jax_it_is_the_same_without_a_convolution():
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines() == ["False True"] * 4


def test_it_is_kept_in_a_file_as_what_it_is(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, DepthwiseConv2D(3, 2, padding="same")(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.layers[-1]) is DepthwiseConv2D
    x = np.random.default_rng(0).standard_normal((1, 8, 9, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(x), again(x))
