import math

import numpy as np
import pytest

from cnnkit.metrics.classification import (
    accuracy,
    best_temperature,
    calibration,
    confusion_matrix,
    log_loss,
    mean_class_accuracy,
    per_class,
    top_k_accuracy,
    worst_mistakes,
)


def made(seed, count=200, classes=7):
    """Random probabilities that know a little, and labels; one class never occurs."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes - 1, count)
    scores = rng.normal(size=(count, classes))
    scores[np.arange(count), labels] += 1.0
    weights = np.exp(scores)
    return weights / weights.sum(axis=1, keepdims=True), labels


def test_accuracy_counts_what_is_right():
    assert accuracy(np.array([3, 1, 2]), np.array([3, 2, 2])) == 2 / 3


@pytest.mark.parametrize("k", [1, 2, 5, 7, 9])
def test_top_k_equals_sorting(k):
    probabilities, labels = made(0)
    # Steps of a tenth: many ties.
    rounded = np.round(probabilities, 1)
    best = np.argsort(-rounded, axis=1, kind="stable")[:, :k]
    expected = np.mean([label in row for label, row in zip(labels, best, strict=True)])
    assert top_k_accuracy(rounded, labels, k) == expected
    if k == 1:
        assert top_k_accuracy(rounded, labels, 1) == accuracy(labels, rounded.argmax(1))


def test_confusion_equals_counting():
    probabilities, labels = made(1)
    predicted = probabilities.argmax(1)
    matrix = confusion_matrix(labels, predicted, 7)
    for true in range(7):
        for called in range(7):
            assert matrix[true, called] == np.sum((labels == true) & (predicted == called))


def test_scores_of_classes_by_hand():
    # Class 0: 2 right of 3, called 4 times. Class 1: 1 of 3, called twice. Class 2 has no picture
    # and was called once. Class 3 neither.
    matrix = np.array([[2, 1, 0, 0], [2, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    matrix[0, 2] = 1
    scores = per_class(matrix)
    np.testing.assert_allclose(scores.recall, [2 / 4, 1 / 3, np.nan, np.nan])
    np.testing.assert_allclose(scores.precision, [2 / 4, 1 / 2, 0, np.nan])
    # 2 * right / (called + support): 4 / 8, 2 / 5, 0 / 1, 0 / 0.
    np.testing.assert_allclose(scores.f1, [0.5, 0.4, 0, np.nan])
    assert scores.support.tolist() == [4, 3, 0, 0]
    # The mean of the classes that have pictures.
    assert mean_class_accuracy(matrix) == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_f1_is_the_harmonic_mean():
    probabilities, labels = made(2)
    scores = per_class(confusion_matrix(labels, probabilities.argmax(1), 7))
    precision, recall = scores.precision[:6], scores.recall[:6]
    np.testing.assert_allclose(scores.f1[:6], 2 * precision * recall / (precision + recall))


def test_log_loss_by_hand_and_bounded():
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5]])
    assert log_loss(probabilities, np.array([0, 1])) == pytest.approx(
        -(math.log(0.25) + math.log(0.5)) / 2
    )
    uniform = np.full((3, 102), 1 / 102)
    assert log_loss(uniform, np.array([0, 7, 101])) == pytest.approx(math.log(102))
    # A sure mistake: -log(2**-24) = 24 log 2.
    assert log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(24 * math.log(2))


def test_calibration_by_hand():
    # Five bins of 0.2. 0.55 and 0.5 fall into (0.4, 0.6], one of them right: |1/2 - 0.525|.
    # 0.6 belongs to the same bin, closed above: three, two right: |2/3 - 0.55|.
    # 1.0 belongs to the last bin: right, no gap.
    best = np.array([0.55, 0.5, 0.6, 1.0], np.float32)
    probabilities = np.stack([best, 1 - best], axis=1)
    found = calibration(probabilities, np.array([0, 1, 0, 0]), bins=5)
    assert found.counts.tolist() == [0, 0, 3, 0, 1]
    np.testing.assert_allclose(found.confidences, [np.nan, np.nan, 0.55, np.nan, 1], rtol=1e-6)
    np.testing.assert_allclose(found.accuracies, [np.nan, np.nan, 2 / 3, np.nan, 1])
    assert found.error == pytest.approx(3 / 4 * (2 / 3 - 0.55))
    np.testing.assert_allclose(found.edges, [0, 0.2, 0.4, 0.6, 0.8, 1])


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_equals_looping(bins):
    probabilities, labels = made(3, count=500)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    expected = 0.0
    for low, high in zip(
        np.linspace(0, 1, bins + 1)[:-1], np.linspace(0, 1, bins + 1)[1:], strict=True
    ):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration(probabilities, labels, bins).error == pytest.approx(expected)


def test_labels_drawn_from_the_probabilities_are_calibrated():
    rng = np.random.default_rng(4)
    probabilities = rng.dirichlet(np.full(4, 0.7), 40_000)
    draws = rng.random((40_000, 1))
    labels = (probabilities.cumsum(axis=1) < draws).sum(axis=1)
    assert calibration(probabilities, labels).error < 0.01
    # Twice as sure as it may be.
    sharper = probabilities**3
    sharper /= sharper.sum(axis=1, keepdims=True)
    assert calibration(sharper, labels).error > 0.1


def test_the_surest_mistakes_come_first():
    probabilities, labels = made(5)
    found = worst_mistakes(probabilities, labels, 10)
    predicted = probabilities.argmax(1)
    assert len(found) == 10
    assert (predicted[found] != labels[found]).all()
    surest = probabilities.max(1)[found]
    assert (np.diff(surest) <= 0).all()
    wrong = predicted != labels
    assert surest[0] == probabilities.max(1)[wrong].max()
    everything = worst_mistakes(probabilities, labels, 1000)
    assert len(everything) == wrong.sum()


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="as many predictions as labels"):
        accuracy(np.array([0, 1]), np.array([0]))
    with pytest.raises(ValueError, match="N > 0"):
        accuracy(np.array([], int), np.array([], int))
    with pytest.raises(ValueError, match=r"expected indices of classes. Received: float64"):
        accuracy(np.array([0.0]), np.array([0]))
    with pytest.raises(ValueError, match=r"indices of 2 classes. Received: from 0 to 2"):
        confusion_matrix(np.array([0, 2]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="of sum 1"):
        log_loss(np.array([[3.0, -1.0]]), np.array([0]))
    with pytest.raises(ValueError, match="finite probabilities"):
        calibration(np.array([[np.nan, 1.0]]), np.array([0]))
    with pytest.raises(ValueError, match=r"\(C, C\)"):
        per_class(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="of zeros"):
        mean_class_accuracy(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="k of at least 1"):
        top_k_accuracy(np.array([[1.0, 0.0]]), np.array([0]), 0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_temperature_that_was_put_in_is_found(temperature):
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 5))
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(5, p=row) for row in right])
    shown = np.exp(logits * temperature)
    shown /= shown.sum(axis=1, keepdims=True)
    assert best_temperature(shown, labels) == pytest.approx(temperature, rel=0.1)
