"""Tracks on generated motion, by the field's measures."""

import numpy as np
import pytest

from cnnkit.tasks.detect.track_metrics import FrameTracks, score_tracks
from cnnkit.video.tracker import Tracker


def follow(frames, classes=2, **settings):
    """Tracks boxes `(left, top, right, bottom, score, class)`."""
    tracker, found = Tracker(classes, **settings), []
    for rows in frames:
        rows = np.array(rows, float).reshape(-1, 6)
        numbers, class_ids = tracker.update(rows[:, :4], rows[:, 4], rows[:, 5].astype(int))
        kept = numbers > 0
        found.append((FrameTracks(rows[kept, :4], numbers[kept]), class_ids[kept]))
    return found


def walk(count, things, seed=0, noise=1.0, missed=0.0, false=0.0):
    """True tracks of things that go their ways, and noisy boxes of them."""
    random = np.random.default_rng(seed)
    places, speeds = random.uniform(40, 360, (things, 2)), random.uniform(-4, 4, (things, 2))
    sizes = random.uniform(25, 60, (things, 2))
    truth, frames = [], []
    for _ in range(count):
        boxes = np.hstack([places - sizes / 2, places + sizes / 2])
        truth.append(FrameTracks(boxes, np.arange(things)))
        seen = boxes[random.random(things) >= missed] + 0.0
        seen += random.normal(0, noise, seen.shape)
        rows = [[*box, random.uniform(0.5, 0.9), 0] for box in seen]
        while random.random() < false:
            corner = random.uniform(0, 350, 2)
            rows.append([*corner, *(corner + 30), 0.4, 0])
        frames.append(rows)
        places = places + speeds
        speeds = np.where((places < 30) | (places > 370), -speeds, speeds)
    return truth, frames


def test_things_that_pass_each_other_keep_their_numbers():
    frames, truth = [], []
    for x in range(0, 200, 4):
        boxes = np.array([[x, 20, x + 40, 60], [200 - x, 35, 240 - x, 75]], float)
        truth.append(FrameTracks(boxes, np.array([0, 1])))
        frames.append([[*box, 0.8, 0] for box in boxes])
    scores = score_tracks(truth, [one for one, _ in follow(frames)])
    assert (scores.switches, scores.idf1, scores.mota) == (0, 1.0, 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_noise_misses_and_false_boxes_cost_few_switches(seed):
    truth, frames = walk(150, 8, seed, noise=1.5, missed=0.1, false=0.2)
    scores = score_tracks(truth, [one for one, _ in follow(frames)])
    assert scores.switches <= 8
    assert scores.idf1 > 0.85
    assert scores.mota > 0.8


def test_a_thing_that_is_hidden_for_a_while_gets_its_number_back():
    frames = []
    for x in range(0, 120, 3):
        is_hidden = 45 <= x < 75
        frames.append([] if is_hidden else [[x, 10, x + 40, 50, 0.8, 0]])
    numbers = [one.numbers.tolist() for one, _ in follow(frames, memory=20)]
    assert set(map(tuple, numbers)) == {(1,), ()}
    assert numbers[-1] == [1]
    late = [one.numbers.tolist() for one, _ in follow(frames, memory=5)]
    assert late[-1] == [2]


def test_a_low_score_goes_on_with_a_track_and_begins_none():
    frames = [[[10, 10, 50, 50, score, 0]] for score in (0.12, 0.8, 0.7, 0.12, 0.11, 0.6)]
    assert [one.numbers.tolist() for one, _ in follow(frames)] == [[], [], [1], [1], [1], [1]]


def test_a_thing_keeps_its_class_where_one_frame_says_another():
    frames = [[[10, 10, 50, 50, 0.8, class_id]] for class_id in (0, 0, 1, 0, 0)]
    assert [classes.tolist() for _, classes in follow(frames)] == [[0]] * 5


def test_two_boxes_of_one_thing_begin_one_track():
    frames = [[[10, 10, 50, 50, 0.8, 0], [11, 10, 51, 50, 0.6, 1]] for _ in range(4)]
    assert [one.numbers.tolist() for one, _ in follow(frames)][-1] == [1]


def test_a_fast_thing_is_followed_without_overlap():
    frames = [[[x, 10, x + 20, 30, 0.9, 0]] for x in (0, 18, 45, 72, 99, 126)]
    assert [one.numbers.tolist() for one, _ in follow(frames)][-1] == [1]


def test_a_tracker_goes_on_from_its_state():
    _, frames = walk(40, 5, seed=3, missed=0.1)
    whole = [one.numbers.tolist() for one, _ in follow(frames)]
    first, second = Tracker(2), Tracker(2)

    def step(tracker, rows):
        rows = np.array(rows, float).reshape(-1, 6)
        numbers, _ = tracker.update(rows[:, :4], rows[:, 4], rows[:, 5].astype(int))
        return numbers[numbers > 0].tolist()

    for rows in frames[:20]:
        step(first, rows)
    second.restore(first.state())
    assert [step(second, rows) for rows in frames[20:]] == whole[20:]
