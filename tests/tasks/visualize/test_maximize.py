import keras
import numpy as np
import pytest
from skimage import data

from cnnkit.errors import UsageError
from cnnkit.tasks.visualize.maximize import visualize_maximize
from cnnkit.tasks.visualize.network import load_viewed_network, view_model
from cnnkit.tasks.visualize.settings import MaximizeSettings

QUICK = MaximizeSettings(size=48, steps=30)


@pytest.fixture(scope="module")
def compact():
    return load_viewed_network("compact")


@pytest.fixture(scope="module")
def edges(compact):
    """Two units of layer 3, with the default settings but smaller."""
    return visualize_maximize("layer3", [0, 19], QUICK, model=compact)


def test_a_unit_is_excited_far_above_noise_and_photographs(compact, edges):
    layer = edges.layer
    assert layer == "block3_conv4"
    submodel = compact.submodel([layer])
    photographs = [
        photograph[:256, :256][None].astype(np.float32) / 255
        for photograph in (data.astronaut(), data.chelsea(), data.coffee())
    ]
    for one in edges.units:
        means = [
            float(keras.ops.convert_to_numpy(submodel(picture)[layer])[..., one.unit].mean())
            for picture in photographs
        ]
        assert one.mean > 2 * one.noise_mean
        assert one.mean > 2 * max(means)
        assert not one.is_dead


def test_what_is_told_of_a_picture_is_what_the_network_says_to_it(compact, edges):
    layer, [first, _] = edges.layer, edges.units
    assert first.image.shape == (48, 48, 3)
    assert first.image.dtype == np.float32
    assert 0 <= first.image.min() < first.image.max() <= 1
    said = keras.ops.convert_to_numpy(compact.submodel([layer])(first.image[None])[layer])[0]
    assert first.mean == pytest.approx(said[..., 0].mean(), rel=1e-4)
    assert first.peak == pytest.approx(said[..., 0].max(), rel=1e-4)


def test_the_picture_has_less_fine_detail_than_noise(edges):
    for one in edges.units:
        light = one.image.mean(-1)
        fine = np.diff(light, axis=1).std() / light.std()
        # Of white noise the differences are sqrt(2) times as large as the values.
        assert fine < 0.9


def test_the_same_seed_makes_the_same_picture_alone_or_beside_others(compact, edges):
    [alone] = visualize_maximize("block3_conv4", [19], QUICK, model=compact).units
    np.testing.assert_allclose(alone.image, edges.units[1].image, atol=2e-3)
    [again] = visualize_maximize("block3_conv4", [19], QUICK, model=compact).units
    np.testing.assert_array_equal(alone.image, again.image)
    other = MaximizeSettings(size=48, steps=30, seed=1)
    [another] = visualize_maximize("block3_conv4", [19], other, model=compact).units
    assert np.abs(another.image - alone.image).max() > 0.1


@pytest.mark.parametrize(
    "settings", [{"parameterization": "pixels"}, {"target": "centre"}, {"blur": 2.0}]
)
def test_other_ways_excite_the_unit_too(compact, settings):
    options = MaximizeSettings(size=48, steps=20, **settings)
    [found] = visualize_maximize("block2_conv2", [1], options, model=compact).units
    start = MaximizeSettings(size=48, steps=1, **settings)
    [before] = visualize_maximize("block2_conv2", [1], start, model=compact).units
    assert found.peak > 3 * before.peak


def test_more_units_than_fit_side_by_side_are_all_made_and_counted():
    inputs = keras.Input((16, 16, 3))
    keras.utils.set_random_seed(0)
    model = keras.Model(inputs, keras.layers.Conv2D(6, 3, activation="relu", name="c")(inputs))
    steps = []
    found = visualize_maximize(
        "c",
        [5, 0, 1, 2, 3],
        MaximizeSettings(steps=2),
        model=view_model(model, "own"),
        on_step=lambda done, total: steps.append((done, total)),
    ).units
    assert [one.unit for one in found] == [5, 0, 1, 2, 3]
    assert found[0].image.shape == (16, 16, 3)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_dead_units_are_told():
    inputs = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(3, 1, activation="relu", name="c")
    model = keras.Model(inputs, layer(inputs))
    kernel = np.ones((1, 1, 3, 3), np.float32)
    # The first would need pictures brighter than white; the second hardly stirs.
    kernel[..., 1] = 1e-3
    layer.set_weights([kernel, np.array([-4.0, 0.0, 0.0], np.float32)])
    settings = MaximizeSettings(size=16, steps=5)
    found = visualize_maximize("c", [0, 1, 2], settings, model=view_model(model, "own")).units
    assert [one.is_dead for one in found] == [True, True, False]
    assert found[0].peak == 0.0


def test_classes_are_excited_before_their_softmax():
    inputs = keras.Input((16, 16, 3))
    keras.utils.set_random_seed(0)
    x = keras.layers.Conv2D(4, 3, name="c")(inputs)
    x = keras.layers.Flatten()(keras.layers.ReLU(name="r")(keras.layers.BatchNormalization()(x)))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="p")(x))
    network = view_model(model, "own")
    for layer in ("p", "r"):
        options = MaximizeSettings(steps=20, learning_rate=0.2)
        [found] = visualize_maximize(layer, [1], options, model=network).units
        assert found.mean > 1.3 * found.noise_mean


@pytest.mark.parametrize(
    ("layer", "units", "options", "message"),
    [
        ("layer9", [0], QUICK, "compact has no layer 'layer9'; it has: "),
        ("layer1", [16], QUICK, "block1_conv2 has the units 0 to 15, not 16"),
        ("layer1", [], QUICK, "give a unit of the layer"),
    ],
)
def test_what_is_wrong_is_one_line(layer, units, options, message):
    with pytest.raises(UsageError, match=message):
        visualize_maximize(layer, units, options)


def test_a_network_of_one_size_takes_no_other():
    inputs = keras.Input((16, 20, 3))
    network = view_model(keras.Model(inputs, keras.layers.Conv2D(2, 3, name="c")(inputs)), "own")
    with pytest.raises(UsageError, match="own takes 20x16 pixels only; leave out --size"):
        visualize_maximize("c", [0], MaximizeSettings(size=32), model=network)
    [found] = visualize_maximize("c", [0], MaximizeSettings(steps=1), model=network).units
    assert found.image.shape == (16, 20, 3)
