import keras
import numpy as np
import pytest

from cnnkit.engine.network_input import fit_picture, linear_output
from cnnkit.images import Picture


def picture(height, width):
    return Picture(np.random.default_rng(0).random((height, width, 3)).astype(np.float32))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((100, 200), (50, 100)),
        ((60, 90), (60, 90)),
        # Never so narrow that poolings leave nothing
        ((10, 40), (32, 40)),
        ((1000, 4), (100, 32)),
    ],
)
def test_networks_of_any_size_see_the_shape_of_the_picture(size, expected):
    found = fit_picture(picture(*size), None, 3, 100)
    assert found.shape == (*expected, 3)
    assert 0.0 <= found.min() <= found.max() <= 1.0


def test_networks_of_one_size_see_the_whole_picture():
    assert fit_picture(picture(50, 40), (12, 16), 3, 100).shape == (12, 16, 3)


def test_grey_networks_see_light():
    pixels = np.zeros((8, 8, 3), np.float32)
    pixels[...] = (1.0, 0.5, 0.25)
    found = fit_picture(Picture(pixels), (8, 8), 1, 100)
    # 0.2126 + 0.5 * 0.7152 + 0.25 * 0.0722
    np.testing.assert_allclose(found, np.full((8, 8, 1), 0.58825), rtol=1e-5)


@pytest.mark.parametrize("kind", ["fused", "layer", "softmax", "operation", "none"])
def test_layers_can_be_asked_before_their_activation(kind):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3))
    fused = {"fused": "relu", "softmax": "softmax"}.get(kind)
    layer = keras.layers.Conv2D(4, 3, activation=fused, name="c")
    output = layer(inputs)
    if kind == "layer":
        output = keras.layers.ReLU()(output)
    elif kind == "operation":
        output = keras.ops.relu(output)
    pixels = np.random.default_rng(1).random((2, 6, 6, 3)).astype(np.float32)
    before = keras.ops.convert_to_numpy(keras.Model(inputs, linear_output(output))(pixels))
    expected = keras.ops.convert_to_numpy(
        keras.ops.conv(pixels, layer.kernel, padding="valid") + layer.bias
    )
    assert expected.min() < 0
    np.testing.assert_allclose(before, expected, atol=1e-6)
