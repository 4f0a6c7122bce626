"""The feature networks: names, shapes, and the same activations as Keras' own VGG."""

import dataclasses

import keras
import numpy as np
import pytest

from cnnkit.errors import UsageError, WeightsError
from cnnkit.models import vgg
from cnnkit.models._backbones import resolve_backbone
from cnnkit.models.vgg import (
    COMPACT_WIDTHS,
    VGG16_CONVOLUTIONS,
    VGG19_CONVOLUTIONS,
    build_feature_network,
    build_vgg,
    caffe_preprocessing,
    layer_names,
    unit_preprocessing,
)
from cnnkit.weights.convolutions import (
    convolution_weights,
    read_convolutions,
    set_convolution_weights,
)

TINY = {"convolutions": (1, 2), "widths": (4, 6)}


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def picture(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype("float32")


def randomize(model, seed=0):
    generator = np.random.default_rng(seed)
    model.set_weights([generator.uniform(0.1, 0.5, weight.shape) for weight in model.get_weights()])


# Architecture --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convolutions", "application"),
    [(VGG16_CONVOLUTIONS, "VGG16"), (VGG19_CONVOLUTIONS, "VGG19")],
)
def test_layer_names_and_activations_are_those_of_keras_applications(convolutions, application):
    theirs = getattr(keras.applications, application)(include_top=False, weights=None)
    names = [layer.name for layer in theirs.layers if isinstance(layer, keras.layers.Conv2D)]
    assert layer_names(convolutions) == names

    outputs = ["block1_conv1", "block2_conv2", "block5_conv1"]
    ours = build_vgg(convolutions, outputs=outputs, padding="same")
    set_convolution_weights(ours, convolution_weights(theirs))
    images = picture(1, 32, 48, 3)
    found = ours(images)

    preprocess = getattr(keras.applications, application.lower()).preprocess_input
    features = keras.Model(theirs.inputs[0], [theirs.get_layer(name).output for name in outputs])
    expected = features(preprocess(images * 255.0))
    for name, activations in zip(outputs, expected, strict=True):
        activations = to_numpy(activations)
        np.testing.assert_allclose(
            to_numpy(found[name]), activations, atol=1e-4 * activations.max(), rtol=1e-3
        )


def test_each_block_halves_the_picture():
    outputs = [f"block{block}_conv1" for block in range(1, 6)]
    model = build_vgg(widths=COMPACT_WIDTHS, outputs=outputs)
    shapes = [tuple(model(picture(2, 64, 96, 3))[name].shape) for name in outputs]
    assert shapes == [
        (2, 64, 96, 16),
        (2, 32, 48, 32),
        (2, 16, 24, 64),
        (2, 8, 12, 128),
        (2, 4, 6, 128),
    ]


def test_the_network_ends_at_the_deepest_layer_in_use():
    model = build_vgg(widths=COMPACT_WIDTHS, outputs=["block2_conv1", "block1_conv2"])
    last = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    assert last == "block2_conv1"


@pytest.mark.parametrize("padding", ["edge", "same", "reflect"])
def test_every_padding_keeps_the_size(padding):
    model = build_vgg(**TINY, outputs=["block2_conv2"], padding=padding)
    assert tuple(model(picture(1, 32, 16, 3))["block2_conv2"].shape) == (1, 16, 8, 6)


