"""Pictures with boxes in the forms in which people have them, and what is wrong with some."""

import json

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import DataError
from cnnkit.tasks.detect.data import check_boxed, read_boxed

SIZE = (40, 20)
# Of a box from (10, 5) to (30, 15), and one from (0, 0) to (20, 10), in 40x20 pixels.
MIDDLE, CORNER = [0.25, 0.25, 0.75, 0.75], [0.0, 0.0, 0.5, 0.5]
YOLO_MIDDLE, YOLO_CORNER = "0 0.5 0.5 0.5 0.5", "1 0.25 0.25 0.5 0.5"


def picture(path, size=SIZE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, **options)
    return path


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def assert_read(data, classes=("box", "ball"), train=2, val=None, boxes=(MIDDLE, CORNER)):
    """Two pictures to train on, with the box in the middle and the one in the corner."""
    assert data.classes == classes
    assert len(data.train) == train
    if val is not None:
        assert len(data.val) == val
    for row, box in enumerate(boxes):
        np.testing.assert_allclose(data.train.boxes_xyxy_normalized[row], [box], atol=1e-9)
        assert [data.classes[index] for index in data.train.class_ids[row]] == [
            ("box", "ball")[row]
        ]


# YOLO --------------------------------------------------------------------------------------------


def yolo(folder, images="images", labels="labels", names="01"):
    for name, line in zip(names, (YOLO_MIDDLE, YOLO_CORNER), strict=False):
        picture(folder / images / f"{name}.png")
        write(folder / labels / f"{name}.txt", line)
    return folder


@pytest.mark.parametrize(
    ("images", "labels", "listed"),
    [
        (".", ".", "classes.txt"),
        ("images", "images", "images/classes.txt"),
        ("images", "labels", "labels/classes.txt"),
        ("images", "labels", "classes.txt"),
        (".", "labels", "labels/classes.txt"),
        ("obj_train_data", "obj_train_data", "obj.names"),
        ("photos", "boxes", "classes.txt"),
    ],
)
def test_text_files_are_found_beside_pictures_and_in_their_own_folder(
    tmp_path, images, labels, listed
):
    yolo(tmp_path, images, labels)
    write(tmp_path / listed, "\ufeffbox\nball\n")
    assert_read(read_boxed(tmp_path, val_share=0.0))


def test_an_archive_inside_folders_is_read(tmp_path):
    yolo(tmp_path / "download" / "set-1")
    write(tmp_path / "download" / "set-1" / "classes.txt", "box\nball")
    picture(tmp_path / "__MACOSX" / "images" / "0.png")
    assert_read(read_boxed(tmp_path, val_share=0.0))


@pytest.mark.parametrize("name", ["data.yaml", "custom_data.yaml", "my set.yml"])
@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train/images", "valid/images"),
        ("../train/images", "../valid/images"),
        ("/content/datasets/thing-1/train/images", "/content/datasets/thing-1/valid/images"),
        (r"C:\\sets\\train\\images", r"C:\\sets\\valid\\images"),
        ("[train/images]", "[valid/images]"),
        ("train.txt", "val.txt"),
        ("[train.txt]", "val.txt"),
    ],
)
def test_the_one_yaml_is_read_and_its_paths_are_looked_for(tmp_path, name, train, val):
    yolo(tmp_path, "train/images", "train/labels")
    yolo(tmp_path, "valid/images", "valid/labels", "2")
    for split, folder in (("train", "train"), ("val", "valid")):
        numbers = "01" if split == "train" else "2"
        lines = [f"./{folder}/images/{number}.png" for number in numbers]
        if "txt" in train:
            write(tmp_path / f"{split}.txt", "\n".join(lines))
    write(tmp_path / name, f"train: {train}\nval: {val}\nnc: 2\nnames: [box, ball]\n")
    assert_read(read_boxed(tmp_path), val=1)
    assert_read(read_boxed(tmp_path / name), val=1)


def test_a_list_with_pictures_of_another_machine_is_read_and_what_is_missing_is_named(tmp_path):
    yolo(tmp_path, "images/train", "labels/train")
    lines = ["D:\\sets\\images\\train\\0.png", "/root/images/train/1.png", "images/train/9.png"]
    write(tmp_path / "train.txt", "\r\n".join(lines))
    write(tmp_path / "data.yaml", "train: train.txt\nnames: {0: box, 1: ball}")
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data)
    assert data.problems == (
        (f"{tmp_path}/train.txt:3", "lists 'images/train/9.png', which is not there"),
    )


