"""The deconvnet along whole graphs."""

import keras
import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.models._local_response import LocalResponseNormalization
from cnnkit.ops.convolution import ReceptiveField
from cnnkit.ops.gradients import value_and_gradient
from cnnkit.ops.top_patches import cut_patch
from cnnkit.tasks.visualize.deconvnet import Deconvnet
from cnnkit.tasks.visualize.network import load_viewed_network, view_model

layers = keras.layers


def pixels(height=12, width=14, channels=3):
    shape = (height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def view(build, shape=(None, None, 3), **options):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    return view_model(keras.Model(inputs, build(inputs)), "own", **options)


def gradient(network, layer, picture, place):
    """Of one unit, by the backend."""
    unit, row, column = place

    def value(x):
        found = network.submodel([layer])(x)[layer]
        return found[0, row, column, unit] if len(found.shape) == 4 else found[0, unit]

    return value_and_gradient(value)(picture[None].astype(np.float32) / 255.0)[1][0]


def linear_with_everything(inputs):
    x = keras.ops.flip(layers.Rescaling([2.0, 3.0, 0.5], [1.0, 0.0, 0.0])(inputs), axis=-1)
    x = keras.ops.pad(x, ((0, 0), (1, 1), (2, 1), (0, 0)), mode="reflect")
    x = layers.Conv2D(4, 3, name="a")(x)
    x = layers.BatchNormalization(
        gamma_initializer="random_normal",
        moving_variance_initializer=keras.initializers.Constant(3.0),
    )(x)
    x = layers.DepthwiseConv2D((3, 5), dilation_rate=2, padding="same")(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    left = layers.Conv2D(6, 3, strides=2, padding="same", groups=2)(x)
    right = layers.AveragePooling2D(2, padding="same")(layers.ZeroPadding2D(1)(x))
    right = layers.Cropping2D(((0, 1), (1, 0)))(right)
    both = layers.Concatenate()([left, right, left - 2.0 * (left / 3.0)])
    both = layers.Dropout(0.5)(layers.Activation("linear")(both))
    return layers.Add(name="top")([both, layers.Average()([both, 1.0 - both])])


def test_without_rectification_it_is_the_gradient():
    network = view(linear_with_everything)
    picture = pixels()
    places = [(0, 1, 2), (9, 2, 0), (15, 0, 1)]
    found = Deconvnet(network, "top").reconstruct(picture, places)
    assert found.shape == (3, 12, 14, 3)
    for back, place in zip(found, places, strict=True):
        expected = gradient(network, "top", picture, place)
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(back, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool", [layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])
def test_dense_layers_go_back_too(pool):
    def build(inputs):
        x = layers.Conv2D(4, 3)(inputs)
        x = layers.Concatenate()([pool()(x), layers.Flatten()(x)])
        return layers.Dense(5, activation="softmax", name="says")(layers.Dense(3)(x))

    network = view(build, (6, 7, 3), pixels="signed")
    picture = pixels(6, 7)
    found = Deconvnet(network, "says").reconstruct(picture, [(4, 0, 0)])[0]
    # What the deconvnet leaves out is the softmax, so compare with the layer before it.
    logits = network.model.operations[-1].kernel
    before = network.model.operations[-1]._inbound_nodes[-1].input_tensors[0]
    inner = keras.Model(network.model.inputs[0], before)
    weights = keras.ops.convert_to_numpy(logits)[:, 4]
    function = value_and_gradient(lambda x: keras.ops.sum(inner(x)[0] * weights))
    expected = function(picture[None].astype(np.float32) / 255.0)[1][0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("separate", [True, False])
def test_each_layer_is_rectified_on_the_way_down(separate):
    def build(inputs):
        activation = None if separate else "relu"
        x = layers.Conv2D(5, 1, activation=activation, name="a")(inputs)
        x = layers.ReLU()(x) if separate else x
        return layers.Conv2D(2, 1, activation=activation, name="b")(x)

    network = view(build)
    first, second = (
        keras.ops.convert_to_numpy(layer.kernel)[0, 0]
        for layer in network.model.layers
        if isinstance(layer, layers.Conv2D)
    )
    found = Deconvnet(network, "b").reconstruct(pixels(2, 3), [(1, 1, 2)])[0]
    # Whatever the picture: the filter of unit 1, without what holds it back, through the filters
    # of the first layer.
    expected = np.zeros((2, 3, 3))
    expected[1, 2] = first @ np.maximum(second[:, 1], 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_drawn_outside_of_what_the_unit_sees():
    def build(inputs):
        x = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, padding="same", activation="relu")(inputs))
        return layers.Conv2D(4, 3, activation="relu", name="top")(LocalResponseNormalization()(x))

    back = Deconvnet(view(build), "top").reconstruct(pixels(20, 20), [(0, 3, 2)])[0]
    # 8 x 8 pixels from -1 + 2 * 3 and -1 + 2 * 2 on.
    inside = back[5:13, 3:11]
    assert inside.any()
    assert np.count_nonzero(back) == np.count_nonzero(inside)


def shiftable(inputs):
    x = keras.ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    x = layers.Conv2D(4, 3, activation="relu")(keras.ops.flip(x, axis=-1))
    x = layers.AveragePooling2D(2)(layers.MaxPooling2D(2)(x))
    return layers.Conv2D(5, 3, padding="same", activation="relu", name="top")(x)


def bound_to_its_place(inputs):
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
    return layers.Conv2D(5, 3, padding="same", activation="relu", name="top")(x)


@pytest.mark.parametrize(
    ("build", "shape", "height", "width"),
    # 39 and 46 pixels, halved twice and rounded down, or halved once and rounded up.
    [(shiftable, (None, None, 3), 9, 11), (bound_to_its_place, (39, 46, 3), 20, 23)],
)
def test_of_a_patch_alone_the_same_is_drawn(build, shape, height, width):
    picture = pixels(39, 46)
    network = view(build, shape)
    net = Deconvnet(network, "top")
    (summary,) = [layer for layer in network.summary.layers if layer.name == "top"]
    fields = [
        ReceptiveField(*known)
        for known in zip(summary.receptive_field, summary.jump, summary.start, strict=True)
    ]
    for row, column in [(0, 0), (height - 1, width - 1), (3, 5), (height - 1, 2)]:
        whole = net.reconstruct(picture, [(1, row, column)])[0]
        expected = cut_patch(whole, fields[0].places(row), fields[1].places(column))
        found = net.reconstruct_patch(picture, (1, row, column), fields)
        assert found.any()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda x: layers.Conv2D(2, 1)(layers.DepthwiseConv2D(3, depth_multiplier=2)(x)),
            "several kernels for a channel",
        ),
        (
            lambda x: layers.Conv2D(2, 1)(layers.SeparableConv2D(3, 2, name="deep")(x)),
            r"deep \(Sep",
        ),
        (
            lambda x: layers.Conv2D(2, 1)(layers.Conv2D(2, 1, activation="tanh", name="t")(x)),
            "tanh",
        ),
        (lambda x: layers.Conv2D(2, 1)(layers.Multiply(name="gate")([x, x])), "product of maps"),
        (lambda x: layers.Conv2D(2, 1)(layers.UpSampling2D(name="up")(x)), r"up \(UpSampling2D\)"),
    ],
)
def test_what_it_cannot_go_back_through_is_refused_by_name(build, message):
    network = view(build)
    last = list(network.outputs)[-1]
    with pytest.raises(UsageError, match=rf"--deconv cannot go back through .*{message}"):
        Deconvnet(network, last)


def test_it_goes_back_through_the_blocks_of_efficientnet_lite():
    """Depthwise convolutions, normalisations, ReLU6 and sums."""
    network = load_viewed_network("imagenet")
    layer = "block2b_project_bn"
    picture = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    found = Deconvnet(network, layer).reconstruct(picture, [(3, 5, 6)])[0]
    assert np.isfinite(found).all()
    rows, columns = np.nonzero(found.any(axis=-1))
    # Four kernels of 3 at steps of 1, 2, 2 and 4 see no more than 13 pixels to each side.
    assert rows.min() >= 4 * 5 - 13
    assert rows.max() <= 4 * 5 + 13
    assert columns.min() >= 4 * 6 - 13
    assert columns.max() <= 4 * 6 + 13
    assert np.abs(found).max() > 0


def test_the_first_layer_may_be_anything():
    network = view(lambda x: layers.Conv2D(2, 3, activation="tanh", name="t")(x))
    assert Deconvnet(network, "t").reconstruct(pixels(), [(0, 0, 0)]).any()
