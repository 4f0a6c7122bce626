from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.errors import ImageError, UsageError
from cnnkit.tasks.detect.metrics import FoundBoxes
from cnnkit.tasks.detect.predict import Detector, detect
from cnnkit.tasks.detect.settings import DetectSettings


def test_objects_of_several_pictures_in_their_order(dot_detector, dotted_pictures):
    paths = [dotted_pictures / f"{name}.png" for name in ("two", "none", "tall")]
    two, none, tall = detect(paths, model=dot_detector)
    assert [one.label for one in two.objects] == ["red", "blue"]
    assert two.objects[0].box_xyxy == pytest.approx((4, 12, 20, 28), abs=1e-3)
    assert none.objects == ()
    assert tall.objects[0].box_xyxy == pytest.approx((12, 20, 28, 36), abs=1e-3)
    assert tall.size == (64, 32)


def test_boxes_are_in_pixels_of_the_picture_whatever_its_size(dot_detector, tmp_path):
    # The dot of 8 pixels in 64 is one of 40 in 320, and its box twice as wide.
    pixels = np.zeros((320, 160, 3), np.uint8)
    pixels[120:160, 80:120, 2] = 255
    Image.fromarray(pixels).save(tmp_path / "large.png")
    [found] = detect(tmp_path / "large.png", model=dot_detector)
    best = found.objects[0]
    assert best.label == "blue"
    assert best.box_xyxy == pytest.approx((60, 100, 140, 180), abs=1)


def test_a_batch_gives_what_single_pictures_give(dot_detector, dotted_pictures):
    paths = [str(dotted_pictures / f"{name}.png") for name in ("two", "none", "tall")]
    detector = Detector(dot_detector)
    boxes = [
        [[one.box_xyxy for one in found.objects] for found in detector.detect_each(paths, batch=n)]
        for n in (1, 3)
    ]
    assert boxes[0] == boxes[1]


def test_a_mirror_image_shows_the_same_objects(dot_detector, dotted_pictures):
    paths = [dotted_pictures / f"{name}.png" for name in ("two", "none", "tall")]
    plain = detect(paths, model=dot_detector)
    both = detect(paths, settings=DetectSettings(flip=True), model=dot_detector)
    for one, other in zip(plain, both, strict=True):
        assert [thing.label for thing in other.objects] == [thing.label for thing in one.objects]
        for found, expected in zip(other.objects, one.objects, strict=True):
            assert found.box_xyxy == pytest.approx(expected.box_xyxy, abs=1e-3)
            assert found.score == pytest.approx(expected.score, abs=1e-5)


def test_what_one_of_two_views_shows_has_half_the_score(dot_detector, dotted_pictures):
    picture = dotted_pictures / "tall.png"
    [alone] = detect(picture, model=dot_detector)
    # At half the size the dot fills a quarter of a place, for which the score is low.
    options = {"scales": (1.0, 0.5), "classes": ("blue",)}
    [found] = detect(picture, model=dot_detector, settings=DetectSettings(**options))
    assert found.objects[0].box_xyxy == pytest.approx(alone.objects[0].box_xyxy, abs=1e-3)
    assert found.objects[0].score == pytest.approx(alone.objects[0].score / 2, abs=1e-3)
    [found] = detect(picture, model=dot_detector, settings=DetectSettings(conf=0.6, **options))
    assert found.objects == ()


@pytest.mark.parametrize(("suppression", "expected"), [("class", [0, 1]), ("agnostic", [0])])
def test_fused_boxes_of_two_classes_exclude_each_other_if_asked(
    dot_detector, suppression, expected
):
    detector = Detector(dot_detector, DetectSettings(suppression=suppression))
    box = np.array([[0.0, 0.0, 10.0, 10.0]])
    views = [
        FoundBoxes(box, np.array([0]), np.array([0.8])),
        FoundBoxes(box, np.array([1]), np.array([0.6])),
    ]
    found = detector._fuse(views, conf=0.25, iou=0.5, most=10)
    assert found.class_ids.tolist() == expected
    assert found.scores == pytest.approx([0.4, 0.3][: len(expected)])


def test_a_missing_picture_is_an_error(dot_detector):
    with pytest.raises(ImageError, match="does not exist"):
        detect("nowhere.png", model=dot_detector)


def test_a_class_that_is_not_known_is_refused(dot_detector):
    with pytest.raises(UsageError, match="knows no 'green'"):
        Detector(dot_detector, DetectSettings(classes=("green",)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 3), (33, 64)])
def test_any_shape_can_be_looked_at(dot_detector, shape):
    detector = Detector(dot_detector)
    pixels = np.zeros((*shape, 3), np.uint8)
    assert detector.detect(pixels)[0].objects == ()


def test_a_network_of_one_size_sees_squares_of_it(tmp_path, dotted_pictures):
    import json

    from cnnkit.models.yolo import build_yolov1, with_boxes
    from cnnkit.weights.keras_file import write_keras_file

    model = with_boxes(build_yolov1(1, size=64, width=1 / 64))
    settings = json.dumps({"kind": "detector", "size": 64}).encode()
    path = tmp_path / "yolo.keras"
    write_keras_file(model, path, {"classes.txt": b"dot", "settings.json": settings})
    settings = DetectSettings(conf=0.0, iou=1.0)
    [found] = detect(dotted_pictures / "tall.png", model=path, settings=settings)
    # One cell of two boxes.
    assert len(found.objects) == 2
    for wrong in ({"size": 96}, {"scales": (1.0, 2.0)}):
        with pytest.raises(UsageError, match="takes pictures of 64 pixels; no --size and --scales"):
            Detector(str(path), DetectSettings(**wrong))


def test_pictures_of_files_are_not_kept_in_memory_but_can_be_drawn(dot_detector, dotted_pictures):
    path = dotted_pictures / "two.png"
    with Image.open(path) as image:
        from_file, from_memory = detect([path, image], model=dot_detector)
    assert from_file.pixels is None
    assert from_memory.pixels is not None
    np.testing.assert_array_equal(np.asarray(from_file.plot()), np.asarray(from_memory.plot()))


def test_the_older_names_still_work(dot_detector, dotted_pictures):
    picture = dotted_pictures / "two.png"
    options = cnnkit.DetectOptions(conf=0.99)
    assert detect(picture, model=dot_detector, options=options)[0].objects == ()


def test_threads_may_use_one_detector(dot_detector, dotted_pictures):
    paths = [dotted_pictures / f"{name}.png" for name in ("two", "none", "tall")]
    detector = cnnkit.Detector(dot_detector)
    expected = [detector.detect(path)[0].objects for path in paths]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: detector.detect(path)[0].objects, paths * 8))
    assert found == expected * 8
