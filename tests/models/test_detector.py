import keras
import numpy as np
import pytest

from cnnkit.models.detector import (
    SCALE,
    STAGES,
    AnchorBoxes,
    BoxesAtPoints,
    anchor_points,
    build_anchor_detector,
    build_detector,
    grid_points,
    with_scores,
    without_scores,
)


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    fine = keras.layers.Conv2D(4, 4, 4)(inputs)
    return build_detector(inputs, fine, 3, widths=(8, 12, 16), depths=(1, 1, 1), neck=8)


def test_boxes_lie_around_the_points_of_their_places():
    layer = BoxesAtPoints(8)
    raw = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    found = np.array(layer(raw))
    sides = np.log1p(np.exp(raw)) * 8
    for row in range(3):
        for column in range(5):
            x, y = 8 * column + 4, 8 * row + 4
            left, top, right, bottom = sides[:, row, column].T
            expected = np.stack([x - left, y - top, x + right, y + bottom], axis=-1)
            np.testing.assert_allclose(found[:, row * 5 + column], expected, rtol=1e-4)


def test_predictions_are_in_the_order_of_the_points(detector):
    pixels = np.zeros((1, 64, 96, 3), "float32")
    boxes = np.array(detector(pixels))[0, :, :4]
    points = grid_points(64, 96)
    assert len(boxes) == len(points) == 8 * 12 + 4 * 6 + 2 * 3
    inside = (boxes[:, :2] < points[:, :2]) & (boxes[:, 2:] > points[:, :2])
    assert inside.all()
    # Before training: 1.46 strides to each side, and a probability of 0.01.
    sides = (boxes[:, 2:] - boxes[:, :2]) / points[:, 2:]
    np.testing.assert_allclose(sides, 2 * np.log1p(np.exp(1.2)), rtol=0.1)


def test_scores_are_probabilities_and_can_be_taken_off_again(detector):
    pixels = np.random.default_rng(0).random((1, 32, 32, 3)).astype("float32")
    plain, scored = np.array(detector(pixels)), np.array(with_scores(detector)(pixels))
    np.testing.assert_allclose(scored[..., :4], plain[..., :4])
    np.testing.assert_allclose(scored[..., 4:], 1 / (1 + np.exp(-plain[..., 4:])), rtol=1e-5)
    back = without_scores(with_scores(detector))
    np.testing.assert_allclose(np.array(back(pixels)), plain)


def test_a_detector_comes_back_from_its_file(detector, tmp_path):
    model = with_scores(detector)
    model.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(tmp_path / "detector.keras", compile=False)
    pixels = np.random.default_rng(1).random((1, 32, 64, 3)).astype("float32")
    np.testing.assert_allclose(np.array(loaded(pixels)), np.array(model(pixels)), atol=1e-5)


def test_stages_have_their_strides_and_widths(detector):
    stages = keras.Model(detector.inputs[0], [detector.get_layer(name).output for name in STAGES])
    found = stages(np.zeros((1, 64, 96, 3), "float32"))
    assert [tuple(one.shape) for one in found] == [(1, 8, 12, 8), (1, 4, 6, 12), (1, 2, 3, 16)]


def test_what_the_detector_is_given_is_centred_and_scaled_by_what_was_set(detector):
    pixels = np.random.default_rng(2).random((1, 64, 64, 3)).astype("float32")
    layer = detector.get_layer(SCALE)
    maps = keras.Model(detector.inputs[0], [layer.input, layer.output])
    before = [one.copy() for one in layer.get_weights()]
    layer.set_weights([np.full(4, 0.5, "float32"), np.full(4, 4.0, "float32")])
    given, scaled = maps(pixels, training=True)
    layer.set_weights(before)
    np.testing.assert_allclose(np.array(scaled), (np.array(given) - 0.5) / 2, atol=1e-3)


@pytest.mark.parametrize(
    "settings", [{"classes": 0}, {"classes": 2, "widths": (8, 8)}, {"classes": 2, "depths": (1,)}]
)
def test_no_classes_or_other_stages_are_refused(settings):
    inputs = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="at least 1 class, and widths and depths of 3 stages"):
        build_detector(inputs, keras.layers.Conv2D(4, 4, 4)(inputs), **settings)


def test_anchors_are_told_at_their_points_and_scores_as_logits():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    fine = keras.layers.Conv2D(4, 4, 4)(inputs)
    anchors = {16: [(10, 20), (30, 8), (4, 4)], 32: [(50, 50), (64, 90), (80, 20)]}
    small = {"widths": (8, 8, 8), "depths": (1, 1, 1), "neck": 8}
    detector = build_anchor_detector(inputs, fine, 5, anchors, {16: 6, 32: 7}, **small)
    pixels = np.random.default_rng(0).random((2, 96, 64, 3)).astype("float32")
    found = np.array(detector(pixels))
    points = anchor_points(96, 64, anchors)
    assert found.shape == (2, len(points), 9)
    middles = (found[..., :2] + found[..., 2:4]) / 2
    assert np.all(np.abs(middles - points[:, :2]) <= points[:, 2:] / 2)
    # A new one tells the anchors themselves, nearly, and is unsure of all.
    sizes = np.concatenate(
        [
            np.tile(one, (len(points), 1))[:count]
            for one, count in ((anchors[16], 3 * 24), (anchors[32], 3 * 6))
        ]
    )
    np.testing.assert_allclose(found[0, :, 2:4] - found[0, :, :2], sizes, rtol=0.2)
    assert np.all(found[..., 4:] < -4.5)
    assert [layer.name for layer in detector.layers if layer.name.startswith("features")] == [
        "features16",
        "features32",
    ]


def test_logits_of_anchors_are_those_of_the_scores_and_end_nowhere():
    random = np.random.default_rng(0)
    maps = random.normal(0.0, 3.0, (1, 2, 2, 2 * 8)).astype("float32")
    anchors = [(10, 20), (30, 8)]
    for softmax in (False, True):
        scores, logits = (
            np.array(AnchorBoxes(anchors, 32, softmax=softmax, logits=logits)(maps), float)
            for logits in (False, True)
        )
        np.testing.assert_array_equal(scores[..., :4], logits[..., :4])
        expected = np.log(scores[..., 4:] / (1 - scores[..., 4:]))
        np.testing.assert_allclose(logits[..., 4:], expected, rtol=1e-3, atol=1e-3)
    maps[..., 4:] = 200.0
    assert np.array(AnchorBoxes(anchors, 32, logits=True)(maps))[..., 4:].min() > 15.0
    maps[..., 4:] = -200.0
    far = np.array(AnchorBoxes(anchors, 32, logits=True)(maps))[..., 4:]
    np.testing.assert_allclose(far, -400.0, rtol=1e-5)
