import numpy as np
import pytest

from cnnkit.ops.boxes import (
    Letterbox,
    areas,
    enclosing_overlap,
    fuse_boxes,
    intersection_over_union,
    intersections,
    non_maximum_suppression,
    per_class_suppression,
    select_detections,
    soft_suppression,
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


def overlap_of(one, other):
    shared = (painted(one) & painted(other)).sum()
    return shared / (painted(one) | painted(other)).sum()


@pytest.mark.parametrize("seed", range(5))
def test_suppression_for_each_class_is_what_the_lecture_says(seed):
    generator = np.random.default_rng(seed)
    some, class_ids = boxes(30, seed), generator.integers(0, 3, 30)
    scores = generator.permutation(30) / 30
    expected = []
    for class_id in range(3):
        left = [i for i in range(30) if class_ids[i] == class_id]
        while left:
            best = max(left, key=lambda i: scores[i])
            expected.append(best)
            left = [i for i in left if i != best and overlap_of(some[best], some[i]) <= 0.3]
    found = per_class_suppression(some, scores, class_ids, 0.3)
    assert found.tolist() == sorted(expected, key=lambda i: -scores[i])


def test_suppression_of_no_boxes_keeps_none():
    nothing = np.zeros((0, 4)), np.zeros(0)
    assert per_class_suppression(*nothing, np.zeros(0, int), 0.5).tolist() == []
    assert soft_suppression(*nothing)[0].tolist() == []


@pytest.mark.parametrize("seed", range(3))
def test_soft_suppression_lowers_scores_by_each_better_box(seed):
    generator = np.random.default_rng(seed)
    some, scores = boxes(15, seed), generator.random(15)
    left, expected = dict(enumerate(scores)), []
    while left:
        best = max(left, key=left.get)
        expected.append((best, left.pop(best)))
        for i in left:
            left[i] *= np.exp(-(overlap_of(some[best], some[i]) ** 2) / 0.5)
        left = {i: score for i, score in left.items() if score >= 0.2}
    expected = [(i, score) for i, score in expected if score >= 0.2]
    indices, found = soft_suppression(some, scores, 0.5, least=0.2)
    assert indices.tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(found, [score for _, score in expected])


@pytest.mark.parametrize("stride", [None, 32])
def test_a_letterbox_is_undone_exactly_whatever_the_size(stride):
    generator = np.random.default_rng(0)
    for _ in range(50):
        height, width = (int(side) for side in generator.integers(1, 3000, 2))
        box = Letterbox.fit(height, width, 416, stride)
        edges = np.array([[0, 0, width, height]])
        left, top, right, bottom = box.to_canvas(edges)[0]
        assert (left, top) == (box.left, box.top)
        assert right == pytest.approx(left + box.scaled_width)
        assert bottom == pytest.approx(top + box.scaled_height)
        assert max(right, bottom) <= max(box.canvas_height, box.canvas_width) + 1e-9
        some = generator.random((9, 4)) * [width, height, width, height]
        np.testing.assert_allclose(box.to_picture(box.to_canvas(some)), some, atol=1e-9)


def test_a_letterbox_keeps_proportions_and_centres():
    # 300 x 600 in 416: half as high as wide, (416 - 208) / 2 above.
    box = Letterbox.fit(300, 600, 416)
    assert (box.scaled_height, box.scaled_width, box.top, box.left) == (208, 416, 104, 0)
    tight = Letterbox.fit(300, 600, 416, stride=32)
    # The next multiple of 32 from 208 is 224.
    assert (tight.canvas_height, tight.canvas_width, tight.top) == (224, 416, 8)


def test_a_letterbox_cuts_off_what_lies_in_the_bands():
    box = Letterbox.fit(100, 200, 200)
    assert box.to_picture(np.array([[-5, 40, 210, 160]])).tolist() == [[0, 0, 200, 100]]
    assert box.to_picture(np.array([[-5, 40, 210, 160]]), clip=False)[0, 1] == -10


def test_a_letterbox_of_nothing_is_refused():
    with pytest.raises(ValueError, match="positive"):
        Letterbox.fit(0, 5, 10)


PLACES = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [30, 0, 40, 10]], float)
SCORES = np.array([[0.9, 0.4], [0.3, 0.8], [0.1, 0.05]])


def select(**settings):
    return select_detections(PLACES, SCORES, **{"conf": 0.2, "iou": 0.5, "most": 9, **settings})


