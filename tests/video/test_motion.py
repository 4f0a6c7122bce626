"""Where frames come from, on motion that is known."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

pytest.importorskip("cv2")

import cv2

from cnnkit.video.motion import Motion, distance_from_motion, find_motion, warp


def photograph(name, size=(96, 128)):
    pixels = getattr(skimage.data, name)()
    return np.asarray(Image.fromarray(pixels).resize(size[::-1]))


def test_a_shift_is_found_and_undone_and_what_came_in_is_not_trusted():
    last = photograph("chelsea")
    frame = np.roll(last, (2, 5), axis=(0, 1))
    frame[:2], frame[:, :5] = 128, 128
    motion = find_motion(last, frame)
    middle = motion.flow[20:-20, 20:-20]
    assert np.abs(middle - (-5.0, -2.0)).mean() < 0.3
    assert not motion.is_cut
    assert motion.trust[20:-20, 20:-20].mean() > 0.9
    assert motion.trust[:, :4].max() < 0.1
    error = warp(last, motion.flow)[20:-20, 20:-20].astype(float) - frame[20:-20, 20:-20]
    assert np.abs(error).mean() < 3.0


def test_what_is_still_does_not_move_for_all_its_noise():
    random = np.random.default_rng(0)
    still = photograph("rocket").astype(float)
    frames = [
        np.clip(still + random.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in "ab"
    ]
    motion = find_motion(*frames)
    # In the flat sky, noise alone looks like motion.
    assert np.mean(motion.flow != 0.0) < 0.005
    assert motion.trust.mean() > 0.98


def turned(pixels, degrees):
    center = pixels.shape[1] / 2, pixels.shape[0] / 2
    matrix = cv2.getRotationMatrix2D(center, degrees, 1.0)
    return cv2.warpAffine(
        pixels, matrix, pixels.shape[1::-1], borderMode=cv2.BORDER_REFLECT
    ), matrix


def test_flat_places_go_along_with_a_camera_that_turns():
    random = np.random.default_rng(0)
    last = photograph("rocket", (144, 256))
    frame, matrix = turned(last, 1.0)
    noisy = [np.clip(one + random.normal(0, 2, one.shape), 0, 255) for one in (last, frame)]
    motion = find_motion(*(one.astype(np.uint8) for one in noisy))
    back = cv2.invertAffineTransform(matrix)
    rows, columns = np.mgrid[:144, :256]
    pixels = np.stack([columns, rows], axis=-1)
    expected = pixels @ back[:, :2].T + back[:, 2] - pixels
    # Dense inverse search alone is off by 0.5 pixels here.
    middle = slice(20, -20)
    assert np.abs(motion.flow - expected)[middle, middle].mean() < 0.1
    assert not motion.camera_stands


def test_the_camera_stands_though_a_large_thing_passes():
    random = np.random.default_rng(0)
    scene, thing = photograph("rocket"), photograph("chelsea", (60, 80))
    frames = []
    for left in (20, 26):
        frame = scene.astype(float)
        frame[20:80, left : left + 80] = thing
        frames.append(np.clip(frame + random.normal(0, 2, frame.shape), 0, 255).astype(np.uint8))
    motion = find_motion(*frames)
    assert motion.camera_stands
    assert not motion.flow[:10].any()


def test_distances_from_motion_are_of_what_moves_and_what_comes_to_light_but_of_no_speck():
    flow, trust = np.zeros((40, 60, 2), np.float32), np.ones((40, 60), np.float32)
    assert (distance_from_motion(Motion(flow, trust, False, True), 8) == 1.0).all()
    flow[10:20, 10:20], trust[30:36, 50:56], flow[5, 50] = 1.0, 0.0, 1.0
    found = distance_from_motion(Motion(flow, trust, False, True), 8)
    assert found[15, 15] == found[33, 52] == 0.0
    assert found[15, 20:28] == pytest.approx([0, 0, 0, 0, 0.25, 0.5, 0.75, 1.0], abs=0.1)
    assert found[5, 50] == 1.0


def test_what_a_moving_thing_uncovers_is_not_trusted():
    scene, thing = photograph("rocket"), photograph("chelsea", (40, 40))
    frames = []
    for left in (30, 40):
        frame = scene.copy()
        frame[30:70, left : left + 40] = thing
        frames.append(frame)
    motion = find_motion(*frames)
    assert motion.trust[34:66, 32:38].mean() < 0.3
    assert motion.trust[34:66, 48:72].mean() > 0.7


@pytest.mark.parametrize(("first", "second"), [("chelsea", "rocket"), ("astronaut", "coffee")])
def test_a_cut_between_scenes_is_found(first, second):
    assert find_motion(photograph(first), photograph(second)).is_cut


def test_frames_that_are_too_small_for_any_search_are_held_to_be_still():
    tiny = np.zeros((8, 12, 3), np.uint8)
    assert not find_motion(tiny, tiny).flow.any()


def test_a_thing_is_moved_by_the_flow_to_where_it_came_from():
    picture = np.arange(20, dtype=np.float32).reshape(4, 5)
    flow = np.zeros((4, 5, 2), np.float32)
    flow[..., 0] = 1.0
    assert warp(picture, flow)[:, :-1] == pytest.approx(picture[:, 1:])
