"""What a detection shows of itself."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.results import Milliseconds
from cnnkit.tasks.detect.results import DetectedObject, Detection, TrainedDetector


def detection(*objects, source="picture 1", pixels=None):
    pixels = np.zeros((60, 80, 3), np.uint8) if pixels is None else pixels
    return Detection(source, objects, (60, 80), "coco80", Milliseconds(), pixels, 0.25)


CUP = DetectedObject("cup", 41, 0.531, (9.6, 20.0, 50.2, 50.0))
CAT = DetectedObject("cat", 15, 0.4, (0.0, 0.0, 8.0, 8.0))


def test_its_short_form_names_what_was_found():
    assert repr(detection(CUP, CAT)) == "Detection(picture 1: cup 53 %, cat 40 %)"
    assert repr(detection()) == "Detection(picture 1: nothing found)"
    assert repr(detection(CUP, CAT, CAT, CAT, CAT)).endswith("cup 53 %, cat 40 %, cat 40 %, ...)")


def test_its_lines_count_what_was_found():
    lines = detection(CUP, CAT, CAT).lines()
    assert lines[0] == "picture 1: 1 cup, 2 cat"
    assert lines[1].split() == ["53.1%", "cup", "41x30", "at", "10,20"]


def test_a_plot_is_a_picture_and_leaves_the_pixels_alone():
    found = detection(CUP)
    drawn = found.plot()
    assert drawn.size == (80, 60)
    assert np.asarray(drawn).any()
    assert not found.pixels.any()


def test_a_notebook_gets_the_plot_as_png():
    found = detection(CUP)
    with Image.open(io.BytesIO(found._repr_png_())) as shown:
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(found.plot()))


def test_it_is_saved_and_replaces_nothing_where_it_must_not(tmp_path):
    path = tmp_path / "new" / "found.png"
    detection(CUP).save(path)
    with Image.open(path) as saved:
        np.testing.assert_array_equal(np.asarray(saved), np.asarray(detection(CUP).plot()))
    with pytest.raises(ImageError, match=r"found\.png exists"):
        detection().save(path, overwrite=False)


def test_it_is_shown_in_the_viewer_of_the_system(monkeypatch):
    sizes = []
    monkeypatch.setattr(Image.Image, "show", lambda image: sizes.append(image.size))
    detection(CUP).show()
    assert sizes == [(80, 60)]


def test_crops_have_whole_pixels_and_one_at_least():
    pixels = np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)
    found = detection(CUP, pixels=pixels)
    np.testing.assert_array_equal(np.asarray(found.crop(CUP)), pixels[20:50, 9:51])
    dot = DetectedObject("cup", 41, 0.5, (3.0, 4.0, 3.0, 4.0))
    np.testing.assert_array_equal(np.asarray(found.crop(dot)), pixels[4:5, 3:4])


def test_a_file_that_is_gone_cannot_be_drawn():
    gone = Detection("gone.png", (CUP,), (60, 80), "coco80", Milliseconds())
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        gone.plot()


def test_its_dictionary_is_what_the_command_line_prints():
    found = detection(CUP).to_dict()
    assert found["schema"] == "cnnkit/1"
    assert (found["source"], found["width"], found["height"]) == ("picture 1", 80, 60)
    assert found["threshold"] == 0.25
    assert found["items"][0] == {
        "label": "cup",
        "class_id": 41,
        "score": 0.531,
        "box": {"x1": 9.6, "y1": 20.0, "x2": 50.2, "y2": 50.0},
    }


def test_yolo_has_the_middle_and_the_sides_as_parts_of_the_picture():
    box = DetectedObject("cup", 41, 0.5, (20.0, 15.0, 60.0, 45.0))
    assert detection(box).to_yolo() == "41 0.500000 0.500000 0.500000 0.500000 0.5000\n"
    assert detection().to_yolo() == ""


def test_a_training_is_summed_up_in_a_few_lines():
    scores = {"ap": 0.5, "ap50": 0.75, "ap75": 0.25}
    trained = TrainedDetector(
        model=Path("run/model.keras"),
        classes=("cup",),
        counts=(8, 2, 0),
        epochs=3,
        best=2,
        seconds=4.2,
        weights=(10, 20),
        scores={"val": scores},
        reason="epochs",
    )
    first, last = trained.lines()
    assert first == "validation  AP50 75.0%, AP75 25.0%, AP 50.0%"
    assert last == f"{trained.model}: 1 class, epoch 2 of 3 was best, 4 s"
    assert trained.to_dict()["scores"] == {"val": scores}
