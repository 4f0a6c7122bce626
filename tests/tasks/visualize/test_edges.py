import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.tasks.visualize.edges import read_kernel, visualize_edges
from cnnkit.tasks.visualize.settings import EdgeSettings


@pytest.fixture
def ramp():
    """Black on the left to white on the right, grey."""
    row = np.linspace(0, 1, 8, dtype=np.float32)
    return Picture(np.broadcast_to(row[None, :, None], (6, 8, 3)).copy())


def test_a_ramp_has_one_slope(ramp):
    found = visualize_edges(ramp, EdgeSettings(kernel="vertical"))
    # Each of three rows: left minus right, two steps of 1/7 apart.
    np.testing.assert_allclose(found.output, np.full((4, 6), -3 * 2 / 7), rtol=1e-5)
    assert np.allclose(
        visualize_edges(ramp, EdgeSettings(kernel="horizontal")).output, 0, atol=1e-6
    )
    flipped = visualize_edges(ramp, EdgeSettings(kernel="vertical", flip=True))
    np.testing.assert_allclose(flipped.output, -found.output)
    np.testing.assert_array_equal(flipped.kernel, -found.kernel)


def test_the_arithmetic_of_both_axes(ramp):
    found = visualize_edges(
        ramp, EdgeSettings(kernel="1 0 0 -1; 1 0 0 -1", stride=2, padding="same")
    )
    assert found.output.shape == (3, 4)
    assert found.window == (2, 4)
    assert found.padding == ((0, 0), (1, 1))
    assert found.arithmetic == ("(6 + 2*0 - 2)/2 + 1 = 3", "(8 + 2*1 - 4)/2 + 1 = 4")


def test_pooling_keeps_the_colours(ramp):
    found = visualize_edges(ramp, EdgeSettings(pool="average", size=2))
    assert found.output.shape == (3, 4, 3)
    np.testing.assert_allclose(found.output[0, :, 0], np.array([0.5, 2.5, 4.5, 6.5]) / 7, rtol=1e-5)
    assert (found.kernel, found.stride, found.name) == (None, 2, "average of 2 x 2")


def test_kernels_from_files(tmp_path):
    file = tmp_path / "kernel.txt"
    file.write_text("1 2\n3 4\n")
    assert read_kernel(str(file)).tolist() == [[1, 2], [3, 4]]
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="--kernel"):
        read_kernel(str(file))
    # Longer than any name of a file
    assert read_kernel("; ".join(["1 0 -1"] * 90)).shape == (90, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "full"}, "padding must be one of valid, same, not 'full'"),
        ({"pool": "min"}, "pool must be one of max, average, not 'min'"),
        ({"pool": "max", "size": 7}, "must fit into the padded axis"),
        ({"stride": 0}, "stride must be a whole number from 1, not 0"),
    ],
)
def test_wrong_arguments_are_usage_errors(ramp, options, message):
    with pytest.raises(UsageError, match=message):
        visualize_edges(ramp, EdgeSettings(**options))
