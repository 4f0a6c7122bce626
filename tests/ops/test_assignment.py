"""Pairs at least cost, compared with SciPy's and with all there are."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from cnnkit.ops.assignment import assign


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 6), (7, 4)])
def test_the_cost_is_that_of_scipy(shape):
    random = np.random.default_rng(0)
    for _ in range(50):
        costs = random.normal(size=shape)
        pairs = assign(costs)
        assert len(pairs) == min(shape)
        best = costs[linear_sum_assignment(costs)].sum()
        assert sum(costs[pair] for pair in pairs) == pytest.approx(best)


def test_no_set_of_pairs_within_the_limit_is_cheaper():
    random = np.random.default_rng(1)
    for _ in range(50):
        costs = random.random((3, 4))
        pairs = assign(costs, 0.4)
        assert all(costs[pair] <= 0.4 for pair in pairs)

        def total(found, costs=costs):
            return sum(costs[pair] for pair in found) + 0.4 * (3 - len(found))

        sets = (
            [(row, column) for row, column in enumerate(columns) if column is not None]
            for columns in itertools.product([None, 0, 1, 2, 3], repeat=3)
        )
        allowed = (
            some
            for some in sets
            if len({column for _, column in some}) == len(some)
            and all(costs[pair] <= 0.4 for pair in some)
        )
        assert total(pairs) == pytest.approx(min(map(total, allowed)))


def test_impossible_pairs_are_never_made():
    assert assign(np.full((2, 2), np.inf)) == []
    assert assign(np.array([[np.inf, 1.0], [np.inf, 0.0]])) == [(1, 1)]
    assert assign(np.zeros((0, 3))) == []