@pytest.mark.parametrize("padding", ["edge", "reflect"])
def test_a_flat_picture_has_no_darker_frame(padding):
    model = build_vgg(**TINY, outputs=["block1_conv1"], padding=padding)
    randomize(model)
    maps = to_numpy(model(np.full((1, 16, 16, 3), 0.7, "float32"))["block1_conv1"])
    np.testing.assert_allclose(maps, np.broadcast_to(maps[:, :1, :1], maps.shape), rtol=1e-4)
    zeros = build_vgg(**TINY, outputs=["block1_conv1"], padding="same")
    zeros.set_weights(model.get_weights())
    assert np.ptp(to_numpy(zeros(np.full((1, 16, 16, 3), 0.7, "float32"))["block1_conv1"])) > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outputs": ["block9_conv1"]}, r"outputs must be among .*Received: \['block9_conv1'\]"),
        ({"outputs": []}, r"outputs must be among .*Received: \[\]"),
        ({"outputs": ["block1_conv1"], "pooling": "min"}, "'max' or 'average'. Received: 'min'"),
        ({"outputs": ["block1_conv1"], "padding": "wrap"}, "'reflect'. Received: 'wrap'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_vgg(**TINY, **arguments)


def test_average_pooling_averages_and_max_pooling_takes_the_largest():
    image = picture(1, 4, 4, 3)
    maps = {}
    for pooling in ("max", "average"):
        model = build_vgg(**TINY, outputs=["block1_conv1", "block2_conv1"], pooling=pooling)
        randomize(model)
        pooled = keras.Model(model.inputs[0], model.get_layer("block1_pool").output)
        first = to_numpy(model(image)["block1_conv1"])
        # (1, 4, 4, C) as 2 x 2 windows of 2 x 2
        windows = first.reshape(1, 2, 2, 2, 2, 4)
        reduce = np.max if pooling == "max" else np.mean
        maps[pooling] = to_numpy(pooled(image))
        np.testing.assert_allclose(maps[pooling], reduce(windows, axis=(2, 4)), rtol=1e-4)
    assert (maps["max"] > maps["average"]).all()


# Input convention ----------------------------------------------------------------------------


def test_caffe_preprocessing_is_bgr_without_the_imagenet_mean():
    colour = np.array([[[[1.0, 0.5, 0.0]]]], "float32")
    # Blue 0 - 103.939, green 127.5 - 116.779, red 255 - 123.68
    expected = [[[[-103.939, 10.721, 131.32]]]]
    np.testing.assert_allclose(to_numpy(caffe_preprocessing(colour)), expected, atol=1e-3)


def test_unit_preprocessing_is_rgb_times_four_without_the_mean():
    colour = np.array([[[[1.0, 0.5, 0.0]]]], "float32")
    # 4 - 4 * 123.68 / 255, 2 - 4 * 116.779 / 255, -4 * 103.939 / 255
    expected = [[[[2.05992, 0.16817, -1.63042]]]]
    np.testing.assert_allclose(to_numpy(unit_preprocessing(colour)), expected, atol=1e-4)


def test_the_callers_array_stays_as_it_was():
    image = picture(1, 16, 16, 3)
    before = image.copy()
    build_vgg(**TINY, outputs=["block1_conv1"])(image)
    np.testing.assert_array_equal(image, before)


# Weights -------------------------------------------------------------------------------------


def test_folded_batch_normalisation_gives_the_same_activations():
    outputs = ["block1_conv1", "block2_conv2"]
    unfolded = build_vgg(**TINY, outputs=outputs, padding="reflect", batch_normalization=True)
    randomize(unfolded)
    folded = build_vgg(**TINY, outputs=outputs, padding="reflect")
    set_convolution_weights(folded, convolution_weights(unfolded))
    images = picture(1, 16, 16, 3)
    expected, found = unfolded(images, training=False), folded(images)
    for name in outputs:
        np.testing.assert_allclose(to_numpy(found[name]), to_numpy(expected[name]), rtol=1e-3)


def test_folding_by_hand():
    model = build_vgg((1,), (1,), outputs=["block1_conv1"], batch_normalization=True)
    norm = model.get_layer("block1_conv1_bn")
    norm.set_weights([np.array([value]) for value in (6.0, 0.5, 2.0, 4.0 - norm.epsilon)])
    kernel, bias = convolution_weights(model)["block1_conv1"]
    # gamma / sqrt(variance + epsilon) = 6 / 2; beta - mean * 3 = 0.5 - 6
    plain = to_numpy(model.get_layer("block1_conv1").kernel)
    np.testing.assert_allclose(kernel, 3.0 * plain, rtol=1e-5)
    assert bias == pytest.approx(-5.5)


def test_weights_of_a_missing_layer_are_named():
    model = build_vgg(**TINY, outputs=["block2_conv1"])
    arrays = convolution_weights(model)
    del arrays["block2_conv1"]
    with pytest.raises(ValueError, match="weights for block2_conv1 were expected"):
        set_convolution_weights(model, arrays)


def test_the_shipped_network_is_frozen_and_says_what_it_is():
    network = build_feature_network("compact", ["block1_conv1", "block5_conv1"])
    assert network.name == "compact"
    assert len(network.hash) == 64
    assert network.model.trainable_variables == []
    found = network.model(picture(1, 32, 32, 3))
    assert list(found) == ["block1_conv1", "block5_conv1"]
    assert all(np.isfinite(to_numpy(maps)).all() for maps in found.values())


def test_the_shipped_network_pools_as_asked():
    pools = [
        build_feature_network("compact", ["block2_conv1"], pooling).model.get_layer("block1_pool")
        for pooling in ("max", "average")
    ]
    assert isinstance(pools[0], keras.layers.MaxPooling2D)
    assert isinstance(pools[1], keras.layers.AveragePooling2D)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no zip at all" * 99])
def test_a_damaged_compact_file_is_one_line(tmp_path, content):
    file = tmp_path / "compact.npz"
    file.write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"compact\.npz is damaged.*install cnnkit again"
    ) as error:
        read_convolutions(file)
    assert "\n" not in str(error.value)


