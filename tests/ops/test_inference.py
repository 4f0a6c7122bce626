import gc

import keras
import numpy as np
import pytest

from cnnkit.ops import inference
from cnnkit.ops.inference import compile_inference, with_constant_weights


def small_model(size=None):
    inputs = keras.Input((size, size, 3))
    outputs = keras.layers.Conv2D(2, 3, name="conv")(inputs)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("shape", [(1, 5, 5, 3), (2, 9, 6, 3), (4, 3, 3, 3)])
def test_a_compiled_model_gives_what_the_model_gives(shape):
    model = small_model()
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = keras.ops.convert_to_numpy(model(pixels.astype(np.float32)))
    found = compile_inference(model)(pixels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_numbers_between_whole_ones_are_kept_where_they_are_asked_for():
    inputs = keras.Input((None,))
    run = compile_inference(keras.Model(inputs, 2.0 * inputs), dtype="float32")
    assert run(np.array([[0.25, 0.5]], np.float32)).tolist() == [[0.5, 1.0]]


def test_slices_of_arrays_are_taken_too():
    model = small_model(4)
    run = compile_inference(model)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 8, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(run(pixels[:, ::2]), run(pixels[:, ::2].copy()))


def test_dropout_is_off():
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(inputs))
    assert compile_inference(model)(np.full((1, 2, 2, 3), 7, np.uint8)).tolist() == [
        [[[7.0] * 3] * 2] * 2
    ]


def test_an_unknown_backend_is_named(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "abacus")
    with pytest.raises(ValueError, match=r"tensorflow, jax, torch or openvino\. Received: abacus"):
        compile_inference(small_model())


def test_a_model_may_take_several_arrays_and_give_several():
    pixels, words = keras.Input((2,)), keras.Input((), dtype="int32")
    found = [pixels * 2.0, keras.layers.Embedding(5, 2)(words) + pixels]
    model = keras.Model([pixels, words], found)
    run = compile_inference(model, "float32")
    x, y = np.array([[0.5, 1.0], [2.0, 3.0]], np.float32), np.array([1, 4], np.int32)
    expected = [keras.ops.convert_to_numpy(one) for one in model([x, y])]
    for one, other in zip(run(x, y), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_compiled_model_keeps_the_weights_that_it_was_compiled_with():
    model = small_model()
    pixels = np.full((1, 4, 4, 3), 9, np.uint8)
    run = compile_inference(model)
    before = run(pixels)
    model.set_weights([0 * weight for weight in model.get_weights()])
    np.testing.assert_array_equal(run(pixels), before)
    assert np.abs(before).max() > 0


def test_constant_weights_have_the_gradient_of_the_model():
    from cnnkit.ops.gradients import value_and_gradient

    inputs = keras.Input((None, None, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    model = keras.Model(inputs, {"maps": x})
    random = np.random.default_rng(2)
    model.set_weights([random.random(weight.shape) for weight in model.get_weights()])
    image = random.random((1, 6, 5, 3), np.float32)
    found, expected = (
        value_and_gradient(lambda x, network=network: keras.ops.sum(network(x)["maps"] ** 2))(image)
        for network in (with_constant_weights(model), model)
    )
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-4)


def test_weights_of_very_large_models_are_not_copied(monkeypatch):
    model = small_model()
    monkeypatch.setattr(inference, "_MOST_CONSTANTS", 3 * 3 * 3 * 2 + 1)
    assert with_constant_weights(model) is model


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the others trace no graphs")
def test_of_a_compiled_model_nothing_is_kept():
    from tensorflow.python.framework.func_graph import FuncGraph

    def graphs():
        gc.collect()
        return sum(isinstance(one, FuncGraph) for one in gc.get_objects())

    def look():
        inputs = keras.Input((4, 4, 3))
        inner = keras.Sequential([inputs, keras.layers.Conv2D(2, 3, activation="silu")])
        model = keras.Model(inputs, keras.layers.Activation("silu")(inner(inputs)))
        pixels = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
        found = compile_inference(model, "float32")(pixels)
        np.testing.assert_allclose(found, model(pixels), rtol=1e-5, atol=1e-6)
        # The model itself is as it was.
        assert model.layers[-1].activation is keras.activations.silu
        assert keras.Model.from_config(model.get_config()).layers[-1].activation(1.0) > 0.7

    look()
    before = graphs()
    look()
    assert graphs() == before
