import numpy as np
import pytest
from skimage.color import rgb2lab

from cnnkit.ops.color import COLOR_ROOT, grey, match_colors, match_lightness, with_chroma_of


@pytest.fixture
def pictures():
    random = np.random.default_rng(0)
    return random.random((2, 9, 11, 3)).astype("float32")


def test_grey_has_equal_channels_and_the_same_lightness(pictures):
    result = grey(pictures[0])
    assert result.dtype == np.float32
    assert np.ptp(result, axis=-1).max() < 1e-3
    np.testing.assert_allclose(rgb2lab(result)[..., 0], rgb2lab(pictures[0])[..., 0], atol=0.1)


def test_black_and_white_stay_what_they_are():
    extremes = np.array([[[0, 0, 0], [1, 1, 1]]], "float32")
    np.testing.assert_allclose(grey(extremes), extremes, atol=1e-3)
    np.testing.assert_allclose(with_chroma_of(extremes, extremes), extremes, atol=1e-3)


def test_chroma_comes_from_one_picture_and_lightness_from_the_other(pictures):
    # Muted colours, so that nothing leaves sRGB and is clipped.
    light, colors = 0.4 + 0.2 * pictures
    lab = rgb2lab(with_chroma_of(light, colors))
    np.testing.assert_allclose(lab[..., 0], rgb2lab(light)[..., 0], atol=0.1)
    np.testing.assert_allclose(lab[..., 1:], rgb2lab(colors)[..., 1:], atol=0.1)


def test_colours_outside_of_srgb_are_clipped(pictures):
    result = with_chroma_of(*pictures)
    assert result.min() >= 0.0
    assert result.max() <= 1.0


def test_a_deep_blue_of_high_lightness_is_clipped_without_a_warning():
    white, blue = np.ones((2, 2, 3), "float32"), np.zeros((2, 2, 3), "float32")
    blue[..., 2] = 1.0
    assert np.isfinite(with_chroma_of(white, blue)).all()
    assert np.isfinite(with_chroma_of(blue, np.eye(2)[..., None] * [1.0, 1.0, 0.0])).all()


def test_matching_lightness_takes_mean_and_deviation(pictures):
    image, reference = 0.3 + 0.1 * pictures[0], 0.4 + 0.2 * pictures[1]
    matched = match_lightness(image, reference)
    assert matched.mean() == pytest.approx(reference.mean(), abs=1e-3)
    assert matched.std() == pytest.approx(reference.std(), abs=1e-3)


def test_matching_a_flat_picture_only_moves_it(pictures):
    matched = match_lightness(np.full((4, 4, 3), 0.9, "float32"), pictures[0])
    np.testing.assert_allclose(matched, pictures[0].mean(), atol=1e-3)


def test_matching_colours_of_a_picture_with_itself_changes_nothing(pictures):
    np.testing.assert_allclose(match_colors(pictures[0], pictures[0]), pictures[0], atol=1e-3)


def test_matched_colours_have_the_references_histogram(pictures):
    # A picture of 2 x 2 has four values per channel, in the order of its own.
    image = np.array([[0.1, 0.2], [0.3, 0.4]], "float32")[..., None].repeat(3, -1)
    reference = np.array([[0.9, 0.5], [0.7, 0.6]], "float32")[..., None].repeat(3, -1)
    expected = np.array([[0.5, 0.6], [0.7, 0.9]])
    np.testing.assert_allclose(match_colors(image, reference)[..., 1], expected, atol=1e-3)


def test_a_flat_picture_takes_the_references_median_colour():
    reference = np.linspace(0.0, 1.0, 25, dtype="float32").reshape(5, 5, 1).repeat(3, -1)
    flat = np.full((4, 4, 3), 0.1, "float32")
    np.testing.assert_allclose(match_colors(flat, reference), 0.5, atol=1e-3)


def test_matching_colours_of_many_values_is_scikit_images(pictures):
    from skimage.color import lab2rgb
    from skimage.exposure import match_histograms

    # Muted colours, so that none leaves sRGB.
    image, reference = 0.4 + 0.2 * pictures
    expected = lab2rgb(match_histograms(rgb2lab(image), rgb2lab(reference), channel_axis=-1))
    np.testing.assert_allclose(match_colors(image, reference), expected, atol=0.02)


def test_the_arguments_stay_as_they_were(pictures):
    before = pictures.copy()
    for function in (with_chroma_of, match_lightness, match_colors):
        function(*pictures)
    grey(pictures[0])
    np.testing.assert_array_equal(pictures, before)


def test_independent_numbers_get_the_colours_of_photographs():
    random = np.random.default_rng(0)
    colors = random.normal(size=(20_000, 3)) @ COLOR_ROOT.T
    # Channels of photographs hang together closely: most of what varies is light.
    correlation = np.corrcoef(colors.T)
    assert correlation[np.triu_indices(3, 1)].min() > 0.75
    values, vectors = np.linalg.eigh(np.cov(colors.T))
    assert values[-1] > 0.85 * values.sum()
    np.testing.assert_allclose(np.abs(vectors[:, -1]), np.full(3, 3**-0.5), atol=0.05)
    assert np.linalg.norm(COLOR_ROOT, axis=0).max() == pytest.approx(1.0)
