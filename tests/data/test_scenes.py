import numpy as np
import pytest

from cnnkit.data.letterbox import GREY
from cnnkit.data.scenes import compose_scene, fit_scene


def dotted(height=40, width=60):
    """A black picture with a white rectangle, whose box is known."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[10:30, 15:45] = 255
    box = np.array([[15 / width, 10 / height, 45 / width, 30 / height]])
    return pixels, box, np.array([[2.0, 0.5]])


def test_one_picture_lies_in_the_middle_with_its_box():
    pixels, boxes, more = fit_scene(dotted(), 90)
    # 60 wide becomes 90, 40 high becomes 60, with 15 rows of grey above.
    np.testing.assert_allclose(boxes, [[22.5, 30, 67.5, 60]])
    assert (pixels[:15] == GREY).all()
    assert pixels[45, 45].tolist() == [255, 255, 255]
    assert more.tolist() == [[2.0, 0.5]]


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_stay_on_what_they_hold(mosaic):
    for seed in range(20):
        random = np.random.default_rng(seed)
        pixels, boxes, more = compose_scene(dotted, 96, random, mosaic=mosaic)
        assert pixels.shape == (96, 96, 3)
        assert len(boxes) == len(more)
        assert (boxes >= 0).all()
        assert (boxes <= 96).all()
        is_white = (pixels > 200).all(axis=-1)
        for left, top, right, bottom in boxes:
            rows = slice(int(np.ceil(top + 1)), int(bottom - 1))
            columns = slice(int(np.ceil(left + 1)), int(right - 1))
            assert is_white[rows, columns].all()


def test_the_same_draws_give_the_same_scene():
    first, again = (compose_scene(dotted, 64, np.random.default_rng(3)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