def test_darknet_s_files_as_cvat_writes_them(tmp_path):
    yolo(tmp_path, "obj_train_data", "obj_train_data")
    write(
        tmp_path / "obj.data",
        "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
    )
    write(tmp_path / "obj.names", "box\nball\n")
    write(tmp_path / "train.txt", "data/obj_train_data/0.png\ndata/obj_train_data/1.png\n")
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data)
    assert data.layout.startswith("YOLO as Darknet has it: obj.data")


def test_numbers_of_a_yaml_that_begin_with_1_are_the_numbers_of_the_boxes(tmp_path):
    yolo(tmp_path)
    write(tmp_path / "labels" / "0.txt", YOLO_MIDDLE.replace("0 ", "1 ", 1))
    write(tmp_path / "labels" / "1.txt", YOLO_CORNER.replace("1 ", "2 ", 1))
    write(tmp_path / "data.yaml", "train: images\nnames: {1: box, 2: ball}\n")
    assert_read(read_boxed(tmp_path, val_share=0.0))


def test_a_part_to_test_with_that_is_not_there_is_left_out(tmp_path):
    yolo(tmp_path)
    (tmp_path / "empty").mkdir()
    write(
        tmp_path / "data.yaml",
        "train: images\nval: empty\ntest: ../test/images\nnames: [box, ball]\n",
    )
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data)
    assert data.left_out == ("test: ../test/images, which is not there",)
    assert data.notes == ("val: empty holds no picture",)


def test_names_are_what_stands_in_the_yaml(tmp_path):
    yolo(tmp_path)
    write(tmp_path / "data.yaml", "train: images\nnames:\n  0: no\n  1: 1e3\n")
    assert read_boxed(tmp_path, val_share=0.0).classes == ("no", "1e3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names:\n  0:box\n  1:ball\n", "names must be a list.*the text '0:box 1:ball'.*'0: name'"),
        ("names: 3\n", "names must be a list, or numbers and names, but is the text '3'"),
        ("names: [[box], ball]\n", r"each of names must be a name, but one is \[the text 'box'\]"),
        ("names: {a: box}\n", "names must be numbered from 0, but one is the text 'a'"),
        ("names: [box, box]\n", "has the class 'box' twice"),
        ("names:\n  0: box\n  0: ball\n", "line 3 cannot be read as YAML: the text '0' stands"),
        ("names: [box, ball]\nnc: 3\n", "nc is the text '3', but names has 2"),
        ("names: [box]\ntrain: {a: 1}\n", "train must be a folder.*but is a mapping"),
        ("names: [box]\ntrain: ../..\n", r"train is '\.\./\.\.', a folder around data\.yaml"),
        ("names: [box]\ntrain: 7\n", "train is '7', which is neither there nor beside data.yaml"),
        ("names: [box]\npath: [1]\ntrain: images\n", r"path must be a folder, but is \["),
        ("names: [box\n", "line 2 cannot be read as YAML"),
        ("names: [box]\x00\n", "cannot be read as YAML"),
        ("box\n", "must be a mapping with train, val and names, but is the text 'box'"),
        ("names: " + "[" * 3000, "cannot be read as YAML"),
    ],
)
def test_values_of_a_yaml_are_checked(tmp_path, text, message):
    yolo(tmp_path)
    path = write(tmp_path / "data.yaml", text)
    with pytest.raises(DataError, match=message):
        read_boxed(path)


def test_two_descriptions_are_refused_by_name(tmp_path):
    yolo(tmp_path)
    write(tmp_path / "a.yaml", "train: images\nnames: [box, ball]\n")
    write(tmp_path / "b.yaml", "train: images\nnames: [ball, box]\n")
    with pytest.raises(DataError, match=r"a\.yaml and b\.yaml"):
        read_boxed(tmp_path)
    (tmp_path / "b.yaml").write_text("learning_rate: 0.1\n")
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data)
    assert data.left_out == ("b.yaml, which describes no data",)


