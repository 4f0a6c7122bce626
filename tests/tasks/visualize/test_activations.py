import keras
import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.tasks.visualize.activations import visualize_activations
from cnnkit.tasks.visualize.network import view_model
from cnnkit.tasks.visualize.settings import ActivationSettings

layers = keras.layers


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(7, 3, padding="same", activation="relu", name="conv")(inputs)
    x = layers.Dense(5, name="dense")(layers.GlobalAveragePooling2D(name="gap")(x))
    return view_model(keras.Model(inputs, x), "own")


@pytest.fixture(scope="module")
def picture():
    return Picture(np.random.default_rng(0).random((40, 56, 3)).astype(np.float32))


def test_the_strongest_come_first_and_the_numbers_are_those_of_numpy(network, picture):
    found = visualize_activations(picture, "conv", ActivationSettings(maps=4), model=network)
    conv = network.model.get_layer("conv")
    values = np.maximum(
        keras.ops.convert_to_numpy(
            keras.ops.conv(picture.pixels[None], conv.kernel, padding="same") + conv.bias
        )[0],
        0,
    )
    means = values.reshape(-1, 7).mean(0)
    assert list(found.channels) == sorted(range(7), key=lambda channel: -means[channel])[:4]
    np.testing.assert_allclose(found.means, means, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.peaks, values.max((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(found.shares, (values > 0).mean((0, 1)), atol=1e-3)
    np.testing.assert_allclose(found.maps, values[..., list(found.channels)], atol=1e-6)
    assert (found.is_map, found.input_size, found.model) == (True, (40, 56), "own")


def test_channels_come_in_the_order_asked_for(network, picture):
    found = visualize_activations(
        picture, "conv", ActivationSettings(channels=(5, 0)), model=network
    )
    everything = visualize_activations(
        picture, "conv", ActivationSettings(channels=tuple(range(7))), model=network
    )
    assert found.channels == (5, 0)
    np.testing.assert_array_equal(found.maps, everything.maps[..., [5, 0]])
    with pytest.raises(UsageError, match="conv has the channels 0 to 6, not 7"):
        visualize_activations(picture, "conv", ActivationSettings(channels=(0, 7)), model=network)


def test_layers_without_places_are_vectors(network, picture):
    found = visualize_activations(picture, "dense", model=network)
    expected = keras.ops.convert_to_numpy(network.model(picture.pixels[None]))[0]
    assert not found.is_map
    assert list(found.channels) == list(np.argsort(-expected))
    np.testing.assert_allclose(found.maps[0, 0], np.sort(expected)[::-1], rtol=1e-5)


def test_large_pictures_are_seen_smaller(network):
    large = Picture(np.zeros((300, 600, 3), np.float32))
    assert visualize_activations(large, "conv", model=network).input_size == (256, 512)
    assert visualize_activations(
        large, "conv", ActivationSettings(size=100), model=network
    ).maps.shape == (50, 100, 7)


def test_the_shipped_network_has_short_names_for_its_layers(picture):
    found = visualize_activations(picture, "layer2", ActivationSettings(maps=2))
    assert (found.layer, found.maps.shape, len(found.means)) == ("block2_conv2", (20, 28, 2), 32)


def test_outputs_that_are_neither_maps_nor_vectors_are_refused(picture):
    inputs = keras.Input((8, 8, 3))
    rows = layers.Reshape((8, 24), name="rows")(inputs)
    network = view_model(keras.Model(inputs, layers.Flatten()(rows)), "own")
    with pytest.raises(UsageError, match=r"rows has outputs of shape \(8, 24\), no maps"):
        visualize_activations(picture, "rows", model=network)
