"""Pixels counted, and the four numbers of the paper beside an independent version."""

import numpy as np
import pytest

from cnnkit.tasks.segment.metrics import pixel_confusion, segmentation_scores


def counted_one_by_one(y_true, y_pred, classes, ignore=255):
    matrix = np.zeros((classes, classes), int)
    for true, predicted in zip(y_true.ravel(), y_pred.ravel(), strict=True):
        if true != ignore:
            matrix[true, predicted] += 1
    return matrix


def scores_from_masks(y_true, y_pred, classes, ignore=255):
    """From sets of pixels, without a matrix."""
    counts = y_true != ignore
    true, predicted = y_true[counts], y_pred[counts]
    iou, accuracy, weights = [], [], []
    for index in range(classes):
        ours, theirs = predicted == index, true == index
        if (ours | theirs).any():
            iou.append((ours & theirs).sum() / (ours | theirs).sum())
            if theirs.any():
                weights.append((theirs.mean(), iou[-1]))
        if theirs.any():
            accuracy.append(ours[theirs].mean())
    return (
        (true == predicted).mean(),
        np.mean(accuracy),
        np.mean(iou),
        sum(share * value for share, value in weights),
    )


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_an_independent_version(seed):
    random = np.random.default_rng(seed)
    y_true = random.choice([0, 1, 2, 4, 255], (20, 30)).astype(np.uint8)
    y_pred = np.where(random.random((20, 30)) < 0.6, y_true, random.integers(0, 6, (20, 30)))
    y_pred = np.where(y_pred == 255, 3, y_pred)
    matrix = pixel_confusion(y_true, y_pred, 7)
    np.testing.assert_array_equal(matrix, counted_one_by_one(y_true, y_pred, 7))
    scores = segmentation_scores(matrix)
    found = (
        scores.pixel_accuracy,
        scores.mean_accuracy,
        scores.mean_iou,
        scores.frequency_weighted_iou,
    )
    np.testing.assert_allclose(found, scores_from_masks(y_true, y_pred, 7))
    assert np.isnan(scores.iou[6])
    assert scores.pixels == (y_true != 255).sum()


def test_scores_by_hand():
    # Class 0: 3 right of 4, union 3 + 1 + 2; class 1: 4 right of 6, union 4 + 2 + 1.
    scores = segmentation_scores(np.array([[3, 1], [2, 4]]))
    assert scores.pixel_accuracy == pytest.approx(7 / 10)
    assert scores.mean_accuracy == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert scores.mean_iou == pytest.approx((3 / 6 + 4 / 7) / 2)
    assert scores.frequency_weighted_iou == pytest.approx((4 * 3 / 6 + 6 * 4 / 7) / 10)
    assert scores.support.tolist() == [4, 6]


def test_a_class_that_is_only_predicted_counts_as_wrong():
    scores = segmentation_scores(pixel_confusion(np.zeros(4, int), np.array([0, 0, 0, 1]), 3))
    assert scores.iou[:2].tolist() == [0.75, 0.0]
    assert np.isnan(scores.iou[2])
    assert scores.mean_iou == 0.375


def test_pixels_that_do_not_count_may_be_called_anything():
    assert pixel_confusion(np.array([255, 0]), np.array([99, 0]), 2).tolist() == [[1, 0], [0, 0]]


def test_nothing_but_ignored_pixels_has_no_score():
    scores = segmentation_scores(pixel_confusion(np.full(3, 255), np.zeros(3, int), 2))
    assert scores.pixels == 0
    assert np.isnan([scores.pixel_accuracy, scores.mean_iou, scores.mean_accuracy]).all()


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        pixel_confusion(np.zeros(3, int), np.zeros(4, int), 2)
    with pytest.raises(ValueError, match=r"y_true must be in \[0, 2\). Received: 0 to 2"):
        pixel_confusion(np.array([0, 2]), np.zeros(2, int), 2)
    with pytest.raises(ValueError, match=r"y_pred must be in \[0, 2\)"):
        pixel_confusion(np.zeros(2, int), np.array([0, -1]), 2)
