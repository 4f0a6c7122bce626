import keras
import numpy as np
import pytest

from cnnkit.models.imitation import Imitation, ScoreImitation, last_maps


def student_and_teacher(weight):
    keras.utils.set_random_seed(0)
    predictions, own, wanted = (keras.Input(shape) for shape in ((5,), (4, 4, 3), (4, 4, 2)))
    layer = Imitation(weight)
    return layer, keras.Model([predictions, own, wanted], layer([predictions, own, wanted]))


def arrays():
    random = np.random.default_rng(0)
    shapes = ((2, 5), (2, 4, 4, 3), (2, 4, 4, 2))
    return [random.normal(3.0, 2.0, shape).astype("float32") for shape in shapes]


def test_the_loss_is_the_share_of_the_teacher_that_is_not_explained():
    layer, model = student_and_teacher(2.0)
    given = arrays()
    np.testing.assert_array_equal(np.array(model(given)), given[0])
    kernel, bias = (np.array(one) for one in layer.weights)
    teacher = given[2].astype(float)
    wanted = (teacher - teacher.mean((0, 1, 2))) / np.sqrt(teacher.var((0, 1, 2)) + 1e-4)
    expected = 2.0 * np.mean((given[1] @ kernel[0, 0] + bias - wanted) ** 2)
    assert float(model.losses[0]) == pytest.approx(expected, rel=1e-4)


def test_channels_of_the_teacher_weigh_alike_and_one_that_is_flat_is_no_number_less():
    _, model = student_and_teacher(1.0)
    given = arrays()
    model(given)
    before = float(model.losses[0])
    given[2] = given[2] * np.array([1000.0, 0.1], "float32") + 7.0
    model(given)
    assert float(model.losses[0]) == pytest.approx(before, rel=1e-2)
    given[2][:] = 4.0
    model(given)
    assert np.isfinite(float(model.losses[0]))


def test_what_can_be_explained_is_learned():
    _, model = student_and_teacher(1.0)
    given = arrays()
    given[2] = given[1] @ np.array([[1.0, -2], [0.5, 0], [0, 1]], "float32")
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=lambda true, found: 0.0 * found)
    history = model.fit(given, np.zeros((2, 5)), epochs=300, verbose=0).history["loss"]
    assert history[-1] < 0.05 < 0.5 < history[0]


def test_the_last_maps_of_each_stride_are_found_behind_padding_and_activations():
    layers = keras.layers
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 2, 2, name="to2")(inputs)
    x = layers.Conv2D(5, 2, 2, name="to4")(x)
    last = keras.ops.relu(layers.Conv2D(6, 1, name="last4")(x))
    x = layers.ZeroPadding2D(1)(last)
    x = layers.Conv2D(7, 3, 2, name="to8")(x)
    up = layers.UpSampling2D(2)(x)
    layers.Conv2D(9, 1, name="beside")(last)
    both = layers.Concatenate()([up, last])
    model = keras.Model(inputs, layers.GlobalMaxPooling2D()(both))
    found = last_maps(model, (2, 4, 8))
    assert [one.shape[-1] for one in found] == [4, 6, 7]
    assert found[1] is last
    with pytest.raises(ValueError, match="no maps of stride 16"):
        last_maps(model, (16,))


def log_softmax(scores):
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_scores_are_drawn_by_how_far_their_softmax_diverges(temperature):
    random = np.random.default_rng(0)
    scores, teacher = random.normal(0.0, 2.0, (2, 2, 3, 4, 5))
    layer = ScoreImitation(0.5, temperature)
    given = layer([scores.astype("float32"), teacher.astype("float32")])
    np.testing.assert_allclose(np.array(given), scores, rtol=1e-6)
    wanted, found = log_softmax(teacher / temperature), log_softmax(scores / temperature)
    divergence = (np.exp(wanted) * (wanted - found)).sum(axis=-1)
    expected = 0.5 * temperature**2 * divergence.mean()
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-4)


def test_scores_that_are_the_teachers_have_nothing_to_learn():
    scores = np.random.default_rng(0).normal(size=(1, 2, 2, 3)).astype("float32")
    layer = ScoreImitation()
    # The same for all classes is no difference.
    layer([scores, scores + 5.0])
    assert float(layer.losses[0]) == pytest.approx(0.0, abs=1e-6)


def test_scores_of_a_coarser_teacher_are_enlarged_in_place():
    teacher = np.zeros((1, 1, 2, 2), "float32")
    teacher[0, 0, 1, 0] = 4.0
    # Between the middles of its two squares: a quarter and three quarters of the way.
    fine = np.array([0.0, 1.0, 3.0, 4.0], "float32")
    scores = np.zeros((1, 1, 4, 2), "float32")
    scores[0, 0, :, 0] = fine
    layer = ScoreImitation()
    layer([scores, teacher])
    assert float(layer.losses[0]) == pytest.approx(0.0, abs=1e-6)
