import keras
import numpy as np
import pytest
from keras import layers, ops

from cnnkit.ops.convolution import padding_of
from cnnkit.ops.deconvnet import (
    average_unpooling,
    contrast_normalized,
    max_switches,
    max_unpooling,
    rectify,
    transposed_convolution,
    transposed_depthwise_convolution,
    unpadding,
)


def pads_of(padding, size, window, strides, dilation=(1, 1)):
    return tuple(
        padding_of(n, f, stride=s or f, padding=padding, dilation=d)
        for n, f, s, d in zip(size, window, strides or window, dilation, strict=True)
    )


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_adjoint(forward, backward, x):
    """<A x, y> = <x, A' y> for some y."""
    ax = ops.convert_to_numpy(forward(x))
    y = normal(*ax.shape, seed=7)
    back = ops.convert_to_numpy(backward(ops.convert_to_tensor(y)))
    assert back.shape == x.shape
    np.testing.assert_allclose(
        np.vdot(ax.astype(np.float64), y), np.vdot(x.astype(np.float64), back), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("kernel", "strides", "dilation", "groups"),
    [
        ((3, 3), (1, 1), (1, 1), 1),
        ((3, 3), (2, 2), (1, 1), 1),
        ((11, 2), (4, 3), (1, 1), 1),
        ((1, 1), (2, 2), (1, 1), 1),
        ((2, 3), (1, 1), (3, 2), 1),
        ((3, 3), (2, 2), (1, 1), 2),
        ((3, 3), (1, 1), (1, 1), 4),
    ],
)
def test_the_transposed_convolution_is_the_adjoint(padding, kernel, strides, dilation, groups):
    x = normal(2, 13, 14, 4)
    weights = normal(*kernel, 4 // groups, 8, seed=1)
    assert_adjoint(
        lambda x: ops.conv(x, weights, strides=strides, padding=padding, dilation_rate=dilation),
        lambda y: transposed_convolution(
            y,
            weights,
            (13, 14),
            strides=strides,
            pads=pads_of(padding, (13, 14), kernel, strides, dilation),
            dilation=dilation,
            groups=groups,
        ),
        x,
    )


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [((3, 3), 1, (1, 1)), ((5, 5), 2, (1, 1)), ((3, 2), 1, (2, 3)), ((2, 2), 3, (1, 1))],
)
def test_the_transposed_depthwise_convolution_is_the_adjoint(padding, kernel, stride, dilation):
    x = normal(2, 13, 14, 3)
    weights, strides = normal(*kernel, 3, 1, seed=1), (stride, stride)
    assert_adjoint(
        lambda x: ops.depthwise_conv(
            x, weights, strides=strides, padding=padding, dilation_rate=dilation
        ),
        lambda y: transposed_depthwise_convolution(
            y,
            weights,
            (13, 14),
            strides=strides,
            pads=pads_of(padding, (13, 14), kernel, strides, dilation),
            dilation=dilation,
        ),
        x,
    )


def test_a_filter_comes_back_as_it_is_where_one_unit_speaks():
    # Correlation with a filter is largest where the picture looks like it: that is what is drawn.
    kernel = normal(3, 3, 1, 2)
    maps = np.zeros((1, 5, 5, 2), np.float32)
    maps[0, 2, 1, 1] = 2.0
    back = ops.convert_to_numpy(transposed_convolution(maps, kernel, (7, 7)))
    np.testing.assert_allclose(back[0, 2:5, 1:4, 0], 2.0 * kernel[:, :, 0, 1], rtol=1e-6)
    assert np.count_nonzero(back) == 9


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("window", "strides"), [((2, 2), None), ((3, 3), (2, 2)), ((3, 2), (1, 3)), ((2, 2), (3, 3))]
)
def test_pooling_back_is_the_adjoint(padding, window, strides):
    x = normal(2, 9, 10, 3)
    options = {"strides": strides, "pads": pads_of(padding, (9, 10), window, strides)}
    switches = max_switches(ops.convert_to_tensor(x), window, **options)
    # With the switches of x, taking the maximum of x is linear near x.
    assert_adjoint(
        layers.MaxPooling2D(window, strides, padding),
        lambda y: max_unpooling(y, switches, (9, 10), window, **options),
        x,
    )
    assert_adjoint(
        layers.AveragePooling2D(window, strides, padding),
        lambda y: average_unpooling(y, (9, 10), window, **options),
        x,
    )


def test_unpooling_puts_each_maximum_back_to_its_place():
    x = np.array([[1, 9, 2, 2], [3, 4, 8, 2]], np.float32).reshape(1, 2, 4, 1)
    switches = max_switches(ops.convert_to_tensor(x), (2, 2))
    assert ops.convert_to_numpy(switches).ravel().tolist() == [1, 2]
    back = max_unpooling(ops.ones((1, 1, 2, 1)), switches, (2, 4), (2, 2))
    assert ops.convert_to_numpy(back)[0, :, :, 0].tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]


def test_negative_values_win_over_padding():
    x = np.full((1, 3, 3, 1), -5.0, np.float32)
    options = {"strides": (2, 2), "pads": ((1, 1), (1, 1))}
    switches = max_switches(ops.convert_to_tensor(x), (3, 3), **options)
    back = max_unpooling(ops.ones(switches.shape), switches, (3, 3), (3, 3), **options)
    assert float(ops.sum(back)) == 4.0


@pytest.mark.parametrize("mode", ["constant", "reflect", "symmetric"])
@pytest.mark.parametrize("pads", [((1, 1), (1, 1)), ((0, 3), (2, 0)), ((3, 2), (1, 4))])
def test_unpadding_is_the_adjoint(mode, pads):
    assert_adjoint(
        lambda x: ops.pad(x, ((0, 0), *pads, (0, 0)), mode=mode),
        lambda y: unpadding(y, pads, mode),
        normal(2, 5, 6, 3),
    )


def test_unpadding_refuses_what_cannot_have_been():
    maps = ops.zeros((1, 5, 5, 1))
    with pytest.raises(ValueError, match=r"narrower than the inside\. Received: .* around 1"):
        unpadding(maps, ((2, 2), (0, 0)), "reflect")
    with pytest.raises(ValueError, match=r"constant, reflect or symmetric\. Received: 'edge'"):
        unpadding(maps, ((1, 1), (0, 0)), "edge")


def test_rectification_keeps_what_is_positive():
    found = ops.convert_to_numpy(rectify(keras.ops.array([[-1.0, 0.0, 2.0]])))
    assert found.tolist() == [[0.0, 0.0, 2.0]]


def test_a_reconstruction_is_drawn_around_middle_grey():
    maps = np.array([-4.0, 2.0, 0.0, 1.0]).reshape(1, 4, 1)
    assert contrast_normalized(maps).ravel().tolist() == [0.0, 0.75, 0.5, 0.625]
    assert contrast_normalized(np.zeros((2, 2, 3))).tolist() == np.full((2, 2, 3), 0.5).tolist()


def test_a_few_large_values_do_not_make_the_others_pale():
    maps = np.full((10, 20, 1), 2.0)
    maps[0, 0] = 100.0
    found = contrast_normalized(maps)
    assert found.min() == found.max() == 1.0
