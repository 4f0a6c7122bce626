import struct

import numpy as np
import pytest

from cnnkit.errors import WeightsError
from cnnkit.weights.darknet_format import (
    DarknetWeights,
    Section,
    read_sections,
)


def weights_file(path, numbers, version=(0, 2, 5)):
    seen = struct.pack("<q" if version[0] * 10 + version[1] >= 2 else "<i", 64)
    content = struct.pack("<iii", *version) + seen + np.asarray(numbers, "<f4").tobytes()
    path.write_bytes(content)
    return path


def test_sections_and_their_options(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text("# a net\n[net]\nwidth=320\n\n[convolutional]\nfilters = 8 # few\nsize=3\n")
    net, layer = read_sections(path)
    assert (net.kind, net.integer("width")) == ("net", 320)
    assert (layer.kind, layer.line) == ("convolutional", 5)
    assert (layer.integer("filters"), layer.integer("stride", 1)) == (8, 1)


def test_a_batch_normalisation_is_folded_in(tmp_path):
    # 2 filters of 1x1 over 1 channel: bias, scale, mean, variance, kernel.
    numbers = [1, 2, 3, 4, 5, 6, 0.25, 4, 10, 20]
    weights = DarknetWeights(weights_file(tmp_path / "x.weights", numbers))
    section = Section("convolutional", 1, {"filters": "2", "size": "1", "batch_normalize": "1"})
    found = weights.convolution(section, 1, "layer 0", is_depthwise=False)
    weights.finish()
    x = 7.0
    expected = [
        (10 * x - 5) / np.sqrt(0.25 + 1e-5) * 3 + 1,
        (20 * x - 6) / np.sqrt(4 + 1e-5) * 4 + 2,
    ]
    np.testing.assert_allclose(found.kernel[0, 0, 0] * x + found.bias, expected, rtol=1e-5)


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 0), (1, 0, 0)])
def test_kernels_are_turned_from_out_in_rows_columns(tmp_path, version):
    kernel = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    numbers = [*(-1, -2), *kernel.ravel()]
    weights = DarknetWeights(weights_file(tmp_path / "x.weights", numbers, version))
    section = Section("convolutional", 1, {"filters": "2", "size": "2"})
    found = weights.convolution(section, 3, "layer 0", is_depthwise=False)
    for out in range(2):
        for channel in range(3):
            np.testing.assert_array_equal(found.kernel[:, :, channel, out], kernel[out, channel])
    assert found.bias.tolist() == [-1, -2]


def test_too_few_and_too_many_numbers_are_told(tmp_path):
    section = Section("convolutional", 1, {"filters": "2", "size": "1"})
    short = DarknetWeights(weights_file(tmp_path / "short.weights", [1, 2, 3]))
    with pytest.raises(WeightsError, match="ends in layer 0"):
        short.convolution(section, 1, "layer 0", is_depthwise=False)
    long = DarknetWeights(weights_file(tmp_path / "long.weights", [1, 2, 3, 4, 5]))
    long.convolution(section, 1, "layer 0", is_depthwise=False)
    with pytest.raises(WeightsError, match="has 1 numbers more"):
        long.finish()


def test_what_is_no_file_of_darknet(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text("hello\n")
    with pytest.raises(WeightsError, match="line 1 is 'hello'"):
        read_sections(path)
    path.write_text("[convolutional]\n")
    with pytest.raises(WeightsError, match=r"must begin with \[net\]"):
        read_sections(path)
    path.write_bytes(b"ab")
    with pytest.raises(WeightsError, match="has 2 bytes"):
        DarknetWeights(path)
    with pytest.raises(WeightsError, match="cannot be read"):
        DarknetWeights(tmp_path / "nowhere")
