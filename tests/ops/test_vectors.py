"""Vectors: angles, neighbours, and the plane in which they differ the most."""

import numpy as np

from cnnkit.ops.vectors import cosine_similarities, nearest_vectors, principal_plane


def test_cosines_do_not_depend_on_lengths():
    generator = np.random.default_rng(0)
    vectors, one = generator.normal(size=(9, 5)), generator.normal(size=5)
    lengths = generator.uniform(0.1, 9, (9, 1))
    found = cosine_similarities(vectors, one)
    np.testing.assert_allclose(found, cosine_similarities(vectors * lengths, 3 * one))
    np.testing.assert_allclose(
        found, [v @ one / np.sqrt(v @ v) / np.sqrt(one @ one) for v in vectors]
    )
    assert cosine_similarities(np.zeros((1, 5)), one).tolist() == [0.0]


def test_the_nearest_are_those_of_brute_force():
    vectors = np.random.default_rng(1).normal(size=(20, 4))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = sorted((at for at in range(20) if at != 7), key=lambda at: -unit[at] @ unit[7])
    assert [at for at, _ in nearest_vectors(vectors, 7, 5)] == order[:5]
    chosen = [at for at, _ in nearest_vectors(vectors, 7, 99, candidates=[3, 7, 9])]
    assert sorted(chosen) == [3, 9]


def test_the_plane_is_that_of_the_largest_eigenvalues():
    generator = np.random.default_rng(2)
    vectors = generator.normal(size=(50, 4)) * [5, 1, 3, 0.5] + 7
    points, shares = principal_plane(vectors)
    values = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    np.testing.assert_allclose(points.var(axis=0, ddof=1), values[:2])
    np.testing.assert_allclose(shares, values[:2] / values.sum())
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-12)
    # The signs are fixed.
    np.testing.assert_allclose(principal_plane(vectors[::-1])[0], points[::-1])


def test_few_vectors_have_a_plane_too():
    assert principal_plane(np.array([[3.0, 4.0]]))[0].tolist() == [[0.0, 0.0]]
    points, shares = principal_plane(np.array([[1.0], [3.0]]))
    np.testing.assert_allclose(points, [[-1.0, 0.0], [1.0, 0.0]])
    assert shares == (1.0, 0.0)
