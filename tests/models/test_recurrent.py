"""Classifiers of texts: steps by hand, and padding that changes nothing."""

import keras
import numpy as np
import pytest

from cnnkit.models.recurrent import build_text_classifier

NETWORKS = ("rnn", "lstm", "gru")


def states(model, network):
    """A model of the last states of another one."""
    name = "both" if "both" in [layer.name for layer in model.layers] else network
    return keras.Model(model.inputs[0], model.get_layer(name).output)


def randomize(model, seed=0):
    generator = np.random.default_rng(seed)
    model.set_weights([generator.normal(0, 0.7, w.shape) for w in model.get_weights()])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn_step(x, h, c, kernel, recurrent, bias):
    return np.tanh(x @ kernel + h @ recurrent + bias), c


def lstm_step(x, h, c, kernel, recurrent, bias):
    # Keras has the gates as i, f, g, o beside one another.
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(x, h, c, kernel, recurrent, bias):
    # z, r and the candidate; one bias of the input and one of the state.
    z, r, new = np.split(x @ kernel + bias[0], 3, axis=-1)
    z_h, r_h, new_h = np.split(h @ recurrent + bias[1], 3, axis=-1)
    z, r = sigmoid(z + z_h), sigmoid(r + r_h)
    return z * h + (1 - z) * np.tanh(new + r * new_h), c


STEPS = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("embedding_size", [3, 0])
def test_states_agree_with_steps_in_numpy(network, embedding_size):
    model = build_text_classifier(
        5, 2, network=network, embedding_size=embedding_size, units=4, dropout=0.0
    )
    randomize(model)
    weights = model.get_weights()
    # One-hots have no place for padding.
    table = weights.pop(0) if embedding_size else np.eye(5)[:, 1:]
    cell = [weights.pop(0) for _ in range(3)]
    tokens = np.array([[2, 4, 1, 3], [3, 3, 2, 1]], np.int32)
    h = c = np.zeros((2, 4))
    for step in range(4):
        h, c = STEPS[network](table[tokens[:, step]], h, c, *cell)
    np.testing.assert_allclose(states(model, network)(tokens), h, atol=1e-5)
    logits = h @ weights[0] + weights[1]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model(tokens), expected, atol=1e-5)


# Of one unit, whose weights are 1, without biases, for the inputs 1 and -1.
#
# rnn:  tanh(1) = 0.7616, then tanh(-1 + 0.7616) = tanh(-0.2384) = -0.2340.
# lstm: all gates are s(1) = 0.7311; c = 0.7311 tanh(1) = 0.5568, h = 0.7311 tanh(0.5568) = 0.3696.
#       Then all sums are -0.6304, s = 0.3474, tanh = -0.5584; c = 0.3474 (0.5568 - 0.5584)
#       = -0.0006, h = 0.3474 tanh(-0.0006) = -0.0002.
# gru:  z = r = 0.7311; h = (1 - 0.7311) tanh(1) = 0.2048. Then z = r = s(-0.7952) = 0.3111;
#       h = 0.3111 * 0.2048 + 0.6889 tanh(-1 + 0.3111 * 0.2048) = 0.0637 + 0.6889 * -0.7336
#       = -0.4416.
@pytest.mark.parametrize(
    ("network", "first", "second"),
    [("rnn", 0.7616, -0.2340), ("lstm", 0.3696, -0.0002), ("gru", 0.2048, -0.4416)],
)
def test_two_steps_of_one_unit_by_hand(network, first, second):
    model = build_text_classifier(4, 2, network=network, embedding_size=1, units=1)
    for layer in model.layers[:3]:
        shapes = [w.shape for w in layer.get_weights()]
        if layer.name == "embedding":
            layer.set_weights([np.array([[9.0], [9.0], [1.0], [-1.0]])])
        elif layer.name == network:
            layer.set_weights([np.ones(shapes[0]), np.ones(shapes[1]), np.zeros(shapes[2])])
    state = states(model, network)
    found = [float(state(np.array([tokens], np.int32))[0, 0]) for tokens in ([2], [2, 3])]
    np.testing.assert_allclose(found, [first, second], atol=2e-4)


