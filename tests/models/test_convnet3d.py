import numpy as np
import pytest

from cnnkit.models.convnet3d import build_convnet3d
from tests.models._gradients import assert_gradients_reach_every_weight


def test_the_lectures_example():
    model = build_convnet3d((14, 14, 14, 1), pool_size=1)
    assert [model.get_layer(name).output.shape[1:] for name in ("conv1", "conv2")] == [
        (10, 10, 10, 16),
        (6, 6, 6, 32),
    ]
    # (125 + 1) 16 + (125 * 16 + 1) 32 + (32 + 1) 10
    assert model.count_params() == 2016 + 64_032 + 330


def test_it_gives_probabilities_and_learns_everywhere():
    model = build_convnet3d((10, 11, 12, 2), classes=4, filters=(3, 4), kernel_size=3)
    np.testing.assert_allclose(
        np.asarray(model(np.ones((2, 10, 11, 12, 2), "float32"))).sum(axis=1), [1.0, 1.0], rtol=1e-5
    )
    assert_gradients_reach_every_weight(model)


def test_a_volume_too_small_is_refused():
    with pytest.raises(ValueError, match=r"\(depth, height, width, channels\) .* at least 16"):
        build_convnet3d((16, 16, 15, 1))
