import dataclasses

import keras
import numpy as np
import pytest

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import to_uint8
from cnnkit.models._face_windows import decode_scores, window_count
from cnnkit.models.face_detector import build_face_detector, load_face_detector_weights
from cnnkit.ops.tiles import draw_tiles, plan_tiles

# dlib 20.0.1 on skimage.data.astronaut(): left, top, right and bottom, all within the box.
ASTRONAUT_BOX, ASTRONAUT_CONFIDENCE = [168, 69, 263, 164], 1.0625123977661133


@pytest.fixture(scope="module")
def weights():
    return load_face_detector_weights()


@pytest.fixture(scope="module")
def detector(weights):
    return build_face_detector(weights)


def scores_of(detector, canvas, plan):
    """Scores of the windows of a plan, on a canvas that may be larger."""
    counts = [window_count(side) for side in (plan.height, plan.width)]
    scores = detector([canvas[None], np.int32([counts])])
    return keras.ops.convert_to_numpy(scores)[0, : counts[0], : counts[1]]


def detect(detector, weights, pixels, threshold=0.0):
    plan = plan_tiles(*pixels.shape[:2])
    canvas = draw_tiles(pixels, plan, background=weights.mean_rgb)
    scores = scores_of(detector, canvas, plan)
    return decode_scores(scores, plan, weights.window, weights.overlap, threshold)


def test_the_astronaut_is_found_where_dlib_finds_her(detector, weights):
    found = detect(detector, weights, to_uint8(load_sample(find_sample("astronaut")).pixels))
    left, top, right, bottom = ASTRONAUT_BOX
    assert found.boxes_xyxy.tolist() == [[left, top, right + 1, bottom + 1]]
    # dlib's own resizing goes through float32, so that a few pixels differ by one.
    assert found.scores[0] == pytest.approx(ASTRONAUT_CONFIDENCE, abs=2e-3)


@pytest.mark.parametrize("name", ["coffee", "rocket", "chelsea"])
def test_a_cup_a_rocket_and_a_cat_have_no_face(detector, weights, name):
    found = detect(detector, weights, to_uint8(load_sample(find_sample(name)).pixels))
    assert found.boxes_xyxy.shape == (0, 4)
    assert found.scores.shape == (0,)


def test_a_window_sees_80_pixels_around_its_centre():
    plan = plan_tiles(250, 250)
    scores = np.zeros((117, 31), np.float32)
    scores[4, 6] = 0.7
    found = decode_scores(scores, plan, 80, 0.3)
    # Centre 8 * 6 + 14 = 62, 8 * 4 + 14 = 46, less the margin of 11: 51, 35. Half of 79 to either
    # side is 11.5 and 90.5, -4.5 and 74.5, rounded up, and one more for the edge.
    assert found.boxes_xyxy.tolist() == [[12, -4, 92, 76]]
    assert found.scores.tolist() == [np.float32(0.7)]


def test_of_windows_side_by_side_the_best_is_kept():
    plan = plan_tiles(250, 250)
    scores = np.zeros((117, 31), np.float32)
    scores[4, 6:9] = [0.5, 0.9, 0.8]
    scores[20, 20] = 0.3
    found = decode_scores(scores, plan, 80, 0.338)
    assert found.scores.tolist() == [np.float32(0.9), np.float32(0.3)]


def test_the_threshold_is_not_met_by_its_own_value():
    scores = np.full((5, 5), 0.25, np.float32)
    assert not decode_scores(scores, plan_tiles(80, 80), 80, 0.3, 0.25).scores.size


def test_the_smallest_picture_gives_one_window():
    model = build_face_detector()
    # 29 -> 13 -> 5 -> 1
    canvas, counts = np.zeros((1, 29, 29, 3), "float32"), np.ones((1, 2), "int32")
    assert keras.ops.shape(model([canvas, counts])) == (1, 1, 1)


def test_a_canvas_that_is_larger_than_needed_changes_nothing_inside(detector, weights):
    pixels = to_uint8(load_sample(find_sample("astronaut")).pixels)[40:200, 140:300]
    plan = plan_tiles(*pixels.shape[:2])
    small, large = (
        scores_of(detector, draw_tiles(pixels, plan, *size, weights.mean_rgb), plan)
        for size in ((0, 0), (plan.height + 64, plan.width + 40))
    )
    assert small.shape == large.shape
    np.testing.assert_allclose(small, large, atol=1e-4)


def test_weights_of_another_network_are_refused(weights):
    fewer = dataclasses.replace(weights, convolutions=weights.convolutions[:-1])
    with pytest.raises(ValueError, match=r"7 convolutions were expected\. Received: 6"):
        build_face_detector(fewer)
