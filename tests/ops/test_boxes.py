import numpy as np
import pytest

from cnnkit.ops.boxes import (
    areas,
    enclosing_overlap,
    intersection_over_union,
    intersections,
    non_maximum_suppression,
)


def boxes(count, seed=0):
    generator = np.random.default_rng(seed)
    corner = generator.integers(0, 50, (count, 2))
    return np.concatenate([corner, corner + generator.integers(1, 30, (count, 2))], axis=-1)


def painted(box, side=100):
    canvas = np.zeros((side, side), bool)
    left, top, right, bottom = box
    canvas[top:bottom, left:right] = True
    return canvas


def test_areas_and_intersections_are_numbers_of_pixels():
    first, second = boxes(12), boxes(9, seed=1)
    assert areas(first).tolist() == [painted(box).sum() for box in first]
    expected = [[(painted(one) & painted(other)).sum() for other in second] for one in first]
    assert intersections(first, second).tolist() == expected


def test_intersection_over_union_is_that_of_the_pixels():
    first, second = boxes(12), boxes(9, seed=1)
    expected = [
        [
            (painted(one) & painted(other)).sum() / (painted(one) | painted(other)).sum()
            for other in second
        ]
        for one in first
    ]
    np.testing.assert_allclose(intersection_over_union(first, second), expected)


def test_a_box_overlaps_itself_wholly_and_both_measures_are_symmetric():
    some = boxes(20)
    for overlap in (intersection_over_union, enclosing_overlap):
        found = overlap(some, some)
        np.testing.assert_allclose(np.diag(found), 1.0)
        np.testing.assert_allclose(found, found.T)


def test_enclosing_overlap_by_hand():
    # 2x2 of 4x4 squares shared; the box around both is 6x6.
    first, second = np.array([[0, 0, 4, 4]]), np.array([[2, 2, 6, 6]])
    assert enclosing_overlap(first, second) == pytest.approx(4 / 36)
    assert intersection_over_union(first, second) == pytest.approx(4 / 28)


def test_empty_boxes_overlap_nothing():
    empty = np.array([[5, 5, 5, 5], [9, 9, 3, 3]])
    for overlap in (intersection_over_union, enclosing_overlap):
        assert overlap(empty, empty).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_suppression_is_greedy():
    # B overlaps A and C by 0.6 each, A and C overlap by 1/3: without B, the worst, both stay.
    row = np.array([[0, 0, 8, 1], [2, 0, 10, 1], [4, 0, 12, 1]])
    assert non_maximum_suppression(row, np.array([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]
    assert non_maximum_suppression(row, np.array([0.8, 0.9, 0.7]), 0.5).tolist() == [1]


def test_suppression_keeps_an_overlap_of_exactly_the_threshold():
    # 1 of 3 pixels shared.
    row = np.array([[0, 0, 2, 1], [1, 0, 3, 1]])
    assert non_maximum_suppression(row, np.array([0.9, 0.8]), 1 / 3).tolist() == [0, 1]


def test_of_equal_scores_the_earlier_box_wins():
    same = np.array([[0, 0, 4, 4]] * 3)
    assert non_maximum_suppression(same, np.ones(3), 0.5).tolist() == [0]


def test_no_boxes_give_no_indices():
    found = non_maximum_suppression(np.zeros((0, 4)), np.zeros(0), 0.5)
    assert found.tolist() == []
    assert np.zeros((3, 4))[found].shape == (0, 4)


def test_kept_boxes_never_overlap_more_than_allowed_and_the_best_is_kept():
    some, scores = boxes(60), np.random.default_rng(2).random(60)
    kept = non_maximum_suppression(some, scores, 0.3)
    overlap = intersection_over_union(some[kept], some[kept])
    assert (overlap[~np.eye(len(kept), dtype=bool)] <= 0.3).all()
    assert kept[0] == scores.argmax()
    assert (np.diff(scores[kept]) <= 0).all()
    # Every dropped box has a better one that drops it.
    for dropped in set(range(60)) - set(kept.tolist()):
        better = kept[scores[kept] >= scores[dropped]]
        assert intersection_over_union(some[[dropped]], some[better]).max() > 0.3
