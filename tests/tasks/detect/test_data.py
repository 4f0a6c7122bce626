import json

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import DataError, UsageError
from cnnkit.tasks.detect.data import check_boxed, read_boxed, without_unreadable


def picture(path, width=40, height=20):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)
    return path


def yolo(folder, names=("cat", "dog")):
    for name, lines in (("a", "0 0.5 0.5 0.5 1\n1 0.25 0.5 0.5 0.5 0.75\n"), ("b", "")):
        picture(folder / "images" / f"{name}.png")
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"{name}.txt").write_text(lines)
    if names:
        (folder / "classes.txt").write_text("\n".join(names))
    return folder


def test_yolo_files_give_boxes_as_parts_of_the_picture(tmp_path):
    data = read_boxed(yolo(tmp_path), val_share=0.0)
    assert (data.classes, data.format) == (("cat", "dog"), "yolo")
    assert [len(ids) for ids in data.train.class_ids] == [2, 0]
    # Middle 0.5, width 0.5, height 1; then middle 0.25 and 0.5, both sides 0.5.
    np.testing.assert_allclose(
        data.train.boxes_xyxy_normalized[0], [[0.25, 0, 0.75, 1], [0, 0.25, 0.5, 0.75]]
    )
    assert data.train.weights[0].tolist() == [1.0, 0.75]


def test_yolo_splits_and_names_from_a_yaml_file(tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / split / "images" / f"{split}.png")
        (tmp_path / split / "labels").mkdir()
        (tmp_path / split / "labels" / f"{split}.txt").write_text("1 0.5 0.5 0.2 0.2")
    (tmp_path / "data.yaml").write_text(
        "train: ../train/images\nval: ../val/images\nnames: {0: cat, 1: dog}\n"
    )
    data = read_boxed(tmp_path)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.val)) == (1, 1)
    assert data.val.class_ids[0].tolist() == [1]


def test_a_polygon_is_the_box_around_it(tmp_path):
    yolo(tmp_path)
    (tmp_path / "labels" / "a.txt").write_text("0 0.1 0.2 0.5 0.2 0.3 0.9")
    data = read_boxed(tmp_path, val_share=0.0)
    np.testing.assert_allclose(data.train.boxes_xyxy_normalized[0], [[0.1, 0.2, 0.5, 0.9]])


VOC = """<annotation><filename>a.png</filename><size><width>40</width><height>20</height></size>
<object><name>dog</name><difficult>{difficult}</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></object></annotation>"""


def test_pascal_voc_counts_pixels_from_one_and_the_last_is_inside(tmp_path):
    picture(tmp_path / "JPEGImages" / "a.png")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(VOC.format(difficult=1))
    data = read_boxed(tmp_path, val_share=0.0)
    assert (data.classes, data.format) == (("dog",), "voc")
    np.testing.assert_allclose(data.train.boxes_xyxy_normalized[0], [[0, 0, 0.5, 1]])
    assert data.train.ignored[0].tolist() == [True]


def coco(folder, name="train.json", **changes):
    note = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 20, 10], **changes}
    values = {
        "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 20}],
        "annotations": [note],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    (folder / name).write_text(json.dumps(values))


def test_coco_files_give_crowds_and_outlines(tmp_path):
    picture(tmp_path / "a.png")
    coco(tmp_path, iscrowd=1, area=80.0)
    data = read_boxed(tmp_path, val_share=0.0)
    assert (data.classes, data.format) == (("cat", "dog"), "coco")
    assert data.train.paths == (str(tmp_path / "a.png"),)
    np.testing.assert_allclose(data.train.boxes_xyxy_normalized[0], [[0.25, 0.25, 0.75, 0.75]])
    assert data.train.ignored[0].tolist() == [True]
    # 80 of 800 square pixels.
    assert data.train.areas_normalized[0].tolist() == pytest.approx([0.1])


def test_coco_files_are_splits_by_their_names(tmp_path):
    picture(tmp_path / "a.png")
    coco(tmp_path, "instances_train2017.json")
    coco(tmp_path, "instances_val2017.json")
    data = read_boxed(tmp_path)
    assert (len(data.train), len(data.val)) == (1, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("5 0.5 0.5 0.1 0.1", "unknown class 5"),
        ("0 0.5 0.5 0 0.1", "empty box"),
        ("0 1.5 0.5 0.2 0.1", "outside the picture"),
        ("0 nan 0.5 0.4 0.1", "no numbers"),
        ("0 0.5 0.5 0.4 0.1 2", "score 2"),
        ("zero 0.5 0.5 0.4 0.1", "no line of class"),
    ],
)
def test_boxes_that_make_no_sense_are_told(tmp_path, line, reason):
    yolo(tmp_path)
    (tmp_path / "labels" / "b.txt").write_text(line)
    data = read_boxed(tmp_path, val_share=0.0)
    [(path, told)] = data.problems
    assert "b." in path
    assert reason in told
    # The picture would teach that there is nothing on it.
    assert data.train.paths == (str(tmp_path / "images" / "a.png"),)
    assert data.left_out == (f"1 picture without a good annotation, {tmp_path}/images/b.png",)


def test_a_box_over_the_border_is_cut_with_a_note(tmp_path):
    yolo(tmp_path)
    (tmp_path / "labels" / "b.txt").write_text("0 0.9 0.5 0.4 0.1")
    data = read_boxed(tmp_path, val_share=0.0)
    assert data.problems == ()
    assert data.notes == (f"1 box over the border, cut off there, in {tmp_path}/images/b.png",)
    np.testing.assert_allclose(data.train.boxes_xyxy_normalized[1], [[0.7, 0.45, 1.0, 0.55]])


def test_the_check_finds_pictures_that_cannot_be_read(tmp_path):
    yolo(tmp_path)
    (tmp_path / "images" / "b.png").write_bytes(b"no picture")
    data = read_boxed(tmp_path, val_share=0.0)
    report = check_boxed(data)
    [(path, reason)] = report.unreadable
    assert path.endswith("b.png")
    assert reason
    assert any("cannot be used" in line for line in report.lines())
    assert report.objects.tolist() == [1, 1]
    assert without_unreadable(data, report).train.paths == (str(tmp_path / "images" / "a.png"),)


def test_validation_pictures_are_drawn_by_the_seed(tmp_path):
    yolo(tmp_path)
    for number in range(8):
        picture(tmp_path / "images" / f"{number}.png")
    first, again = (read_boxed(tmp_path, val_share=0.3, seed=1) for _ in range(2))
    assert first.val.paths == again.val.paths
    assert len(first.val) == 3
    assert not set(first.val.paths) & set(first.train.paths)


def test_what_is_no_data_is_one_line(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_boxed(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no boxes"):
        read_boxed(tmp_path)
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(DataError, match="no COCO file"):
        read_boxed(tmp_path / "x.json")
    with pytest.raises(UsageError, match="val-share"):
        read_boxed(tmp_path, val_share=2.0)
