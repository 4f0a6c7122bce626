"""The loss of pixels: by hand, and beside an independent version."""

import keras
import numpy as np
import pytest

from cnnkit.tasks.segment.loss import SegmentationLoss

to_numpy = keras.ops.convert_to_numpy


def by_numpy(y_true, scores, weights=None, dice=0.0):
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    total = norm = 0.0
    classes = scores.shape[-1]
    for place in np.argwhere(y_true != 255):
        label = y_true[tuple(place)]
        weight = 1.0 if weights is None else weights[label]
        total -= weight * np.log(shares[(*place, label)])
        norm += weight
    counts = y_true != 255
    dices = []
    for index in range(classes):
        true = (y_true == index) & counts
        if true.any():
            both = shares[..., index][true].sum()
            whole = shares[..., index][counts].sum() + true.sum()
            dices.append((2 * both + 1) / (whole + 1))
    return total / norm + dice * (1 - np.mean(dices))


@pytest.mark.parametrize("weights", [None, (1.0, 0.5, 3.0, 2.0)])
@pytest.mark.parametrize("dice", [0.0, 0.7])
def test_the_loss_is_that_of_an_independent_version(weights, dice):
    random = np.random.default_rng(0)
    scores = random.normal(0, 2, (2, 5, 6, 4)).astype(np.float32)
    y_true = random.choice([0, 1, 2, 255], (2, 5, 6)).astype(np.uint8)
    loss = SegmentationLoss(weights, dice)
    found = float(loss(keras.ops.array(y_true), keras.ops.array(scores)))
    assert found == pytest.approx(by_numpy(y_true, scores, weights, dice), rel=1e-4)


def test_ignored_pixels_move_nothing():
    y_true = np.array([[[0, 255, 1]]], np.uint8)
    scores = np.random.default_rng(0).normal(size=(1, 1, 3, 2)).astype(np.float32)
    other = scores.copy()
    other[0, 0, 1] = 99.0
    loss = SegmentationLoss(dice=1.0)
    assert float(loss(y_true, scores)) == pytest.approx(float(loss(y_true, other)))


def test_a_batch_of_ignored_pixels_has_no_loss():
    assert float(SegmentationLoss()(np.full((1, 2, 2), 255), np.ones((1, 2, 2, 3), "f"))) == 0.0


def test_the_loss_is_made_again_from_its_settings():
    loss = SegmentationLoss([1, 2], dice=0.5)
    again = SegmentationLoss.from_config(loss.get_config())
    assert again.class_weights == [1.0, 2.0]
    assert (again.dice, again.ignore) == (0.5, 255)
