"""What the first layers of somebody's model say of the pixels that it takes."""

import keras
import numpy as np
import pytest

from cnnkit.models._pixel_range import expected_pixels

L = keras.layers


def model_of(*layers, inside=False):
    inputs = keras.Input((8, 8, 3))
    x = inputs
    if inside:
        x = keras.Sequential([keras.Input((8, 8, 3)), *layers])(x)
    else:
        for layer in layers:
            x = layer(x)
    return keras.Model(inputs, L.GlobalAveragePooling2D()(L.Conv2D(2, 3, name="conv")(x)))


BYTE_MEAN, BYTE_VARIANCE = [124.0, 116.0, 104.0], [3400.0, 3300.0, 3500.0]
UNIT_MEAN, UNIT_VARIANCE = [0.485, 0.456, 0.406], [0.0524, 0.0502, 0.0506]
BYTES = {
    "a 255th": [L.Rescaling(1 / 255)],
    "from -1 to 1": [L.Rescaling(1 / 127.5, offset=-1)],
    "after augmentation": [L.RandomFlip(), L.RandomRotation(0.1), L.Rescaling(1 / 255)],
    "statistics of bytes": [L.Normalization(mean=BYTE_MEAN, variance=BYTE_VARIANCE)],
    "as EfficientNet": [
        L.Rescaling(1 / 255),
        L.Normalization(mean=UNIT_MEAN, variance=UNIT_VARIANCE),
    ],
    "division": [lambda x: x / 255.0],
    "product": [lambda x: x * (1 / 255)],
    "as MobileNet": [lambda x: x / 127.5, lambda x: x - 1.0],
    "as Caffe": [lambda x: x[..., ::-1], lambda x: x - np.array([103.9, 116.8, 123.7], "float32")],
}
UNITS = {
    "statistics of units": [L.Normalization(mean=UNIT_MEAN, variance=UNIT_VARIANCE)],
    "to -1 and 1": [L.Rescaling(2.0, offset=-1)],
    "to bytes and back": [L.Rescaling(255.0), L.Rescaling(1 / 255)],
    "to bytes less their mean": [lambda x: x * 255.0, lambda x: x - 117.0],
    "four times": [L.Rescaling(4.0, offset=[-1.8, -1.8, -1.6])],
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", BYTES)
def test_a_model_that_brings_bytes_to_small_numbers_takes_bytes(name, inside):
    if inside and not all(isinstance(one, L.Layer) for one in BYTES[name]):
        pytest.skip("no layers")
    assert expected_pixels(model_of(*(_again(one) for one in BYTES[name]), inside=inside)) == "byte"


@pytest.mark.parametrize("name", UNITS)
def test_a_model_that_makes_more_of_small_numbers_takes_those(name):
    layers = list(map(_again, UNITS[name]))
    if name != "to bytes and back":
        assert expected_pixels(model_of(*layers)) == "unit"
    else:
        assert expected_pixels(model_of(*layers)) is None


def _again(layer):
    """The layer anew: one belongs to one model."""
    return layer.from_config(layer.get_config()) if isinstance(layer, L.Layer) else layer


def test_signed_pixels_are_told_by_their_middle():
    assert expected_pixels(model_of(L.Rescaling(0.5, offset=0.5))) == "signed"


def test_without_rescaling_nothing_is_known():
    assert expected_pixels(model_of()) is None
    assert expected_pixels(model_of(L.RandomFlip(), L.BatchNormalization())) is None
    # Behind a convolution, numbers are no pixels any more.
    assert expected_pixels(model_of(L.Conv2D(3, 1), L.Rescaling(1 / 255))) is None


def test_a_first_batch_normalization_has_the_statistics_of_the_pixels():
    model = model_of(L.BatchNormalization(name="bn"))
    layer = model.get_layer("bn")
    layer.moving_mean.assign(BYTE_MEAN)
    layer.moving_variance.assign(BYTE_VARIANCE)
    assert expected_pixels(model) == "byte"
    layer.moving_mean.assign(UNIT_MEAN)
    layer.moving_variance.assign(UNIT_VARIANCE)
    assert expected_pixels(model) == "unit"
