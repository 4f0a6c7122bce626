"""Pictures changed at random."""

import math

import numpy as np
import pytest
from PIL import Image
from skimage import data

from cnnkit.data.augmentation import PCA_AXES, PCA_SPREADS, augment, mixup
from cnnkit.engine.settings import AugmentSettings
from cnnkit.images import resize

OFF = AugmentSettings.off()


def only(**changes):
    return AugmentSettings(**{**vars(OFF), **changes})


def photograph(height=96, width=96):
    """The astronaut, made so small that it has fine detail."""
    image = Image.fromarray(data.astronaut())
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def random(seed=0):
    return np.random.default_rng(seed)


class Draws:
    """A generator that draws the same number from [0, 1] always."""

    def __init__(self, value, normal=0.0):
        self.value, self.normal = value, normal

    def random(self, count):
        return np.full(count, self.value)

    def standard_normal(self, count):
        return np.full(count, self.normal)


def test_with_all_off_a_picture_is_only_resized():
    pixels = photograph(90, 120)
    result = augment(pixels, (48, 32), OFF, random())
    assert result.dtype == np.float32
    expected = np.clip(resize(pixels / 255.0, 48, 32), 0, 1)
    # In bytes: both passes of the resizing round, and clip where they overshoot at edges.
    assert np.abs(result - expected).mean() < 1 / 255
    assert np.abs(result - expected).max() < 10 / 255
    same = augment(pixels, (90, 120), OFF, random())
    np.testing.assert_array_equal(same, pixels.astype(np.float32) / np.float32(255))


def test_mirroring_is_exact_and_of_the_share_that_is_wanted():
    pixels = photograph()
    plain = augment(pixels, (40, 40), OFF, random())
    for seed in range(4):
        always = augment(pixels, (40, 40), only(horizontal_flip=1.0), random(seed))
        np.testing.assert_array_equal(always, plain[:, ::-1])
    count = sum(
        np.array_equal(
            augment(pixels, (40, 40), only(horizontal_flip=0.25), random(seed)), plain[:, ::-1]
        )
        for seed in range(400)
    )
    # Binomial of 400 and a quarter: mean 100, standard deviation 8.7.
    assert 65 < count < 135


def test_a_quarter_and_a_half_turn_are_exact():
    pixels = photograph()
    # The largest draw turns by all that is allowed, counter-clockwise.
    for degrees, turns in ((90.0, 1), (180.0, 2)):
        turned = augment(pixels, (96, 96), only(rotation=degrees), Draws(1.0))
        np.testing.assert_allclose(turned, np.rot90(pixels, turns) / 255.0, atol=1.01 / 255)
    back = augment(pixels, (96, 96), only(rotation=90.0), Draws(0.0))
    np.testing.assert_allclose(back, np.rot90(pixels, -1) / 255.0, atol=1.01 / 255)


def test_a_turn_moves_a_point_to_where_the_cosine_says():
    pixels = np.zeros((101, 101, 3), np.uint8)
    pixels[49:52, 79:82] = 255
    turned = augment(pixels, (101, 101), only(rotation=30.0), Draws(1.0))[..., 0]
    rows, columns = np.mgrid[:101, :101]
    found = (turned * rows).sum() / turned.sum(), (turned * columns).sum() / turned.sum()
    # 30 pixels right of the middle (50, 50), turned counter-clockwise: up by 30 sin 30 = 15, and
    # right by 30 cos 30 = 25.98.
    assert found == pytest.approx((35.0, 75.98), abs=0.05)


def test_a_slant_moves_rows_against_each_other():
    pixels = np.zeros((101, 101, 3), np.uint8)
    pixels[29:32, 49:52] = 255
    slanted = augment(pixels, (101, 101), only(shear=45.0), Draws(1.0))[..., 0]
    rows, columns = np.mgrid[:101, :101]
    found = (slanted * rows).sum() / slanted.sum(), (slanted * columns).sum() / slanted.sum()
    # 20 rows above the middle; x of the picture = x + y tan 45, so x = 50 + 20.
    assert found == pytest.approx((30.0, 70.0), abs=0.05)


