import numpy as np
import pytest

from cnnkit.models.detector import grid_points
from cnnkit.ops.boxes import intersection_over_union
from cnnkit.ops.gradients import value_and_gradient
from cnnkit.tasks.detect.loss import AlignedDetectionLoss, box_overlaps


def random_boxes(count, seed):
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 50, (count, 2))
    return np.concatenate([corner, corner + random.uniform(1, 40, (count, 2))], axis=-1)


def test_iou_is_that_of_the_pairs():
    first, second = random_boxes(40, 0), random_boxes(40, 1)
    expected = np.diag(intersection_over_union(first, second))
    np.testing.assert_allclose(box_overlaps(first, second), expected, atol=1e-6)


def test_generalized_and_distance_iou_by_hand():
    # Squares of 2 x 2, 2 apart: no overlap, union 8, 6 x 2 around both, centres 4 apart.
    first, second = np.array([[0.0, 0, 2, 2]]), np.array([[4.0, 0, 6, 2]])
    assert float(box_overlaps(first, second, "giou")[0]) == pytest.approx(-(12 - 8) / 12)
    assert float(box_overlaps(first, second, "diou")[0]) == pytest.approx(-16 / 40)


def test_equal_boxes_have_the_overlap_1_whatever_the_kind():
    some = random_boxes(9, 2)
    for kind in ("iou", "giou", "diou"):
        np.testing.assert_allclose(box_overlaps(some, some, kind), 1.0, atol=1e-5)


def test_an_unknown_overlap_is_refused():
    with pytest.raises(ValueError, match="kind must be one of"):
        box_overlaps(np.zeros((1, 4)), np.zeros((1, 4)), "ciou")


POINTS = grid_points(32, 32, (8, 16))


def predictions(boxes, logits):
    """The same box and logits at all 20 places."""
    rows = np.concatenate([np.tile(boxes, (20, 1)), np.tile(logits, (20, 1))], axis=1)
    return rows[None].astype("float32")


def test_without_objects_all_places_learn_that_there_is_none():
    y_true = np.zeros((1, 3, 6), "float32")
    y_pred = predictions([0, 0, 8, 8], [0.0, 0.0])
    # 20 places, 2 classes, each -log(1 - 0.5).
    loss = AlignedDetectionLoss(POINTS)(y_true, y_pred)
    assert float(loss) == pytest.approx(40 * np.log(2), rel=1e-5)


def test_a_perfect_prediction_by_hand():
    box = [4.0, 4.0, 12.0, 12.0]
    y_true = np.array([[[*box, 1, 1.0], [0, 0, 0, 0, 0, 0]]], "float32")
    y_pred = predictions([100, 100, 108, 108], [-20.0, -20.0])
    # Of the 8-pixel places the first four have points 4 or 12, in the box; the first is right.
    y_pred[0, 0] = [*box, -20.0, 0.0]
    # Target 1 at the score 0.5: log 2; every other score is right; no error of the box.
    loss = AlignedDetectionLoss(POINTS, candidates=1)(y_true, y_pred)
    assert float(loss) == pytest.approx(np.log(2), rel=1e-4)


def test_a_weight_lowers_the_target():
    box = [4.0, 4.0, 12.0, 12.0]
    y_pred = predictions([100, 100, 108, 108], [-20.0, -20.0])
    y_pred[0, 0] = [*box, -20.0, 0.0]
    y_true = np.array([[[*box, 1, 0.25]]], "float32")
    # The cross-entropy of 0 is log 2 whatever the target, and is divided by 1 at least.
    loss = AlignedDetectionLoss(POINTS, candidates=1)
    assert float(loss(y_true, y_pred)) == pytest.approx(np.log(2), rel=1e-4)
    logit = np.log(0.25 / 0.75)
    y_pred[0, 0, 5] = logit
    lowest = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    assert float(loss(y_true, y_pred)) == pytest.approx(lowest, rel=1e-4)


def test_a_place_learns_one_object_only():
    same = [[4.0, 4, 12, 12, 0, 1.0], [4.0, 4, 12, 13, 1, 1.0]]
    y_true = np.array([same], "float32")
    y_pred = predictions([4, 4, 12, 12], [0.0, 0.0])
    loss = AlignedDetectionLoss(POINTS)
    share, _, target = loss._assign(y_true, y_pred[..., :4], y_pred[..., 4:])
    share, target = np.array(share)[0], np.array(target)[0]
    assert share.sum(axis=0).max() == 1
    assert (target > 0).sum(axis=1).max() == 1


def test_an_object_smaller_than_a_stride_has_a_place():
    y_true = np.array([[[7.0, 7.0, 9.0, 9.0, 0, 1.0]]], "float32")
    y_pred = predictions([0, 0, 16, 16], [0.0])
    share, *_ = AlignedDetectionLoss(POINTS)._assign(y_true, y_pred[..., :4], y_pred[..., 4:])
    assert np.array(share).sum() >= 1


def test_boxes_that_learn_move_towards_the_object():
    rng = np.random.default_rng(0)
    start = np.concatenate([POINTS[:, :2] - 6, POINTS[:, :2] + 6, rng.normal(size=(20, 1))], axis=1)
    y_true = np.array([[[2.0, 3.0, 20.0, 18.0, 0, 1.0]]], "float32")
    loss = AlignedDetectionLoss(POINTS)
    step = value_and_gradient(lambda y_pred: loss(y_true, y_pred))
    y_pred, values = start[None].astype("float32"), []
    for _ in range(60):
        value, gradient = step(y_pred)
        values.append(value)
        y_pred = y_pred - 0.5 * gradient
    assert values[-1] < 0.5 * values[0]
    best = y_pred[0]
    best = best[best[:, 4].argmax(), :4]
    assert intersection_over_union(best[None], y_true[0, :, :4])[0, 0] > 0.7
