"""Convolution arithmetic: the lecture's own examples, NumPy and Keras as the second opinion."""

import math

import keras
import numpy as np
import pytest

from cnnkit.ops.convolution import (
    KERNELS,
    ReceptiveField,
    convolution_multiply_adds,
    convolution_parameters,
    convolve_image,
    output_arithmetic,
    output_size,
    padding_of,
    parse_kernel,
    pool_image,
)
from cnnkit.tasks.visualize.shapes import trace_shapes


def shapes(text):
    return [layer.output_shape for layer in trace_shapes(text).layers]


def random_image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


# Sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "f", "options", "expected"),
    [
        (6, 3, {}, 4),  # 6 - 3 + 1
        (6, 3, {"padding": 1}, 6),  # 6 + 2 - 3 + 1
        (7, 3, {"stride": 2}, 3),  # (7 - 3) / 2 + 1
        (8, 3, {"stride": 2}, 3),  # floor(5 / 2) + 1
        (227, 11, {"stride": 4}, 55),  # 216 / 4 + 1
        (9, 3, {"dilation": 2}, 5),  # 9 - 5 + 1
        (5, 5, {}, 1),
    ],
)
def test_output_sizes_by_hand(size, f, options, expected):
    assert output_size(size, f, **options) == expected
    assert output_arithmetic(size, f, **options).endswith(f" + 1 = {expected}")


# Keras refuses a stride and a dilation at once.
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_output_sizes_are_those_of_keras(padding, stride, dilation):
    for size in range(7, 13):
        for f in range(1, 4):
            layer = keras.layers.Conv1D(
                1, f, strides=stride, padding=padding, dilation_rate=dilation
            )
            expected = layer.compute_output_shape((1, size, 1))[1]
            assert output_size(size, f, stride=stride, padding=padding, dilation=dilation) == (
                expected
            )


@pytest.mark.parametrize("f", [1, 3, 5, 7])
def test_same_padding_of_odd_windows_is_half_of_what_is_lost(f):
    assert padding_of(32, f, padding="same") == ((f - 1) // 2, (f - 1) // 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, 5), r"must fit into the padded axis. Received: size 4 with padding 0 and 0"),
        ((4, 0), r"must be at least 1. Received: size=4, f=0"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        output_size(*arguments)


@pytest.mark.parametrize("padding", ["full", -1])
def test_unknown_padding_is_refused(padding):
    with pytest.raises(ValueError, match=r"'valid', 'same' or a number from 0. Received"):
        padding_of(4, 3, padding=padding)


def test_parameters_and_multiply_adds_by_hand():
    # 5 * 5 * 3 weights and a bias for each of 16 filters
    assert convolution_parameters((5, 5), 3, 16) == (75 + 1) * 16
    assert convolution_parameters((5, 5), 3, 16, bias=False) == 75 * 16
    # Two groups: each filter sees half of the channels.
    assert convolution_parameters((5, 5), 96, 256, groups=2) == (25 * 48 + 1) * 256
    assert convolution_multiply_adds((10, 10), (5, 5), 3, 16) == 100 * 75 * 16


# Receptive field ------------------------------------------------------------------------------


def test_receptive_field_of_lenet_by_hand():
    # conv5: 1 + 4. pool2: 5 + 1, jump 2. conv5: 6 + 4 * 2, pool2: 14 + 1 * 2, jump 4.
    found = trace_shapes("32x32x1 conv5-6 avgpool2 conv5-16 avgpool2 fc120")
    assert [layer.receptive_field for layer in found.layers] == [
        (5, 5), (6, 6), (14, 14), (16, 16), (32, 32),
    ]  # fmt: skip
    assert [layer.jump for layer in found.layers] == [(1, 1), (2, 2), (2, 2), (4, 4), (0, 0)]


def test_receptive_field_is_what_a_unit_depends_on():
    # f, stride, padding, dilation of three convolutions
    steps = [(3, 1, 1, 1), (2, 2, 0, 1), (3, 1, 2, 2)]
    size, field = 24, ReceptiveField()
    matrix = np.eye(size)
    for f, stride, padding, dilation in steps:
        field = field.through(f, stride=stride, padding=padding, dilation=dilation)
        places = output_size(len(matrix), f, stride=stride, padding=padding, dilation=dilation)
        padded = np.pad(matrix, ((padding, padding), (0, 0)))
        matrix = np.array(
            [
                sum(padded[place * stride + tap * dilation] for tap in range(f))
                for place in range(places)
            ]
        )
    inside = []
    for unit, row in enumerate(matrix):
        seen = np.flatnonzero(row)
        begin, end = field.places(unit)
        assert seen[0] >= begin
        assert seen[-1] < end
        # At the border a dilated window may have holes where the picture begins.
        if begin >= 0 and end <= size:
            assert (seen[0], seen[-1] + 1) == (begin, end)
            inside.append(unit)
    assert len(inside) >= 3


# The language of shapes -----------------------------------------------------------------------


def test_the_lectures_examples_in_one_two_and_three_dimensions():
    assert shapes("14x1 conv5-16 conv5-32") == [(10, 16), (6, 32)]
    assert shapes("14x14x3 conv5-16 conv5-32") == [(10, 10, 16), (6, 6, 32)]
    assert shapes("14x14x14x1 conv5-16 conv5-32") == [(10, 10, 10, 16), (6, 6, 6, 32)]


def test_words_and_their_options():
    assert shapes("28x30x4 conv3x5-8/2x3p") == [(14, 10, 8)]
    assert shapes("28x28x4 conv3-8same pool3/2p avgpool2 gap fc5") == [
        (28, 28, 8), (14, 14, 8), (7, 7, 8), (8,), (5,),
    ]  # fmt: skip
    assert shapes("9x9x4 conv3-8d2 flatten fc3") == [(5, 5, 8), (200,), (3,)]
    assert shapes("7×7×2 conv3-4valid/2") == [(3, 3, 4)]
    assert shapes("9x9x1 maxpool3/1p1") == [(9, 9, 1)]


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        # (25 + 1) 6 + (25 * 6 + 1) 16 + 401 * 120 + 121 * 84 + 85 * 10
        ("32x32x1 conv5-6 avgpool2 conv5-16 avgpool2 fc120 fc84 fc10", 61_706),
        # Krizhevsky et al. 2012, its two towers, and the same net in one tower
        (
            "227x227x3 conv11-96/4 pool3/2 conv5-256pg2 pool3/2 conv3-384p conv3-384pg2 "
            "conv3-256pg2 pool3/2 fc4096 fc4096 fc1000",
            60_965_224,
        ),
        (
            "227x227x3 conv11-96/4 pool3/2 conv5-256p pool3/2 conv3-384p conv3-384p "
            "conv3-256p pool3/2 fc4096 fc4096 fc1000",
            62_378_344,
        ),
        # Simonyan & Zisserman 2014, configuration D: 138 M
        (
            "224x224x3 conv3-64p conv3-64p pool2 conv3-128p conv3-128p pool2 conv3-256p "
            "conv3-256p conv3-256p pool2 conv3-512p conv3-512p conv3-512p pool2 conv3-512p "
            "conv3-512p conv3-512p pool2 fc4096 fc4096 fc1000",
            138_357_544,
        ),
    ],
)
def test_parameters_of_classic_networks(text, parameters):
    assert trace_shapes(text).parameters == parameters


