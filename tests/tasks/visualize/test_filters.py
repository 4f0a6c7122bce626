import keras
import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.models.vgg import build_vgg, caffe_preprocessing, unit_preprocessing
from cnnkit.tasks.visualize.filters import visualize_filters
from cnnkit.tasks.visualize.network import view_model
from cnnkit.tasks.visualize.settings import FilterSettings

layers = keras.layers


def kernel_for(kernels):
    """(filters, H, W, C) as Keras has it, with biases."""
    return [np.moveaxis(kernels, 0, -1), np.full(len(kernels), 0.3, np.float32)]


@pytest.fixture
def kernels():
    return np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)


def test_kernels_of_the_picture_itself_are_shown_as_they_are(kernels):
    inputs = keras.Input((None, None, 3))
    conv = layers.Conv2D(4, 3, name="conv")
    network = view_model(keras.Model(inputs, conv(inputs)), "own")
    conv.set_weights(kernel_for(kernels))
    found = visualize_filters(model=network)
    np.testing.assert_allclose(found.kernels, kernels, rtol=1e-5)
    assert (found.layer, found.units, found.input_channels) == ("conv", (0, 1, 2, 3), 3)
    assert found.input_channel is None


@pytest.mark.parametrize("padding", ["edge", "same", "reflect"])
def test_a_network_trained_on_bgr_shows_rgb(kernels, padding):
    model = build_vgg(
        (1,), (4,), outputs=["block1_conv1"], preprocessing=caffe_preprocessing, padding=padding
    )
    model.get_layer("block1_conv1").set_weights(kernel_for(kernels))
    network = view_model(keras.Model(model.inputs[0], model.outputs[0]), "vgg")
    found = visualize_filters(model=network)
    # Pixels are multiplied by 255, and red is the last channel of what VGG sees.
    np.testing.assert_allclose(found.kernels, 255 * kernels[..., ::-1], rtol=1e-3, atol=0.05)


def test_a_scaled_network_is_scaled_and_nothing_else(kernels):
    model = build_vgg((1,), (4,), outputs=["block1_conv1"], preprocessing=unit_preprocessing)
    model.get_layer("block1_conv1").set_weights(kernel_for(kernels))
    network = view_model(keras.Model(model.inputs[0], model.outputs[0]), "unit", pixels="signed")
    np.testing.assert_allclose(
        visualize_filters(model=network).kernels, 8 * kernels, rtol=1e-3, atol=1e-3
    )


def test_later_layers_show_one_input_channel():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="a")(inputs)
    network = view_model(keras.Model(inputs, layers.Conv2D(4, 3, name="b")(x)), "own")
    kernels = np.moveaxis(network.model.get_layer("b").get_weights()[0], -1, 0)
    second = visualize_filters(FilterSettings(layer="b", channel=2), model=network)
    np.testing.assert_array_equal(second.kernels, kernels[..., 2:3])
    assert (second.input_channels, second.input_channel) == (5, 2)
    strongest = visualize_filters(FilterSettings(layer="b", units=(3, 1)), model=network)
    for unit, kernel in zip((3, 1), strongest.kernels, strict=True):
        norms = [np.linalg.norm(kernels[unit, ..., channel]) for channel in range(5)]
        np.testing.assert_array_equal(kernel[..., 0], kernels[unit, ..., np.argmax(norms)])
    with pytest.raises(UsageError, match="b has the input channels 0 to 4, not 5"):
        visualize_filters(FilterSettings(layer="b", channel=5), model=network)


def test_a_convolution_of_one_pixel_before_it_is_no_picture():
    """A ReLU in between bends colours: the kernels behind it have none."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 1, activation="relu", name="mix")(inputs)
    network = view_model(keras.Model(inputs, layers.Conv2D(2, 3, name="conv")(x)), "own")
    mix = np.eye(3, dtype=np.float32)[None, None] * 4
    network.model.get_layer("mix").set_weights([mix, np.array([-2.5, -2.5, -2.5], np.float32)])
    assert visualize_filters(FilterSettings(layer="conv"), model=network).kernels.shape == (
        2,
        3,
        3,
        1,
    )
    assert visualize_filters(model=network).kernels.shape == (3, 1, 1, 3)


def test_grey_networks_have_grey_kernels():
    inputs = keras.Input((8, 8, 1))
    network = view_model(keras.Model(inputs, layers.Conv2D(2, 5, name="conv")(inputs)), "own")
    found = visualize_filters(FilterSettings(units=(1,)), model=network)
    assert (found.kernels.shape, found.units) == ((1, 5, 5, 1), (1,))


def test_the_shipped_network_has_sixteen_small_kernels():
    found = visualize_filters()
    assert (found.layer, found.kernels.shape) == ("block1_conv1", (16, 3, 3, 3))


def test_what_has_no_kernels_is_refused():
    inputs = keras.Input((8, 8, 3))
    x = layers.MaxPooling2D(name="pool")(layers.Conv2D(2, 3, name="conv")(inputs))
    network = view_model(keras.Model(inputs, x), "own")
    with pytest.raises(UsageError, match="pool has no kernels; own has convolutions in: conv"):
        visualize_filters(FilterSettings(layer="pool"), model=network)
    with pytest.raises(UsageError, match="conv has the filters 0 to 1, not 2"):
        visualize_filters(FilterSettings(units=(2,)), model=network)
    pooled = view_model(keras.Model(inputs, layers.MaxPooling2D()(inputs)), "own")
    with pytest.raises(UsageError, match="own has no convolution"):
        visualize_filters(model=pooled)
