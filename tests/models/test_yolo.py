import keras
import numpy as np
import pytest

from cnnkit.models.yolo import (
    PRETRAINED_CONVOLUTIONS,
    CellBoxes,
    build_yolov1,
    build_yolov1_classifier,
    take_over_pretrained,
    with_boxes,
)
from cnnkit.tasks.detect.loss import YoloV1Loss, encode_cells


def test_it_has_24_convolutions_and_2_dense_layers():
    model = build_yolov1(20, width=1 / 64)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Conv2D") == 24
    assert kinds.count("Dense") == 2
    assert kinds.count("MaxPooling2D") == 4
    # 24 convolutions and a dense layer are leaky; the last is linear.
    assert kinds.count("LeakyReLU") == 25
    assert model.output_shape == (None, 7, 7, 30)
    assert model.get_layer("dropout").rate == 0.5


def test_filters_are_those_of_the_paper():
    # The whole with its dense layers has a billion bytes: only the convolutions are looked at.
    model = build_yolov1_classifier(10, size=32)
    filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters[:6] == [64, 192, 128, 256, 256, 512]
    assert filters[6:14] == [256, 512] * 4
    assert filters[14:] == [512, 1024, 512, 1024, 512, 1024]
    assert len(filters) == PRETRAINED_CONVOLUTIONS


def test_pretrained_convolutions_are_taken_over():
    keras.utils.set_random_seed(0)
    classifier = build_yolov1_classifier(4, size=64, width=1 / 64)
    detector = build_yolov1(2, size=64, width=1 / 64)
    assert take_over_pretrained(detector, classifier) == PRETRAINED_CONVOLUTIONS
    for name in ("conv1", "conv20"):
        first, second = (model.get_layer(name).get_weights()[0] for model in (classifier, detector))
        np.testing.assert_array_equal(first, second)


def test_what_is_encoded_comes_back_as_boxes_and_scores():
    boxes = np.array([[10.0, 20, 50, 60], [80, 70, 100, 120]])
    target = encode_cells(boxes, np.array([2, 0]), 2, 3, 128)
    answers = np.zeros((1, 2, 2, 13), np.float32)
    for first in (0, 5):
        answers[0, ..., first : first + 2] = target[..., 1:3]
        answers[0, ..., first + 2 : first + 4] = np.sqrt(target[..., 3:5])
        answers[0, ..., first + 4] = target[..., 0]
    answers[0, ..., 10:] = target[..., 5:]
    found = np.array(CellBoxes(2, 128)(answers))[0]
    sure = found[found[:, 4:].max(axis=1) > 0.5]
    np.testing.assert_allclose(sure[::2, :4], boxes, atol=1e-4)
    assert sure[:, 4:].argmax(axis=1).tolist() == [2, 2, 0, 0]


def loss_by_hand(y_true, y_pred, boxes):
    """Cell by cell, as the paper has it."""

    def corners(x, y, wide, high, cells):
        return (
            x / cells - wide / 2,
            y / cells - high / 2,
            x / cells + wide / 2,
            y / cells + high / 2,
        )

    total = 0.0
    cells = y_pred.shape[0]
    for row in range(cells):
        for column in range(cells):
            truth, found = y_true[row, column], y_pred[row, column]
            parts = found[: 5 * boxes].reshape(boxes, 5)
            if not truth[0]:
                total += 0.5 * (parts[:, 4] ** 2).sum()
                continue
            overlaps = []
            for x, y, root_wide, root_high, _ in parts:
                a = corners(x, y, root_wide**2, root_high**2, cells)
                b = corners(*truth[1:5], cells)
                wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
                high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
                union = root_wide**2 * root_high**2 + truth[3] * truth[4] - wide * high
                overlaps.append(wide * high / union)
            best = int(np.argmax(overlaps))
            x, y, root_wide, root_high, sure = parts[best]
            total += 5 * ((x - truth[1]) ** 2 + (y - truth[2]) ** 2)
            total += 5 * (root_wide - np.sqrt(truth[3])) ** 2
            total += 5 * (root_high - np.sqrt(truth[4])) ** 2
            total += (overlaps[best] - sure) ** 2
            total += 0.5 * sum(parts[i, 4] ** 2 for i in range(boxes) if i != best)
            total += ((truth[5:] - found[5 * boxes :]) ** 2).sum()
    return total


@pytest.mark.parametrize("boxes", [1, 2, 3])
def test_the_loss_is_that_of_the_paper(boxes):
    random = np.random.default_rng(boxes)
    y_true, y_pred = [], []
    for _ in range(3):
        corner = random.uniform(0, 80, (4, 2))
        objects = np.concatenate([corner, corner + random.uniform(10, 47, (4, 2))], axis=1)
        target = encode_cells(objects, random.integers(0, 3, 4), 3, 3, 128)
        answer = random.normal(0.3, 0.3, (3, 3, 5 * boxes + 3))
        for index in range(boxes):
            # Near enough that all overlap.
            near = np.concatenate([target[..., 1:3], np.sqrt(target[..., 3:5])], axis=-1)
            answer[..., 5 * index : 5 * index + 4] = near + random.normal(0, 0.05, (3, 3, 4))
        y_true.append(target)
        y_pred.append(answer)
    y_true, y_pred = np.array(y_true, np.float32), np.array(y_pred, np.float32)
    expected = np.mean([loss_by_hand(*pair, boxes) for pair in zip(y_true, y_pred, strict=True)])
    assert float(YoloV1Loss(boxes)(y_true, y_pred)) == pytest.approx(expected, rel=1e-4)


def test_of_boxes_that_all_miss_the_nearest_is_responsible():
    y_true = encode_cells(np.array([[0.0, 0, 16, 16]]), np.array([0]), 1, 1, 64)[None]
    # Both far away and small; the second is nearer and is the one whose sureness is to be 0.
    answers = np.array([[0.9, 0.9, 0.1, 0.1, 0.0, 0.6, 0.6, 0.1, 0.1, 1.0, 1.0]], np.float32)
    loss = float(YoloV1Loss(2)(y_true, answers.reshape(1, 1, 1, 11)))
    # The object's middle is at 0.125, its sides are a quarter: roots of 0.5.
    expected = 5 * (2 * 0.475**2 + 2 * 0.4**2) + 1.0
    assert loss == pytest.approx(expected, rel=1e-4)


def test_a_size_that_is_no_multiple_of_64_is_refused():
    with pytest.raises(ValueError, match="multiple of 64"):
        build_yolov1(2, size=100)


def test_boxes_are_given_for_each_cell():
    model = with_boxes(build_yolov1(3, size=128, width=1 / 64))
    found = np.array(model(np.zeros((2, 128, 128, 3), np.float32)))
    assert found.shape == (2, 2 * 2 * 2, 7)
    assert ((found[..., 4:] >= 0) & (found[..., 4:] <= 1)).all()
