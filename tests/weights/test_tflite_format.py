import numpy as np
import pytest

from cnnkit.errors import WeightsError
from cnnkit.weights.tflite_format import Operator, read_tflite
from tests._tflite_files import Writer


@pytest.fixture
def writer():
    return Writer()


def test_layers_and_their_numbers_are_read(writer, tmp_path):
    picture = writer.picture(8)
    x = writer.convolution(picture, 5, 3, stride=2)
    x = writer.convolution(x, 0, depthwise=True, holes=2, relu=False)
    network = read_tflite(writer.write(tmp_path / "x.tflite", x))
    assert network.inputs == (0,)
    # The picture, then of each layer kernel, bias and result.
    assert network.operators == (
        Operator("convolution", (0, 1, 2), 3, stride=2, dilation=1, padding="same"),
        Operator("depthwise", (3, 4, 5), 6, stride=1, dilation=2, padding="same"),
    )
    first, kernel, bias, result = network.tensors[:4]
    # (0 - 128) / 128 and (255 - 128) / 128.
    assert (first.shape, first.values) == ((1, 8, 8, 3), None)
    assert (first.least, first.most) == (-1.0, 0.9921875)
    assert (result.least, result.most) == (0.0, pytest.approx(6.0))
    raw = np.frombuffer(writer.buffer_of(1), np.uint8).reshape(5, 3, 3, 3)
    scale = writer.tensors[1].quantization.scale[0]
    np.testing.assert_allclose(kernel.values, (raw.astype(float) - 120) * scale, rtol=1e-6)
    raw = np.frombuffer(writer.buffer_of(2), np.int32)
    np.testing.assert_allclose(bias.values, raw * scale / 128, rtol=1e-6)
    assert kernel.values.dtype == bias.values.dtype == np.float32


def test_what_is_no_such_file_is_refused(writer, tmp_path):
    path = tmp_path / "x.tflite"
    with pytest.raises(WeightsError, match=r"x.tflite cannot be read: No such file"):
        read_tflite(path)
    for data in (b"", b"TFL3" * 9, b"no network at all"):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"x.tflite is (no TensorFlow Lite file|damaged)"):
            read_tflite(path)
    whole = writer.write(path, writer.convolution(writer.picture(8), 5)).read_bytes()
    for size in range(8, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(WeightsError, match=r"x.tflite is damaged"):
            read_tflite(path)
