import numpy as np
import pytest

from cnnkit.models.convnet1d import build_convnet1d
from tests.models._gradients import assert_gradients_reach_every_weight


def test_the_lectures_example():
    model = build_convnet1d((14, 1), pool_size=1)
    assert [model.get_layer(name).output.shape[1:] for name in ("conv1", "conv2")] == [
        (10, 16),
        (6, 32),
    ]
    # (5 + 1) 16 + (5 * 16 + 1) 32 + (32 + 1) 10
    assert model.count_params() == 96 + 2592 + 330


def test_it_gives_probabilities_and_learns_everywhere():
    model = build_convnet1d((40, 3), classes=4, filters=(4, 5, 6), kernel_size=3)
    np.testing.assert_allclose(
        np.asarray(model(np.ones((2, 40, 3), "float32"))).sum(axis=1), [1.0, 1.0], rtol=1e-5
    )
    assert_gradients_reach_every_weight(model)


def test_the_shortest_signal_passes_and_a_shorter_one_is_refused():
    # One place is left: 1 * 2 + 4 = 6, 6 * 2 + 4 = 16.
    assert build_convnet1d((16, 1)).get_layer("pool2").output.shape == (None, 1, 32)
    with pytest.raises(ValueError, match=r"\(length, channels\) .* at least 16. Received: \(15, 1"):
        build_convnet1d((15, 1))


@pytest.mark.parametrize("wrong", [{"filters": ()}, {"kernel_size": 0}, {"filters": (4, 0)}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be at least 1. Received"):
        build_convnet1d(**wrong)
