import keras
import numpy as np
import pytest

from cnnkit.models.resnet import build_resnet
from tests.models._gradients import assert_gradients_reach_every_weight


def trained(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


def basic_network(blocks, projections=True):
    """Weights of a network of basic blocks, by hand: convolutions and two numbers a channel."""
    total = 7 * 7 * 3 * 64 + 2 * 64
    channels = 64
    for width, count in zip((64, 128, 256, 512), blocks, strict=True):
        for _ in range(count):
            total += 9 * channels * width + 2 * width + 9 * width * width + 2 * width
            if channels != width and projections:
                total += channels * width + 2 * width
            channels = width
    return total + (512 + 1) * 1000


@pytest.mark.parametrize(
    ("depth", "blocks", "expected"),
    # The paper's table 1 gives no numbers; these are torchvision's, whose projections are the same.
    [(18, (2, 2, 2, 2), 11_689_512), (34, (3, 4, 6, 3), 21_797_672)],
)
def test_trained_weights_by_hand(depth, blocks, expected):
    assert basic_network(blocks) == expected
    assert trained(build_resnet(depth)) == expected


def test_weights_of_resnet50_are_those_of_keras_and_torchvision():
    model = build_resnet(50, (32, 32, 3), use_bias=True)
    assert model.count_params() == 25_636_712
    # 53 convolutions give 26,560 maps: as many biases, and twice as many statistics. torchvision's
    # has neither the biases nor, among what is trained, the statistics.
    assert trained(model) - 26_560 == model.count_params() - 3 * 26_560 == 25_557_032


def test_zero_padded_shortcuts_have_no_weights():
    model = build_resnet(18, (32, 32, 3), shortcut="zero_padding")
    assert trained(model) == basic_network((2, 2, 2, 2), projections=False)


def test_resnet50_is_that_of_keras():
    theirs = keras.applications.ResNet50(weights=None, input_shape=(64, 48, 3), classes=5)
    ours = build_resnet(50, (64, 48, 3), classes=5, use_bias=True)
    for layer in theirs.layers:
        if layer.get_weights():
            ours.get_layer(layer.name).set_weights(layer.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 64, 48, 3)).astype("float32")
    np.testing.assert_allclose(np.asarray(ours(images)), np.asarray(theirs(images)), atol=1e-5)


@pytest.mark.parametrize(
    "shortcut",
    [
        "projection",
        "zero_padding",
        pytest.param("all_projections", marks=pytest.mark.slow),
        pytest.param("none", marks=pytest.mark.slow),
    ],
)
def test_it_learns_everywhere_with_every_shortcut(shortcut):
    model = build_resnet(18, (32, 40, 3), classes=3, shortcut=shortcut)
    assert_gradients_reach_every_weight(model)


@pytest.mark.slow
def test_bottlenecks_learn_everywhere():
    assert_gradients_reach_every_weight(build_resnet(50, (32, 32, 1), classes=3))


def test_shapes_are_the_papers():
    model = build_resnet(34)
    names = ("conv1_relu", "pool1_pool", *(f"conv{stage}_block1_out" for stage in range(2, 6)))
    assert [model.get_layer(name).output.shape[1:] for name in names] == [
        (112, 112, 64), (56, 56, 64), (56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512),
    ]  # fmt: skip


def test_a_block_of_zeros_is_the_identity():
    model = build_resnet(18, (32, 32, 3), classes=2)
    for layer in model.layers:
        if layer.name.startswith("conv2_block2_2"):
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    both = keras.Model(
        model.inputs[0],
        [model.get_layer(f"conv2_block{block}_out").output for block in (1, 2)],
    )
    before, after = both(np.random.default_rng(0).random((1, 32, 32, 3)).astype("float32"))
    np.testing.assert_array_equal(np.asarray(before), np.asarray(after))


def test_a_zero_padded_shortcut_keeps_every_second_place_and_adds_channels():
    model = build_resnet(18, (64, 64, 3), classes=2, shortcut="zero_padding")
    add = model.get_layer("conv3_block1_add")
    both = keras.Model(model.inputs[0], [model.get_layer("conv2_block2_out").output, add.input[0]])
    before, shortcut = map(
        np.asarray, both(np.random.default_rng(0).random((1, 64, 64, 3)).astype("float32"))
    )
    np.testing.assert_array_equal(shortcut[..., :64], before[:, ::2, ::2])
    assert not np.any(shortcut[..., 64:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 20}, r"depth must be one of 18, 34, 50. Received: 20"),
        ({"shortcut": "skip"}, r"'projection', 'zero_padding', .*Received: 'skip'"),
        ({"input_shape": (31, 64, 3)}, r"at least 32. Received: \(31, 64, 3\)"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_resnet(**arguments)