def test_a_crop_is_a_part_of_the_picture_of_the_area_that_is_wanted():
    # Red grows to the right by 2 a pixel, green downwards.
    pixels = np.zeros((100, 120, 3), np.uint8)
    pixels[..., 0] = 2 * np.arange(120)
    pixels[..., 1] = 2 * np.arange(100)[:, None]
    areas = []
    for seed in range(200):
        result = augment(pixels, (50, 50), only(crop=0.6), random(seed)) * 255
        across = (result[25, 44, 0] - result[25, 5, 0]) / 2 / 39 * 50
        down = (result[44, 25, 1] - result[5, 25, 1]) / 2 / 39 * 50
        # The shape is kept where nothing stretches.
        assert across / down == pytest.approx(1.2, abs=0.03)
        areas.append(across * down / (100 * 120))
    assert 0.38 < min(areas) < 0.45
    assert 0.95 < max(areas) < 1.02
    # Uniform between 0.4 and 1.
    assert np.mean(areas) == pytest.approx(0.7, abs=0.05)


def test_stretching_changes_the_shape_of_a_crop_and_no_more():
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[..., 0] = 2 * np.arange(100)
    pixels[..., 1] = 2 * np.arange(100)[:, None]

    def sides(draw):
        result = augment(pixels, (50, 50), only(stretch=0.21), Draws(draw)) * 255
        return (result[25, 44, 0] - result[25, 5, 0]) / (result[44, 25, 1] - result[5, 25, 1])

    # The width times, and the height divided by, the root of 1.21.
    assert sides(1.0) == pytest.approx(1.21, abs=0.02)
    assert sides(0.0) == pytest.approx(1 / 1.21, abs=0.02)
    assert sides(0.5) == pytest.approx(1.0, abs=0.01)


def test_borders_have_no_black_corners():
    pixels = np.full((60, 80, 3), 200, np.uint8)
    options = only(rotation=180.0, shear=45.0, crop=0.5, stretch=1.0, horizontal_flip=0.5)
    for seed in range(50):
        result = augment(pixels, (40, 40), options, random(seed))
        np.testing.assert_allclose(result, 200 / 255, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 2), (2000, 3)])
def test_pictures_of_any_shape_are_changed(shape):
    pixels = np.full((*shape, 3), 90, np.uint8)
    for seed in range(5):
        result = augment(pixels, (32, 24), only(rotation=180.0, shear=45.0), random(seed))
        np.testing.assert_allclose(result, 90 / 255, atol=1e-6)


@pytest.mark.parametrize("rotation", [0.0, 20.0])
def test_fine_stripes_turn_grey_and_not_into_moire(rotation):
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[:, ::2] = 255
    for seed in range(5):
        result = augment(pixels, (100, 100), only(rotation=rotation, crop=0.3), random(seed))
        inner = result[5:-5, 5:-5]
        assert inner.mean() == pytest.approx(0.5, abs=0.01)
        assert inner.std() < 0.02


def test_a_turn_keeps_a_picture_as_sharp_as_resizing_does():
    pixels = photograph(240, 240)

    def sharpness(image):
        return np.abs(np.diff(image, axis=1)).mean() + np.abs(np.diff(image, axis=0)).mean()

    plain = sharpness(augment(pixels, (120, 120), OFF, random()))
    turned = sharpness(augment(pixels, (120, 120), only(rotation=5.0), Draws(1.0)))
    assert 0.8 * plain < turned < 1.1 * plain


def test_one_change_does_not_move_the_draws_of_another():
    pixels = photograph()
    plain = augment(pixels, (48, 48), only(rotation=30.0), random(5))
    cut = augment(pixels, (48, 48), only(rotation=30.0, cutout=0.4), random(5))
    is_cut = (cut == 0.5).all(axis=-1)
    assert is_cut.any()
    np.testing.assert_array_equal(cut[~is_cut], plain[~is_cut])


