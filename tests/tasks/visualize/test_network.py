import keras
import numpy as np
import pytest

from cnnkit.errors import UsageError, WeightsError
from cnnkit.tasks.visualize.network import load_viewed_network, view_model


@pytest.fixture(scope="module")
def nested():
    """A classifier of 8 x 8 pictures with a model inside."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    body = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="a"), layers.ReLU(name="r")], name="body"
    )
    inputs = keras.Input((8, 8, 3))
    x = body(layers.Rescaling(2.0, name="twice")(inputs)) + 1.0
    return keras.Model(inputs, layers.Dense(3, name="d")(layers.Flatten(name="flat")(x)))


def pictures(seed=0):
    return np.random.default_rng(seed).random((2, 8, 8, 3)).astype(np.float32)


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_layers_of_models_inside_a_model_can_be_asked_for(nested):
    network = view_model(nested, "own")
    names = list(network.outputs)
    # The addition is no layer; Keras numbers those of a process.
    assert names[3].startswith("add")
    assert [*names[:3], *names[4:]] == ["twice", "body/a", "body/r", "flat", "d"]
    found = network.submodel(["body/a", "d"])(pictures())
    inner = nested.get_layer("body")
    np.testing.assert_allclose(
        values(found["body/a"]), values(inner.get_layer("a")(2.0 * pictures())), rtol=1e-6
    )
    np.testing.assert_array_equal(values(found["d"]), values(nested(pictures())))
    np.testing.assert_array_equal(values(network.model(pictures())), values(nested(pictures())))


@pytest.mark.parametrize(("pixels", "factor", "offset"), [("byte", 255, 0), ("signed", 2, -1)])
def test_pictures_are_scaled_to_what_the_network_expects(nested, pixels, factor, offset):
    found = values(view_model(nested, "own", pixels=pixels).model(pictures()))
    expected = values(nested(factor * pictures() + np.float32(offset)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_network_tells_what_pictures_it_takes(nested):
    assert view_model(nested, "own").input_size == (8, 8)
    compact = load_viewed_network("compact")
    assert (compact.input_size, compact.channels, compact.name) == (None, 3, "compact")
    inputs = keras.Input((None, None, 1))
    grey = view_model(keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs)), "grey")
    assert (grey.input_size, grey.channels) == (None, 1)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("layer1", "block1_conv2"),
        ("Layer_3", "block3_conv4"),
        ("layer5", "block5_conv1"),
        ("block2_pool", "block2_pool"),
    ],
)
def test_layers_have_short_names(typed, meant):
    assert load_viewed_network("compact").resolve(typed) == meant


def test_a_wrong_layer_lists_the_right_ones_nearest_first():
    with pytest.raises(UsageError, match=r"'blok3_conv4'; it has: block3_conv4, .*block5_conv1"):
        load_viewed_network("compact").resolve("blok3_conv4")
    with pytest.raises(UsageError, match="no layer 'layer6'"):
        load_viewed_network("compact").resolve("layer6")


def test_what_is_no_network_of_pictures_is_refused(tmp_path, nested):
    inputs = keras.Input((8,))
    with pytest.raises(UsageError, match=r"takes no pictures .* but \(8,\)"):
        view_model(keras.Model(inputs, keras.layers.Dense(2)(inputs)), "dense")
    with pytest.raises(UsageError, match="no trained network named 'alexnet'"):
        load_viewed_network("alexnet")
    with pytest.raises(UsageError, match="pixels must be one of unit, byte, signed"):
        load_viewed_network("compact", pixels="caffe")
    with pytest.raises(WeightsError, match=r"none\.keras does not exist; give --model"):
        load_viewed_network("none.keras")
    nested.save(tmp_path / "own.keras")
    assert load_viewed_network(str(tmp_path / "own.keras")).hash


def test_the_shipped_classifier_and_runs_can_be_looked_into(color_run):
    shipped = load_viewed_network("caltech101")
    assert shipped.resolve("layer5") == "block5_conv1"
    assert shipped.outputs["predictions"].shape == (None, 101)
    run = load_viewed_network(color_run)
    assert run.name == "colors"
    assert run.input_size == (16, 16)


def test_a_network_that_is_loaded_already_is_taken_as_it_is():
    inputs = keras.Input((8, 8, 3))
    network = view_model(keras.Model(inputs, keras.layers.Flatten()(inputs)), "own")
    assert load_viewed_network(network) is network
