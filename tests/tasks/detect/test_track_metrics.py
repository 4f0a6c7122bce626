"""Measures of tracks, by hand and against a count of all pairings."""

import itertools

import numpy as np
import pytest

from cnnkit.tasks.detect.track_metrics import FrameTracks, score_tracks


def frame(**places):
    """Boxes of ten by ten pixels, by number (`t5=30` is number 5, 30 pixels to the right)."""
    lefts = np.array([[left, 0, left + 10, 10] for left in places.values()], float)
    return FrameTracks(lefts.reshape(-1, 4), np.array([int(name[1:]) for name in places], int))


def test_misses_false_boxes_switches_and_fragments_by_hand():
    truth = [frame(t1=0, t2=50)] * 4
    found = [
        frame(t7=0, t8=50),
        frame(t7=0),  # a miss
        frame(t7=0, t8=51, t9=90),  # found again, and a false box
        frame(t6=0, t8=50),  # a switch
    ]
    scores = score_tracks(truth, found)
    assert (scores.misses, scores.false, scores.switches, scores.fragments) == (1, 1, 1, 1)
    assert scores.mota == pytest.approx(1 - 3 / 8)
    # 7 has three boxes of 1 and 8 three of 2: 6 right of 8 true and 8 found.
    assert scores.idf1 == pytest.approx(2 * 6 / 16)


def test_a_pair_stays_where_another_one_fits_better():
    truth = [frame(t1=0), frame(t1=2)]
    found = [frame(t5=0), frame(t5=0, t6=2)]
    scores = score_tracks(truth, found)
    assert (scores.switches, scores.false) == (0, 1)


def brute_force(truth, found, iou=0.5):
    """IDF1 and the misses of each frame by trying all pairings."""

    def overlap(one, other):
        left, right = max(one[0], other[0]), min(one[2], other[2])
        shared = max(0.0, right - left) * 10
        return shared / (200 - shared)

    real = sorted({int(one) for some in truth for one in some.numbers})
    other = sorted({int(one) for some in found for one in some.numbers})
    best = 0
    padded = other + [None] * len(real)
    for chosen in set(itertools.permutations(padded, len(real))):
        names = dict(zip(real, chosen, strict=True))
        right = 0
        for first, second in zip(truth, found, strict=True):
            boxes = dict(zip(second.numbers.tolist(), second.boxes_xyxy, strict=True))
            for number, box in zip(first.numbers.tolist(), first.boxes_xyxy, strict=True):
                name = names[number]
                right += name in boxes and overlap(box, boxes[name]) >= iou
        best = max(best, right)
    count = sum(len(one.numbers) for one in truth) + sum(len(one.numbers) for one in found)
    return 2 * best / count


@pytest.mark.parametrize("seed", range(6))
def test_idf1_is_that_of_the_best_of_all_pairings(seed):
    random = np.random.default_rng(seed)

    def some(count):
        numbers = random.permutation(count)[: random.integers(1, count + 1)]
        return frame(**{f"t{one}": 12 * one + random.integers(-6, 7) for one in numbers})

    truth, found = [some(3) for _ in range(8)], [some(4) for _ in range(8)]
    assert score_tracks(truth, found).idf1 == pytest.approx(brute_force(truth, found))


def test_other_numbers_of_frames_are_refused():
    with pytest.raises(
        ValueError, match=r"found must have the frames of truth\. Received: 1 and 2"
    ):
        score_tracks([frame(), frame()], [frame()])
