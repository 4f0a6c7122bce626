"""What is said of a classifier that was trained."""

from pathlib import Path

import pytest

from cnnkit.engine.classifier_training import TrainedClassifier


def trained(count, accuracy):
    return TrainedClassifier(
        model=Path("runs/a/model.keras"),
        classes=("cat", "dog"),
        counts=(20, count, 0),
        epochs=3,
        best=2,
        seconds=5.0,
        weights=(10, 10),
        scores={"val": {"accuracy": accuracy, "mean_class_accuracy": accuracy}},
        temperature=1.0,
        reason="epochs",
    )


def test_of_few_pictures_it_is_said_how_little_their_share_says():
    # Wilson's interval of 6 of 6 is [0.61, 1].
    first, second, _ = trained(6, 1.0).lines()
    assert first == "validation  100.0% right, 100.0% in the mean of the classes"
    words = "of 6 only: 61% to 100% at 95 % confidence"
    assert second == f"{'':10}  {words}"


@pytest.mark.parametrize("accuracy", [0.5, 1.0])
def test_of_many_nothing_more_is_said(accuracy):
    assert len(trained(100, accuracy).lines()) == 2
