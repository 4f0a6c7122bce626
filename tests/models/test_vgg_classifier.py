"""VGG with its dense layers: the same network as that of Keras."""

import dataclasses

import keras
import numpy as np
import pytest

from cnnkit.errors import WeightsError
from cnnkit.models.vgg import (
    VGG16_CONVOLUTIONS,
    VGG19_CONVOLUTIONS,
    build_vgg_classifier,
    load_imagenet_weights,
)
from cnnkit.weights import _registry
from tests.models._gradients import assert_gradients_reach_every_weight

to_numpy = keras.ops.convert_to_numpy
VGGS = [("vgg16", VGG16_CONVOLUTIONS), ("vgg19", VGG19_CONVOLUTIONS)]


def weights_by_hand(convolutions, pixels=7 * 7):
    total, channels = 0, 3
    for count, width in zip(convolutions, (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            total += (9 * channels + 1) * width
            channels = width
    return total + (pixels * 512 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000


@pytest.mark.parametrize(("name", "convolutions"), VGGS)
def test_weights_by_hand(name, convolutions):
    # At 32 pixels one place is left instead of 7 x 7.
    expected = {"vgg16": 138_357_544, "vgg19": 143_667_240}[name]
    assert weights_by_hand(convolutions) == expected
    model = build_vgg_classifier(convolutions, input_shape=(32, 32, 3), hidden=64)
    lost = expected - model.count_params()
    # fc1, fc2 and the last layer, with 4096 units and with 64
    assert lost == (
        (49 * 512 + 1) * 4096 + 4097 * 4096 + 4096 * 1000
        - (512 + 1) * 64 - 65 * 64 - 64 * 1000
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "convolutions"), VGGS)
def test_the_whole_network_has_the_published_number_of_weights(name, convolutions):
    assert build_vgg_classifier(convolutions).count_params() == weights_by_hand(convolutions)


@pytest.mark.parametrize(("name", "convolutions"), VGGS)
def test_it_is_the_network_of_keras(name, convolutions):
    application = getattr(keras.applications, name.upper())
    theirs = application(weights=None, input_shape=(32, 32, 3), classes=5)
    ours = build_vgg_classifier(convolutions, input_shape=(32, 32, 3), classes=5)
    with_weights = [layer.name for layer in theirs.layers if layer.get_weights()]
    assert with_weights == [layer.name for layer in ours.layers if layer.get_weights()]
    ours.set_weights(theirs.get_weights())
    images = np.random.default_rng(0).random((2, 32, 32, 3)).astype("float32")
    preprocess = getattr(keras.applications, name).preprocess_input
    np.testing.assert_allclose(
        to_numpy(ours(images)), to_numpy(theirs(preprocess(images * 255.0))), atol=1e-5
    )


def test_it_learns_everywhere():
    model = build_vgg_classifier(
        widths=(4, 6, 8, 8, 8), input_shape=(32, 40, 1), classes=3, hidden=16, preprocessing=None
    )
    assert_gradients_reach_every_weight(model, batch=16)


def test_a_picture_that_the_poolings_leave_nothing_of_is_refused():
    with pytest.raises(ValueError, match=r"at least 32. Received: \(31, 224, 3\)"):
        build_vgg_classifier(input_shape=(31, 224, 3))


# Weights of Keras -----------------------------------------------------------------------------


@pytest.fixture
def small():
    return build_vgg_classifier(widths=(2, 2, 2, 2, 2), input_shape=(32, 32, 3), hidden=4)


@pytest.fixture
def folders(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path / "cnnkit"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path


def legacy_file(path, arrays):
    """A file as Keras publishes them: layer by layer, without a structure of objects."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in arrays]
        for name, values in arrays.items():
            names = [f"{name}_{part}:0" for part in ("W_1", "b_1")[: len(values)]]
            group = file.create_group(name)
            group.attrs["weight_names"] = [part.encode() for part in names]
            for part, value in zip(names, values, strict=True):
                group[part] = value


@pytest.fixture
def unpinned(monkeypatch):
    """The table takes files of any size: those of the tests are small."""
    changed = tuple(
        dataclasses.replace(one, size=0, digest="") if one.name == "vgg16-classifier" else one
        for one in _registry.ENTRIES
    )
    monkeypatch.setattr(_registry, "ENTRIES", changed)


@pytest.mark.parametrize("folder", ["cnnkit/weights", "keras/models"])
def test_keras_file_is_found_and_loaded(folders, small, unpinned, folder):
    generator = np.random.default_rng(0)
    arrays = {
        layer.name: [generator.random(weight.shape) for weight in layer.get_weights()]
        for layer in small.layers
        if layer.get_weights()
    }
    # Keras' files name the layers without weights too.
    arrays = {"block1_pool": [], **arrays}
    path = folders / folder / "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    legacy_file(path, arrays)
    assert load_imagenet_weights(small) == path
    for name, values in arrays.items():
        for weight, value in zip(small.get_layer(name).get_weights(), values, strict=True):
            np.testing.assert_allclose(weight, value, rtol=1e-6)


def test_weights_that_are_not_here_are_one_line(folders, small):
    with pytest.raises(
        WeightsError, match=r"not on this machine; run: cnnkit weights fetch vgg16-"
    ):
        load_imagenet_weights(small)
    with pytest.raises(WeightsError, match=r"none\.h5 does not exist"):
        load_imagenet_weights(small, folders / "none.h5")


def test_a_file_that_was_cut_off_is_not_loaded(folders, small):
    path = folders / "keras/models/vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    legacy_file(path, {"block1_conv1": [np.zeros((3, 3, 3, 2)), np.zeros(2)]})
    with pytest.raises(WeightsError, match=r"is damaged \(cut off: expected 553467096 bytes"):
        load_imagenet_weights(small)


def test_weights_that_do_not_fit_are_one_line(folders, small):
    path = folders / "other.h5"
    path.write_bytes(b"no file of weights")
    with pytest.raises(WeightsError, match=r"other\.h5 does not fit vgg16") as error:
        load_imagenet_weights(small, path)
    assert "\n" not in str(error.value)
    legacy_file(path, {"block1_conv1": [np.zeros((3, 3, 3, 2)), np.zeros(2)]})
    with pytest.raises(WeightsError, match=r"other\.h5 does not fit vgg16"):
        load_imagenet_weights(small, path)