def test_the_arithmetic_is_written_out():
    convolution, pool, dense = trace_shapes("14x14x3 conv5-16 pool3/2 fc10").layers
    assert convolution.arithmetic == (
        "size: (14 + 2*0 - 5)/1 + 1 = 10",
        "parameters: 5*5*3*16 + 16 = 1,216",
        "multiply-adds: 10*10 * 5*5*3*16 = 120,000",
    )
    assert pool.arithmetic == ("size: floor((10 + 2*0 - 3)/2) + 1 = 4",)
    assert dense.arithmetic == (
        "parameters: 4*4*16*10 + 10 = 2,570",
        "multiply-adds: 4*4*16*10 = 2,560",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "word 1 must be the input, .* such as 14x14x3. Received: ''"),
        ("conv5-16", "word 1 must be the input, .*Received: 'conv5-16'"),
        ("14x14x3", "word 2 must be a layer such as conv5-16, .*Received: ''"),
        ("14x0x3 pool2", "word 1 must have no axis of size 0. Received: '14x0x3'"),
        ("14x14x3 cov5-16", "word 2, 'cov5-16': must be a layer such as conv5-16, pool2"),
        ("14x14x3 pool2 conv5", "word 3, 'conv5': must be convF-N, such as conv5-16"),
        ("14x14x3 pool2-8", "word 2, 'pool2-8': must be poolF, such as pool2"),
        ("14x14x3 conv15-8", "word 2, 'conv15-8': a window that spans 15 must fit"),
        ("14x14x3 conv0-8", "word 2, 'conv0-8': size, f, stride and dilation must be at least 1"),
        ("14x14x3 conv3-8/0", "word 2, .*must be at least 1. Received: .*stride=0"),
        ("14x14x3 conv3-0", "at least one filter .*Received: 3 channels, 0 filters, 1 groups"),
        ("14x14x3 conv3-8g2", "as many groups as divide .*Received: 3 channels, 8 filters, 2"),
        ("14x14x3 conv3-8psame", "must have each option once. Received: 'psame'"),
        ("14x14x4 pool2g2", "must have no groups"),
        ("14x14x3 conv3x3x3-8", "one for each of 2 axes. Received: 3x3x3"),
        ("14x14x3 fc10 conv3-8", "word 3, 'conv3-8': must come before what makes a row"),
        ("14x14x3 fc10 gap", "word 3, 'gap': must come before"),
        ("14x14x3 fc", "must be fcN, such as fc10. Received: 'fc'"),
        ("14x14x3 fc0", "must have at least one unit"),
        ("14x14x3 gap2", "must be gap alone. Received: 'gap2'"),
    ],
)
def test_errors_name_the_word_and_what_is_expected(text, message):
    with pytest.raises(ValueError, match=message):
        trace_shapes(text)


