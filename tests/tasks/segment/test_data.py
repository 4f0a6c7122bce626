"""Pictures and masks: found in folders of several kinds, checked and read."""

import json

import numpy as np
import pytest
from PIL import Image

from cnnkit.data._class_names import VOC_CLASSES
from cnnkit.errors import DataError, UsageError
from cnnkit.tasks.segment.data import (
    check_masks,
    data_hash,
    parse_classes,
    read_mask,
    read_masks,
    without_bad_pairs,
)

NAMES = "0 sky\n1 road\n2 void\n"


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)
    return path


def picture(path, height=4, width=6):
    return save(path, np.full((height, width, 3), 90))


@pytest.fixture
def camvid(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            picture(tmp_path / split / "images" / f"{number}.png")
            mask = np.zeros((4, 6))
            mask[:, :3], mask[0] = 1, 2
            save(tmp_path / split / "labels" / f"{number}.png", mask)
    (tmp_path / "classes.txt").write_text(NAMES)
    return tmp_path


def test_a_folder_like_camvid_has_its_own_parts(camvid):
    data = read_masks(camvid)
    assert data.classes == ("sky", "road")
    assert (len(data.train), len(data.val)) == (3, 2)
    mask = read_mask(data.train.masks[0], data.coding)
    assert mask[0].tolist() == [255] * 6
    assert mask[1].tolist() == [1, 1, 1, 0, 0, 0]


def test_pairs_without_parts_are_parted_by_their_names(tmp_path):
    for number in range(10):
        picture(tmp_path / "images" / f"{number}.jpg")
        save(tmp_path / "masks" / f"{number}_mask.png", np.zeros((4, 6)))
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    data = read_masks(tmp_path, val_share=0.3)
    assert (len(data.train), len(data.val)) == (7, 3)
    assert not set(data.train.pictures) & set(data.val.pictures)
    assert read_masks(tmp_path, val_share=0.3).val.pictures == data.val.pictures
    others = [read_masks(tmp_path, val_share=0.3, seed=seed).val.pictures for seed in (1, 2, 3)]
    assert any(one != data.val.pictures for one in others)
    assert data_hash(data) == data_hash(read_masks(tmp_path, val_share=0.3))
    assert len(read_masks(tmp_path, val_share=0.0).val) == 10


def test_a_folder_like_voc_has_voc_s_classes(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
        mask = Image.fromarray(np.full((4, 6), 15, np.uint8))
        mask.putpalette([7] * 768)
        (tmp_path / "SegmentationClass").mkdir(exist_ok=True)
        mask.save(tmp_path / "SegmentationClass" / f"{name}.png")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\n")
    data = read_masks(tmp_path)
    assert data.classes == VOC_CLASSES
    assert data.val.pictures == (str(tmp_path / "JPEGImages" / "b.jpg"),)
    # The values count, not the colours of the palette.
    assert (read_mask(data.val.masks[0], data.coding) == 15).all()
    assert not check_masks(data).bad


def test_colour_masks_are_read_by_the_colours_of_their_classes(tmp_path):
    names, coding = parse_classes(["0 0 0 void", "128 0 0 building", "0 0 192 tree"])
    mask = np.zeros((2, 3, 3), np.uint8)
    mask[0, 1:], mask[1] = (128, 0, 0), (0, 0, 192)
    path = save(tmp_path / "mask.png", mask)
    assert names == ("building", "tree")
    assert read_mask(path, coding).tolist() == [[255, 0, 0], [1, 1, 1]]
    mask[1, 2] = (1, 2, 3)
    path = save(tmp_path / "odd.png", mask)
    with pytest.raises(
        DataError, match="1 pixels of no class, the first, 1 2 3, at row 1, column 2"
    ):
        read_mask(path, coding)


def test_a_colour_mask_without_colours_is_refused(tmp_path):
    _, coding = parse_classes(["sky", "road"])
    path = save(tmp_path / "mask.png", [[[0, 0, 0], [128, 0, 0]]])
    with pytest.raises(DataError, match="give the colour of each class"):
        read_mask(path, coding)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0 sky", "road"], "one kind of lines"),
        (["0 sky", "0 road"], "taken or above 255"),
        (["sky"], "2 to 254 classes, not 1"),
        (["sky", "sky"], "a name twice"),
        (["300 sky", "1 road"], "taken or above 255"),
    ],
)
def test_classes_that_make_no_sense_are_refused(lines, message):
    with pytest.raises(DataError, match=message):
        parse_classes(lines)


def test_the_check_finds_what_cannot_be_used(camvid):
    save(camvid / "train" / "labels" / "0.png", np.full((4, 6), 77))
    save(camvid / "train" / "labels" / "1.png", np.zeros((5, 6)))
    (camvid / "val" / "images" / "1.png").write_bytes(b"no picture")
    data = read_masks(camvid)
    seen = []
    report = check_masks(data, lambda done, total: seen.append((done, total)))
    reasons = [reason for _, reason in report.bad]
    assert len(reasons) == 3
    assert "24 pixels of no class" in reasons[0]
    assert "is 6x5 but its picture 6x4" in reasons[1]
    assert "1.png" in reasons[2]
    assert seen[-1] == (5, 5)
    # One mask is left: 6 pixels do not count, 9 are of each class.
    assert report.pixels == (9, 9)
    assert report.ignored == pytest.approx(6 / 24)
    left = without_bad_pairs(data, report)
    assert (len(left.train), len(left.val)) == (1, 1)


