import keras
import numpy as np
import pytest

from cnnkit.errors import UsageError, WeightsError
from cnnkit.tasks.visualize.model import NETWORKS, visualize_model


def last_maps(summary):
    return [layer for layer in summary.layers if len(layer.output_shape) > 1][-1]


@pytest.mark.parametrize(
    ("name", "parameters", "field"),
    [
        # 1 + 4 + 1 + 4 * 2 + 2 places
        ("lenet5", 61_706, (16, 16)),
        # As computed by Araujo, Norris & Sim 2019 (distill.pub), before the average or dense layers
        ("alexnet", 60_965_224, (195, 195)),
        ("resnet50", 25_610_152, (483, 483)),
        ("convnet1d", 3_018, (16,)),
        ("convnet3d", 66_378, (16, 16, 16)),
    ],
)
def test_networks_by_name(name, parameters, field):
    found = visualize_model(name)
    assert found.name == name
    assert found.parameters == parameters
    assert last_maps(found).receptive_field == field
    assert found.uncounted == ()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "field"), [("vgg16", 212), ("vgg19", 268)])
def test_vgg_by_name(name, field):
    assert last_maps(visualize_model(name)).receptive_field == (field, field)


def test_every_name_takes_a_size_and_a_number_of_classes():
    for name in ("vgg16", "vgg19"):
        assert name in NETWORKS
    found = visualize_model("resnet18", input_shape=(64, 48, 1), classes=7)
    assert found.input_shape == (64, 48, 1)
    assert found.layers[-1].output_shape == (7,)


def test_the_compact_network_is_shown_for_a_size():
    assert last_maps(visualize_model("compact")).output_shape == (14, 14, 128)
    found = visualize_model("compact", input_shape=(64, 96, 3))
    assert last_maps(found).output_shape == (4, 6, 128)
    # It reflects by a layer of its own before each convolution: 13 convolutions of 3, 4 poolings.
    assert last_maps(found).receptive_field == (156, 156)
    assert last_maps(found).start == (-70, -70)


def test_a_file_keeps_its_weights_and_says_what_it_takes(tmp_path):
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="conv")(inputs))
    model.save(tmp_path / "own.keras")
    assert visualize_model(str(tmp_path / "own.keras")).layers[0].output_shape == (30, 30, 2)
    with pytest.raises(
        UsageError, match=r"own\.keras: the input must have the shape \(32, 32, 3\)"
    ):
        visualize_model(str(tmp_path / "own.keras"), input_shape=(64, 64, 3))
    with pytest.raises(UsageError, match="--classes is for"):
        visualize_model(str(tmp_path / "own.keras"), classes=3)


def test_a_file_with_our_own_layer_can_be_read(tmp_path):
    from cnnkit.models.alexnet import build_alexnet

    build_alexnet((67, 67, 3), classes=2, hidden=4).save(tmp_path / "alex.keras")
    found = visualize_model(str(tmp_path / "alex.keras"))
    assert [layer.kind for layer in found.layers].count("LocalResponseNormalization") == 2


def test_what_cannot_be_loaded_is_said(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.keras does not exist"):
        visualize_model("none.keras")
    (tmp_path / "cut.keras").write_bytes(b"PK\x03\x04")
    with pytest.raises(WeightsError, match=r"cut\.keras cannot be loaded") as error:
        visualize_model(str(tmp_path / "cut.keras"))
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="no network named 'foo'"):
        visualize_model("foo")


def test_work_is_that_of_the_paper():
    # He et al. 2015, table 1: 3.6 and 1.8 billion.
    assert visualize_model("resnet34").multiply_adds == pytest.approx(3.6e9, rel=0.03)
    assert np.isclose(visualize_model("resnet18").multiply_adds, 1.8e9, rtol=0.03)


def test_work_is_that_of_another_implementation():
    # The README of d-li14/efficientnet-lite.pytorch: 0.385 and 0.600 billion.
    for name, published in (("efficientnet-lite0", 0.385e9), ("efficientnet-lite1", 0.6e9)):
        assert visualize_model(name).multiply_adds == pytest.approx(published, rel=0.005)
