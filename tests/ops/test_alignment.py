import hashlib

import numpy as np
import pytest
from scipy import ndimage, optimize

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import to_uint8
from cnnkit.ops.alignment import (
    FIVE_POINTS,
    chip_points,
    extract_chip,
    fit_similarity,
    halve,
    sample_bilinear,
)

# dlib 20.0.1: the points it finds on skimage.data.astronaut(), and the SHA-256 of the bytes of the
# chip that it cuts out of them.
ASTRONAUT_LANDMARKS = [[255, 104], [237, 105], [195, 101], [212, 103], [224, 135]]
ASTRONAUT_CHIP = "8e52ce991451e3db6eafda7456dbe6fc665af212893e4c135eb98508ccf7cea4"


def astronaut():
    return to_uint8(load_sample(find_sample("astronaut")).pixels)


def test_the_chip_of_the_astronaut_is_dlibs_bit_for_bit():
    chip = extract_chip(astronaut(), np.array(ASTRONAUT_LANDMARKS))
    assert hashlib.sha256(chip.tobytes()).hexdigest() == ASTRONAUT_CHIP


def test_a_similarity_is_found_again():
    points = np.random.default_rng(0).normal(size=(7, 2))
    angle, scale, shift = 0.7, 2.5, np.array([3.0, -4.0])
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found, found_shift = fit_similarity(points, points @ linear.T + shift)
    np.testing.assert_allclose(found, linear)
    np.testing.assert_allclose(found_shift, shift)


def test_the_similarity_is_the_best_in_least_squares():
    generator = np.random.default_rng(1)
    source, target = generator.normal(size=(2, 5, 2))

    def residuals(parameters):
        a, b, *shift = parameters
        return (source @ np.array([[a, -b], [b, a]]).T + shift - target).ravel()

    best = optimize.least_squares(residuals, [1.0, 0.0, 0.0, 0.0]).x
    linear, shift = fit_similarity(source, target)
    np.testing.assert_allclose(linear, [[best[0], -best[1]], [best[1], best[0]]], atol=1e-6)
    np.testing.assert_allclose(shift, best[2:], atol=1e-6)


def test_a_similarity_never_mirrors():
    points = np.random.default_rng(2).normal(size=(6, 2))
    linear, _ = fit_similarity(points, points * [-1.0, 1.0])
    assert np.linalg.det(linear) >= 0.0


def test_many_similarities_at_once_are_those_one_by_one():
    source, target = np.random.default_rng(3).normal(size=(2, 4, 5, 2))
    linear, shift = fit_similarity(source, target)
    for index in range(4):
        one, one_shift = fit_similarity(source[index], target[index])
        np.testing.assert_allclose(linear[index], one)
        np.testing.assert_allclose(shift[index], one_shift)


def test_points_that_coincide_are_only_shifted():
    linear, shift = fit_similarity(np.full((5, 2), 2.0), np.full((5, 2), 7.0))
    assert linear.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert shift.tolist() == [7.0, 7.0]


def test_halving_is_the_binomial_blur_at_every_second_pixel():
    pixels = np.random.default_rng(4).integers(0, 256, (23, 30, 3), dtype=np.uint8)
    taps = np.array([1, 4, 6, 4, 1])
    blurred = pixels.astype(np.int64)
    for axis in (0, 1):
        blurred = ndimage.correlate1d(blurred, taps, axis=axis, mode="constant")
    expected = (blurred // 256)[2:22:2, 2:27:2]
    # (23 - 3) // 2 rows, (30 - 3) // 2 columns
    np.testing.assert_array_equal(halve(pixels), expected[:10, :13])


@pytest.mark.parametrize("size", [(1, 1), (4, 9), (0, 5)])
def test_halving_next_to_nothing_gives_nothing(size):
    assert halve(np.zeros((*size, 3), np.uint8)).size == 0


def test_a_face_that_fits_already_stays_as_it_is():
    pixels = np.random.default_rng(5).integers(0, 256, (180, 180, 3), dtype=np.uint8)
    # A chip's pixel (75, 75), its middle, comes from there; its first pixel from half a side before
    # the middle, (150 - 1) / 2 = 74.5: half a pixel to the right and below of its own place.
    chip = extract_chip(pixels, chip_points() + 10.0)
    expected = sample_bilinear(pixels, *np.meshgrid(np.arange(150) + 10.5, np.arange(150) + 10.5))
    assert np.abs(chip.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0, 180.0])