def test_a_description_inside_a_folder_is_read(tmp_path):
    yolo(tmp_path / "set")
    write(tmp_path / "set" / "data.yaml", "train: images\nnames: [box, ball]\n")
    write(tmp_path / "notes.txt", "of Monday")
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data)
    assert data.layout == "YOLO with a .yaml: set/data.yaml"


def test_paths_that_end_at_one_place_here_are_refused(tmp_path):
    yolo(tmp_path)
    text = "train: /a/one/images\nval: /a/two/images\nnames: [box, ball]\n"
    write(tmp_path / "data.yaml", text)
    with pytest.raises(DataError, match="train and val are the same pictures here"):
        read_boxed(tmp_path)
    write(tmp_path / "data.yaml", text.replace("one", "train"))
    with pytest.raises(DataError, match="train is '/a/train/images', which is neither there nor"):
        read_boxed(tmp_path)
    write(tmp_path / "data.yaml", "train: images\nval: images\nnames: [box, ball]\n")
    assert "flatters the figures" in read_boxed(tmp_path).notes[0]


def test_class_lists_that_differ_are_refused(tmp_path):
    yolo(tmp_path)
    write(tmp_path / "classes.txt", "box\nball")
    write(tmp_path / "labels" / "classes.txt", "ball\nbox")
    with pytest.raises(DataError, match=r"classes\.txt and labels/classes\.txt name other classes"):
        read_boxed(tmp_path)


def test_two_forms_side_by_side_are_refused(tmp_path):
    yolo(tmp_path)
    write(tmp_path / "Annotations" / "0.xml", VOC)
    with pytest.raises(DataError, match=r"labels/\*\.txt .* and Annotations/\*\.xml"):
        read_boxed(tmp_path)


def test_of_several_forms_the_text_files_that_a_yaml_describes_are_read(tmp_path):
    yolo(tmp_path)
    coco(tmp_path / "annotations.json", coco_values())
    write(tmp_path / "data.yaml", "train: images\nnames: [box, ball]\n")
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data)
    assert data.left_out == ("annotations.json (COCO), since data.yaml is there",)
    for name in "01":
        (tmp_path / "labels" / f"{name}.txt").unlink()
    with pytest.raises(DataError, match=r"data\.yaml \(YOLO.*\) and annotations\.json \(COCO\)"):
        read_boxed(tmp_path)


def test_a_box_that_stands_there_three_times_counts_once(tmp_path):
    yolo(tmp_path)
    write(tmp_path / "labels" / "0.txt", f"{YOLO_MIDDLE}\n" * 3)
    write(tmp_path / "classes.txt", "box\nball")
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data)
    assert data.notes == (
        f"2 boxes left out that stood there before, such as in {tmp_path}/images/0.png",
    )


def test_keypoints_behind_a_box_are_no_polygon(tmp_path):
    yolo(tmp_path)
    write(tmp_path / "labels" / "0.txt", f"{YOLO_MIDDLE} 0.1 0.2 2 0.3 0.4 2")
    write(tmp_path / "labels" / "1.txt", f"{YOLO_CORNER} 0.1 0.2 2 0.3 0.4 2")
    write(tmp_path / "data.yaml", "train: images\nkpt_shape: [2, 3]\nnames: [box, ball]\n")
    assert_read(read_boxed(tmp_path, val_share=0.0))


def test_pictures_without_any_text_file_hold_no_boxes(tmp_path):
    picture(tmp_path / "images" / "0.png")
    write(tmp_path / "data.yaml", "train: images\nnames: [box, ball]\n")
    with pytest.raises(DataError, match="none of its 1 pictures has a text file"):
        read_boxed(tmp_path)


def test_two_pictures_of_one_text_file_are_refused(tmp_path):
    yolo(tmp_path)
    picture(tmp_path / "images" / "0.jpg")
    with pytest.raises(
        DataError, match=r"images/0\.jpg and images/0\.png would both have the boxes"
    ):
        read_boxed(tmp_path)


def test_boxes_in_pixels_are_told(tmp_path):
    yolo(tmp_path)
    write(tmp_path / "labels" / "1.txt", "1 10 5 20 10")
    data = read_boxed(tmp_path, val_share=0.0)
    [(_, reason)] = data.problems
    assert reason == "has numbers that are no parts of the picture, from 0 to 1; are they pixels?"


