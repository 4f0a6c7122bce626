"""Depthwise convolutions against those of the backend."""

import keras
import numpy as np
import pytest

from cnnkit.ops.depthwise import convolve_depthwise


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("size", "extent", "stride"),
    [((9, 12), 3, 1), ((9, 12), 3, 2), ((11, 8), 5, 1), ((10, 7), 4, 3)],
)
def test_sums_of_shifted_products_are_what_keras_computes(size, extent, stride, padding):
    random = np.random.default_rng(extent)
    x = random.standard_normal((2, *size, 6)).astype(np.float32)
    kernel = random.standard_normal((extent, extent, 6, 1)).astype(np.float32)
    found = convolve_depthwise(x, kernel, stride, padding)
    wanted = keras.ops.depthwise_conv(x, kernel, stride, padding)
    assert tuple(found.shape) == tuple(wanted.shape)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("dilation", [2, 3])
def test_kernels_are_dilated(dilation, padding):
    random = np.random.default_rng(dilation)
    x = random.standard_normal((1, 13, 12, 4)).astype(np.float32)
    kernel = random.standard_normal((3, 3, 4, 1)).astype(np.float32)
    found = convolve_depthwise(x, kernel, 1, padding, dilation)
    wanted = keras.ops.depthwise_conv(x, kernel, 1, padding, dilation_rate=dilation)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_sums_of_16_bits_are_in_32():
    x = np.full((1, 50, 50, 1), 0.5, np.float16)
    found = convolve_depthwise(x, np.ones((50, 50, 1, 1), np.float32))
    assert keras.backend.standardize_dtype(found.dtype) == "float16"
    # Adding halves, float16 comes no further than 1024.
    assert float(found[0, 0, 0, 0]) == 1250.0


def test_what_it_cannot_do_is_refused():
    x = np.zeros((1, 4, 4, 2), np.float32)
    with pytest.raises(ValueError, match="padding"):
        convolve_depthwise(x, np.zeros((3, 3, 2, 1), np.float32), padding="reflect")
    with pytest.raises(ValueError, match="one kernel"):
        convolve_depthwise(x, np.zeros((3, 3, 2, 2), np.float32))
