import itertools
import math

import numpy as np
import pytest
import scipy.optimize

from cnnkit.ops.lbfgs import lbfgs


def rosenbrock(x):
    wide = x.astype(np.float64)
    value = scipy.optimize.rosen(wide)
    return float(value), scipy.optimize.rosen_der(wide).astype(np.float32)


def quadratic(matrix, target):
    def function(x):
        difference = x - target
        return float(difference @ matrix @ difference), 2 * matrix @ difference

    return function


def last(steps, count=500):
    *_, step = itertools.islice(steps, count)
    return step


def test_it_follows_the_curved_valley_to_its_end():
    start = np.array([-1.2, 1.0, 0.5], "float32")
    step = last(lbfgs(rosenbrock, start))
    np.testing.assert_allclose(step.x, 1.0, atol=5e-3)
    assert step.value < 1e-4
    # SciPy's needs 40 to 60.
    assert step.evaluations < 120
    assert start.tolist() == pytest.approx([-1.2, 1.0, 0.5])


def test_it_finds_the_minimum_inside_a_box_that_scipy_finds():
    random = np.random.default_rng(0)
    root = random.normal(size=(12, 12)).astype("float32")
    matrix = root @ root.T + np.eye(12, dtype="float32")
    target = random.uniform(-1, 2, 12).astype("float32")
    function = quadratic(matrix, target)
    step = last(lbfgs(function, np.full(12, 0.5, "float32"), lower=0.0, upper=1.0))
    expected = scipy.optimize.minimize(
        lambda x: function(x.astype("float32")),
        np.full(12, 0.5),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, 1)] * 12,
    )
    np.testing.assert_allclose(step.x, expected.x, atol=2e-3)
    assert step.x.min() >= 0.0
    assert step.x.max() <= 1.0


def test_it_takes_far_fewer_steps_than_gradient_descent():
    # Condition number 1,000: the best fixed step needs about 1000 / 2 * ln(1e3) = 3,500 steps.
    scales = np.diag(np.geomspace(1, 1000, 30)).astype("float32")
    function = quadratic(scales, np.ones(30, "float32"))
    step = last(lbfgs(function, np.zeros(30, "float32")), 100)
    assert step.value < 1e-3 * function(np.zeros(30, "float32"))[0] / 1000


def test_the_value_falls_at_each_step():
    values = [step.value for step in itertools.islice(lbfgs(rosenbrock, np.zeros(4, "f4")), 30)]
    assert values == sorted(values, reverse=True)


def test_the_first_move_has_the_asked_size():
    flat = quadratic(np.eye(9, dtype="float32"), np.full(9, 10.0, "float32"))
    step = next(lbfgs(flat, np.zeros(9, "float32"), first_step=0.5))
    assert math.sqrt(np.mean(step.x**2)) == pytest.approx(0.5)


def test_it_steps_back_from_where_the_function_is_not_finite():
    def function(x):
        value = float((x**2).sum())
        return (math.nan if value > 4.1 else value - 4 * float(x.sum())), 2 * x - 4

    # Minimum of x^2 - 4x is at 2, at the edge of what is finite.
    step = last(lbfgs(function, np.array([1.0], "float32"), first_step=50.0))
    assert step.x[0] == pytest.approx(2.0, abs=0.03)


def test_it_ends_where_nothing_is_left_to_gain():
    square = quadratic(np.eye(2, dtype="float32"), np.ones(2, "float32"))
    assert list(lbfgs(square, np.ones(2, "float32"))) == []
    steps = list(lbfgs(square, np.zeros(2, "float32")))
    assert 0 < len(steps) < 30


def test_it_refuses_a_start_that_is_not_finite():
    with pytest.raises(FloatingPointError, match="finite at the start"):
        next(lbfgs(lambda x: (math.nan, x), np.zeros(2, "float32")))


def test_shapes_are_kept():
    target = np.arange(12, dtype="float32").reshape(2, 2, 3)

    def function(x):
        return float(((x - target) ** 2).sum()), 2 * (x - target)

    step = last(lbfgs(function, np.zeros_like(target)))
    assert step.x.shape == (2, 2, 3)
    np.testing.assert_allclose(step.x, target, atol=1e-3)


def test_it_ends_where_the_value_is_low_enough():
    steps = list(lbfgs(rosenbrock, np.zeros(4, "float32"), enough=1.0))
    assert steps[-1].value < 1.0
    assert all(step.value >= 1.0 for step in steps[:-1])
    assert list(lbfgs(rosenbrock, np.zeros(4, "float32"), enough=100.0)) == []


def test_what_is_known_of_the_inverse_hessian_saves_steps():
    scales = np.geomspace(1, 1000, 30).astype("float32")
    function = quadratic(np.diag(scales), np.full(30, 0.5, "float32"))
    start = np.zeros(30, "float32")

    def steps_until_small(**settings):
        values = [step.value for step in itertools.islice(lbfgs(function, start, **settings), 200)]
        return next(i for i, value in enumerate(values) if value < 1e-4 * function(start)[0])

    plain = steps_until_small()
    assert steps_until_small(precondition=np.copy) == plain
    # A first move and one of the right length along the straight way, and what rounding leaves.
    assert steps_until_small(precondition=lambda gradient: gradient / scales) <= 3 < plain


def test_preconditioned_it_stays_in_the_box():
    mixing = np.full((6, 6), 0.1, "float32") + np.eye(6, dtype="float32")
    target = np.array([-1.0, 2.0, 0.3, 0.6, -0.5, 1.5], "float32")
    function = quadratic(np.eye(6, dtype="float32"), target)
    start = np.full(6, 0.5, "float32")
    steps = lbfgs(function, start, lower=0.0, upper=1.0, precondition=lambda g: mixing @ g)
    np.testing.assert_allclose(last(steps).x, np.clip(target, 0, 1), atol=1e-3)