@pytest.mark.parametrize("network", [*NETWORKS, "bag"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_no_state_no_loss_and_no_gradient(network, bidirectional):
    model = build_text_classifier(
        7, 3, network=network, embedding_size=4, units=5, bidirectional=bidirectional, dropout=0.0
    )
    randomize(model)
    # The last is a text without words.
    short = np.array([[2, 3, 4], [5, 1, 0], [6, 0, 0], [0, 0, 0]], np.int32)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    seen = []
    for more in (0, 1, 9):
        tokens = np.pad(short, [(0, 0), (0, more)])
        model.compile(keras.optimizers.SGD(1.0), "categorical_crossentropy", run_eagerly=True)
        before = model.get_weights()
        probabilities = np.array(model(tokens))
        loss = float(model.train_on_batch(tokens, targets))
        steps = [now - then for now, then in zip(model.get_weights(), before, strict=True)]
        model.set_weights(before)
        seen.append([probabilities, loss, *steps])
    for other in seen[1:]:
        for one, same in zip(other, seen[0], strict=True):
            np.testing.assert_allclose(one, same, atol=1e-6)
    assert any(np.abs(step).max() > 1e-3 for step in seen[0][2:])


def test_what_is_padding_for_one_text_is_not_for_another():
    model = build_text_classifier(7, 2, units=5)
    randomize(model)
    together = np.array(model(np.array([[2, 3, 4], [5, 0, 0]], np.int32)))
    alone = np.array(model(np.array([[5]], np.int32)))
    np.testing.assert_allclose(together[1:], alone, atol=1e-6)


def test_a_bag_knows_how_often_a_word_is_there_but_no_order():
    model = build_text_classifier(5, 2, network="bag")
    kernel = np.arange(8.0).reshape(4, 2)
    model.set_weights([kernel, np.zeros(2)])
    one, other = np.array(model(np.array([[2, 3, 2, 0], [3, 2, 2, 0]], np.int32)))
    np.testing.assert_array_equal(one, other)
    # Token 2 is in row 1 of the kernel, twice: 2 * (2, 3) + (4, 5) = (8, 11).
    np.testing.assert_allclose(one[1], sigmoid(3.0), atol=1e-6)
    randomize(lstm := build_text_classifier(5, 2, units=4))
    one, other = np.array(lstm(np.array([[2, 3, 2, 0], [3, 2, 2, 0]], np.int32)))
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("network", ["lstm", "bag"])
def test_a_table_is_joined_in_before_the_last_layer(network):
    model = build_text_classifier(5, 2, network=network, units=4, table_size=3, dropout=0.0)
    randomize(model)
    tokens, table = np.array([[2, 3]], np.int32), np.array([[0.5, -1.0, 2.0]], np.float32)
    kernel = model.get_layer("predictions").get_weights()[0]
    # Four units, or four tokens besides padding.
    assert kernel.shape == (4 + 3, 2)
    with_table = np.log(np.array(model([tokens, table])))[0]
    without = np.log(np.array(model([tokens, 0 * table])))[0]
    # Differences of logits; a softmax shifts both alike.
    moved = table[0] @ kernel[-3:]
    np.testing.assert_allclose(
        (with_table - without) @ [1, -1], moved @ np.array([1, -1]), atol=1e-4
    )


def test_both_directions_see_the_begin_and_the_end():
    model = build_text_classifier(5, 2, network="gru", units=4, bidirectional=True)
    randomize(model)
    tokens = np.array([[2, 3, 4, 0]], np.int32)
    state = np.array(states(model, "gru")(tokens))
    assert state.shape == (1, 8)
    # Backwards is forwards over the reversed text, with the second half of the weights.
    layer = model.get_layer("both")
    mirrored = keras.Sequential([model.get_layer("embedding"), layer.backward_layer])
    assert layer.backward_layer.go_backwards
    np.testing.assert_allclose(state[:, 4:], mirrored(tokens[:, :3]), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "cnn"}, r"network must be one of 'rnn', .*Received: 'cnn'"),
        ({"classes": 0}, "classes must be a number from 1"),
        ({"units": 0}, "expected two indices, a unit"),
        ({"vocabulary_size": 1}, "vocabulary_size=1"),
    ],
)
def test_sizes_must_make_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_text_classifier(**{"vocabulary_size": 5, "classes": 2, **arguments})