def test_text_files_without_a_picture_are_counted(tmp_path):
    yolo(tmp_path)
    write(tmp_path / "classes.txt", "box\nball")
    write(tmp_path / "labels" / "7.txt", YOLO_MIDDLE)
    assert read_boxed(tmp_path).left_out == ("1 text file without a picture, such as labels/7.txt",)


# Pascal VOC --------------------------------------------------------------------------------------

VOC = (
    "<annotation><filename>{name}</filename>{size}<object><name>box</name><bndbox><xmin>11</xmin>"
    "<ymin>6</ymin><xmax>30</xmax><ymax>15</ymax></bndbox></object></annotation>"
)


def voc(name="0.png", size=""):
    return VOC.format(name=name, size=size)


def sized(width, height):
    return f"<size><width>{width}</width><height>{height}</height></size>"


@pytest.mark.parametrize(
    ("images", "annotations"),
    [
        ("JPEGImages", "Annotations"),
        ("images", "annotations"),
        ("images", "Annotations"),
        (".", "."),
        ("images", "images"),
        ("photos/2020", "xml"),
        ("VOCdevkit/VOC2007/JPEGImages", "VOCdevkit/VOC2007/Annotations"),
    ],
)
@pytest.mark.parametrize("stem", ["0", "shot [0] v1.0 (copy)", "a*b"])
def test_pictures_of_annotations_are_found_whatever_their_names(
    tmp_path, images, annotations, stem
):
    picture(tmp_path / images / f"{stem}.png")
    write(tmp_path / annotations / f"{stem}.xml", voc(f"D:\\data\\{stem}.jpg", sized(-1, -1)))
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data, ("box",), 1, boxes=[MIDDLE])
    assert data.train.paths == (str(tmp_path / images / f"{stem}.png"),)


def test_annotations_alone_find_pictures_in_the_folder_beside_them(tmp_path):
    picture(tmp_path / "images" / "0.png")
    write(tmp_path / "Annotations" / "0.xml", voc())
    assert_read(read_boxed(tmp_path / "Annotations", val_share=0.0), ("box",), 1, boxes=[MIDDLE])


def test_lists_of_voc_may_name_files_with_spaces(tmp_path):
    for stem in ("a b 1", "c"):
        picture(tmp_path / "JPEGImages" / f"{stem}.png")
        write(tmp_path / "Annotations" / f"{stem}.xml", voc(f"{stem}.png"))
    write(tmp_path / "Annotations" / "d.xml", voc("d.png"))
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "a b 1\n")
    write(tmp_path / "ImageSets" / "Main" / "val.txt", "c  1\n")
    data = read_boxed(tmp_path)
    assert (len(data.train), len(data.val)) == (1, 1)
    assert data.left_out == ("1 annotation in no list, such as Annotations/d.xml",)


def test_folders_of_splits_with_annotations_beside_pictures(tmp_path):
    for split in ("train", "valid"):
        picture(tmp_path / split / f"{split}.png")
        write(tmp_path / split / f"{split}.xml", voc(f"{split}.png"))
    data = read_boxed(tmp_path)
    assert (len(data.train), len(data.val)) == (1, 1)


@pytest.mark.parametrize("encoding", ["gbk", "utf-8-sig", "utf-16", "latin-1"])
def test_annotations_are_read_in_the_encoding_that_they_declare(tmp_path, encoding):
    name = "b\xf6x" if encoding == "latin-1" else "\u76d2\u5b50"
    declared = encoding.removesuffix("-sig")
    named = voc().replace("<name>box", f"<name>{name}")
    text = f'<?xml version="1.0" encoding="{declared}"?>\n{named}'
    picture(tmp_path / "0.png")
    write(tmp_path / "0.xml", text, encoding)
    assert read_boxed(tmp_path, val_share=0.0).classes == (name,)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation><object>", "is no annotation in XML"),
        ("<annotations/>", "its outermost element is annotations, not annotation"),
        ("", "is no annotation in XML"),
        ('<?xml version="1.0" encoding="rot13"?><annotation/>', "encoding rot13 that it declares"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>&b;</annotation>", "declares entities"),
        (voc().replace("<xmin>11", "<xmin>left"), "has a box of 'box' without four numbers"),
        (voc().replace("<xmin>11</xmin>", ""), "has a box of 'box' without four numbers"),
        (voc().replace("<name>box</name>", ""), "has a box without the name of its class"),
    ],
)
def test_one_bad_annotation_of_voc_is_one_line(tmp_path, text, reason):
    for stem in "01":
        picture(tmp_path / f"{stem}.png")
    write(tmp_path / "0.xml", voc())
    write(tmp_path / "1.xml", text)
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data, ("box",), 1, boxes=[MIDDLE])
    [(path, told)] = data.problems
    assert path == str(tmp_path / "1.xml")
    assert reason in told


