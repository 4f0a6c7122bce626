import dataclasses
import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import signal

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import to_uint8
from cnnkit.models.face_encoder import (
    build_face_encoder,
    load_face_encoder_weights,
)
from cnnkit.ops.alignment import extract_chip
from cnnkit.weights.dlib_format import Convolution, FaceEncoderWeights

# From dlib 20.0.1 on skimage.data.astronaut(): "descriptor" of the face found without doubling the
# picture and of the one found after doubling it, and their "landmarks".
GOLDEN = Path(__file__).with_name("face_golden.npz")

to_numpy = keras.ops.convert_to_numpy


@pytest.fixture(scope="module")
def weights():
    return load_face_encoder_weights()


@pytest.fixture(scope="module")
def encoder(weights):
    return build_face_encoder(weights)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def test_the_embedding_of_the_astronaut_is_dlibs(encoder, golden):
    pixels = to_uint8(load_sample(find_sample("astronaut")).pixels)
    chips = np.stack([extract_chip(pixels, points) for points in golden["landmarks"]])
    embeddings = to_numpy(encoder(chips.astype(np.float32)))
    np.testing.assert_allclose(embeddings, golden["descriptor"], atol=1e-4)
    assert np.linalg.norm(embeddings[0] - embeddings[1]) < 0.6


def test_the_network_is_the_described_one(encoder):
    assert encoder.count_params() == 5_607_488
    assert encoder.output_shape == (None, 128)
    assert encoder.trainable_variables == []
    # Height of each block's result: 150 -> 72 -> 35, halved where convolution and pooling differ.
    heights = [encoder.get_layer(f"block{index}_relu").output.shape[1] for index in (3, 7, 10, 13)]
    assert heights == [35, 17, 8, 4]
    assert encoder.get_layer("block14_relu").output.shape[1:] == (2, 2, 256)


def convolve(x, convolution):
    """`(H, W, in)` -> `(H', W', out)` by SciPy, channel by channel."""
    pad = convolution.padding
    x = np.pad(x, [(pad, pad), (pad, pad), (0, 0)])
    filters = [
        sum(
            signal.correlate2d(x[..., channel], convolution.kernel[..., channel, index], "valid")
            for channel in range(x.shape[-1])
        )
        for index in range(convolution.bias.size)
    ]
    stride = convolution.stride
    return (np.stack(filters, axis=-1) + convolution.bias)[::stride, ::stride]


def pad_to(x, shape):
    return np.pad(x, [(0, wanted - size) for wanted, size in zip(shape, x.shape, strict=True)])


def test_the_network_is_what_numpy_computes():
    """An independent forward pass, with the widths of the real network."""
    generator = np.random.default_rng(0)
    widths = [3, 32, *[32] * 6, *[64] * 8, *[128] * 6, *[256] * 8]
    convolutions = []
    for index, (before, after) in enumerate(itertools.pairwise(widths)):
        is_smaller = index in (0, 7, 15, 21, 27)
        side = 3 if index else 7
        scale = np.sqrt(2.0 / (side * side * before))
        convolutions.append(
            Convolution(
                generator.normal(0.0, scale, (side, side, before, after)).astype(np.float32),
                generator.normal(0.0, 0.1, after).astype(np.float32),
                2 if is_smaller else 1,
                0 if is_smaller else 1,
            )
        )
    projection = generator.normal(0.0, 0.1, (256, 128)).astype(np.float32)
    model = build_face_encoder(
        FaceEncoderWeights(tuple(convolutions), projection, (122.0, 117.0, 104.0), 150)
    )
    # From the stem's result on, in a corner, so that SciPy need not take minutes: blocks 8 to 14
    # hold every kind of block.
    middle = keras.Model(model.get_layer("block11_relu").output, model.outputs[0])
    x = generator.normal(0.0, 1.0, (4, 4, 256)).astype(np.float32)
    found = to_numpy(middle(x[None]))[0]
    for index in range(23, 29, 2):
        first, second = convolutions[index : index + 2]
        branch = convolve(np.maximum(convolve(x, first), 0.0), second)
        shortcut = x
        if first.stride == 2:
            rows, columns = x.shape[0] // 2, x.shape[1] // 2
            windows = x[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, -1)
            shortcut = windows.mean(axis=(1, 3))
            shape = np.maximum(branch.shape, shortcut.shape)
            branch, shortcut = pad_to(branch, shape), pad_to(shortcut, shape)
        x = np.maximum(branch + shortcut, 0.0)
    np.testing.assert_allclose(found, x.mean(axis=(0, 1)) @ projection, rtol=1e-3, atol=1e-4)


def test_weights_of_another_network_are_refused(weights):
    fewer = dataclasses.replace(weights, convolutions=weights.convolutions[:-1])
    with pytest.raises(ValueError, match=r"29 convolutions were expected\. Received: 28"):
        build_face_encoder(fewer)


def test_the_callers_array_stays_as_it_was(encoder):
    chips = np.full((1, 150, 150, 3), 100.0, np.float32)
    encoder(chips)
    assert (chips == 100.0).all()