def test_a_place_has_its_best_class_or_every_class_that_is_likely_enough():
    boxes, class_ids, scores = select()
    assert class_ids.tolist() == [0, 1]
    assert scores.tolist() == [0.9, 0.8]
    np.testing.assert_array_equal(boxes, PLACES[:2])
    # Class 0 of the second place and class 1 of the first are dropped for better boxes.
    assert select(multi_label=True)[2].tolist() == [0.9, 0.8]
    assert select(multi_label=True, iou=1.0)[2].tolist() == [0.9, 0.8, 0.4, 0.3]
    assert select(most=1)[1].tolist() == [0]


def test_suppression_of_all_classes_and_lowered_scores():
    assert select(suppression="agnostic")[1].tolist() == [0]
    scores = select(suppression="soft", multi_label=True, conf=0.01)[2]
    # The overlap is 0.9 within each class; the third box stands alone.
    lowered = np.exp(-(0.9**2) / 0.5)
    expected = sorted([0.9, 0.8, 0.4 * lowered, 0.3 * lowered, 0.1, 0.05], reverse=True)
    np.testing.assert_allclose(scores, expected)
    with pytest.raises(ValueError, match="suppression must be one of"):
        select(suppression="hard")


def test_nothing_likely_is_nothing():
    boxes, class_ids, scores = select(conf=0.95)
    assert (boxes.shape, class_ids.shape, scores.shape) == ((0, 4), (0,), (0,))


def found(*rows):
    """Boxes, class ids and scores from rows of left, top, right, bottom, class and score."""
    rows = np.array(rows, float).reshape(-1, 6)
    return rows[:, :4], rows[:, 4].astype(int), rows[:, 5]


def test_views_that_agree_are_fused_to_what_each_has_seen():
    view = found((0, 0, 10, 10, 1, 0.5), (0, 0, 10, 10, 2, 0.4), (30, 30, 50, 60, 1, 0.9))
    fused, class_ids, scores = fuse_boxes([view, view, view])
    assert fused.tolist() == [[30, 30, 50, 60], [0, 0, 10, 10], [0, 0, 10, 10]]
    assert class_ids.tolist() == [1, 1, 2]
    assert scores == pytest.approx([0.9, 0.5, 0.4])


def test_fused_boxes_are_weighted_by_their_scores():
    # 0.6 + 0.3 + 0.1 = 1: 0.3 * 2 + 0.1 * 1 = 0.7 to the left edge; a third of 1 is the score.
    views = [
        found((0, 0, 20, 20, 0, 0.6)),
        found((2, 0, 20, 20, 0, 0.3)),
        found((1, 0, 20, 20, 0, 0.1)),
    ]
    fused, _, scores = fuse_boxes(views)
    assert fused[0].tolist() == pytest.approx([0.7, 0, 20, 20])
    assert scores == pytest.approx([1 / 3])


def test_what_is_apart_or_of_another_class_is_not_fused():
    # An overlap of 10 * 5 / (10 * 15) is a third.
    views = [found((0, 0, 10, 10, 0, 0.8)), found((0, 5, 10, 15, 0, 0.6), (0, 0, 10, 10, 1, 0.4))]
    fused, class_ids, scores = fuse_boxes(views)
    assert fused.tolist() == [[0, 0, 10, 10], [0, 5, 10, 15], [0, 0, 10, 10]]
    assert class_ids.tolist() == [0, 0, 1]
    assert scores == pytest.approx([0.4, 0.3, 0.2])
    assert len(fuse_boxes(views, threshold=0.3)[0]) == 2


def test_what_a_view_has_beside_its_box_does_not_make_it_less_sure():
    view = found((0, 0, 10, 10, 0, 0.9), (0, 0, 10, 9, 0, 0.3))
    other = found((0, 0, 10, 10, 0, 0.7), (0, 0, 10, 9, 0, 0.1))
    fused, _, scores = fuse_boxes([view, other])
    assert fused.tolist() == [[0, 0, 10, 10], [0, 0, 10, 9]]
    assert scores == pytest.approx([0.8, 0.2])
    # Of one view nothing is fused.
    assert fuse_boxes([view])[2].tolist() == [0.9, 0.3]


def test_nothing_in_any_view_is_nothing():
    fused, class_ids, scores = fuse_boxes([found(), found()])
    assert fused.shape == (0, 4)
    assert len(class_ids) == len(scores) == 0
