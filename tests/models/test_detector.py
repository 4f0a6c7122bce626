import keras
import numpy as np
import pytest

from cnnkit.models.detector import (
    BoxesAtPoints,
    build_detector,
    grid_points,
    with_scores,
    without_scores,
)


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    maps = {stride: keras.layers.Conv2D(4, stride, stride)(inputs) for stride in (8, 16)}
    return build_detector(inputs, maps, 3, width=8, depths=(1, 1))


def test_boxes_lie_around_the_points_of_their_places():
    layer = BoxesAtPoints(8)
    raw = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    found = np.array(layer(raw))
    sides = np.log1p(np.exp(raw)) * 8
    for row in range(3):
        for column in range(5):
            x, y = 8 * column + 4, 8 * row + 4
            left, top, right, bottom = sides[:, row, column].T
            expected = np.stack([x - left, y - top, x + right, y + bottom], axis=-1)
            np.testing.assert_allclose(found[:, row * 5 + column], expected, rtol=1e-4)


def test_predictions_are_in_the_order_of_the_points(detector):
    pixels = np.zeros((1, 64, 96, 3), "float32")
    boxes = np.array(detector(pixels))[0, :, :4]
    points = grid_points(64, 96)
    assert len(boxes) == len(points) == 8 * 12 + 4 * 6 + 2 * 3
    inside = (boxes[:, :2] < points[:, :2]) & (boxes[:, 2:] > points[:, :2])
    assert inside.all()
    # Before training: 1.46 strides to each side, and a probability of 0.01.
    sides = (boxes[:, 2:] - boxes[:, :2]) / points[:, 2:]
    np.testing.assert_allclose(sides, 2 * np.log1p(np.exp(1.2)), rtol=0.1)


def test_scores_are_probabilities_and_can_be_taken_off_again(detector):
    pixels = np.random.default_rng(0).random((1, 32, 32, 3)).astype("float32")
    plain, scored = np.array(detector(pixels)), np.array(with_scores(detector)(pixels))
    np.testing.assert_allclose(scored[..., :4], plain[..., :4])
    np.testing.assert_allclose(scored[..., 4:], 1 / (1 + np.exp(-plain[..., 4:])), rtol=1e-5)
    back = without_scores(with_scores(detector))
    np.testing.assert_allclose(np.array(back(pixels)), plain)


def test_a_detector_comes_back_from_its_file(detector, tmp_path):
    model = with_scores(detector)
    model.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(tmp_path / "detector.keras", compile=False)
    pixels = np.random.default_rng(1).random((1, 32, 64, 3)).astype("float32")
    np.testing.assert_allclose(np.array(loaded(pixels)), np.array(model(pixels)), atol=1e-5)


def test_maps_of_other_strides_are_refused():
    inputs = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="strides 8 and 16"):
        build_detector(inputs, {8: inputs}, 2)
