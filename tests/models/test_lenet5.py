import numpy as np
import pytest

from cnnkit.models.lenet5 import build_lenet5
from tests.models._gradients import assert_gradients_reach_every_weight


def test_weights_of_each_layer_by_hand():
    model = build_lenet5()
    found = {layer.name: layer.count_params() for layer in model.layers if layer.count_params()}
    assert found == {
        "C1": (25 * 1 + 1) * 6,  # 156
        "C3": (25 * 6 + 1) * 16,  # 2,416; the paper's sparse C3 has 1,516
        "C5": (5 * 5 * 16 + 1) * 120,  # 48,120
        "F6": (120 + 1) * 84,  # 10,164
        "predictions": (84 + 1) * 10,  # 850
    }
    assert model.count_params() == 61_706


def test_shapes_are_the_papers():
    model = build_lenet5()
    shapes = [model.get_layer(name).output.shape[1:] for name in ("C1", "S2", "C3", "S4", "F6")]
    assert shapes == [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (84,)]


def test_it_gives_probabilities_and_learns_everywhere():
    model = build_lenet5((28, 24, 3), classes=7)
    probabilities = np.asarray(model(np.ones((2, 28, 24, 3), "float32")))
    assert probabilities.shape == (2, 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    assert_gradients_reach_every_weight(model)


@pytest.mark.parametrize("shape", [(15, 32, 1), (32, 32), (32, 32, 0), (32, None, 1)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(height, width, channels\) .* at least 16. Received"):
        build_lenet5(shape)


@pytest.mark.parametrize("classes", [0, 2.5, None])
def test_wrong_numbers_of_classes_are_refused(classes):
    with pytest.raises(ValueError, match=r"classes must be a number from 1. Received"):
        build_lenet5(classes=classes)


def test_the_smallest_picture_passes():
    assert build_lenet5((16, 16, 1)).get_layer("S4").output.shape == (None, 1, 1, 16)
