"""A segmenter against true masks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.engine.observer import Observer
from cnnkit.errors import DataError, UsageError
from cnnkit.tasks.segment.data import parse_classes, read_mask
from cnnkit.tasks.segment.evaluate import coding_for, evaluate_segment, read_pairs
from cnnkit.tasks.segment.settings import EvaluateSettings


@pytest.fixture
def data(tmp_path, painted):
    """The painted picture twice; its masks call the bar void, and a corner wrongly blue."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 10:40], mask[40:44, 10:20], mask[10:50, 50:70] = 7, 9, 3
    for name in ("a", "b"):
        (tmp_path / "images" / f"{name}.png").write_bytes(painted.read_bytes())
        Image.fromarray(mask).save(tmp_path / "labels" / f"{name}.png")
        mask[:10, :10] = 3
    (tmp_path / "classes.txt").write_text("0 background\n3 blue\n7 red\n9 void\n")
    return tmp_path


def test_numbers_by_hand(data, color_segmenter):
    found = evaluate_segment(data, model=color_segmenter)
    assert (found.pictures, found.failed, found.split) == (2, 0, "all")
    assert found.names == ("background", "red", "blue")
    # 100 pixels of the second picture are called background and not blue.
    assert found.confusion.tolist() == [[2 * (4800 - 640 - 800) - 100, 0, 0], [0, 1200, 0],
                                        [100, 0, 1600]]  # fmt: skip
    assert found.scores.iou[1] == 1.0
    assert found.scores.iou[2] == pytest.approx(1600 / 1700)
    assert found.ious[0] == 1.0
    assert found.ious[1] < 1.0


def test_pairs_that_cannot_be_used_are_counted(data, color_segmenter):
    (data / "images" / "a.png").write_bytes(b"no picture")
    Image.new("RGB", (9, 9)).save(data / "images" / "c.png")
    (data / "labels" / "c.png").write_bytes((data / "labels" / "b.png").read_bytes())
    errors, seen = [], []
    observer = Observer(
        on_error=lambda error: errors.append(str(error)),
        on_progress=lambda what, done, total: seen.append((done, total)),
    )
    found = evaluate_segment(data, model=color_segmenter, observer=observer)
    assert (found.pictures, found.failed, len(errors)) == (1, 2, 2)
    assert "c.png is 80x60 but its picture 9x9; give them one size" in errors[1]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_worst_pictures_are_kept_to_be_shown(data, color_segmenter):
    found = evaluate_segment(data, model=color_segmenter)
    assert [Path(one.source).name for one in found.worst] == ["b.png", "a.png"]
    assert [one.iou for one in found.worst] == sorted(found.ious)
    np.testing.assert_array_equal(found.worst[0].predicted, found.worst[1].predicted)
    assert found.to_csv().splitlines()[0] == "file,mean_iou"


def test_classes_are_told_by_their_names(data):
    masks, pairs, _ = read_pairs(data)
    coding = coding_for(masks, ("background", "red", "blue"), "paint")
    values = read_mask(pairs.masks[0], coding)
    assert (values[20, 20], values[20, 60], values[41, 15], values[0, 0]) == (1, 2, 255, 0)
    names, colors = parse_classes(["0 0 0 void", "1 1 1 blue", "2 2 2 background"])
    other = type(masks)(names, colors, masks.train, masks.val)
    mapped = coding_for(other, ("background", "red", "blue"), "paint")
    assert dict(mapped.colors) == {(0, 0, 0): 255, (1, 1, 1): 2, (2, 2, 2): 0}


def test_a_class_that_the_segmenter_does_not_know_is_refused(data, color_segmenter):
    (data / "classes.txt").write_text("0 background\n3 blue\n7 rust\n9 void\n")
    with pytest.raises(DataError, match="paint knows no class rust"):
        evaluate_segment(data, model=color_segmenter)


def test_parts_that_are_not_there_are_refused(data):
    with pytest.raises(UsageError, match="--split can be all"):
        read_pairs(data, "train")
    with pytest.raises(UsageError, match="--split must be one of"):
        EvaluateSettings(split="test")
