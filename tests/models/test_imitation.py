import keras
import numpy as np
import pytest

from cnnkit.models.imitation import Imitation, last_maps


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
