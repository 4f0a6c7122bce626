"""Networks in numbers: Keras' own counts, and receptive fields measured by gradients."""

import keras
import numpy as np
import pytest

from cnnkit.engine.model_summary import summarize_model
from cnnkit.ops.gradients import value_and_gradient
from cnnkit.tasks.visualize.shapes import trace_shapes

layers = keras.layers


def by_name(model):
    return {layer.name: layer for layer in summarize_model(model).layers}


def test_a_model_and_the_same_network_in_words_agree():
    inputs = keras.Input((30, 34, 4))
    x = layers.Conv2D(8, (3, 5), strides=2, padding="same", name="a")(inputs)
    x = layers.MaxPooling2D(3, 2, name="b")(x)
    x = layers.Conv2D(6, 3, dilation_rate=2, groups=2, name="c")(x)
    x = layers.Flatten(name="d")(x)
    model = keras.Model(inputs, layers.Dense(5, name="e")(x))
    found = summarize_model(model)
    words = trace_shapes("30x34x4 conv3x5-8/2p pool3/2 conv3-6d2g2 flatten fc5")
    assert found.parameters == words.parameters == model.count_params()
    assert found.multiply_adds == words.multiply_adds
    for ours, theirs in zip(found.layers, words.layers, strict=True):
        assert ours.output_shape == theirs.output_shape
        assert ours.receptive_field == theirs.receptive_field
        assert (ours.jump, ours.start) == (theirs.jump, theirs.start)
        assert ours.arithmetic == theirs.arithmetic


def branches(inputs):
    a = layers.Conv2D(3, 5, padding="same", name="wide")(inputs)
    b = layers.Conv2D(3, 1, name="narrow")(inputs)
    x = layers.Add(name="sum")([a, b])
    x = layers.ZeroPadding2D(1, name="pad")(x)
    x = layers.AveragePooling2D(3, 2, name="pool")(x)
    return layers.Conv2D(2, 3, strides=2, padding="same", name="last")(x)


def test_the_receptive_field_is_where_the_gradient_is():
    inputs = keras.Input((33, 29, 2))
    model = keras.Model(inputs, branches(inputs))
    generator = np.random.default_rng(0)
    # Positive weights do not cancel.
    model.set_weights([generator.uniform(0.1, 1.0, w.shape) for w in model.get_weights()])
    last = by_name(model)["last"]
    assert last.receptive_field == (5 + 2 + 2 * 2,) * 2
    row, column = 3, 4
    image = generator.random((1, 33, 29, 2)).astype("float32")
    _, gradient = value_and_gradient(lambda x: keras.ops.sum(model(x)[0, row, column]))(image)
    seen = np.any(gradient[0], axis=-1)
    for axis, unit in enumerate((row, column)):
        places = np.flatnonzero(seen.any(axis=1 - axis))
        begin = last.start[axis] + unit * last.jump[axis]
        end = begin + last.receptive_field[axis]
        assert (places[0], places[-1] + 1) == (max(begin, 0), min(end, image.shape[1 + axis]))


def test_where_branches_meet_the_farthest_path_counts():
    inputs = keras.Input((33, 29, 2))
    found = by_name(keras.Model(inputs, branches(inputs)))
    assert found["narrow"].receptive_field == (1, 1)
    assert (found["sum"].receptive_field, found["sum"].start) == ((5, 5), (-2, -2))
    assert found["sum"].inputs == ("wide", "narrow")
    assert found["pad"].start == (-3, -3)


def test_what_is_not_known_is_none():
    inputs = keras.Input((16, 16, 4))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    up = layers.Conv2DTranspose(4, 2, strides=2, name="up")(x)
    x = layers.Conv2D(2, 1, name="behind")(up)
    x = layers.Reshape((-1, 2), name="reshape")(x)
    model = keras.Model(inputs, layers.LSTM(3, name="lstm")(x))
    found = by_name(model)
    assert found["conv"].receptive_field == (3, 3)
    assert found["up"].receptive_field is None
    assert found["behind"].receptive_field is None
    # Each of 14 x 14 places goes through 2 * 2 * 4 * 4 weights.
    assert found["up"].multiply_adds == 14 * 14 * 64
    assert found["lstm"].multiply_adds is None
    assert summarize_model(model).uncounted == ("lstm",)
    assert summarize_model(model).parameters == model.count_params()


def test_depthwise_and_separable_convolutions_are_counted():
    inputs = keras.Input((8, 8, 4))
    x = layers.DepthwiseConv2D(3, name="depthwise")(inputs)
    x = layers.SeparableConv2D(5, 3, name="separable")(x)
    found = by_name(keras.Model(inputs, x))
    assert found["depthwise"].multiply_adds == 6 * 6 * 9 * 4
    assert found["separable"].multiply_adds == 4 * 4 * (9 * 4 + 4 * 5)
    assert found["separable"].receptive_field == (5, 5)


def test_a_causal_convolution_sees_only_the_past():
    inputs = keras.Input((20, 1))
    x = layers.Conv1D(2, 3, padding="causal", dilation_rate=2, name="causal")(inputs)
    found = by_name(keras.Model(inputs, x))["causal"]
    assert (found.receptive_field, found.start) == ((5,), (-4,))


def test_layers_of_a_model_inside_a_model_are_listed():
    inner = keras.Sequential(
        [keras.Input((9, 9, 3)), layers.Conv2D(4, 3, name="conv"), layers.ReLU(name="relu")],
        name="inner",
    )
    inputs = keras.Input((11, 11, 3))
    x = layers.Conv2D(3, 3, name="first")(inputs)
    x = inner(x)
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="last")(x))
    found = by_name(model)
    assert list(found) == ["first", "inner/conv", "inner/relu", "last"]
    assert found["inner/conv"].inputs == ("first",)
    assert found["last"].inputs == ("inner/relu",)
    assert found["last"].receptive_field == (7, 7)
    assert summarize_model(model).parameters == model.count_params()


def test_a_sequential_model_is_a_network_too():
    model = keras.Sequential([keras.Input((10, 1)), layers.Conv1D(2, 3), layers.Flatten()])
    assert [layer.output_shape for layer in summarize_model(model).layers] == [(8, 2), (16,)]


def test_without_a_size_there_is_no_work_but_a_receptive_field():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="stride")(x)
    found = by_name(keras.Model(inputs, x))
    assert (found["conv"].multiply_adds, found["conv"].receptive_field) == (None, (3, 3))
    # How "same" pads depends on the size.
    assert found["stride"].receptive_field is None


def test_a_model_of_two_inputs_is_refused():
    a, b = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([a, b], layers.Add()([a, b]))
    with pytest.raises(ValueError, match=r"with one input. Received: Functional with 2 inputs"):
        summarize_model(model)


def test_layers_that_another_model_uses_too_are_followed_in_this_one():
    layer = keras.layers.Conv2D(2, 3, strides=2, padding="same", name="c")
    first = keras.Input((9, 9, 3))
    keras.Model(first, layer(first))
    second = keras.Input((4, 4, 3))
    (found,) = summarize_model(keras.Model(second, layer(second))).layers
    # (ceil(4 / 2) - 1) 2 + 3 - 4 = 1 place is added, after.
    assert (found.receptive_field, found.start) == ((3, 3), (0, 0))
