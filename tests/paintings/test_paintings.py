"""The style pictures: the same every time, and rich enough to be a style."""

import numpy as np
import pytest
from scipy import ndimage

from cnnkit.data.samples import find_sample, load_sample, style_names
from cnnkit.paintings import _brush, _canvas
from cnnkit.paintings.impasto import paint_impasto
from cnnkit.paintings.ink_wash import paint_ink_wash
from cnnkit.paintings.mosaic import paint_mosaic
from cnnkit.paintings.stained_glass import paint_stained_glass
from cnnkit.paintings.waves import paint_waves
from cnnkit.paintings.woodcut import paint_woodcut

PAINTINGS = {
    "impasto": paint_impasto,
    "ink-wash": paint_ink_wash,
    "mosaic": paint_mosaic,
    "stained-glass": paint_stained_glass,
    "waves": paint_waves,
    "woodcut": paint_woodcut,
}
PAINTERS = tuple(PAINTINGS.values())
every_painter = pytest.mark.parametrize("paint", PAINTERS, ids=lambda paint: paint.__name__)


@pytest.fixture(scope="module")
def paintings():
    return {paint: paint(size=160) for paint in PAINTERS}


@every_painter
def test_a_painting_is_float_srgb_of_the_size_asked_for(paintings, paint):
    painting = paintings[paint]
    assert painting.shape == (160, 160, 3)
    assert painting.dtype == np.float32
    assert np.isfinite(painting).all()
    assert painting.min() >= 0
    assert painting.max() <= 1


def test_every_painting_is_a_style_that_comes_with_cnnkit():
    assert set(PAINTINGS) == set(style_names())


@pytest.mark.slow
@pytest.mark.parametrize("name", PAINTINGS)
def test_the_style_that_comes_with_cnnkit_is_what_the_code_paints(name):
    """But for WebP's losses, and for what another version of NumPy may round elsewhere."""
    shipped = load_sample(find_sample(name)).pixels
    difference = shipped - PAINTINGS[name]()
    assert 10 * np.log10(1 / np.mean(difference**2)) > 30  # dB


@every_painter
def test_a_painting_is_the_same_every_time(paint):
    np.testing.assert_array_equal(paint(size=48), paint(size=48))


@every_painter
def test_another_seed_gives_another_painting(paint):
    assert np.abs(paint(size=48, seed=1) - paint(size=48, seed=2)).mean() > 0.005


@every_painter
def test_a_canvas_too_small_to_paint_on_is_refused(paint):
    with pytest.raises(ValueError, match=r"at least 4 pixels a side\. Received: -?\d"):
        paint(size=1)


@every_painter
def test_painting_leaves_the_global_random_state_alone(paint):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    paint(size=32)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@every_painter
def test_a_painting_has_texture_nearly_everywhere(paintings, paint):
    # Contrast within windows of 10x10 pixels, a sixteenth of the side.
    grey = paintings[paint].mean(axis=-1)
    mean = ndimage.uniform_filter(grey, 10)
    contrast = np.sqrt(np.maximum(ndimage.uniform_filter(grey**2, 10) - mean**2, 0))
    assert np.median(contrast) > 0.05
    assert (contrast > 0.015).mean() > 0.93


@every_painter
def test_a_painting_spans_dark_and_light_and_several_hues(paintings, paint):
    painting = paintings[paint]
    dark, light = np.quantile(painting.mean(axis=-1), [0.05, 0.95])
    assert dark < 0.30
    assert light > 0.60
    # Opponent colours: red-green and blue-yellow each vary.
    red, green, blue = np.moveaxis(painting, -1, 0)
    assert (red - green).std() > 0.08
    assert (blue - (red + green) / 2).std() > 0.08


def test_strokes_laid_later_cover_earlier_ones():
    down = np.array([[[1.0, 5.0], [9.0, 5.0]]], np.float32)
    across = np.array([[[5.0, 1.0], [5.0, 9.0]]], np.float32)
    laid = _brush.lay((10, 10), np.concatenate([down, across]), np.array([2.0, 2.0]))
    assert laid.stroke[5, 5] == 1
    assert laid.stroke[2, 5] == 0
    assert laid.stroke[2, 2] == -1
    assert not laid.covered[2, 2]


def test_a_stroke_runs_from_0_to_1_along_and_has_no_holes():
    path = np.array([[[8.0, 2.0], [8.0, 30.0]]], np.float32)
    laid = _brush.lay((16, 32), path, np.array([6.0]))
    assert laid.covered[6:10, 4:28].all()
    assert (np.diff(laid.along[8, 4:28]) > 0).all()
    assert laid.along[8, 16] == pytest.approx(0.5, abs=0.05)


def test_strokes_follow_the_field():
    # Direction 0 everywhere points right: a stroke of length 8 about (5, 5) spans x = 1 to 9.
    paths = _brush.trace(np.zeros((10, 10)), np.array([[5.0, 5.0]]), np.array([8.0]), steps=4)
    np.testing.assert_allclose(paths[0], [[5, 1], [5, 3], [5, 5], [5, 7], [5, 9]])


def test_noise_is_standardised_and_comes_from_its_generator_alone():
    first = _canvas.noise(np.random.default_rng(4), 40, 0.2)
    again = _canvas.noise(np.random.default_rng(4), 40, 0.2)
    np.testing.assert_array_equal(first, again)
    assert first.mean() == pytest.approx(0, abs=1e-5)
    assert first.std() == pytest.approx(1, abs=1e-5)


def test_pieces_take_the_mean_of_what_lies_below_them():
    pieces = np.array([[0, 0, 1]])
    values = np.array([[[0.0], [1.0], [5.0]]])
    np.testing.assert_allclose(_canvas.piece_means(pieces, values), [[0.5], [5.0]])


def test_distance_to_border_counts_pixels_from_the_seam():
    pieces = np.repeat([[0, 0, 0, 1, 1, 1]], 6, axis=0)
    # The seam lies on both sides of the change: columns 2 and 3.
    np.testing.assert_allclose(_canvas.distance_to_border(pieces)[3], [2, 1, 0, 0, 1, 2])


def test_shrinking_takes_the_mean_of_blocks():
    array = np.array([[0.0, 2.0], [4.0, 6.0]])
    np.testing.assert_allclose(_canvas.shrink(array, 2), [[3.0]])
