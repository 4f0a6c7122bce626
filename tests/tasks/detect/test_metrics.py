import contextlib
import io

import numpy as np
import pytest

from cnnkit.tasks.detect.metrics import (
    FoundBoxes,
    TrueBoxes,
    coco_scores,
    voc_average_precision,
)

CLASSES = 3


def random_pictures(seed, pictures=12):
    """Objects of all sizes, crowds among them, and boxes near some of them."""
    random = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(pictures):
        count = random.integers(0, 7)
        corner = random.uniform(0, 300, (count, 2))
        boxes = np.concatenate([corner, corner + random.uniform(5, 200, (count, 2))], axis=-1)
        ids = random.integers(0, CLASSES, count)
        ignored = random.random(count) < 0.15
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * 0.7
        truth.append(TrueBoxes(boxes, ids, ignored, areas))
        near = np.repeat(boxes, 2, axis=0) + random.normal(0, 8, (2 * count, 4))
        far = random.uniform(0, 200, (4, 2))
        far = np.concatenate([far, far + random.uniform(5, 150, (4, 2))], axis=-1)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        some = np.concatenate([near, far])
        some_ids = np.concatenate([np.repeat(ids, 2), random.integers(0, CLASSES, 4)])
        # A few equal scores: their order counts.
        scores = random.integers(1, 40, len(some)) / 40
        found.append(FoundBoxes(some, some_ids, scores))
    return truth, found


def by_pycocotools(truth, found):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    notes, results = [], []
    for number, (one, other) in enumerate(zip(truth, found, strict=True), 1):
        for box, class_id, ignored, area in zip(
            one.boxes_xyxy, one.class_ids, one.ignored, one.areas, strict=True
        ):
            x, y, right, bottom = box.tolist()
            notes.append(
                {
                    "id": len(notes) + 1,
                    "image_id": number,
                    "category_id": int(class_id),
                    "bbox": [x, y, right - x, bottom - y],
                    "area": float(area),
                    "iscrowd": int(ignored),
                }
            )
        for box, class_id, score in zip(
            other.boxes_xyxy, other.class_ids, other.scores, strict=True
        ):
            x, y, right, bottom = box.tolist()
            results.append(
                {
                    "image_id": number,
                    "category_id": int(class_id),
                    "bbox": [x, y, right - x, bottom - y],
                    "score": float(score),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        known.dataset = {
            "images": [{"id": number} for number in range(1, len(truth) + 1)],
            "annotations": notes,
            "categories": [{"id": index} for index in range(CLASSES)],
        }
        known.createIndex()
        judge = cocoeval.COCOeval(known, known.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats


@pytest.mark.parametrize("seed", range(4))
def test_all_twelve_figures_are_those_of_pycocotools(seed):
    truth, found = random_pictures(seed)
    scores = coco_scores(truth, found, CLASSES)
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    names += ("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")
    expected = by_pycocotools(truth, found)
    found_figures = [getattr(scores, name) for name in names]
    # It says -1 where there is nothing to find.
    np.testing.assert_allclose(np.nan_to_num(found_figures, nan=-1.0), expected, atol=1e-6)


def test_average_precision_by_hand():
    # Two objects; the best box is right, the second wrong, the third right: precision 1 up to
    # recall 0.5 (51 of the 101 places) and 2/3 up to 1 (50 places).
    truth = [TrueBoxes(np.array([[0, 0, 10, 10], [50, 50, 60, 60]]), np.array([0, 0]))]
    boxes = np.array([[0, 0, 10, 10], [80, 80, 90, 90], [50, 50, 60, 60]])
    found = [FoundBoxes(boxes, np.zeros(3, int), np.array([0.9, 0.8, 0.7]))]
    scores = coco_scores(truth, found, 1)
    assert scores.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    # All is exact, so the overlap makes no difference, and all objects are small.
    assert scores.ap == pytest.approx(scores.ap50)
    assert scores.ap_small == pytest.approx(scores.ap)
    assert np.isnan(scores.ap_large)
    assert scores.ar1 == pytest.approx(0.5)
    # VOC: 0.5 * 1 + 0.5 * 2/3, and 6 places of 1 and 5 of 2/3 of eleven.
    assert voc_average_precision(truth, found, 1)[0] == pytest.approx(0.5 + 1 / 3)
    eleven = voc_average_precision(truth, found, 1, rule="11")[0]
    assert eleven == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_a_second_box_on_an_object_is_wrong_and_one_on_a_difficult_object_is_neither():
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60]])
    truth = [TrueBoxes(boxes, np.array([0, 0]), np.array([False, True]))]
    some = np.array([[50, 50, 60, 60], [0, 0, 10, 9], [0, 0, 10, 10]])
    found = [FoundBoxes(some, np.zeros(3, int), np.array([0.9, 0.8, 0.7]))]
    assert voc_average_precision(truth, found, 1)[0] == pytest.approx(1.0)
    doubled = [FoundBoxes(some[[1, 1]], np.zeros(2, int), np.array([0.9, 0.8]))]
    assert voc_average_precision(truth, doubled, 1)[0] == pytest.approx(1.0)
    both = [TrueBoxes(boxes, np.array([0, 0]))]
    # Right, wrong, then nothing for the second object.
    assert voc_average_precision(both, doubled, 1)[0] == pytest.approx(0.5)


def test_a_class_without_objects_has_no_precision_and_does_not_count():
    truth = [TrueBoxes(np.array([[0, 0, 10, 10]]), np.array([1]))]
    found = [FoundBoxes(np.array([[0, 0, 10, 10]] * 2), np.array([0, 1]), np.array([0.9, 0.8]))]
    scores = coco_scores(truth, found, 2)
    assert np.isnan(scores.class_ap[0])
    assert scores.ap == pytest.approx(1.0)
    assert scores.objects.tolist() == [0, 1]
    assert np.isnan(voc_average_precision(truth, found, 2)[0])


def test_nothing_found_is_a_precision_of_zero():
    truth = [TrueBoxes(np.array([[0, 0, 10, 10]]), np.array([0]))]
    nothing = [FoundBoxes(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))]
    assert coco_scores(truth, nothing, 1).ap == 0.0
    assert voc_average_precision(truth, nothing, 1).tolist() == [0.0]


def test_results_must_be_of_the_same_pictures():
    with pytest.raises(ValueError, match="as many results"):
        coco_scores([], [FoundBoxes(np.zeros((0, 4)), np.zeros(0), np.zeros(0))], 1)
    with pytest.raises(ValueError, match="'all' or '11'"):
        voc_average_precision([], [], 1, rule="12")