def test_a_turned_face_comes_out_upright(angle):
    # A smooth picture, so that sampling costs next to nothing.
    y, x = np.mgrid[:400, :400]
    wave = 128 + 50 * np.sin(x / 30) + 50 * np.cos(y / 25)
    upright = np.repeat(wave[..., None], 3, axis=-1).astype(np.uint8)
    points = (chip_points() - 75.0) * 1.5
    expected = extract_chip(upright, points + 200.0)
    turned = ndimage.rotate(upright, angle, reshape=False, order=1)
    # ndimage turns counter-clockwise about the middle, where y points down.
    radians = -np.radians(angle)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    chip = extract_chip(turned, (points + 0.5) @ turn.T + 199.5)
    assert np.abs(chip.astype(int) - expected.astype(int)).mean() < 2.0


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.4, 6.0, 13.0])
def test_large_faces_are_halved_until_they_fit(scale):
    size = int(220 * scale) + 20
    y, x = np.mgrid[:size, :size]
    wave = 128 + 60 * np.sin(x / scale / 20) + 60 * np.cos(y / scale / 15)
    pixels = np.repeat(wave[..., None], 3, axis=-1).astype(np.uint8)
    chip = extract_chip(pixels, chip_points() * scale + 20 * scale)
    places = 20 + np.arange(150)
    expected = 128 + 60 * np.sin(places / 20)[None, :] + 60 * np.cos(places / 15)[:, None]
    # Rounding down at each halving, and half a pixel of the chip.
    assert np.abs(chip[..., 0] - expected).mean() < 6.0


def test_outside_of_the_picture_is_black():
    white = np.full((200, 200, 3), 255, np.uint8)
    chip = extract_chip(white, chip_points() - 75.0)
    # The corner of the picture is at the middle of the chip.
    assert chip[:73, :].max() == chip[:, :73].max() == 0
    assert chip[77:, 77:].min() == 255


def test_a_face_wholly_outside_is_black():
    chip = extract_chip(np.full((50, 60, 3), 255, np.uint8), chip_points() + 5000.0)
    assert chip.shape == (150, 150, 3)
    assert chip.max() == 0


def test_the_callers_array_stays_as_it_was():
    pixels = np.random.default_rng(6).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    before = pixels.copy()
    extract_chip(pixels, chip_points() * 2.5)
    np.testing.assert_array_equal(pixels, before)


def test_bilinear_samples_by_hand():
    pixels = np.array([[[0, 10], [100, 30]], [[200, 50], [40, 70]]], np.uint8)
    # 0.25, 0.5: upper 0.75*0 + 0.25*100 = 25, lower 0.75*200 + 0.25*40 = 160, middle 92.5
    #            upper 0.75*10 + 0.25*30 = 15, lower 0.75*50 + 0.25*70 = 55, middle 35
    found = sample_bilinear(pixels, np.array(0.25), np.array(0.5))
    assert found.tolist() == [92, 35]


@pytest.mark.parametrize(("x", "y"), [(-0.1, 0.0), (0.0, -0.1), (1.0, 0.0), (0.0, 1.0), (9.0, 9.0)])
def test_bilinear_samples_need_all_four_neighbours(x, y):
    assert sample_bilinear(np.full((2, 2, 1), 9, np.uint8), np.array(x), np.array(y)).item() == 0


def test_the_template_is_level_between_the_eyes():
    right, left = FIVE_POINTS[2:4].mean(axis=0), FIVE_POINTS[:2].mean(axis=0)
    assert right[1] == pytest.approx(left[1], abs=1e-3)
    assert right[0] < FIVE_POINTS[4, 0] < left[0]


@pytest.mark.parametrize(
    ("pixels", "points", "message"),
    [
        (np.zeros((9, 9, 3)), FIVE_POINTS, r"uint8 .*Received: float64 \(9, 9, 3\)"),
        (np.zeros((9, 9), np.uint8), FIVE_POINTS, r"Received: uint8 \(9, 9\)"),
        (np.zeros((9, 9, 3), np.uint8), FIVE_POINTS[:4], r"\(5, 2\). Received: \(4, 2\)"),
    ],
)
def test_wrong_arguments_are_named(pixels, points, message):
    with pytest.raises(ValueError, match=message):
        extract_chip(pixels, points)
