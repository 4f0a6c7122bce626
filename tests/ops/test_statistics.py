"""Gram, covariance and transport against NumPy and their own properties."""

import gc
import weakref

import keras
import numpy as np
import pytest

from cnnkit.ops.gaussians import matrix_square_root, transport_map
from cnnkit.ops.gradients import value_and_gradient
from cnnkit.ops.statistics import covariance_matrix, gram_matrix, mean_vector, moments


@pytest.fixture
def activations():
    return np.random.default_rng(0).normal(size=(5, 7, 4)).astype("float32")


@pytest.fixture
def weights():
    return np.random.default_rng(1).random((5, 7)).astype("float32")


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def random_covariance(seed, channels=6, rank=None):
    factor = np.random.default_rng(seed).normal(size=(channels, rank or channels))
    return factor @ factor.T


def test_the_gram_matrix_is_the_mean_of_outer_products(activations):
    expected = np.einsum("ijk,ijl->kl", activations, activations) / 35
    np.testing.assert_allclose(to_numpy(gram_matrix(activations)), expected, rtol=1e-5, atol=1e-6)


def test_a_gram_matrix_is_symmetric_and_positive_semi_definite(activations):
    gram = to_numpy(gram_matrix(activations))
    np.testing.assert_allclose(gram, gram.T, atol=1e-6)
    assert np.linalg.eigvalsh(gram).min() > -1e-6


def test_shuffling_positions_leaves_the_gram_matrix_alone(activations):
    flat = activations.reshape(35, 4)
    shuffled = np.random.default_rng(2).permutation(flat).reshape(7, 5, 4)
    np.testing.assert_allclose(
        to_numpy(gram_matrix(shuffled)), to_numpy(gram_matrix(activations)), atol=1e-5
    )


def test_weights_count_positions(activations, weights):
    share = weights / weights.sum()
    expected = np.einsum("ij,ijk,ijl->kl", share, activations, activations)
    np.testing.assert_allclose(to_numpy(gram_matrix(activations, weights)), expected, atol=1e-5)
    np.testing.assert_allclose(
        to_numpy(mean_vector(activations, weights)),
        np.einsum("ij,ijk->k", share, activations),
        atol=1e-5,
    )


def test_equal_weights_are_no_weights(activations):
    ones = np.full((5, 7), 0.3, "float32")
    for function in (gram_matrix, mean_vector, covariance_matrix):
        np.testing.assert_allclose(
            to_numpy(function(activations, ones)), to_numpy(function(activations)), atol=1e-5
        )


def test_a_weight_of_zero_hides_a_position(activations):
    weights = np.ones((5, 7), "float32")
    weights[2:] = 0.0
    np.testing.assert_allclose(
        to_numpy(covariance_matrix(activations, weights)),
        to_numpy(covariance_matrix(activations[:2])),
        atol=1e-5,
    )


def test_weights_that_are_all_zero_give_zero_and_not_nan(activations):
    zeros = np.zeros((5, 7), "float32")
    assert np.abs(to_numpy(gram_matrix(activations, zeros))).max() == 0.0
    assert np.abs(to_numpy(mean_vector(activations, zeros))).max() == 0.0


def test_the_covariance_is_numpys(activations):
    expected = np.cov(activations.reshape(35, 4), rowvar=False, bias=True)
    np.testing.assert_allclose(to_numpy(covariance_matrix(activations)), expected, atol=1e-5)


def test_the_square_root_squared_is_the_matrix():
    matrix = random_covariance(3)
    root = matrix_square_root(matrix)
    np.testing.assert_allclose(root @ root, matrix, atol=1e-10)
    np.testing.assert_allclose(root, root.T, atol=1e-12)


def test_the_root_takes_negative_eigenvalues_for_zero():
    np.testing.assert_allclose(matrix_square_root(np.diag([4.0, -1e-9])), np.diag([2.0, 0.0]))


def test_the_transport_map_carries_one_covariance_to_the_other():
    source, target = random_covariance(4), random_covariance(5)
    carry = transport_map(source, target)
    np.testing.assert_allclose(carry @ source @ carry, target, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(carry, carry.T, atol=1e-9)
    assert np.linalg.eigvalsh(carry).min() > 0.0


def test_the_transport_map_to_itself_is_the_identity():
    source = random_covariance(6)
    np.testing.assert_allclose(transport_map(source, source), np.eye(6), atol=1e-8)


def test_the_transport_map_of_diagonal_covariances_is_the_ratio_of_deviations():
    # sqrt(9 / 4) = 1.5 and sqrt(1 / 16) = 0.25
    carry = transport_map(np.diag([4.0, 16.0]), np.diag([9.0, 1.0]))
    np.testing.assert_allclose(carry, np.diag([1.5, 0.25]), atol=1e-12)


def test_directions_without_variance_in_the_source_are_left_out():
    source, target = random_covariance(7, rank=2), random_covariance(8)
    carry = transport_map(source, target)
    assert np.isfinite(carry).all()
    # Within the plane that the source fills, the target's shadow is reached exactly.
    plane = np.linalg.svd(source)[0][:, :2]
    reached = plane.T @ carry @ source @ carry @ plane
    root = matrix_square_root(source)
    again = matrix_square_root(root @ target @ root)
    expected = plane.T @ np.linalg.pinv(root) @ again @ again @ np.linalg.pinv(root) @ plane
    np.testing.assert_allclose(reached, expected, rtol=1e-6, atol=1e-8)


def test_nothing_is_carried_from_no_variance():
    assert np.abs(transport_map(np.zeros((3, 3)), np.eye(3))).max() == 0.0


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_gradient_of_the_moments_is_that_of_finite_differences(
    activations, weights, is_weighted
):
    random = np.random.default_rng(3)
    # A matrix that is not symmetric: the gradient of the Gram matrix has both halves.
    by_mean, by_gram = random.normal(size=4), random.normal(size=(4, 4))
    shares = weights / weights.sum() if is_weighted else np.full((5, 7), 1 / 35)

    def function(x):
        mean, gram = moments(x, weights if is_weighted else None)
        return keras.ops.sum(mean**3 * by_mean.astype("f4")) + keras.ops.sum(
            gram**2 * by_gram.astype("f4")
        )

    def by_numpy(x):
        mean = np.einsum("ij,ijk->k", shares, x)
        gram = np.einsum("ij,ijk,ijl->kl", shares, x, x)
        return np.sum(mean**3 * by_mean) + np.sum(gram**2 * by_gram)

    value, gradient = value_and_gradient(function)(activations)
    wide = activations.astype(np.float64)
    assert value == pytest.approx(by_numpy(wide), rel=1e-5)
    for _ in range(3):
        direction = random.normal(size=activations.shape)
        ahead, behind = by_numpy(wide + 1e-6 * direction), by_numpy(wide - 1e-6 * direction)
        assert np.sum(gradient * direction) == pytest.approx((ahead - behind) / 2e-6, rel=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the others keep nothing")
@pytest.mark.parametrize("is_weighted", [False, True])
def test_what_tensorflow_traces_around_the_moments_is_not_kept(is_weighted):
    import tensorflow as tf

    weights = np.ones((4, 4), np.float32) if is_weighted else None

    def gradient(maps):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            _, gram = moments(maps, weights)
        return tape.gradient(gram, maps)

    traced = tf.function(gradient).get_concrete_function(tf.TensorSpec((4, 4, 3)))
    assert np.isfinite(traced(tf.ones((4, 4, 3))).numpy()).all()
    graph = weakref.ref(traced.graph)
    del traced
    gc.collect()
    assert graph() is None
