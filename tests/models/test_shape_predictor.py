import numpy as np
import pytest

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import to_uint8
from cnnkit.models.shape_predictor import ShapePredictor, load_shape_predictor_weights
from cnnkit.weights.dlib_format import ShapePredictorWeights

# dlib 20.0.1 on skimage.data.astronaut(): its two boxes, right and bottom just outside, and points.
BOXES = np.array([[168, 69, 264, 165], [165, 73, 264, 172]])
LANDMARKS = [
    [[255, 104], [237, 105], [195, 101], [212, 103], [224, 135]],
    [[255, 104], [238, 105], [195, 101], [212, 103], [224, 135]],
]


@pytest.fixture(scope="module")
def predictor():
    return ShapePredictor(load_shape_predictor_weights())


@pytest.fixture(scope="module")
def astronaut():
    return to_uint8(load_sample(find_sample("astronaut")).pixels)


def test_the_points_of_the_astronaut_are_dlibs(predictor, astronaut):
    assert predictor.predict(astronaut, BOXES).tolist() == LANDMARKS


def test_faces_together_are_faces_alone(predictor, astronaut):
    boxes = np.concatenate([BOXES, BOXES + np.array([30, -20, 50, 0])])
    together = predictor.predict(astronaut, boxes)
    alone = [predictor.predict(astronaut, box[None])[0] for box in boxes]
    np.testing.assert_array_equal(together, alone)


def test_no_face_gives_no_points(predictor, astronaut):
    assert predictor.predict(astronaut, np.zeros((0, 4), int)).shape == (0, 5, 2)


def test_a_box_over_the_edge_is_taken(predictor, astronaut):
    points = predictor.predict(astronaut, np.array([[-40, -40, 60, 60], [480, 480, 600, 600]]))
    assert np.isfinite(points).all()


def random_weights(depth, cascades=3, trees=4, points=3, pixels=6):
    generator = np.random.default_rng(depth)
    nodes = 2**depth - 1
    return ShapePredictorWeights(
        generator.random((points, 2)).astype(np.float32),
        generator.integers(0, points, (cascades, pixels)).astype(np.int32),
        generator.normal(0.0, 0.2, (cascades, pixels, 2)).astype(np.float32),
        generator.integers(0, pixels, (cascades, trees, nodes)).astype(np.int32),
        generator.integers(0, pixels, (cascades, trees, nodes)).astype(np.int32),
        generator.normal(0.0, 60.0, (cascades, trees, nodes)).astype(np.float32),
        generator.normal(0.0, 0.02, (cascades, trees, nodes + 1, points, 2)).astype(np.float32),
    )


def predict_slowly(weights, pixels, box):
    """dlib's loop: face by face, tree by tree, node by node."""
    left, top, right, bottom = box
    corner = np.array([left, top])
    sides = np.array([right - 1 - left, bottom - 1 - top], float)
    initial = weights.initial_shape.astype(float)
    shape = weights.initial_shape.copy()
    for cascade, anchors in enumerate(weights.anchors):
        centred = initial - initial.mean(axis=0)
        current = shape.astype(float) - shape.astype(float).mean(axis=0)
        # The similarity by singular values (Umeyama 1991).
        u, d, vt = np.linalg.svd(current.T @ centred)
        sign = np.diag([1.0, np.sign(np.linalg.det(u @ vt))])
        scale = (d * np.diag(sign)).sum() / (centred**2).sum()
        linear = (scale * u @ sign @ vt).astype(np.float32)
        values = []
        for anchor, offset in zip(anchors, weights.offsets[cascade], strict=True):
            place = np.floor(corner + (linear @ offset + shape[anchor]) * sides + 0.5).astype(int)
            inside = (place >= 0).all() and (place < pixels.shape[1::-1]).all()
            values.append(int(pixels[place[1], place[0]].sum(dtype=int)) // 3 if inside else 0)
        total = np.zeros_like(shape)
        for tree in range(weights.first.shape[1]):
            node, nodes = 0, weights.first.shape[2]
            while node < nodes:
                first, second = (
                    weights.first[cascade, tree, node],
                    weights.second[cascade, tree, node],
                )
                is_larger = values[first] - values[second] > weights.thresholds[cascade, tree, node]
                node = 2 * node + (1 if is_larger else 2)
            total = total + weights.leaves[cascade, tree, node - nodes]
        shape = shape + total
    return np.floor(corner + shape * sides + 0.5)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_walking_the_trees_together_is_walking_them_one_by_one(depth):
    weights = random_weights(depth)
    pixels = np.random.default_rng(9).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    boxes = np.array([[5, 5, 45, 45], [20, -10, 60, 30], [40, 30, 90, 80]])
    found = ShapePredictor(weights).predict(pixels, boxes)
    expected = [predict_slowly(weights, pixels, box) for box in boxes]
    np.testing.assert_array_equal(found, expected)
