"""Decoders: the backbone run backwards."""

import keras
import numpy as np
import pytest

from cnnkit.errors import WeightsError
from cnnkit.models._decoder_levels import entrance
from cnnkit.models.decoder import build_decoder, load_decoder
from cnnkit.weights.convolutions import convolution_weights, encode_convolutions

WIDTHS, CONVOLUTIONS = (2, 3, 4), (2, 2, 4)


def names(model):
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def test_a_decoder_mirrors_the_backbone_from_its_entrance_down():
    model = build_decoder(3, WIDTHS, CONVOLUTIONS)
    assert entrance(3) == "block3_conv1"
    assert names(model) == [
        *("block3_conv1", "block2_conv2", "block2_conv1", "block1_conv2", "extra1"),
        "block1_conv1",
    ]
    # 4 -> 3, 3 -> 3, 3 -> 2, 2 -> 2, 2 -> 2, 2 -> 3 channels: 9 in out + out weights each.
    assert model.count_params() == 9 * (12 + 9 + 6 + 4 + 4 + 6) + (3 + 3 + 2 + 2 + 2 + 3)
    assert model(np.zeros((2, 3, 5, 4), np.float32)).shape == (2, 12, 20, 3)


def test_the_first_level_has_no_upsampling():
    model = build_decoder(1, WIDTHS, CONVOLUTIONS)
    assert names(model) == ["extra1", "block1_conv1"]
    assert model(np.zeros((1, 4, 6, 2), np.float32)).shape == (1, 4, 6, 3)


def test_a_constant_map_gives_a_constant_picture():
    # Reflection repeats values, so that no border is darker or lighter.
    keras.utils.set_random_seed(0)
    model = build_decoder(3, WIDTHS, CONVOLUTIONS)
    picture = keras.ops.convert_to_numpy(model(np.ones((1, 4, 4, 4), np.float32)))
    assert np.abs(picture - picture[0, 0, 0]).max() < 1e-5


@pytest.mark.parametrize("level", [0, 4])
def test_a_level_that_the_backbone_lacks_is_refused(level):
    with pytest.raises(ValueError, match=rf"level must be 1 to 3\. Received: {level}"):
        build_decoder(level, WIDTHS, CONVOLUTIONS)


def test_weights_come_back_from_a_file_of_several_levels(tmp_path):
    keras.utils.set_random_seed(1)
    weights, models = {}, {}
    for level in (1, 3):
        models[level] = build_decoder(level, WIDTHS, CONVOLUTIONS)
        plain = convolution_weights(models[level])
        weights.update({f"decoder{level}/{layer}": pair for layer, pair in plain.items()})
    file = tmp_path / "decoder.npz"
    file.write_bytes(encode_convolutions(weights))
    maps = np.random.default_rng(0).random((1, 4, 4, 4)).astype(np.float32)
    found = keras.ops.convert_to_numpy(load_decoder(3, file)(maps))
    expected = keras.ops.convert_to_numpy(models[3](maps))
    # float16 on disk has 11 bits.
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.01)
    with pytest.raises(WeightsError, match="has no decoder of level 2"):
        load_decoder(2, file)
