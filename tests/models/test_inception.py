import numpy as np
import pytest

from cnnkit.models.inception import MODULES, build_inception
from tests.models._gradients import assert_gradients_reach_every_weight


def module(channels, one, reduce_three, three, reduce_five, five, projection):
    return (
        (channels + 1) * one
        + (channels + 1) * reduce_three
        + (9 * reduce_three + 1) * three
        + (channels + 1) * reduce_five
        + (25 * reduce_five + 1) * five
        + (channels + 1) * projection
    )


def test_weights_of_each_module_by_hand():
    model = build_inception((64, 64, 3), classes=1000)
    channels = 192
    total = (49 * 3 + 1) * 64 + (64 + 1) * 64 + (9 * 64 + 1) * 192
    for name, filters in MODULES.items():
        expected = module(channels, *filters)
        parts = [x for x in model.layers if x.name.startswith(f"inception_{name}")]
        assert sum(part.count_params() for part in parts) == expected
        total += expected
        # What the branches give, side by side.
        channels = filters[0] + filters[2] + filters[4] + filters[5]
    assert channels == 1024
    assert model.count_params() == total + (1024 + 1) * 1000 == 6_998_552


def test_auxiliary_heads_add_their_weights():
    # At 224 pixels 4 x 4 places of 128 maps go into each head's 1024 units; 4a has 512, 4d 528.
    dense = (4 * 4 * 128 + 1) * 1024 + (1024 + 1) * 1000
    heads = (512 + 1) * 128 + (528 + 1) * 128 + 2 * dense
    assert build_inception(auxiliary=True).count_params() == 6_998_552 + heads == 13_378_280


def test_shapes_are_the_papers():
    model = build_inception(classes=2)
    names = ("pool1", "pool2", "inception_3b", "inception_4e", "inception_5b", "pool5")
    assert [model.get_layer(name).output.shape[1:] for name in names] == [
        (56, 56, 64), (28, 28, 192), (28, 28, 480), (14, 14, 832), (7, 7, 1024), (1024,),
    ]  # fmt: skip


def test_it_gives_probabilities_and_learns_everywhere():
    model = build_inception((65, 80, 3), classes=3, auxiliary=True)
    outputs = model(np.ones((2, 65, 80, 3), "float32"))
    assert sorted(outputs) == ["auxiliary1", "auxiliary2", "predictions"]
    for probabilities in outputs.values():
        np.testing.assert_allclose(np.asarray(probabilities).sum(axis=1), [1.0, 1.0], rtol=1e-5)
    assert_gradients_reach_every_weight(model)


def test_it_works_without_normalisation():
    names = [layer.name for layer in build_inception((32, 32, 1), 2, local_response=False).layers]
    assert not any(name.startswith("norm") for name in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (31, 31, 3)}, r"at least 32. Received: \(31, 31, 3\)"),
        ({"input_shape": (64, 64, 3), "auxiliary": True}, r"at least 65. Received"),
        ({"classes": 0}, r"classes must be a number from 1. Received: 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_inception(**arguments)