def test_a_compact_file_without_a_bias_is_one_line(tmp_path):
    np.savez(tmp_path / "compact.npz", **{"block1_conv1/kernel": np.zeros((3, 3, 3, 4))})
    with pytest.raises(WeightsError, match="holds no convolutions"):
        read_convolutions(tmp_path / "compact.npz")


# Which network -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "auto", "vgg16"),
    [
        ({"vgg16", "vgg16-hed"}, "vgg16+compact", "vgg16"),
        ({"vgg16-hed", "vgg19"}, "vgg16-hed+compact", "vgg16-hed"),
        (set(), "compact", "vgg16"),
    ],
)
def test_of_vgg16_imagenets_own_weights_come_first(monkeypatch, here, auto, vgg16):
    monkeypatch.setattr(vgg.weights_table, "is_available", lambda name: name in here)
    assert resolve_backbone("auto") == auto
    assert resolve_backbone("vgg16") == vgg16
    assert resolve_backbone("vgg19+vgg16") == f"vgg19+{vgg16}"
    assert resolve_backbone("own/vgg16.keras") == "own/vgg16.keras"


def test_networks_side_by_side_give_what_each_gives():
    layers = ["block1_conv1", "block4_conv1", "block5_conv1"]
    both = build_feature_network("vgg16-hed+compact", layers)
    images = picture(1, 48, 32, 3)
    found = both.model(images)
    assert sorted(found) == sorted(name for layer in layers for name in both.outputs_of(layer))
    for name in ("vgg16-hed", "compact"):
        alone = build_feature_network(name, layers)
        assert alone.hash in both.hash.split("+")
        for layer, maps in alone.model(images).items():
            if f"{name}/{layer}" in found:
                np.testing.assert_allclose(
                    to_numpy(found[f"{name}/{layer}"]), to_numpy(maps), rtol=1e-5, atol=1e-3
                )


def test_a_layer_is_seen_by_those_networks_that_have_it():
    # VGG-19 alone has a fourth convolution in its third block.
    both = build_feature_network("vgg16-hed+compact", ["block3_conv3", "block3_conv4"])
    assert both.outputs_of("block3_conv3") == ("vgg16-hed/block3_conv3", "compact/block3_conv3")
    assert both.outputs_of("block3_conv4") == ("compact/block3_conv4",)
    with pytest.raises(UsageError, match=r"vgg16-hed\+compact has no layer 'block5_conv3'"):
        build_feature_network("vgg16-hed+compact", ["block5_conv3"])


def test_a_network_beside_itself_is_refused():
    with pytest.raises(UsageError, match=r"joined by \+, or a .keras file, not 'compact\+compact'"):
        build_feature_network("compact+compact", ["block1_conv1"])


def test_the_dependency_s_vgg16_gives_its_golden_activations():
    """Means and deviations of the float32 network when the file was first read."""
    from skimage import data

    golden = {
        "block1_conv1": (11.566, 19.532),
        "block3_conv1": (5.675, 11.922),
        "block4_conv2": (2.195, 4.640),
        "block5_conv3": (2.461, 9.092),
    }
    image = (data.chelsea()[:256, :256] / 255.0).astype("float32")[None]
    maps = build_feature_network("vgg16-hed", list(golden)).model(image)
    for layer, expected in golden.items():
        found = to_numpy(maps[layer])
        np.testing.assert_allclose((found.mean(), found.std()), expected, rtol=1e-3)


def test_bfloat16_changes_activations_by_its_rounding_alone():
    outputs = ["block1_conv1", "block2_conv2"]
    precise = build_vgg(**TINY, outputs=outputs)
    randomize(precise)
    quick = build_vgg(**TINY, outputs=outputs, compute_dtype="bfloat16")
    quick.set_weights(precise.get_weights())
    image = picture(1, 32, 32, 3)
    for layer, maps in quick(image).items():
        assert maps.dtype == "float32"
        expected = to_numpy(precise(image)[layer])
        assert np.abs(to_numpy(maps) - expected).max() < 0.02 * np.abs(expected).max()