def test_cvat_s_own_form_is_told(tmp_path):
    picture(tmp_path / "0.png")
    write(tmp_path / "annotations.xml", "<annotations><image/></annotations>")
    with pytest.raises(DataError, match="CVAT's own form; export it as YOLO, Pascal VOC or COCO"):
        read_boxed(tmp_path)


def test_two_annotations_of_one_picture_that_differ_are_refused(tmp_path):
    picture(tmp_path / "0.png")
    write(tmp_path / "0.xml", voc())
    write(tmp_path / "0 (1).xml", voc())
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data, ("box",), 1, boxes=[MIDDLE])
    write(tmp_path / "0 (1).xml", voc().replace("<xmin>11", "<xmin>12"))
    with pytest.raises(DataError, match=r"0 \(1\)\.xml and 0\.xml are of one picture and differ"):
        read_boxed(tmp_path)


def test_an_orientation_in_a_tiff_is_applied_once(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    picture(tmp_path / "0.tif", SIZE[::-1], exif=exif)
    write(tmp_path / "0.xml", voc("0.tif"))
    data = read_boxed(tmp_path, val_share=0.0)
    assert_read(data, ("box",), 1, boxes=[MIDDLE])
    assert check_boxed(data).sizes == {str(tmp_path / "0.tif"): (20, 40)}


def turned(folder, orientation, size, box):
    """A picture that is stored as 20x40 pixels and upright 40x20, with one box."""
    exif = Image.Exif()
    exif[274] = orientation
    picture(folder / "0.jpg", (20, 40), exif=exif)
    edges = "".join(
        f"<{edge}>{value}</{edge}>"
        for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    item = f"<object><name>box</name><bndbox>{edges}</bndbox></object>"
    write(folder / "0.xml", f"<annotation>{sized(*size)}{item}</annotation>")
    return read_boxed(folder, val_share=0.0)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        # The stored box spans x 0..0.5 and y 0..0.25 of the picture. Turned to the right, the top
        # becomes the right side; to the left, the left; 5 and 7 are mirrored as well.
        (5, [0.0, 0.0, 0.25, 0.5]),
        (6, [0.75, 0.0, 1.0, 0.5]),
        (7, [0.75, 0.5, 1.0, 1.0]),
        (8, [0.0, 0.5, 0.25, 1.0]),
    ],
)
def test_boxes_of_a_picture_as_it_is_stored_are_turned_with_it(tmp_path, orientation, expected):
    data = turned(tmp_path, orientation, (20, 40), (1, 1, 10, 10))
    np.testing.assert_allclose(data.train.boxes_xyxy_normalized[0], [expected])
    assert "boxes were turned with it" in data.notes[0]


def test_boxes_that_fit_into_the_upright_picture_alone_are_of_it(tmp_path):
    data = turned(tmp_path, 6, (20, 40), (21, 1, 40, 10))
    np.testing.assert_allclose(data.train.boxes_xyxy_normalized[0], [[0.5, 0.0, 1.0, 0.5]])
    assert "size from before the EXIF turn" in data.notes[0]


def test_boxes_of_a_picture_that_was_made_smaller_afterwards_keep_their_place(tmp_path):
    picture(tmp_path / "0.png")
    text = voc(size=sized(80, 40))
    write(tmp_path / "0.xml", text)
    np.testing.assert_allclose(
        read_boxed(tmp_path, val_share=0.0).train.boxes_xyxy_normalized[0],
        [[0.125, 0.125, 0.375, 0.375]],
    )


# COCO --------------------------------------------------------------------------------------------


