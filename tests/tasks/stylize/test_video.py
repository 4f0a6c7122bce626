"""Videos in a style: steady, and the same after a stop."""

import itertools

import numpy as np
import pytest
import skimage.data
from PIL import Image

pytest.importorskip("cv2")

from cnnkit import Stylizer, StylizeSettings
from cnnkit.tasks.stylize.frame_memory import Carried, FrameMemory
from cnnkit.tasks.stylize.layer_statistics import LayerStatistics

SIZE = (64, 96)


def frames(count, step, noise=2.0):
    """A photograph that goes to the left, with noise."""
    random = np.random.default_rng(0)
    scene = np.asarray(Image.fromarray(skimage.data.chelsea()).resize((192, 128)))
    for number in range(count):
        window = scene[20 : 20 + SIZE[0], 10 + step * number : 10 + step * number + SIZE[1]]
        noisy = window + random.normal(0, noise, window.shape)
        yield np.clip(noisy + 0.5, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def stylizer():
    style = np.asarray(Image.fromarray(skimage.data.coffee()).resize((96, 64)))
    return Stylizer(style, StylizeSettings(quality="draft", size=160))


def change(painted, step):
    """Mean squared change from frame to frame of what goes to the left."""
    errors = []
    for last, frame in itertools.pairwise(painted):
        before, now = last.astype(float) / 255, frame.astype(float) / 255
        width = SIZE[1] - step
        errors.append(np.mean((now[:, :width] - before[:, step:]) ** 2))
    return np.mean(errors)


@pytest.mark.parametrize("step", [0, 2])
def test_drafts_of_frames_change_less_than_those_of_single_pictures(stylizer, step):
    memory, shown = FrameMemory(), list(frames(6, step))
    steady = [stylizer.paint_frame(one, memory) for one in shown]
    single = [stylizer.paint_frame(one, FrameMemory()) for one in shown]
    assert (steady[0] == single[0]).all()
    assert change(steady, step) < 0.4 * change(single, step)
    # As much contrast is left.
    assert steady[-1].std() > 0.9 * single[-1].std()


def test_frames_are_the_same_whether_the_next_one_is_known_or_not(stylizer):
    shown = list(frames(4, 2))
    first, second = FrameMemory(), FrameMemory()
    known = [
        stylizer.paint_frame(one, first, following=following)
        for one, following in itertools.zip_longest(shown, shown[1:])
    ]
    unknown = [stylizer.paint_frame(one, second) for one in shown]
    assert all((one == other).all() for one, other in zip(known, unknown, strict=True))
    # What was expected did not come.
    stylizer.paint_frame(shown[0], first, following=shown[2])
    stylizer.paint_frame(shown[0], second)
    again = [stylizer.paint_frame(shown[3], memory) for memory in (first, second)]
    assert (again[0] == again[1]).all()


def test_a_frame_after_a_cut_is_painted_as_the_first_of_a_video(stylizer):
    other = np.asarray(Image.fromarray(skimage.data.rocket()).resize(SIZE[::-1]))
    memory = FrameMemory()
    for one in frames(3, 2):
        stylizer.paint_frame(one, memory)
    after = stylizer.paint_frame(other, memory)
    assert (after == stylizer.paint_frame(other, FrameMemory())).all()


def test_a_video_goes_on_from_its_state_as_if_it_had_not_stopped(stylizer):
    shown = list(frames(5, 2))
    whole, first, second = FrameMemory(), FrameMemory(), FrameMemory()
    expected = [stylizer.paint_frame(one, whole) for one in shown]
    for one in shown[:3]:
        stylizer.paint_frame(one, first)
    second.restore(first.state())
    found = [stylizer.paint_frame(one, second) for one in shown[3:]]
    assert all((one == other).all() for one, other in zip(found, expected[3:], strict=True))


def test_colours_and_masks_are_kept_in_every_frame():
    style = np.asarray(Image.fromarray(skimage.data.coffee()).resize((96, 64)))
    stylizer = Stylizer(style, StylizeSettings(quality="draft", size=96))
    mask = np.zeros(SIZE, np.uint8)
    mask[:, 48:] = 255
    memory = FrameMemory()
    for frame in frames(3, 2):
        painted = stylizer.paint_frame(frame, memory, mask=mask)
        assert (painted[:, :48] == frame[:, :48]).all()
        assert (painted[:, 48:] != frame[:, 48:]).any()


def test_statistics_are_averages_of_the_frames_so_far():
    memory = FrameMemory()
    assert memory.smooth("a", LayerStatistics(np.zeros(1), np.eye(1))).mean == 0.0
    found = memory.smooth("a", LayerStatistics(np.ones(1), np.eye(1))).mean
    assert found == pytest.approx(0.15)
    assert memory.smooth("b", LayerStatistics(np.ones(1), np.eye(1))).mean == 1.0


def passing(count):
    """A still photograph with noise, before whose left half a thing goes to the right."""
    random = np.random.default_rng(0)
    scene = np.asarray(Image.fromarray(skimage.data.rocket()).resize((160, 64)))
    for number in range(count):
        frame = scene + random.normal(0, 2, scene.shape)
        frame[20:44, 4 * number : 4 * number + 24] = 40
        yield np.clip(frame + 0.5, 0, 255).astype(np.uint8)


def test_grain_comes_back_to_where_it_was_once_a_thing_has_passed():
    memory, grains = FrameMemory(), []
    memory.image = np.zeros((64, 160, 3), np.float32)
    for frame in passing(16):
        memory.move(frame)
        memory.image = np.zeros((64, 160, 3), np.float32)
        grains.append(memory.grain(64, 160, 0))
    # Where it passed first, and where it did not pass.
    assert np.abs(grains[-1] - grains[0])[20:44, :24].mean() < 0.3
    assert np.abs(grains[-1] - grains[0])[:, 110:].mean() < 0.05
    # It is there still, with grain of its own.
    assert np.abs(grains[-1] - grains[0])[22:42, 64:80].mean() > 0.5


def test_what_is_far_from_a_thing_that_passes_stays_as_it_was(stylizer):
    memory, shown = FrameMemory(), list(passing(10))
    steady = [stylizer.paint_frame(one, memory).astype(float) for one in shown]
    single = [stylizer.paint_frame(shown[at], FrameMemory()).astype(float) for at in (5, 9)]
    far = slice(None), slice(-8, None)
    assert (
        np.abs(steady[9] - steady[5])[far].mean() < 0.4 * np.abs(single[1] - single[0])[far].mean()
    )


def test_what_becomes_brighter_is_painted_anew():
    memory = FrameMemory()
    scene = np.asarray(Image.fromarray(skimage.data.rocket()).resize((96, 64)), int)
    kept = []
    for number in range(12):
        memory.move(np.clip(scene + 2 * max(0, number - 6), 0, 255).astype(np.uint8))
        memory.image = np.zeros((64, 96, 3), np.float32)
        kept.append(0.0 if memory._held is None else float(memory._held.mean()))
    # A painting of n frames is their average, until they differ from it.
    assert kept[6] == pytest.approx(6 / 7, abs=0.01)
    assert kept[11] < 0.75


def test_only_what_can_be_trusted_is_carried_over():
    carried = Carried(np.ones((1, 2, 3), np.float32), np.array([[1.0, 0.0]], np.float32))
    laid = carried.laid_over(np.zeros((1, 2, 3), np.float32))
    assert laid[0, :, 0].tolist() == [1.0, 0.0]


@pytest.mark.slow
def test_an_optimised_frame_stays_near_to_the_one_before():
    style = np.asarray(Image.fromarray(skimage.data.coffee()).resize((96, 64)))
    stylizer = Stylizer(style, StylizeSettings(size=96, backbone="compact", steps=30))
    memory, shown = FrameMemory(), list(frames(3, 2))
    steady = [stylizer.paint_frame(one, memory) for one in shown]
    single = [stylizer.paint_frame(one, FrameMemory()) for one in shown]
    assert change(steady, 2) < 0.4 * change(single, 2)
