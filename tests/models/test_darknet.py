"""Darknet's layers against their definition, pixel by pixel in NumPy."""

import struct

import numpy as np
import pytest

from cnnkit.errors import WeightsError
from cnnkit.models.darknet import AnchorBoxes, build_darknet
from cnnkit.weights.darknet_format import DarknetWeights, read_sections

YOLO = "[yolo]\nanchors=10,20, 30,40\nmask=0,1\nclasses=2\n"


def build(tmp_path, cfg, count, seed=0):
    """A network of random numbers, and these."""
    numbers = np.random.default_rng(seed).normal(0, 0.4, count).astype("<f4")
    (tmp_path / "x.cfg").write_text("[net]\nwidth=32\nheight=32\n" + cfg)
    head = struct.pack("<iiiq", 0, 2, 0, 0)
    (tmp_path / "x.weights").write_bytes(head + numbers.tobytes())
    sections = read_sections(tmp_path / "x.cfg")
    return build_darknet(sections, DarknetWeights(tmp_path / "x.weights")), numbers


def convolve(x, kernel, bias, stride=1, padding=0, depthwise=False):
    """`x` is (channels, rows, columns), `kernel` (out, in, rows, columns)."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    size = kernel.shape[-1]
    rows, columns = ((side - size) // stride + 1 for side in x.shape[1:])
    out = np.zeros((len(kernel), rows, columns))
    for index, one in enumerate(kernel):
        part = x[index : index + 1] if depthwise else x
        for row in range(rows):
            for column in range(columns):
                y, z = row * stride, column * stride
                out[index, row, column] = (part[:, y : y + size, z : z + size] * one).sum()
    return out + bias[:, None, None]


def leaky(x):
    return np.where(x > 0, x, 0.1 * x)


def boxes_of(x, anchors, stride):
    """What a [yolo] layer gives, `x` (anchors * 7, rows, columns)."""
    rows = []
    sigmoid = lambda value: 1 / (1 + np.exp(-value))  # noqa: E731
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            for index, (a, b) in enumerate(anchors):
                t = x[7 * index : 7 * index + 7, row, column]
                x0, y0 = (column + sigmoid(t[0])) * stride, (row + sigmoid(t[1])) * stride
                w, h = a * np.exp(t[2]), b * np.exp(t[3])
                scores = sigmoid(t[4]) * sigmoid(t[5:])
                rows.append([x0 - w / 2, y0 - h / 2, x0 + w / 2, y0 + h / 2, *scores])
    return np.array(rows)


def test_all_layers_of_a_small_network_are_those_of_darknet(tmp_path):
    cfg = (
        "[convolutional]\nfilters=4\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
        "[convolutional]\nfilters=4\nsize=3\npad=1\ngroups=4\nactivation=linear\n"
        "[shortcut]\nfrom=-2\nactivation=linear\n"
        "[maxpool]\nsize=2\nstride=2\n"
        "[upsample]\nstride=2\n"
        "[route]\nlayers=-1,2\n"
        "[dropout]\nprobability=.1\n"
        "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n" + YOLO
    )
    count = (4 + 4 * 3 * 9) + (4 + 4 * 9) + (14 + 14 * 8)
    model, numbers = build(tmp_path, cfg, count)
    pixels = np.random.default_rng(1).random((1, 12, 8, 3)).astype("float32")
    found = np.array(model(pixels))[0]
    parts = iter(np.split(numbers.astype(float), np.cumsum([4, 108, 4, 36, 14])))
    bias, kernel = next(parts), next(parts)
    first = leaky(convolve(pixels[0].transpose(2, 0, 1), kernel.reshape(4, 3, 3, 3), bias, 2, 1))
    bias, kernel = next(parts), next(parts)
    second = convolve(first, kernel.reshape(4, 1, 3, 3), bias, 1, 1, depthwise=True)
    summed = first + second
    pooled = summed.reshape(4, 3, 2, 2, 2).max(axis=(2, 4))
    raised = pooled.repeat(2, axis=1).repeat(2, axis=2)
    whole = np.concatenate([raised, summed])
    bias, kernel = next(parts), next(parts)
    last = convolve(whole, kernel.reshape(14, 8, 1, 1), bias)
    np.testing.assert_allclose(found, boxes_of(last, [(10, 20), (30, 40)], 2), rtol=1e-3, atol=1e-3)


def test_a_region_layer_has_anchors_in_places_and_classes_that_exclude_each_other(tmp_path):
    cfg = (
        "[convolutional]\nfilters=7\nsize=2\nstride=2\nactivation=linear\n"
        "[region]\nanchors=1,2\nclasses=2\nsoftmax=1\n"
    )
    model, _ = build(tmp_path, cfg, 7 + 7 * 3 * 4)
    layer = model.layers[-1]
    assert isinstance(layer, AnchorBoxes)
    assert layer.anchors == [(2.0, 4.0)]
    assert layer.softmax


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ("[lstm]\n", r"layer 0, \[lstm\] in line 4: this kind of layer is not known"),
        ("[convolutional]\nactivation=selu\n", "activation 'selu' is not known"),
        ("[maxpool]\nsize=3\nstride=2\n", "size=3 with stride=2 is not known"),
        ("[route]\nlayers=-4\n", "there is no layer -4"),
        ("[convolutional]\nfilters=5\nactivation=linear\n" + YOLO, "it takes 14 channels"),
        ("[convolutional]\nfilters=4\nsize=1\ngroups=2\nactivation=linear\n", "groups=2"),
        ("[convolutional]\nfilters=1\nactivation=linear\n", "it is no detector"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path, cfg, message):
    count = {"[convolutional]\nfilters=5": 20, "[convolutional]\nfilters=1": 4}
    numbers = next((n for begin, n in count.items() if cfg.startswith(begin)), 4)
    with pytest.raises(WeightsError, match=message):
        build(tmp_path, cfg, numbers)


def test_weights_of_another_network_are_refused(tmp_path):
    cfg = "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n" + YOLO
    with pytest.raises(WeightsError, match="numbers more than"):
        build(tmp_path, cfg, 14 + 14 * 3 + 1)