def coco_values(names=("0.png", "1.png"), begin=0):
    boxes = [[10, 5, 20, 10], [0, 0, 20, 10]]
    images, notes = [], []
    for number, name in enumerate(names, begin):
        images.append({"id": number, "file_name": name, "width": 40, "height": 20})
        category = (3, 17)[(number - begin) % 2]
        box = boxes[(number - begin) % 2]
        notes.append({"id": number, "image_id": number, "category_id": category, "bbox": box})
    categories = [{"id": 3, "name": "box"}, {"id": 17, "name": "ball"}]
    return {"images": images, "annotations": notes, "categories": categories}


def coco(path, values):
    return write(path, json.dumps(values))


@pytest.fixture
def one_file(tmp_path):
    for name in ("0.png", "1.png"):
        picture(tmp_path / "images" / name)
    return tmp_path


def test_coco_as_it_is_downloaded(tmp_path):
    for split, names in (("train2017", ("0.png", "1.png")), ("val2017", ("2.png",))):
        for name in names:
            picture(tmp_path / split / name)
        folder = tmp_path / "annotations"
        coco(folder / f"instances_{split}.json", coco_values(names, begin=int(names[0][0])))
        # Fewer of them, and of one class: these were trained on.
        less = coco_values(names[:1], begin=int(names[0][0]))
        coco(
            folder / f"person_keypoints_{split}.json",
            {**less, "categories": less["categories"][:1]},
        )
        captions = {"images": less["images"], "annotations": [{"image_id": 0, "caption": "x"}]}
        coco(folder / f"captions_{split}.json", captions)
    data = read_boxed(tmp_path)
    assert_read(data, val=1)
    assert data.layout == (
        "COCO in several files: annotations/instances_train2017.json for train, "
        "annotations/instances_val2017.json for val"
    )
    assert data.left_out == (
        "annotations/captions_train2017.json (captions)",
        "annotations/captions_val2017.json (captions)",
        "annotations/person_keypoints_train2017.json (keypoints)",
        "annotations/person_keypoints_val2017.json (keypoints)",
    )


def test_keypoints_are_read_where_there_is_nothing_else(one_file):
    coco(one_file / "annotations" / "person_keypoints_train.json", coco_values())
    assert_read(read_boxed(one_file, val_share=0.0))


def test_captions_alone_hold_no_boxes(one_file):
    coco(one_file / "captions.json", {"images": [], "annotations": [{"caption": "x"}]})
    with pytest.raises(DataError, match=r"holds no boxes \(captions\.json, captions, no boxes\)"):
        read_boxed(one_file)


