"""The feature pyramids: what reaches what, and that they load from a file."""

import keras
import numpy as np
import pytest

from cnnkit.models.fcn import PadToStride
from cnnkit.models.feature_pyramid import (
    SEGMENTER_STRIDES,
    build_pyramid_detector,
    build_pyramid_segmenter,
)
from cnnkit.weights.keras_file import load_keras_file

ANCHORS = {16: [(20.0, 20.0)], 32: [(50.0, 50.0), (90.0, 60.0)]}
FEATURES = {16: 4, 32: 6}


def pooled(x, strides):
    return {stride: keras.layers.AveragePooling2D(stride)(x) for stride in strides}


def detector():
    inputs = keras.Input((None, None, 3))
    maps = pooled(inputs, (8, 16, 32))
    return build_pyramid_detector(inputs, maps, 3, ANCHORS, FEATURES, width=8)


def segmenter(strides=SEGMENTER_STRIDES):
    inputs = keras.Input((None, None, 3))
    maps = pooled(PadToStride()(inputs), strides)
    return build_pyramid_segmenter(inputs, maps, 5, widths=dict.fromkeys(maps, 8))


@pytest.mark.parametrize("stage", ["stage8", "stage16", "stage32"])
def test_each_stage_reaches_the_boxes_of_both_strides(stage):
    keras.utils.set_random_seed(0)
    model = detector()
    names = ["stage8", "stage16", "stage32"]
    head = keras.Model([model.get_layer(name).output for name in names], model.outputs[0])
    random = np.random.default_rng(0)
    sides = [64 // int(name.removeprefix("stage")) for name in names]
    values = [random.normal(size=(1, side, side, 3)).astype("float32") for side in sides]
    before = keras.ops.convert_to_numpy(head(values))
    changed = [
        value + (name == stage) * np.float32(1.0) for name, value in zip(names, values, strict=True)
    ]
    after = keras.ops.convert_to_numpy(head(changed))
    # 16 places of one anchor at stride 16, 4 of two at stride 32.
    assert before.shape == (1, 24, 7)
    for rows in (slice(0, 16), slice(16, 24)):
        # The last layer begins near zero, so that little comes of it; what is not reached is equal.
        assert not np.array_equal(after[0, rows], before[0, rows])


@pytest.mark.parametrize("size", [(64, 64), (33, 70), (1, 5)])
def test_a_picture_of_any_size_comes_back_labelled(size):
    for strides in (SEGMENTER_STRIDES, (8, 16, 32)):
        scores = segmenter(strides)(np.zeros((2, *size, 3), np.float32))
        assert tuple(scores.shape) == (2, *size, 5)


def test_the_skip_at_stride_4_tells_neighbouring_places_apart():
    keras.utils.set_random_seed(0)
    model = segmenter()
    x = np.zeros((1, 64, 64, 3), np.float32)
    # The same mean in each square of 8 pixels: only the map at stride 4 sees these stripes.
    x[:, :, 0::8] = x[:, :, 1::8] = x[:, :, 2::8] = x[:, :, 3::8] = 1.0
    scores = keras.ops.convert_to_numpy(model(x))[0, 30:34]
    flat = keras.ops.convert_to_numpy(model(np.full_like(x, 0.5)))[0, 30:34]
    assert np.ptp(scores[:, 24:40], axis=1).max() > 10 * np.ptp(flat[:, 24:40], axis=1).max()


@pytest.mark.parametrize("build", [detector, segmenter])
def test_a_saved_pyramid_loads_in_safe_mode_and_predicts_the_same(build, tmp_path):
    model = build()
    model.save(tmp_path / "model.keras")
    loaded = load_keras_file(tmp_path / "model.keras", "--model")
    x = np.random.default_rng(0).random((1, 64, 96, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-5)


def test_a_pyramid_needs_a_class():
    inputs = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="classes must be"):
        build_pyramid_detector(inputs, pooled(inputs, (8, 16, 32)), 0, ANCHORS, FEATURES)
    with pytest.raises(ValueError, match="classes must be"):
        build_pyramid_segmenter(inputs, pooled(inputs, SEGMENTER_STRIDES), 0)