def test_keras_weights_make_a_vgg19(monkeypatch, tmp_path):
    theirs = keras.applications.VGG19(include_top=False, weights=None)
    file = tmp_path / "vgg19.weights.h5"
    theirs.save_weights(file)
    monkeypatch.setattr(vgg.weights_table, "locate", lambda name: file)
    network = build_feature_network("vgg19", ["block2_conv1"])
    assert network.name == "vgg19"
    np.testing.assert_array_equal(
        to_numpy(network.model.get_layer("block2_conv1").kernel),
        to_numpy(theirs.get_layer("block2_conv1").kernel),
    )


def test_weights_that_are_not_here_say_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="cnnkit weights fetch vgg16, or: cnnkit weights import"):
        build_feature_network("vgg16", ["block1_conv1"])


def test_an_unknown_backbone_is_refused():
    with pytest.raises(UsageError, match=r"or a \.keras file, not 'resnet'"):
        build_feature_network("resnet", ["block1_conv1"])


def test_a_layer_that_the_network_lacks_lists_the_nearest():
    with pytest.raises(UsageError, match=r"no layer 'block4_conv9'; did you mean block4_conv\d"):
        build_feature_network("compact", ["block4_conv9"])
    with pytest.raises(UsageError, match="compact has no layer 'block5_conv2'"):
        build_feature_network("compact", ["block5_conv2"])


# A file of one's own -------------------------------------------------------------------------


@pytest.fixture
def own_model():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="second")(x)
    return keras.Model(inputs, x)


def test_a_keras_file_serves_as_a_feature_network(tmp_path, own_model):
    file = tmp_path / "own.keras"
    own_model.save(file)
    network = build_feature_network(str(file), ["first", "second"])
    images = picture(1, 16, 16, 3)
    assert network.name == "own.keras"
    assert list(network.model(images)) == ["first", "second"]
    np.testing.assert_allclose(
        to_numpy(network.model(images)["second"]), to_numpy(own_model(images)), rtol=1e-5
    )
    assert network.model.trainable_variables == []


def test_a_keras_file_with_average_pooling_keeps_its_weights(tmp_path, own_model):
    file = tmp_path / "own.keras"
    own_model.save(file)
    images = picture(1, 16, 16, 3)
    most, mean = (
        build_feature_network(str(file), ["first", "pool"], pooling).model(images)
        for pooling in ("max", "average")
    )
    np.testing.assert_array_equal(to_numpy(most["first"]), to_numpy(mean["first"]))
    windows = to_numpy(mean["first"]).reshape(1, 8, 2, 8, 2, 4)
    np.testing.assert_allclose(to_numpy(mean["pool"]), windows.mean(axis=(2, 4)), atol=1e-6)


def test_a_layer_that_a_file_lacks_lists_what_it_has(tmp_path, own_model):
    file = tmp_path / "own.keras"
    own_model.save(file)
    with pytest.raises(UsageError, match=r"own\.keras has no layer 'secnd'; did you mean second"):
        build_feature_network(str(file), ["secnd"])


def test_a_network_for_pictures_of_one_size_is_refused(tmp_path):
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="conv")(inputs))
    model.save(tmp_path / "fixed.keras")
    with pytest.raises(WeightsError, match=r"fixed\.keras takes pictures of shape .*any size"):
        build_feature_network(str(tmp_path / "fixed.keras"), ["conv"])


def test_a_layer_that_is_no_map_is_refused(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="mean")(inputs))
    model.save(tmp_path / "mean.keras")
    with pytest.raises(UsageError, match=r"'mean' of mean\.keras gives no maps"):
        build_feature_network(str(tmp_path / "mean.keras"), ["mean"])


@pytest.mark.parametrize("damage", ["empty", "text", "cut off"])
def test_a_damaged_keras_file_is_one_line(tmp_path, own_model, damage):
    file = tmp_path / "own.keras"
    own_model.save(file)
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "text": b"hello", "cut off": whole[: len(whole) // 2]}[damage])
    with pytest.raises(
        WeightsError, match=r"own\.keras cannot be loaded as a Keras model"
    ) as error:
        build_feature_network(str(file), ["first"])
    assert "\n" not in str(error.value)


def test_a_keras_file_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.keras does not exist"):
        build_feature_network(str(tmp_path / "none.keras"), ["first"])


def test_a_feature_network_is_frozen_data():
    network = build_feature_network("compact", ["block1_conv1"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.name = "other"
