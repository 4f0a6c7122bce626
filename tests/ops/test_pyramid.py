import keras
import numpy as np
import pytest

from cnnkit.ops.pyramid import collapse_pyramid, pyramid_shapes


def test_shapes_halve_and_round_down():
    assert pyramid_shapes(33, 50, levels=3) == [(33, 50), (16, 25), (8, 12)]


def test_no_level_is_smaller_than_four_pixels():
    # 7 // 2 = 3 would be less than 4
    assert pyramid_shapes(7, 64, levels=5) == [(7, 64)]


def test_one_level_is_the_picture():
    assert pyramid_shapes(64, 64, levels=1) == [(64, 64)]


def test_collapsing_adds_constants():
    levels = [
        np.full((*shape, 3), value, "float32") for shape, value in (((8, 12), 1.0), ((4, 6), 0.5))
    ]
    collapsed = keras.ops.convert_to_numpy(collapse_pyramid(levels))
    np.testing.assert_allclose(collapsed, np.full((8, 12, 3), 1.5), atol=1e-6)


def test_a_coarse_level_is_enlarged_bilinearly():
    fine, coarse = np.zeros((4, 1, 1), "float32"), np.array([[[0.0]], [[4.0]]], "float32")
    # Pixel centres of 4 in units of 2: -0.25, 0.25, 0.75, 1.25 -> clamped 0, 0.25, 0.75, 1.
    collapsed = keras.ops.convert_to_numpy(collapse_pyramid([fine, coarse]))
    np.testing.assert_allclose(collapsed[:, 0, 0], [0.0, 1.0, 3.0, 4.0], atol=1e-6)


def test_collapsing_is_linear():
    random = np.random.default_rng(0)
    shapes = pyramid_shapes(20, 12, levels=3)
    a, b = ([random.random((*s, 3)).astype("float32") for s in shapes] for _ in range(2))
    summed = collapse_pyramid([x + 2.0 * y for x, y in zip(a, b, strict=True)])
    apart = collapse_pyramid(a) + 2.0 * collapse_pyramid(b)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(summed), keras.ops.convert_to_numpy(apart), atol=1e-5
    )


@pytest.mark.parametrize("shape", [(5, 9), (32, 48), (17, 31)])
def test_the_sum_has_the_shape_of_the_finest_level(shape):
    levels = [np.zeros((*s, 3), "float32") for s in pyramid_shapes(*shape, levels=5)]
    assert tuple(collapse_pyramid(levels).shape) == (*shape, 3)
