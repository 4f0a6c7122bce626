"""Fully convolutional networks: sizes, places, starts, and dense layers as convolutions."""

import keras
import numpy as np
import pytest

from cnnkit.models.fcn import (
    COMPACT_LAYERS,
    CropToPicture,
    EnlargeBilinearly,
    PadToStride,
    bilinear_kernel,
    build_fcn_compact,
    build_fcn_stages,
    build_fcn_vgg,
    set_feature_statistics,
    start_from,
    take_dense_weights,
)
from cnnkit.models.unrolled import unroll_model
from cnnkit.models.vgg import (
    VGG16_CONVOLUTIONS,
    VGG_WIDTHS,
    build_feature_network,
    build_vgg,
    build_vgg_classifier,
)

to_numpy = keras.ops.convert_to_numpy
ONE_EACH, WIDTHS, HIDDEN = (1,) * 5, (2, 2, 3, 3, 4), 5


def tiny(variant="8s", classes=3, seed=0, hidden=HIDDEN, convolutions=ONE_EACH, widths=WIDTHS):
    keras.utils.set_random_seed(seed)
    deepest = f"block5_conv{convolutions[-1]}"
    body = build_vgg(convolutions, widths, outputs=[deepest], padding="same")
    inputs, found = keras.Input((None, None, 3)), {}
    unroll_model(body, [PadToStride()(inputs)], found)
    pooled = keras.layers.MaxPooling2D(2)(found[deepest])
    maps = {32: pooled, 16: found["block4_pool"], 8: found["block3_pool"]}
    return build_fcn_vgg(inputs, maps, variant, classes, hidden=hidden)


def compact(variant="8s", **sizes):
    network = build_feature_network("compact", [COMPACT_LAYERS[16]]).model
    inputs, found = keras.Input((None, None, 3)), {}
    unroll_model(network, [PadToStride()(inputs)], found)
    maps = {stride: found[layer] for stride, layer in COMPACT_LAYERS.items()}
    return build_fcn_compact(inputs, maps, variant, 4, **sizes)


