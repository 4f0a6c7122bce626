"""The state that a run goes on from."""

import json

import keras
import numpy as np
import pytest

from cnnkit.engine.run import finished_epochs, restore, save_state
from cnnkit.errors import DataError


def make(names, widths=(3, 2), seed=0):
    """A network of two layers, compiled, with weights of its own."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4,), name="numbers")
    x = inputs
    for name, width in zip(names, widths, strict=True):
        x = keras.layers.Dense(width, name=name)(x)
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.Adam(0.1, name="adam"), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def values_of(model):
    return [keras.ops.convert_to_numpy(one) for one in model.weights]


def test_a_state_comes_back_whole(tmp_path):
    model = make(("a", "b"))
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 2)))
    save_state(tmp_path / "state.npz", model, 3)
    other = make(("a", "b"), seed=1)
    restore(tmp_path / "state.npz", other)
    assert finished_epochs(tmp_path / "state.npz") == 3
    for one, expected in zip(values_of(other), values_of(model), strict=True):
        np.testing.assert_array_equal(one, expected)
    assert int(other.optimizer.iterations) == 1
    assert [one.path for one in other.optimizer.variables] == [
        one.path for one in model.optimizer.variables
    ]


def test_variables_are_matched_by_their_paths_whatever_their_order(tmp_path):
    save_state(tmp_path / "state.npz", make(("a", "b"), (4, 4)), 1)
    with np.load(tmp_path / "state.npz") as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"]))
    # The two kernels, of one shape, change places in the file.
    kernels = [about["paths"].index(f"{name}/kernel") for name in "ab"]
    first, second = kernels
    about["paths"][first], about["paths"][second] = about["paths"][second], about["paths"][first]
    arrays[str(first)], arrays[str(second)] = arrays[str(second)], arrays[str(first)]
    np.savez(tmp_path / "state.npz", **{**arrays, "about": json.dumps(about)})
    other = make(("a", "b"), (4, 4), seed=1)
    restore(tmp_path / "state.npz", other)
    for one, expected in zip(values_of(other), values_of(make(("a", "b"), (4, 4))), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_layers_that_keras_numbered_otherwise_are_matched_by_their_order(tmp_path):
    save_state(tmp_path / "state.npz", make(("dense_1", "dense_2")), 1)
    other = make(("dense_7", "dense_8"), seed=1)
    restore(tmp_path / "state.npz", other)
    expected = values_of(make(("dense_1", "dense_2")))
    np.testing.assert_array_equal(values_of(other)[0], expected[0])


def test_the_state_of_another_network_is_refused_with_what_made_it(tmp_path):
    save_state(tmp_path / "state.npz", make(("a", "b")), 1)
    message = (
        rf"state.npz is the state of another network, made by cnnkit .*keras {keras.__version__}"
    )
    with pytest.raises(DataError, match=message):
        restore(tmp_path / "state.npz", make(("a", "b"), (5, 2)))


def test_a_state_without_paths_is_matched_by_order(tmp_path):
    save_state(tmp_path / "state.npz", make(("a", "b")), 1)
    with np.load(tmp_path / "state.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "about"}
    np.savez(tmp_path / "state.npz", **arrays)
    other = make(("a", "b"), seed=1)
    restore(tmp_path / "state.npz", other)
    np.testing.assert_array_equal(values_of(other)[0], values_of(make(("a", "b")))[0])