def test_a_class_that_no_mask_has_is_named(camvid):
    (camvid / "classes.txt").write_text(NAMES + "3 tree\n")
    # Of 24 pixels 6 are void, 9 each sky and road.
    assert check_masks(read_masks(camvid)).lines() == [
        "read as pictures in train/images/ and masks in train/labels/; classes in classes.txt",
        "pairs: 3 to train on, 2 to validate with",
        "3 classes with their share of the pixels to train on: sky 50 %, road 50 %, tree 0 %",
        "no mask to train on has: tree",
    ]


def test_what_is_missing_is_said(tmp_path, camvid):
    with pytest.raises(DataError, match="is no folder"):
        read_masks(tmp_path / "nothing")
    (camvid / "train" / "labels" / "2.png").unlink()
    (left_out,) = read_masks(camvid).left_out
    assert left_out == "1 picture without a mask, such as train/images/2.png"
    for path in [*camvid.glob("*/labels/*.png")][1:]:
        path.unlink()
    with pytest.raises(DataError, match=r"\.png and 3 more has no mask in"):
        read_masks(camvid)
    (camvid / "classes.txt").unlink()
    with pytest.raises(DataError):
        read_masks(camvid)
    with pytest.raises(UsageError, match="val-share"):
        read_masks(camvid, val_share=1.0)


def test_pairs_without_names_are_refused(tmp_path):
    for number in range(2):
        picture(tmp_path / "images" / f"{number}.png")
        save(tmp_path / "labels" / f"{number}.png", np.zeros((4, 6)))
    with pytest.raises(DataError, match=r"has no classes\.txt; write one with a class a line"):
        read_masks(tmp_path)


# COCO's panoptic segments --------------------------------------------------------------------


@pytest.fixture
def panoptic(tmp_path):
    """Two pictures to train on and one to validate with: sky above a road, a crowd in a corner."""
    for part, count in (("train2017", 2), ("val2017", 1)):
        images, notes = [], []
        for number in range(count):
            picture(tmp_path / part / f"{number}.jpg")
            mask = np.zeros((4, 6, 3))
            # 7 + 256 * 2 is the sky of this picture, 65536 its road, 9 a crowd.
            mask[:2], mask[2:], mask[0, 0], mask[3, 5] = (7, 2, 0), (0, 0, 1), (0, 0, 0), (9, 0, 0)
            save(tmp_path / "annotations" / f"panoptic_{part}" / f"{number}.png", mask)
            images.append({"id": number + 50, "file_name": f"{number}.jpg"})
            parts = [
                {"id": 7 + 512, "category_id": 187, "iscrowd": 0},
                {"id": 65536, "category_id": 149},
                {"id": 9, "category_id": 187, "iscrowd": 1},
            ]
            notes.append(
                {"image_id": number + 50, "file_name": f"{number}.png", "segments_info": parts}
            )
        categories = [{"id": 187, "name": "sky"}, {"id": 149, "name": "road"}]
        values = {"images": images, "annotations": notes, "categories": categories}
        path = tmp_path / "annotations" / f"panoptic_{part}.json"
        path.write_text(json.dumps(values))
    return tmp_path


def test_panoptic_segments_are_classes(panoptic):
    data = read_masks(panoptic)
    # In the order of their numbers.
    assert data.classes == ("road", "sky")
    assert (len(data.train), len(data.val)) == (2, 1)
    mask = read_mask(data.train.masks[1], data.coding)
    assert mask[0].tolist() == [255, 1, 1, 1, 1, 1]
    assert mask[3].tolist() == [0, 0, 0, 0, 0, 255]
    report = check_masks(data)
    assert report.bad == ()
    assert report.pixels == (22, 22)


def test_one_list_of_segments_is_parted(panoptic):
    (panoptic / "annotations" / "panoptic_val2017.json").unlink()
    data = read_masks(panoptic, val_share=0.5)
    assert (len(data.train), len(data.val)) == (1, 1)


def test_a_segment_that_no_list_names_is_bad(panoptic):
    path = panoptic / "annotations" / "panoptic_val2017.json"
    values = json.loads(path.read_text())
    values["annotations"][0]["segments_info"].pop(1)
    path.write_text(json.dumps(values))
    [(_, reason)] = check_masks(read_masks(panoptic)).bad
    assert "0.png has 11 pixels of no class" in reason
    assert "add their segment to the list" in reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("images"), "'images' is missing or wrong"),
        (lambda values: values["annotations"].clear(), "lists no picture"),
        (lambda values: values["categories"][0].update(name="ski"), "has other categories than"),
        (lambda values: values["images"][0].update(file_name="x.jpg"), "neither in val2017/ nor"),
        (
            lambda values: values["annotations"][0]["segments_info"][0].update(category_id=3),
            "3 is missing or wrong",
        ),
    ],
)
def test_lists_of_segments_that_are_wrong(panoptic, change, message):
    path = panoptic / "annotations" / "panoptic_val2017.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match=message):
        read_masks(panoptic)
    path.write_text("{")
    with pytest.raises(DataError, match="is no JSON file"):
        read_masks(panoptic)
