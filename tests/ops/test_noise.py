"""Noise for pictures."""

import numpy as np
import pytest

from cnnkit.ops.noise import smooth_noise


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_smooth_noise_has_variance_one_at_any_sigma(sigma):
    noise = smooth_noise(600, 500, sigma)
    assert (noise.shape, noise.dtype) == ((600, 500), np.float32)
    assert float(noise.std()) == pytest.approx(1.0, abs=0.05)


def test_neighbours_are_alike_as_the_gaussian_says():
    noise = smooth_noise(600, 500, 2.0)
    # Of a Gaussian with itself: exp(-d^2 / (4 sigma^2)) = exp(-9 / 16) three pixels away.
    found = np.mean(noise[:, 3:] * noise[:, :-3]) / np.mean(noise**2)
    assert float(found) == pytest.approx(np.exp(-9 / 16), abs=0.03)


def test_the_seed_decides_the_noise():
    np.testing.assert_array_equal(smooth_noise(20, 30, 2.0, 1), smooth_noise(20, 30, 2.0, 1))
    assert np.any(smooth_noise(20, 30, 2.0, 1) != smooth_noise(20, 30, 2.0, 2))
