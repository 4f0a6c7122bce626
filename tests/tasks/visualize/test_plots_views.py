import numpy as np
import pytest

from cnnkit.plots import draw_tiles
from cnnkit.tasks.visualize.plots.views import (
    color_map,
    kernel_picture,
    plot_class_map,
    plot_units,
)

RED, GREEN, BLUE = ([255, 0, 0], [0, 255, 0], [0, 0, 255])


def tile(color, height=2, width=3):
    return np.broadcast_to(np.array(color, np.uint8), (height, width, 3))


def count(sheet, color):
    return int(np.all(sheet == color, axis=-1).sum())


def test_tiles_are_enlarged_with_sharp_pixels_and_stand_in_order():
    halves = np.concatenate([tile(RED, 2, 1), tile(GREEN, 2, 1)], axis=1)
    sheet = draw_tiles([halves, tile(BLUE, 2, 2)], ["a", "b"], title="t", side=80, columns=2)
    assert count(sheet, RED) == count(sheet, GREEN) == 80 * 40
    assert count(sheet, BLUE) == 80 * 80
    assert np.argwhere(np.all(sheet == RED, -1))[:, 1].max() < 80
    assert np.argwhere(np.all(sheet == BLUE, -1))[:, 1].min() > 80
    # Gaps and margins are white.
    assert sheet[0, 0].tolist() == [255, 255, 255]


def test_no_tile_is_lost_and_none_overlaps():
    sheet = draw_tiles([tile(RED)] * 13, [str(one) for one in range(13)], title="t", side=60)
    assert count(sheet, RED) == 13 * 60 * 40


@pytest.mark.parametrize(("number", "columns"), [(1, 1), (4, 2), (16, 4), (24, 6)])
def test_rows_are_full_where_they_can_be(number, columns):
    sheet = draw_tiles([tile(RED, 2, 2)] * number, [""] * number, title="", side=64)
    red = np.all(sheet == RED, -1)
    starts = np.flatnonzero(np.diff(red[red.any(1)][0].astype(int)) == 1)
    assert len(starts) == columns


def test_a_picture_stands_at_the_left_of_its_maps():
    sheet = draw_tiles([tile(RED)] * 12, [""] * 12, title="t", picture=tile(BLUE, 40, 60))
    blue = np.argwhere(np.all(sheet == BLUE, -1))
    red = np.argwhere(np.all(sheet == RED, -1))
    assert blue[:, 1].max() < red[:, 1].min()
    # The same shape, larger than a tile.
    height, width = np.ptp(blue, axis=0) + 1
    assert width / height == pytest.approx(1.5, abs=0.05)
    assert width > 144


@pytest.mark.parametrize("shape", [(2, 90), (90, 2)])
def test_long_titles_and_narrow_tiles_are_not_clipped(shape):
    title = "a rather long name of a layer in a model inside of another model"
    sheet = draw_tiles([tile(RED, *shape)], ["0 · 12.3 · 45.6"], title=title)
    # Ink of the title ends before the right margin.
    ink = np.argwhere((sheet[:30] < 128).all(-1))
    assert 300 < ink[:, 1].max() < sheet.shape[1] - 8


def test_captions_may_have_several_lines():
    one, two = (
        draw_tiles([tile(RED)] * 2, ["a", caption], title="t", columns=1)
        for caption in ("b", "b\nc")
    )
    # Each of the two rows is a line higher.
    assert two.shape[0] - one.shape[0] == 2 * 15
    assert two.shape[1] == one.shape[1]


def test_maps_without_anything_are_black():
    assert color_map(np.zeros((2, 2))).max() < 5
    assert color_map(np.full((2, 2), -3.0)).max() < 5


def test_zero_of_a_kernel_is_grey_and_its_largest_weight_full():
    kernel = np.zeros((1, 3, 3))
    kernel[0, 1] = [0.5, -0.25, 0.0]
    found = kernel_picture(kernel)
    assert found[0, 0].tolist() == [127, 127, 127]
    assert found[0, 1].tolist() == [255, 63, 127]
    assert kernel_picture(np.zeros((2, 2, 1))).shape == (2, 2, 3)


def test_bars_stand_in_the_order_given():
    [axes] = plot_units([7, 2, 9], [3.0, -1.0, 0.5], title="fc1").axes
    assert [bar.get_width() for bar in axes.patches] == [3.0, -1.0, 0.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["7", "2", "9"]
    assert axes.yaxis_inverted()


def shown(figure, panel):
    return np.asarray(figure.axes[panel].images[0].get_array())


def test_heat_lies_over_the_grey_of_the_picture():
    image = np.zeros((4, 6, 3))
    image[...] = (0.2, 0.6, 0.4)
    heat = np.zeros((4, 6))
    heat[1, 2] = 2.0
    figure = plot_class_map(image, heat, title="cat 90 %", label="lost", peak_xy=(2, 1))
    np.testing.assert_allclose(shown(figure, 0), image)
    over = shown(figure, 1)
    # 0.2126 * 0.2 + 0.7152 * 0.6 + 0.0722 * 0.4
    np.testing.assert_allclose(over[0, 0], [0.50052] * 3)
    assert over[1, 2, 0] > over[1, 2, 2] + 0.1
    assert figure.axes[1].lines[0].get_xydata().tolist() == [[2, 1]]
    assert figure.texts[0].get_text() == "cat 90 %"


def test_without_evidence_the_picture_stays_grey_and_nothing_is_marked():
    figure = plot_class_map(
        np.full((3, 3, 3), 0.5), np.full((3, 3), -1.0), title="", label="", peak_xy=(0, 0)
    )
    np.testing.assert_allclose(shown(figure, 1), np.full((3, 3, 3), 0.5))
    assert not figure.axes[1].lines


@pytest.mark.parametrize("shape", [(10, 400), (400, 10), (60, 60)])
def test_pictures_of_any_shape_make_a_figure_of_a_usable_size(shape):
    figure = plot_class_map(np.zeros((*shape, 3)), np.ones(shape), title="t", label="l")
    width, height = figure.get_size_inches()
    assert 5 <= width <= 12
    assert 1.4 <= height <= 10