def on_stages(variant="8s", seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((None, None, 3))
    x = PadToStride()(inputs)
    maps = {stride: keras.layers.AveragePooling2D(stride)(x) for stride in (8, 16, 32)}
    return build_fcn_stages(inputs, maps, variant, 4, width=8, skip_width=6)


def with_random_skips(model, seed=0):
    """Scores of the skips start at zero, where nothing could be seen of them."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.name.startswith("score_"):
            layer.set_weights([random.normal(0, 1, w.shape) for w in layer.get_weights()])
    return model


def test_the_bilinear_kernel_is_the_formula_of_the_paper():
    kernel = bilinear_kernel(4, 2)
    f, c = 4, 3.5
    for y in range(8):
        for x in range(8):
            expected = (1 - abs(y - c) / f) * (1 - abs(x - c) / f)
            assert kernel[y, x, 0, 0] == pytest.approx(expected)
            assert kernel[y, x, 1, 1] == pytest.approx(expected)
    assert not kernel[:, :, 0, 1].any()


def test_an_odd_factor_is_refused():
    with pytest.raises(ValueError, match=r"even, or 1\. Received: 3"):
        bilinear_kernel(3, 1)
    with pytest.raises(ValueError, match=r"even\. Received: 3"):
        EnlargeBilinearly(3)


@pytest.mark.parametrize("factor", [2, 8])
def test_enlarging_is_a_transposed_convolution_with_the_bilinear_kernel(factor):
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    layer = keras.layers.Conv2DTranspose(
        3, 2 * factor, strides=factor, padding="same", use_bias=False
    )
    layer.build(padded.shape)
    layer.set_weights([bilinear_kernel(factor, 3)])
    expected = to_numpy(layer(padded))[:, factor:-factor, factor:-factor]
    found = to_numpy(EnlargeBilinearly(factor)(x))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 31, 32, 33, 70])
def test_what_was_padded_is_cropped_again(size):
    x = np.random.default_rng(size).random((1, size, 40, 2)).astype(np.float32)
    padded = PadToStride(32)(x)
    assert padded.shape[1] % 32 == 0
    np.testing.assert_array_equal(to_numpy(CropToPicture(32)([padded, x])), x)


def test_padding_mirrors_the_picture():
    x = np.arange(6.0, dtype=np.float32).reshape(1, 1, 6, 1)
    padded = to_numpy(PadToStride(8)(x))[0, 0, :, 0]
    assert padded.tolist() == [0, 0, 1, 2, 3, 4, 5, 5]


@pytest.mark.parametrize("variant", ["32s", "16s", "8s"])
def test_any_size_comes_back_at_exactly_that_size(variant):
    model = tiny(variant)
    for height, width in ((32, 64), (37, 50), (5, 100), (1, 1)):
        scores = model(np.zeros((1, height, width, 3), np.float32))
        assert tuple(scores.shape) == (1, height, width, 3)


@pytest.mark.parametrize("variant", ["32s", "16s", "8s"])
def test_labels_move_with_the_picture(variant):
    model = with_random_skips(tiny(variant))
    wide = np.random.default_rng(0).random((1, 64, 1024 + 32, 3)).astype(np.float32)
    scores = to_numpy(model(wide[:, :, :1024]))
    moved = to_numpy(model(wide[:, :, 32:]))
    # What a place sees ends some 300 pixels from it; nearer to the border it sees that.
    inner = slice(350, 1024 - 350)
    np.testing.assert_allclose(
        moved[:, :, inner], scores[:, :, inner.start + 32 : inner.stop + 32], atol=1e-4
    )


def test_a_mirrored_picture_gets_mirrored_labels():
    model = with_random_skips(tiny("8s"))
    for layer in model.layers:
        if layer.weights and len(layer.weights[0].shape) == 4:
            kernel, *rest = layer.get_weights()
            layer.set_weights([(kernel + kernel[:, ::-1]) / 2, *rest])
    # 70 pixels are padded by 13 on each side.
    x = np.random.default_rng(0).random((1, 64, 70, 3)).astype(np.float32)
    scores = to_numpy(model(x))
    mirrored = to_numpy(model(np.ascontiguousarray(x[:, :, ::-1])))
    np.testing.assert_allclose(mirrored[:, :, ::-1], scores, atol=1e-4)


def test_each_variant_starts_with_what_the_one_before_it_gives():
    x = np.random.default_rng(0).random((1, 96, 96, 3)).astype(np.float32)
    before = tiny("32s")
    for variant in ("16s", "8s"):
        model = tiny(variant, seed=9)
        assert f"score_{variant[:-1]}" in start_from(model, before)
        # Twice bilinear is not the same as once: near, but for the bends between.
        difference = np.abs(to_numpy(model(x)) - to_numpy(before(x))).max()
        spread = np.ptp(to_numpy(before(x)))
        assert difference < 0.3 * spread
        before = model


def test_skips_start_at_zero_and_learn():
    model = tiny("8s")
    assert not any(w.any() for w in model.get_layer("score_8").get_weights())
    x = np.random.default_rng(0).random((1, 64, 64, 3)).astype(np.float32)
    before = to_numpy(model(x))
    with_random_skips(model)
    assert np.abs(to_numpy(model(x)) - before).max() > 0.01


def test_dense_layers_become_convolutions_exactly():
    keras.utils.set_random_seed(0)
    classifier = build_vgg_classifier(ONE_EACH, WIDTHS, classes=4, hidden=HIDDEN)
    model = tiny("32s", 4, seed=1)
    take_dense_weights(model, classifier)
    x = np.random.default_rng(1).random((1, 224, 224, 3)).astype(np.float32)
    dense = keras.Model(classifier.inputs[0], classifier.get_layer("fc2").output)
    maps = keras.Model(model.inputs[0], model.get_layer("fc7").output)
    # 224 pixels are 7 places: the one in the middle sees all of them.
    found = to_numpy(maps(x))
    assert found.shape == (1, 7, 7, 5)
    expected = to_numpy(dense(x))
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found[:, 3, 3], expected, rtol=1e-4, atol=1e-5)


def test_dense_layers_of_another_size_are_refused():
    classifier = build_vgg_classifier(
        ONE_EACH, WIDTHS, input_shape=(64, 64, 3), classes=4, hidden=HIDDEN
    )
    with pytest.raises(ValueError, match=r"fc1 must have the shape of fc6, \(7, 7, 4, 5\)"):
        take_dense_weights(tiny("32s", 4), classifier)


def test_weights_by_hand():
    # Convolutions of VGG-16 14,714,688; here fc6 has 7 * 7 * 512 inputs and 8 filters, fc7 8 and 8;
    # scores of 21 classes from 8, 512 and 256; two transposed convolutions of 4 x 4 x 21 x 21.
    expected = 14_714_688 + (49 * 512 * 8 + 8) + (8 * 8 + 8)
    expected += 21 * ((8 + 1) + (512 + 1) + (256 + 1)) + 2 * 16 * 21 * 21
    # fc6 sees pool5 of 512 filters, the skips pool4 and pool3, of 512 and 256.
    model = tiny("8s", 21, hidden=8, convolutions=VGG16_CONVOLUTIONS, widths=VGG_WIDTHS)
    assert model.count_params() == expected


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="variant must be one of '32s', '16s', '8s'"):
        tiny("4s")
    with pytest.raises(ValueError, match="classes must be a number from 1"):
        tiny("8s", 0)


def test_the_compact_network_has_three_strides_and_comes_back_from_a_file(tmp_path):
    keras.utils.set_random_seed(0)
    model = compact("8s", width=8, skip_width=6)
    x = np.random.default_rng(0).random((1, 70, 100, 3)).astype(np.float32)
    for name, shape in (("score_32", (3, 4)), ("score_16", (6, 8)), ("score_8", (12, 16))):
        # 70 x 100 is padded to 96 x 128.
        maps = keras.Model(model.inputs[0], model.get_layer(name).output)
        assert to_numpy(maps(x)).shape == (1, *shape, 4)
    scores = to_numpy(model(x))
    assert scores.shape == (1, 70, 100, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(to_numpy(loaded(x)), scores, atol=1e-5)


def test_statistics_bring_the_features_to_one_scale():
    model = compact("16s", width=8, skip_width=6)
    layer = model.get_layer("scale_16")
    x = np.random.default_rng(0).random((2, 64, 64, 3)).astype(np.float32)
    maps = to_numpy(keras.Model(model.inputs[0], layer.input)(x)).astype(np.float64)
    mean, variance = maps.mean(axis=(0, 1, 2)), maps.var(axis=(0, 1, 2)) + 1.0
    set_feature_statistics(model, {16: (mean, variance), 8: (mean, variance)})
    scaled = to_numpy(keras.Model(model.inputs[0], layer.output)(x))
    expected = (maps - mean) / np.sqrt(variance + layer.epsilon)
    np.testing.assert_allclose(scaled, expected, atol=1e-3)
    assert not layer.trainable


@pytest.mark.parametrize("variant", ["32s", "16s", "8s"])
def test_the_network_on_a_detector_comes_back_from_a_file(variant, tmp_path):
    model = with_random_skips(on_stages(variant))
    x = np.random.default_rng(0).random((1, 70, 100, 3)).astype(np.float32)
    scores = to_numpy(model(x))
    assert scores.shape == (1, 70, 100, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(to_numpy(loaded(x)), scores, atol=1e-5)


def test_on_a_detector_too_each_variant_starts_from_the_one_before_it():
    before = on_stages("32s")
    for variant in ("16s", "8s"):
        model = on_stages(variant, seed=9)
        stride = variant[:-1]
        assert set(start_from(model, before)) == {
            *(f"skip_{stride}", f"skip_{stride}_bn"),
            *(f"upscore_{stride}", f"score_{stride}"),
        }
        before = model


def test_every_place_knows_what_the_whole_picture_shows():
    model = on_stages("32s")
    x = np.random.default_rng(0).random((1, 32, 320, 3)).astype(np.float32)
    other = x.copy()
    other[:, :, 288:] = 0.0
    # Two 3x3 convolutions see two places of 32 pixels to either side, enlarging one more.
    far = slice(0, 160)
    difference = np.abs(to_numpy(model(other)) - to_numpy(model(x)))[:, :, far].max()
    assert difference > 1e-4
    kernel, bias = model.get_layer("context").get_weights()
    model.get_layer("context").set_weights([np.zeros_like(kernel), bias])
    np.testing.assert_allclose(
        to_numpy(model(other))[:, :, far], to_numpy(model(x))[:, :, far], atol=1e-6
    )
