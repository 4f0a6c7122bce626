import keras
import numpy as np
import pytest

from cnnkit.models._local_response import LocalResponseNormalization
from cnnkit.models.alexnet import build_alexnet
from tests.models._gradients import assert_gradients_reach_every_weight

# Weights of conv1..conv5 and of the dense layers at 227 pixels, where 6 x 6 x 256 are left.
DENSE = (6 * 6 * 256 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
ONE_TOWER = {
    "conv1": (11 * 11 * 3 + 1) * 96,
    "conv2": (5 * 5 * 96 + 1) * 256,
    "conv3": (3 * 3 * 256 + 1) * 384,
    "conv4": (3 * 3 * 384 + 1) * 384,
    "conv5": (3 * 3 * 384 + 1) * 256,
}
# Each filter of conv2, conv4 and conv5 sees half of the maps.
TWO_TOWERS = ONE_TOWER | {
    "conv2": (5 * 5 * 48 + 1) * 256,
    "conv4": (3 * 3 * 192 + 1) * 384,
    "conv5": (3 * 3 * 192 + 1) * 256,
}


@pytest.mark.parametrize(
    ("towers", "convolutions", "total"),
    [(1, ONE_TOWER, 62_378_344), (2, TWO_TOWERS, 60_965_224)],
)
def test_weights_of_each_convolution_by_hand(towers, convolutions, total):
    model = build_alexnet(classes=2, hidden=8, towers=towers)
    found = {name: model.get_layer(name).count_params() for name in convolutions}
    assert found == convolutions
    assert sum(convolutions.values()) + DENSE == total
    # 9216 numbers go into the first dense layer, as `DENSE` has it.
    assert model.get_layer("flatten").output.shape == (None, 6 * 6 * 256)


@pytest.mark.slow
@pytest.mark.parametrize(("towers", "total"), [(1, 62_378_344), (2, 60_965_224)])
def test_the_whole_network_has_the_published_number_of_weights(towers, total):
    assert build_alexnet(towers=towers).count_params() == total


def test_shapes_are_the_papers():
    model = build_alexnet(classes=2, hidden=8)
    names = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    assert [model.get_layer(name).output.shape[1:] for name in names] == [
        (55, 55, 96), (27, 27, 96), (27, 27, 256), (13, 13, 256),
        (13, 13, 384), (13, 13, 384), (13, 13, 256), (6, 6, 256),
    ]  # fmt: skip


@pytest.mark.parametrize("towers", [1, 2])
def test_it_gives_probabilities_and_learns_everywhere(towers):
    model = build_alexnet((67, 75, 3), classes=3, hidden=32, towers=towers)
    probabilities = np.asarray(model(np.ones((2, 67, 75, 3), "float32")))
    np.testing.assert_allclose(probabilities.sum(axis=1), [1.0, 1.0], rtol=1e-5)
    assert_gradients_reach_every_weight(model, batch=8)


def test_the_towers_do_not_see_each_other():
    model = build_alexnet((67, 67, 3), classes=3, hidden=8)
    layer = model.get_layer("conv2")
    maps = np.random.default_rng(0).random((1, 7, 7, 96)).astype("float32")
    changed = maps.copy()
    changed[..., :48] = 0.0
    difference = np.asarray(layer(maps)) - np.asarray(layer(changed))
    assert np.any(difference[..., :128])
    assert not np.any(difference[..., 128:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (66, 227, 3)}, r"at least 67. Received: \(66, 227, 3\)"),
        ({"towers": 3}, r"towers must be one of 1, 2. Received: 3"),
        ({"classes": 0}, r"classes must be a number from 1. Received: 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_alexnet(**arguments)


# Local response normalisation -----------------------------------------------------------------


def test_local_response_normalisation_against_a_loop():
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 9)).astype("float32")
    layer = LocalResponseNormalization(size=5, k=2.0, alpha=0.3, beta=0.75)
    expected = np.empty_like(maps)
    for channel in range(9):
        near = maps[..., max(0, channel - 2) : channel + 3]
        expected[..., channel] = maps[..., channel] / (2.0 + 0.3 * (near**2).sum(axis=-1)) ** 0.75
    np.testing.assert_allclose(np.asarray(layer(maps)), expected, rtol=1e-5)


def test_a_saved_network_comes_back_with_its_normalisation(tmp_path):
    inputs = keras.Input((2, 2, 4))
    layer = LocalResponseNormalization(3, k=1.5, alpha=0.2, beta=0.5)
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "norm.keras")
    again = keras.models.load_model(tmp_path / "norm.keras")
    maps = np.random.default_rng(0).random((1, 2, 2, 4)).astype("float32")
    np.testing.assert_array_equal(np.asarray(model(maps)), np.asarray(again(maps)))


@pytest.mark.parametrize("size", [0, 4])
def test_a_window_without_a_middle_is_refused(size):
    with pytest.raises(ValueError, match=f"odd and at least 1. Received: {size}"):
        LocalResponseNormalization(size)
