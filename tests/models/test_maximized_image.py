import keras
import numpy as np
import pytest

from cnnkit.models.maximized_image import MaximizedImage, random_moves
from cnnkit.ops.color import COLOR_ROOT
from cnnkit.ops.spectrum import photograph_spectrum

to_numpy = keras.ops.convert_to_numpy
STILL = random_moves(1, 12, 16, jitter=0, zoom=0, rotation=0)


@pytest.fixture(scope="module")
def network():
    """Pictures -> two maps: red less green, and everything."""
    inputs = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(2, 1)
    model = keras.Model(inputs, layer(inputs))
    kernel = np.array([[1.0, 1.0], [-1.0, 1.0], [0.0, 1.0]], np.float32)[None, None]
    layer.set_weights([kernel, np.array([0.0, -1.0], np.float32)])
    return model


@pytest.mark.parametrize("parameterization", ["fourier", "pixels"])
def test_the_start_is_almost_even_grey(network, parameterization):
    image = MaximizedImage(network, [0, 1], 32, 24, parameterization=parameterization)
    found = to_numpy(image.images())
    assert found.shape == (2, 32, 24, 3)
    assert np.abs(found - 0.5).max() < 0.05
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_a_picture_is_the_sigmoid_of_correlated_colours_of_its_spectrum(network):
    image = MaximizedImage(network, [1], 8, 10, blur=0.0)
    real, imaginary = (to_numpy(weight) for weight in image.trainable_weights)
    spectrum = (real + 1j * imaginary) * photograph_spectrum(8, 10)
    planes = np.fft.ifft2(spectrum).real  # (1, 3, 8, 10)
    values = np.einsum("rc,nchw->nhwr", COLOR_ROOT, planes)
    np.testing.assert_allclose(to_numpy(image.images()), 1 / (1 + np.exp(-values)), atol=1e-6)


def test_the_start_of_a_unit_does_not_hang_on_its_neighbours(network):
    together = to_numpy(MaximizedImage(network, [0, 1], 8, 8, seed=3).images())
    alone = to_numpy(MaximizedImage(network, [1], 8, 8, seed=3).images())
    np.testing.assert_array_equal(together[1:], alone)
    other = to_numpy(MaximizedImage(network, [1], 8, 8, seed=4).images())
    assert np.abs(other - alone).max() > 0


def test_the_objective_is_the_mean_or_the_centre_with_a_small_slope_below_zero(network):
    for target in ("mean", "centre"):
        image = MaximizedImage(network, [0, 1], 12, 16, target=target)
        maps = to_numpy(network(image.images()))
        own = np.stack([maps[0, ..., 0], maps[1, ..., 1]])
        own = np.where(own > 0, own, 0.1 * own)
        expected = own.mean(axis=(1, 2)) if target == "mean" else own[:, 6, 8]
        found = to_numpy(image(keras.ops.convert_to_tensor(STILL)))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_units_without_places_have_no_centre():
    inputs = keras.Input((6, 6, 1))
    dense = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    image = MaximizedImage(dense, [2], 6, 6, target="centre")
    assert to_numpy(image.images()).shape == (1, 6, 6, 1)
    still = random_moves(1, 6, 6, jitter=0, zoom=0, rotation=0)
    assert to_numpy(image(keras.ops.convert_to_tensor(still))).shape == (1,)


def test_only_the_picture_is_trained(network):
    image = MaximizedImage(network, [0], 8, 8)
    assert [weight.name for weight in image.trainable_variables] == ["real", "imaginary"]
    pixels = MaximizedImage(network, [0], 8, 8, parameterization="pixels")
    assert [weight.name for weight in pixels.trainable_variables] == ["pixels"]


def test_moves_turn_about_the_centre():
    moves = random_moves(50, 21, 31, jitter=0.0, zoom=0.2, rotation=20.0)
    assert np.ptp(moves[:, 0]) > 0.05
    # The middle of the picture comes from the middle.
    np.testing.assert_allclose(moves[:, 0] * 15 + moves[:, 1] * 10 + moves[:, 2], 15, atol=1e-4)
    np.testing.assert_allclose(moves[:, 3] * 15 + moves[:, 4] * 10 + moves[:, 5], 10, atol=1e-4)


def test_moves_shift_within_their_bounds_and_repeat_with_their_seed():
    settings = {"jitter": 3.0, "zoom": 0.0, "rotation": 0.0}
    moves = random_moves(200, 9, 9, **settings, seed=1)
    assert 2.5 < np.abs(moves[:, [2, 5]]).max() <= 3.0
    np.testing.assert_array_equal(moves, random_moves(200, 9, 9, **settings, seed=1))
    assert np.any(moves != random_moves(200, 9, 9, **settings, seed=2))
