"""Results of segmentation that show themselves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images import Picture
from cnnkit.ops.rle import decode_rle
from cnnkit.results import Milliseconds
from cnnkit.tasks.segment.regions import find_segments
from cnnkit.tasks.segment.results import Segmentation, TrainedSegmenter

NAMES = ("background", "cat", "dog", "cup", "car")


def segmentation(classes, source="picture 1", picture=None):
    segments = find_segments(classes, np.ones(classes.shape), NAMES)
    probabilities = np.eye(len(NAMES), dtype=np.float32)[classes]
    return Segmentation(
        *(source, classes, probabilities, NAMES, segments, "by hand", Milliseconds()), picture
    )


@pytest.fixture
def found():
    classes = np.zeros((10, 20), np.uint8)
    classes[:, :8] = 1
    classes[:5, 12:] = 2
    return segmentation(classes, picture=Picture(np.full((10, 20, 3), 0.5, np.float32)))


def test_its_short_form_has_the_largest_classes(found):
    assert repr(found) == "Segmentation(picture 1: cat 40 %, dog 20 %)"
    rows = np.repeat(np.uint8([0, 1, 2, 3, 4]), 4)[:, None]
    assert repr(segmentation(rows)) == "Segmentation(picture 1: cat 20 %, dog 20 %, cup 20 %, ...)"
    empty = segmentation(np.zeros((2, 2), np.uint8))
    assert repr(empty) == "Segmentation(picture 1: only background)"
    assert empty.lines() == ["picture 1: nothing but background"]


def test_it_is_drawn_in_several_ways(found):
    plain = np.asarray(found.plot(legend=False))
    assert plain.shape == (10, 20, 3)
    assert np.asarray(found.plot()).shape[0] > 10
    colors = np.asarray(found.plot("colors", legend=False))
    assert colors[0, 0].tolist() == [128, 0, 0]
    assert colors[9, 19].tolist() == [0, 0, 0]
    outlines = np.asarray(found.plot("contours", legend=False))
    # Inside of a region the picture is as it was.
    assert outlines[5, 2].tolist() == [128, 128, 128]
    assert np.asarray(found.mask()).tolist() == found.classes.tolist()
    assert found._repr_png_()[:4] == b"\x89PNG"


def test_it_is_written_as_a_picture(found, tmp_path):
    found.save(tmp_path / "more" / "a.png")
    with Image.open(tmp_path / "more" / "a.png") as image:
        assert image.width >= 20
    with pytest.raises(ImageError, match="exists"):
        found.save(tmp_path / "more" / "a.png", overwrite=False)


def test_a_file_that_is_gone_cannot_be_drawn(found):
    gone = segmentation(found.classes, "gone.png")
    assert gone.plot("colors").width >= 20
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        gone.plot()


def test_masks_are_in_its_record_where_they_are_wanted(found):
    assert "rle" not in found.to_dict()["items"][0]
    cat, dog = found.to_record("compressed").items
    assert decode_rle(cat["rle"]["counts"], 10, 20).sum() == 80
    counts = found.to_record("counts").items[1]["regions"][0]["rle"]["counts"]
    np.testing.assert_array_equal(decode_rle(counts, 10, 20), found.classes == 2)
    assert dog["box"] == {"x1": 12, "y1": 0, "x2": 20, "y2": 5}


def test_a_training_is_summed_up_in_a_few_lines():
    scores = {"mean_iou": 0.5, "pixel_accuracy": 0.75, "seconds": 3.0}
    trained = TrainedSegmenter(
        model=Path("run/model.keras"),
        classes=("sky", "road"),
        counts=(8, 2),
        epochs=3,
        variant="8s",
        best=2,
        seconds=4.2,
        weights=(10, 20),
        stages={"8s": scores},
        iou={"sky": 0.5, "road": None},
        reason="epochs",
    )
    first, last = trained.lines()
    assert first == "8s    mean IoU 50.0%, 75.0% of the pixels right, 3 s"
    assert last == f"{trained.model}: 2 classes, epoch 2 of 3 was best, 4 s"
    assert trained.to_dict()["stages"] == {"8s": scores}
