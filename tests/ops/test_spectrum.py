import keras
import numpy as np
import pytest
from scipy import ndimage

from cnnkit.ops.spectrum import (
    blur_spectrum,
    filter_planes,
    frequencies,
    photograph_spectrum,
    sobolev_gradient,
    spectrum_to_planes,
)

to_numpy = keras.ops.convert_to_numpy
SIZES = [(6, 9), (7, 4)]


@pytest.mark.parametrize("size", SIZES)
def test_planes_come_back_from_their_spectrum(size):
    planes = np.random.default_rng(0).normal(size=(2, 3, *size))
    scale = photograph_spectrum(*size)
    spectrum = np.fft.fft2(planes) / scale
    found = spectrum_to_planes(
        spectrum.real.astype(np.float32), spectrum.imag.astype(np.float32), scale
    )
    np.testing.assert_allclose(to_numpy(found), planes, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_any_coefficients_make_real_planes(size):
    generator = np.random.default_rng(1)
    real, imaginary = generator.normal(size=(2, *size)).astype(np.float32)
    scale = photograph_spectrum(*size)
    expected = np.fft.ifft2((real + 1j * imaginary) * scale).real
    found = to_numpy(spectrum_to_planes(real, imaginary, scale))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_frequencies_are_those_of_numpy():
    found = frequencies(4, 6)
    # Row 2 is the highest frequency of four rows, column 3 that of six columns.
    assert found[0, 0] == 0.0
    assert found[2, 0] == found[0, 3] == 0.5
    assert found[1, 1] == pytest.approx(np.hypot(1 / 4, 1 / 6))


def test_amplitudes_fall_as_one_over_the_frequency():
    found = photograph_spectrum(8, 16)
    # Frequencies 1/16, 2/16, 4/16 along the longer axis; the mean counts as the lowest.
    root = np.sqrt(8 * 16)
    np.testing.assert_allclose(found[0, [0, 1, 2, 4]], root * np.array([16, 16, 8, 4]))
    assert photograph_spectrum(4, 4)[0, 0] == 16.0


def test_noise_with_that_spectrum_has_equal_power_in_each_octave():
    size = 256
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(2, size, size)).astype(np.float32)
    planes = to_numpy(spectrum_to_planes(*noise, photograph_spectrum(size, size)))
    power = np.abs(np.fft.fft2(planes)) ** 2
    octaves = [
        power[(low <= frequencies(size, size)) & (frequencies(size, size) < 2 * low)].sum()
        for low in (1 / 64, 1 / 32, 1 / 16, 1 / 8)
    ]
    assert max(octaves) / min(octaves) < 1.3


def test_the_blur_is_that_of_scipy():
    planes = np.random.default_rng(2).normal(size=(2, 32, 40)).astype(np.float32)
    found = to_numpy(filter_planes(planes, blur_spectrum(32, 40, 2.0)))
    for plane, blurred in zip(planes, found, strict=True):
        expected = ndimage.gaussian_filter(plane, 2.0, mode="wrap", truncate=8)
        np.testing.assert_allclose(blurred, expected, atol=1e-4)


def test_no_blur_changes_nothing():
    planes = np.random.default_rng(3).normal(size=(5, 6)).astype(np.float32)
    found = to_numpy(filter_planes(planes, blur_spectrum(5, 6, 0.0)))
    np.testing.assert_allclose(found, planes, atol=1e-6)


def test_a_sobolev_gradient_shrinks_a_wave_by_its_frequency():
    # 6 half periods over 20 pixels are 0.15 cycles per pixel: sqrt(1 + (0.15 / 0.05)^2) = sqrt(10).
    wave = np.cos(np.pi * 6 * (np.arange(20) + 0.5) / 20).astype(np.float32)
    picture = np.broadcast_to(wave[:, None, None], (20, 7, 3))
    found = sobolev_gradient(picture, 0.05)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, picture / np.sqrt(10.0), atol=1e-6)
    np.testing.assert_allclose(sobolev_gradient(np.ones((4, 6, 1), "f4"), 0.05), 1.0, atol=1e-6)


def test_a_sobolev_gradient_is_symmetric_and_positive_definite():
    points = np.eye(30, dtype=np.float32).reshape(30, 5, 6, 1)
    matrix = np.stack([sobolev_gradient(point, 0.1).ravel() for point in points])
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    assert np.linalg.eigvalsh(matrix.astype(np.float64)).min() > 0.1