# Pictures -------------------------------------------------------------------------------------


def test_the_lectures_vertical_edge():
    bright_to_dark = np.array([[10, 10, 10, 0, 0, 0]] * 6)
    found = convolve_image(bright_to_dark, KERNELS["vertical"])
    np.testing.assert_array_equal(found, [[0, 30, 30, 0]] * 4)
    # The sign tells dark-to-bright from bright-to-dark.
    np.testing.assert_array_equal(
        convolve_image(bright_to_dark[:, ::-1], KERNELS["vertical"]), [[0, -30, -30, 0]] * 4
    )
    np.testing.assert_array_equal(convolve_image(bright_to_dark.T, KERNELS["horizontal"]), found.T)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel_shape", [(3, 3), (2, 4), (5, 1)])
def test_convolution_of_pictures_is_that_of_keras(padding, stride, kernel_shape):
    image, kernel = random_image(11, 14), random_image(*kernel_shape, seed=1)
    expected = keras.ops.conv(
        image[None, ..., None].astype("float32"),
        kernel[..., None, None].astype("float32"),
        strides=stride,
        padding=padding,
    )
    found = convolve_image(image, kernel, stride=stride, padding=padding)
    np.testing.assert_allclose(found, np.squeeze(keras.ops.convert_to_numpy(expected)), rtol=1e-4)


def test_a_flipped_kernel_is_the_convolution_of_mathematics():
    image, kernel = random_image(6, 6), random_image(3, 3, seed=1)
    expected = sum(
        kernel[u, v] * image[2 - u : 6 - u, 2 - v : 6 - v] for u in range(3) for v in range(3)
    )
    np.testing.assert_allclose(convolve_image(image, kernel, flip=True), expected)


def test_explicit_padding_adds_zeros():
    np.testing.assert_array_equal(
        convolve_image(np.ones((2, 2)), np.ones((3, 3)), padding=1), [[4, 4], [4, 4]]
    )


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1)])
@pytest.mark.parametrize("pool", ["max", "average"])
def test_pooling_of_pictures_is_that_of_keras(pool, size, stride, padding):
    image = random_image(9, 12, 2) - 2.0
    function = keras.ops.max_pool if pool == "max" else keras.ops.average_pool
    expected = function(image[None].astype("float32"), size, stride, padding)
    found = pool_image(image, size, stride=stride, padding=padding, pool=pool)
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(expected)[0], rtol=1e-5)


def test_wrong_pictures_and_pools_are_refused():
    with pytest.raises(ValueError, match=r"axes \(height, width\). Received: \(2, 2, 3\)"):
        convolve_image(np.ones((2, 2, 3)), np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"'max' or 'average'. Received: 'min'"):
        pool_image(np.ones((4, 4)), 2, pool="min")
    with pytest.raises(ValueError, match=r"\(height, width\[, channels\]\). Received: \(4,\)"):
        pool_image(np.ones(4), 2)
    with pytest.raises(ValueError, match="must fit into the padded axis"):
        pool_image(np.ones((4, 4)), 5)
    with pytest.raises(ValueError, match=r"smaller than the window 2. Received: 2"):
        pool_image(np.ones((4, 4)), 2, padding=2)


@pytest.mark.parametrize("text", ["1,0,-1\n1,0,-1\n1,0,-1\n", "1 0 -1; 1 0 -1 ;1 0 -1;"])
def test_kernels_from_numbers(text):
    np.testing.assert_array_equal(parse_kernel(text), KERNELS["vertical"])


@pytest.mark.parametrize("text", ["", "sobl", "1 2; 3", "1 nan", "inf", "1 " * 102])
def test_what_is_no_kernel_is_refused(text):
    with pytest.raises(ValueError, match="rows of numbers, equally long"):
        parse_kernel(text)


@pytest.mark.parametrize("name", KERNELS)
def test_edge_kernels_see_nothing_in_a_flat_picture(name):
    assert math.isclose(parse_kernel(name).sum(), 0.0)
