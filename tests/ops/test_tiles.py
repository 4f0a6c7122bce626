import numpy as np
import pytest

from cnnkit.ops.alignment import halve
from cnnkit.ops.boxes import intersections
from cnnkit.ops.tiles import GAP, MARGIN, draw_tiles, enlarge, plan_tiles, stretch, to_small


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def bilinear(pixels, height, width):
    """dlib's `resize_image`: corners stay."""
    y = np.arange(height) * (pixels.shape[0] - 1) / max(height - 1, 1)
    x = np.arange(width) * (pixels.shape[1] - 1) / max(width - 1, 1)
    top, left = np.floor(y + 1e-9).astype(int), np.floor(x + 1e-9).astype(int)
    below, right = np.minimum(top + 1, len(pixels) - 1), np.minimum(left + 1, pixels.shape[1] - 1)
    down, across = (y - top)[:, None, None], (x - left)[None, :, None]
    rows = (1 - down) * pixels[top] + down * pixels[below]
    return (1 - across) * rows[:, left] + across * rows[:, right]


def edges(plan):
    tiles = np.array(plan.tiles)
    return np.concatenate([tiles[:, :2], tiles[:, :2] + tiles[:, 2:]], axis=-1)


@pytest.mark.parametrize("size", [(250, 250), (501, 502), (750, 1000), (1000, 300), (90, 640)])
def test_tiles_lie_side_by_side_within_the_margin(size):
    plan = plan_tiles(*size)
    boxes = edges(plan)
    shared = intersections(boxes, boxes)
    assert (shared[~np.eye(len(boxes), dtype=bool)] == 0).all()
    assert boxes[:, :2].min() == MARGIN
    assert boxes[:, 2].max() == plan.width - MARGIN
    assert boxes[:, 3].max() == plan.height - MARGIN


def test_each_tile_is_five_sixths_of_the_one_before():
    sizes = [tile[2:] for tile in plan_tiles(251, 250).tiles[:4]]
    # 250 * 5 / 6 = 208.3, 208 * 5 / 6 = 173.3, 173 * 5 / 6 = 144.2; 251 -> 209.2 -> 174.2 -> 145
    assert sizes == [(250, 251), (208, 209), (173, 174), (144, 145)]


def test_the_last_tiles_go_up_again_on_the_right():
    plan = plan_tiles(250, 250)
    left = [tile[0] for tile in plan.tiles]
    turn = next(index for index, value in enumerate(left) if value != MARGIN)
    assert left[:turn] == [MARGIN] * turn
    tops = [tile[1] for tile in plan.tiles[turn:]]
    assert tops == sorted(tops, reverse=True)


def test_small_levels_can_be_left_out():
    plan = plan_tiles(250, 250, least_side=60)
    assert plan.tiles[-1][2:] == (69, 69)
    assert plan.height <= plan_tiles(250, 250).height


@pytest.mark.parametrize("size", [(1, 1), (4, 9), (9, 4), (30, 2000), (2000, 30)])
def test_every_size_has_at_least_one_tile(size):
    plan = plan_tiles(*size)
    assert plan.tiles[0] == (MARGIN, MARGIN, size[1], size[0])


@pytest.mark.parametrize("size", [(64, 80), (53, 66), (100, 41), (1, 7), (201, 202)])
def test_stretching_is_bilinear_with_corners_in_place(size):
    pixels = picture(80, 96)
    found = stretch(pixels.astype(np.float32), *size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, bilinear(pixels, *size), atol=1e-4)


def test_each_level_is_made_of_the_one_before():
    pixels = picture(120, 150)
    plan = plan_tiles(120, 150)
    canvas = draw_tiles(pixels, plan)
    assert canvas.shape == (plan.height, plan.width, 3)
    level = pixels.astype(np.float32)
    for left, top, width, height in plan.tiles:
        if (height, width) != level.shape[:2]:
            level = stretch(level, height, width)
        np.testing.assert_array_equal(canvas[top : top + height, left : left + width], level)
        canvas[top : top + height, left : left + width] = 0
    assert canvas.max() == 0


def test_a_larger_canvas_has_one_colour_where_nothing_is():
    pixels = picture(40, 40)
    plan = plan_tiles(40, 40)
    canvas = draw_tiles(pixels, plan, height=300, width=200, background=(1, 2.5, 3))
    assert canvas.shape == (300, 200, 3)
    empty = np.float32([1, 2.5, 3])
    assert (canvas[plan.height :] == empty).all()
    assert (canvas[:, plan.width :] == empty).all()
    small = draw_tiles(pixels, plan, 1, 1, (1, 2.5, 3))
    np.testing.assert_array_equal(canvas[: plan.height, : plan.width], small)


def test_points_of_a_level_come_back_to_the_picture():
    plan = plan_tiles(250, 250)
    for level in (0, 1, 4):
        left, top, _, _ = plan.tiles[level]
        expected = np.array([10.0, 20.0])
        for _ in range(level):
            expected = expected * 6 / 5 + 0.3
        corner = np.array([left + 10.0, top + 20.0])
        found = plan.to_picture(corner[None], np.stack([corner, corner])[None])
        np.testing.assert_allclose(found[0], [expected, expected])


def test_a_point_in_the_margin_belongs_to_the_nearest_tile():
    plan = plan_tiles(250, 250)
    left, top, _, height = plan.tiles[0]
    above_second = np.array([left + 5.0, top + height + GAP - 2.0])
    found = plan.to_picture(above_second[None], above_second[None, None])
    # Two pixels above the second level, whose scale is 6/5.
    assert found[0, 0, 1] == pytest.approx(-2.0 * 6 / 5 + 0.3)


def test_enlarging_and_halving_leave_a_smooth_picture_in_place():
    y, x = np.mgrid[:60, :70]
    smooth = np.repeat((2.0 * x + y)[..., None], 3, axis=-1).astype(np.uint8)
    there_and_back = halve(enlarge(smooth))
    # (2 * 60 + 1 - 3) // 2 rows; the corners stay in place only nearly.
    assert there_and_back.shape == (59, 69, 3)
    difference = there_and_back.astype(int) - smooth[:59, :69]
    assert np.abs(difference[5:-5, 5:-5]).max() <= 4


def test_points_of_an_enlarged_picture_come_back():
    points = np.array([[0.0, 0.0], [501.0, 500.0]])
    # 501 / 2 - 1.25, 500 / 2 - 0.75
    assert to_small(points).tolist() == [[-1.25, -0.75], [249.25, 249.25]]