def test_brightness_contrast_and_saturation_are_what_their_names_say():
    # All draws at the most, and color = 0.2: brightness, contrast and saturation times 1.2, each
    # channel times 1.1.
    pixels = np.zeros((1, 2, 3), np.uint8)
    pixels[0, 0], pixels[0, 1] = (102, 51, 51), (51, 51, 51)
    result = augment(pixels, (1, 2), only(color=0.2), Draws(1.0))
    luma = np.array([0.2126, 0.7152, 0.0722])
    values = pixels / 255.0
    grey = (values @ luma)[..., None]
    expected = 1.2 * 1.1 * (grey + 1.2 * (values - grey))
    mean = (expected @ luma).mean()
    expected = mean + 1.2 * (expected - mean)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_shifts_of_colour_vary_as_much_as_they_should():
    grey = np.full((4, 4, 3), 128, np.uint8)
    shifts = np.array(
        [
            augment(grey, (4, 4), only(pca_color=0.5), random(s))[0, 0] - 128 / 255
            for s in range(2000)
        ]
    )
    # Independent shifts along orthogonal axes: the covariance is A diag((0.5 s)^2) A^T.
    expected = PCA_AXES @ np.diag((0.5 * PCA_SPREADS) ** 2) @ PCA_AXES.T
    np.testing.assert_allclose(np.cov(shifts.T), expected, rtol=0.15, atol=2e-5)
    assert np.abs(shifts.mean(axis=0)).max() < 0.005
    np.testing.assert_allclose(PCA_AXES.T @ PCA_AXES, np.eye(3), atol=1e-3)


def test_gains_of_colour_lie_within_their_limits():
    grey = np.full((4, 4, 3), 100, np.uint8)
    gains = np.array(
        [augment(grey, (4, 4), only(color=0.3), random(s))[0, 0] / (100 / 255) for s in range(1000)]
    )
    assert gains.min() > 0.7 * 0.85 - 0.15
    assert gains.max() < 1.3 * 1.15 + 0.15
    assert np.abs(gains.mean(axis=0) - 1).max() < 0.02
    np.testing.assert_array_less(0.15, gains.std(axis=0))


def test_a_cutout_is_a_grey_square_of_the_wanted_side_anywhere():
    pixels = np.zeros((60, 80, 3), np.uint8)
    areas, seen = [], np.zeros((60, 80))
    for seed in range(300):
        result = augment(pixels, (60, 80), only(cutout=0.5), random(seed))
        is_cut = (result == 0.5).all(axis=-1)
        assert (result[~is_cut] == 0).all()
        areas.append(is_cut.sum())
        seen += is_cut
    # Half of the shorter side.
    assert max(areas) == 30 * 30
    # Its centre may lie on the border, so that half of it or less is to be seen.
    assert min(areas) < 30 * 20
    assert seen.min() > 0


def test_every_value_stays_in_range_and_every_draw_can_be_repeated():
    options = AugmentSettings(color=1.0, pca_color=1.0, rotation=90.0, crop=0.9, cutout=0.3)
    pixels = photograph()
    before = pixels.copy()
    for seed in range(20):
        result = augment(pixels, (32, 32), options, random(seed))
        assert 0.0 <= result.min() <= result.max() <= 1.0
        np.testing.assert_array_equal(result, augment(pixels, (32, 32), options, random(seed)))
    np.testing.assert_array_equal(pixels, before)


def test_mixup_mixes_pictures_and_labels_by_one_share():
    x = np.array([[1.0, 2.0], [3.0, 5.0], [8.0, 1.0]], np.float32)
    y = np.eye(3, dtype=np.float32)
    mixed_x, mixed_y = mixup(x, y, 0.4, random(1))
    share = mixed_y[0, 0]
    assert 0 < share < 1
    np.testing.assert_allclose(mixed_x[0], share * x[0] + (1 - share) * x[1], rtol=1e-5)
    np.testing.assert_allclose(mixed_x[2], share * x[2] + (1 - share) * x[0], rtol=1e-5)
    np.testing.assert_allclose(mixed_y.sum(axis=1), 1.0, rtol=1e-6)
    assert mixed_x.dtype == mixed_y.dtype == np.float32


def test_mixup_draws_from_the_beta_distribution():
    y = np.eye(2)
    shares = [mixup(y, y, 0.3, random(seed))[1][0, 0] for seed in range(2000)]
    # Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * 1.6), abs=0.01)


def test_without_alpha_nothing_is_mixed():
    x, y = np.ones((2, 3)), np.eye(2)
    assert mixup(x, y, 0.0, random())[0] is x
    assert math.isclose(mixup(x, y, 0.0, random())[1][0, 0], 1.0)
