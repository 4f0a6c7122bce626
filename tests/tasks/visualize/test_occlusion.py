import keras
import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.tasks.visualize.class_maps import Classifier, class_target
from cnnkit.tasks.visualize.network import view_model
from cnnkit.tasks.visualize.occlusion import occlusion_map, visualize_occlusion
from cnnkit.tasks.visualize.settings import OcclusionSettings

layers = keras.layers


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((20, 26, 3))
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(inputs)
    x = layers.Dense(3, activation="softmax")(layers.Flatten()(x))
    return Classifier(view_model(keras.Model(inputs, x), "own"))


def picture(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)


def test_each_square_is_a_prediction_of_its_own(classifier):
    model = classifier.network.model
    image = picture(20, 26)[None]
    found, (rows, columns) = occlusion_map(model, image, class_target(1), window=6, stride=5)
    # 20 - 6 = 14 and 26 - 6 = 20: the last row of squares ends at the edge.
    tops, lefts = [0, 5, 10, 14], [0, 5, 10, 15, 20]
    assert rows.tolist() == [top + 2.5 for top in tops]
    assert columns.tolist() == [left + 2.5 for left in lefts]
    whole = model.predict(image, verbose=0)[0, 1]
    expected = np.zeros((4, 5))
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            covered = image.copy()
            covered[0, top : top + 6, left : left + 6] = 0.5
            expected[row, column] = whole - model.predict(covered, verbose=0)[0, 1]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(expected) > 1e-3


def test_the_score_of_a_segmenter_can_be_mapped_too():
    inputs = keras.Input((None, None, 1))
    network = keras.Model(inputs, layers.AveragePooling2D(1)(inputs))

    def brightness(outputs):
        return keras.ops.mean(outputs[..., 0], axis=(1, 2))

    image = np.ones((1, 8, 8, 1), np.float32)
    found, _ = occlusion_map(network, image, brightness, window=4, stride=4)
    # 16 of 64 pixels lose half of their light.
    np.testing.assert_allclose(found, np.full((2, 2), 16 * 0.5 / 64), rtol=1e-6)


def test_the_map_lies_over_the_picture():
    inputs = keras.Input((32, 32, 3))
    dense = layers.Dense(2, name="d")
    model = keras.Model(inputs, dense(layers.Flatten()(inputs)))
    weights = np.zeros((32, 32, 3, 2), np.float32)
    # The class looks at one place only.
    weights[8:12, 20:24, :, 1] = 1.0
    dense.set_weights([weights.reshape(-1, 2), np.zeros(2)])
    pixels = np.ones((64, 96, 3), np.float32)
    settings = OcclusionSettings(window=4, stride=4, class_name="1")
    classifier = Classifier(view_model(model, "own"))
    found = visualize_occlusion(Picture(pixels), settings, model=classifier)
    # Covering all of it loses half of 4 * 4 * 3.
    assert found.heat.max() == pytest.approx(24.0, rel=0.15)
    x, y = found.peak_xy
    # 10 of 32 rows is 20 of 64, 22 of 32 columns is 66 of 96.
    assert abs(y - 20) <= 2
    assert abs(x - 66) <= 3
    assert (found.label, found.layer, found.best[0][0]) == ("class 1", None, 1)


def test_squares_are_counted_and_have_a_size_by_default(classifier):
    counts = []
    found = visualize_occlusion(
        Picture(picture(40, 40)),
        model=classifier,
        on_squares=lambda done, total: counts.append((done, total)),
    )
    # A sixth of 20 is 3, half of that 1: 18 x 24 squares in batches of 16.
    assert found.coarse.shape == (18, 24)
    assert counts[0] == (16, 432)
    assert counts[-1] == (432, 432)


def test_a_square_that_does_not_fit_is_refused(classifier):
    with pytest.raises(UsageError, match="--window must be 1 to 20: own sees 26x20"):
        visualize_occlusion(
            Picture(picture(40, 40)), OcclusionSettings(window=21), model=classifier
        )
    with pytest.raises(UsageError, match="window must be a whole number from 1, not 0"):
        OcclusionSettings(window=0)