def test_roboflow_s_files_lie_with_their_pictures(tmp_path):
    for split, names in (("train", ("0.png", "1.png")), ("valid", ("2.png",))):
        for name in names:
            picture(tmp_path / split / name)
        values = coco_values(names, begin=int(names[0][0]))
        values["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
        coco(tmp_path / split / "_annotations.coco.json", values)
    data = read_boxed(tmp_path)
    assert_read(data, val=1)
    assert data.notes == ("'things' has no box and only names a group of classes; it was dropped",)


def test_a_picture_that_is_not_there_is_named_though_it_has_no_size(one_file):
    values = coco_values(("0.png", "7.png"))
    for image in values["images"]:
        image.update(width=-1, height=-1)
    report = check_boxed(read_boxed(coco(one_file / "a.json", values), val_share=0.0))
    assert report.unreadable == ((str(one_file / "images" / "7.png"), "does not exist"),)
    assert report.problems == ()


def test_files_of_one_split_are_joined_by_the_names_of_their_classes(tmp_path):
    for name in ("0.png", "1.png"):
        picture(tmp_path / "images" / name)
    coco(tmp_path / "train_a.json", coco_values(["0.png"]))
    values = coco_values(["1.png"])
    values["categories"] = [{"id": 3, "name": "ball"}]
    values["annotations"][0]["bbox"] = [0, 0, 20, 10]
    coco(tmp_path / "train_b.json", values)
    assert_read(read_boxed(tmp_path, val_share=0.0))


def test_files_of_one_split_with_the_same_picture_are_refused(one_file):
    coco(one_file / "train.json", coco_values())
    coco(one_file / "annotations.json", coco_values())
    with pytest.raises(DataError, match=r"annotations\.json and train\.json both have the picture"):
        read_boxed(one_file)


@pytest.mark.parametrize(
    "name", ["images\\{}", "C:\\sets\\images\\{}", "/root/images/{}", "./images/{}", "{}"]
)
def test_pictures_of_other_systems_are_found(one_file, name):
    values = coco_values([name.format("0.png"), name.format("1.png")])
    assert_read(read_boxed(coco(one_file / "result.json", values), val_share=0.0))


def test_pictures_with_brackets_are_found(tmp_path):
    for name in ("a [0].png", "a [1].png"):
        picture(tmp_path / "images" / name)
    coco(tmp_path / "a.json", coco_values(["a [0].png", "a [1].png"]))
    assert_read(read_boxed(tmp_path, val_share=0.0))


def change_note(**changes):
    def change(values):
        values["annotations"].append({**values["annotations"][0], "id": 9, **changes})

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_note(bbox=None), "annotation 9 of 0.png has no bbox of four numbers, but nothing"),
        (change_note(bbox=[1, 2, 3]), r"has no bbox of four numbers, but [1, 2, 3]"),
        (change_note(bbox=[1, 2, 3, "x"]), "has no bbox of four numbers"),
        (change_note(bbox={"x": 1}), "has no bbox of four numbers, but a mapping"),
        (change_note(bbox=[1, 2, 3, 10**400]), "a huge number"),
        (change_note(bbox=[1, 2, float("nan"), 4]), "has no bbox of four numbers"),
        (change_note(image_id=777), "annotation 9 is of the picture 777, which is not listed"),
        (change_note(image_id=[1]), "is of the picture [1], which is not listed"),
        (change_note(category_id=5), "has the category 5, which is not listed"),
        (change_note(category_id=None), "has the category nothing, which is not listed"),
        (change_note(score="high"), "has a score that is the text 'high'"),
        (lambda values: values["annotations"].append(7), "has an annotation that is 7"),
        (lambda values: values["images"].append({"id": 8}), "a picture without id and file_name"),
        (lambda values: values["images"].append(None), "a picture without id and file_name"),
        (
            lambda values: values["images"].append({"id": 0, "file_name": "7.png"}),
            "has two pictures with the id 0; '7.png' was left out",
        ),
    ],
)
def test_one_bad_annotation_of_coco_is_one_line(one_file, change, reason):
    values = coco_values()
    change(values)
    data = read_boxed(coco(one_file / "a.json", values), val_share=0.0)
    assert_read(data)
    [(path, told)] = data.problems
    assert path == str(one_file / "a.json")
    assert reason in told


def test_ids_as_text_are_those_as_numbers(one_file):
    values = coco_values()
    for note in values["annotations"]:
        note.update(image_id=str(note["image_id"]), category_id=float(note["category_id"]))
        note["bbox"] = list(map(str, note["bbox"]))
    for image in values["images"]:
        image.update(width=-1, height="-1")
    assert_read(read_boxed(coco(one_file / "a.json", values), val_share=0.0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "no COCO file"),
        ({"images": {}, "annotations": [], "categories": []}, "no COCO file"),
        ({"shapes": [], "imagePath": "a"}, "LabelMe's own form; export it as COCO"),
        ([{"id": 1, "annotations": []}], "Label Studio's own form; export it as COCO"),
        ({**coco_values(), "categories": [{"id": 1, "name": ["a"]}]}, "needs an id and a name"),
        ({**coco_values(), "categories": [7]}, "needs an id and a name, but one is 7"),
    ],
)
def test_files_that_are_no_coco_are_told(one_file, values, message):
    with pytest.raises(DataError, match=message):
        read_boxed(coco(one_file / "a.json", values))


def test_a_json_nested_too_deeply_is_one_line(one_file):
    with pytest.raises(DataError, match=r"a\.json is no JSON file"):
        read_boxed(write(one_file / "a.json", "[" * 100_000))


def test_the_report_names_the_layout_and_counts_the_classes(one_file):
    values = coco_values()
    change_note(image_id=777)(values)
    coco(one_file / "a.json", values)
    report = check_boxed(read_boxed(one_file, val_share=0.0))
    assert report.lines() == [
        "read as COCO: a.json for train",
        "pictures: 2 to train on (2 objects), 0 to validate with (0 objects)",
        "2 classes with their objects (train + val): box 1 + 0, ball 1 + 0",
        "1 annotation left out:",
        f"  {one_file}/a.json: annotation 9 is of the picture 777, which is not listed",
    ]
