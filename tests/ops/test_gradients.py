import keras
import numpy as np
import pytest

from cnnkit.ops.gradients import value_and_gradient, value_for_any_size


def test_the_gradient_is_that_of_finite_differences():
    def function(x):
        return keras.ops.sum(keras.ops.sin(x) * x)

    point = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    value, gradient = value_and_gradient(function)(point)
    assert value == pytest.approx(float(np.sum(np.sin(point) * point)), rel=1e-5)
    # d/dx (x sin x) = sin x + x cos x
    np.testing.assert_allclose(gradient, np.sin(point) + point * np.cos(point), atol=1e-5)
    assert gradient.shape == point.shape


def test_float64_is_taken_and_the_argument_kept():
    point = np.ones(3)
    value, gradient = value_and_gradient(lambda x: keras.ops.sum(x**3))(point)
    assert value == 3.0
    assert gradient.tolist() == [3.0, 3.0, 3.0]
    assert point.dtype == np.float64


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch traces nothing")
def test_it_is_compiled_once_for_many_points():
    calls = []

    def function(x):
        calls.append(1)
        return keras.ops.sum(x)

    evaluate = value_and_gradient(function)
    for number in range(4):
        assert evaluate(np.full(2, number, "float32"))[0] == 2 * number
    assert len(calls) == 1


@pytest.mark.parametrize("compile_it", [value_and_gradient, value_for_any_size])
def test_an_unknown_backend_is_named(compile_it, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "abacus")
    with pytest.raises(ValueError, match=r"tensorflow, jax or torch\. Received: abacus"):
        compile_it(lambda x: x)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles for each size")
def test_maps_of_all_sizes_share_what_is_compiled():
    calls = []

    def function(maps):
        calls.append(1)
        return {"sums": keras.ops.sum(maps["one"], axis=(0, 1)), "twice": 2 * maps["one"]}

    evaluate = value_for_any_size(function)
    for height, width in ((1, 2), (3, 1), (5, 7)):
        ones = np.ones((height, width, 2), "float32")
        found = evaluate({"one": ones})
        assert found["sums"].tolist() == [height * width] * 2
        np.testing.assert_array_equal(found["twice"], 2 * ones)
    assert len(calls) == 1
