"""Pictures with masks in the forms in which people have them, and what is wrong with some."""

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import DataError
from cnnkit.tasks.segment.data import check_masks, parse_classes, read_mask, read_masks

NAMES = "background\nbox\n"


def save(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path, **options)


def picture(path):
    save(path, np.full((4, 6, 3), 90))


def mask(path, value=1, **options):
    """The left half is background."""
    values = np.zeros((4, 6), np.uint8)
    values[:, 3:] = value
    save(path, values, **options)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def assert_read(data, classes=("background", "box"), train=2, val=None):
    assert data.classes == classes
    assert len(data.train) == train
    if val is not None:
        assert len(data.val) == val
    report = check_masks(data)
    assert report.bad == ()
    assert report.pixels[:2] == (12 * train, 12 * train)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/{}.png", "labels/{}.png"),
        ("imgs/{}.jpg", "masks/{}_mask.gif"),
        ("images/train/{}.png", "labels/train/{}.png"),
        ("train/images/{}.png", "train/masks/{}.png"),
        ("train/{}.png", "trainannot/{}.png"),
        ("train/{}.jpg", "train_masks/{}_mask.gif"),
        ("images/training/{}.jpg", "annotations/training/{}.png"),
        ("train/{}.jpg", "train/{}_mask.png"),
        ("{}.jpg", "{}_segmentation.png"),
        ("{}.jpg", "{}.png"),
        ("a [1]/{} (copy).jpg", "a [1]/{} (copy)_L.png"),
        ("archive/set/images/{}.png", "archive/set/masks/{}.png"),
        ("Training_Data/{}.jpg", "Training_GroundTruth/{}_segmentation.png"),
        ("photos/{}.png", "drawn/{}.png"),
        ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
        ("JPEGImages/{}.jpg", "SegmentationClassPNG/{}.png"),
    ],
)
def test_masks_are_found_beside_pictures_and_apart(tmp_path, image, label):
    for name in "01":
        picture(tmp_path / image.format(name))
        mask(tmp_path / label.format(name))
    picture(tmp_path / "__MACOSX" / image.format("2"))
    write(tmp_path / "classes.txt", NAMES)
    data = read_masks(tmp_path, val_share=0.5)
    assert_read(data, train=1, val=1)


def test_folders_of_splits_inside_pictures_and_masks_stay_apart(tmp_path):
    for split, names in (("train", "01"), ("val", "2"), ("test", "3")):
        for name in names:
            picture(tmp_path / "images" / split / f"{name}.png")
            mask(tmp_path / "masks" / split / f"{name}.png")
    write(tmp_path / "classes.txt", NAMES)
    data = read_masks(tmp_path)
    assert_read(data, val=1)
    assert "1 pair to test with" in data.left_out[0]


def test_lists_of_voc_may_name_files_with_spaces_and_brackets(tmp_path):
    for name in ("a [0]", "b"):
        picture(tmp_path / "JPEGImages" / f"{name}.png")
        mask(tmp_path / "SegmentationClass" / f"{name}.png")
    write(tmp_path / "ImageSets" / "Segmentation" / "train.txt", "a [0]\n")
    write(tmp_path / "ImageSets" / "Segmentation" / "val.txt", "b\n")
    write(tmp_path / "class_names.txt", "_background_\nbox\n")
    assert_read(read_masks(tmp_path), ("_background_", "box"), train=1, val=1)


def test_drawings_and_masks_of_instances_are_passed_over(tmp_path):
    for name in "01":
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
        mask(tmp_path / "SegmentationClass" / f"{name}.png")
        mask(tmp_path / "SegmentationObject" / f"{name}.png", 3)
        picture(tmp_path / "SegmentationClassVisualization" / f"{name}.jpg")
    write(tmp_path / "class_names.txt", "_background_\nbox\n")
    data = read_masks(tmp_path, val_share=0.5)
    assert_read(data, ("_background_", "box"), train=1)
    assert data.left_out == (
        "4 pictures such as SegmentationClassVisualization/0.jpg, no masks of classes",
    )


# Lists of classes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "classes"),
    [
        ("class_names.txt", "_background_\nbox\nball\n", ("_background_", "box", "ball")),
        ("labels.txt", "__ignore__\n_background_\nbox\n", ("_background_", "box")),
        ("classes.txt", "0: background\n1: box\n", ("background", "box")),
        ("classes.txt", "0,background\n1,box\n", ("background", "box")),
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, box\n", ("background", "box")),
        ("codes.txt", "background\nbox\n", ("background", "box")),
    ],
)
@pytest.mark.parametrize("place", [".", "SegmentationClass"])
def test_lists_of_classes_of_other_tools_are_read(tmp_path, name, text, classes, place):
    for number in "01":
        picture(tmp_path / "JPEGImages" / f"{number}.jpg")
        mask(tmp_path / "SegmentationClass" / f"{number}.png")
    write(tmp_path / place / name, text)
    data = read_masks(tmp_path, val_share=0.5)
    assert_read(data, classes, train=1)
    assert data.layout.endswith(f"classes in {name}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\nbox:128,0,0::\n",
        ),
        ("label_colors.txt", "0 0 0\tbackground\n128 0 0\tbox\n"),
        ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\nbox,128,0,0\n"),
    ],
)
@pytest.mark.parametrize("has_palette", [False, True])
def test_colours_of_classes_are_read(tmp_path, name, text, has_palette):
    values = np.zeros((4, 6, 3), np.uint8)
    values[:, 3:, 0] = 128
    for number in "01":
        picture(tmp_path / "images" / f"{number}.jpg")
        path = tmp_path / "masks" / f"{number}.png"
        save(path, values)
        if has_palette:
            Image.open(path).quantize(2).save(path)
    write(tmp_path / name, text)
    assert_read(read_masks(tmp_path, val_share=0.5), train=1)


def test_a_list_of_classes_that_is_not_known_is_refused(tmp_path):
    picture(tmp_path / "JPEGImages" / "0.jpg")
    mask(tmp_path / "SegmentationClass" / "0.png")
    write(tmp_path / "my names.txt", NAMES)
    with pytest.raises(DataError, match=r"my names\.txt is not read .* call it classes\.txt"):
        read_masks(tmp_path)
    (tmp_path / "my names.txt").rename(tmp_path / "readme.txt")
    assert read_masks(tmp_path).layout == "Pascal VOC; classes of VOC, as there is no classes.txt"
    write(tmp_path / "classes.json", "[]")
    with pytest.raises(DataError, match=r"classes\.json is not read as a list of classes"):
        read_masks(tmp_path)


def test_two_lists_of_classes_that_differ_are_refused(tmp_path):
    picture(tmp_path / "images" / "0.jpg")
    mask(tmp_path / "masks" / "0.png")
    write(tmp_path / "classes.txt", NAMES)
    write(tmp_path / "class_names.txt", "box\nbackground\n")
    with pytest.raises(DataError, match=r"class_names\.txt and classes\.txt differ"):
        read_masks(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labelmap.txt", "background 0 0 0\n", "as CVAT writes them"),
        ("classes.csv", "a,b\n", "no row with a name and a value"),
        ("classes.csv", "0,sky\n1,2,road\n", "a row must be a name and a value"),
        ("classes.txt", "\u00b2 sky\n\u00b3 road\n", None),
        ("classes.txt", f"{'9' * 5000} sky\n1 road\n", "one kind of lines"),
    ],
)
def test_lists_of_classes_that_make_no_sense_are_refused(tmp_path, name, text, message):
    picture(tmp_path / "images" / "0.jpg")
    mask(tmp_path / "masks" / "0.png")
    write(tmp_path / name, text)
    if message is None:
        # These are letters, not digits.
        assert read_masks(tmp_path).classes == ("\u00b2 sky", "\u00b3 road")
        return
    with pytest.raises(DataError, match=message):
        read_masks(tmp_path)


# Values ------------------------------------------------------------------------------------------


def two_pairs(folder, value=1, suffix=".png"):
    for name in "01":
        picture(folder / "images" / f"{name}.png")
        mask(folder / "masks" / f"{name}{suffix}", value)
    write(folder / "classes.txt", NAMES)
    return folder


@pytest.mark.parametrize("names", [NAMES, "background\nbox\nball\n", "0 background\n1 box\n"])
def test_masks_of_0_and_255_are_refused_with_what_to_write(tmp_path, names):
    two_pairs(tmp_path, 255)
    write(tmp_path / "classes.txt", names)
    with pytest.raises(
        DataError, match=r"masks of 0 and 255.*write '0 background' and '255 box' into classes\.txt"
    ):
        read_masks(tmp_path)


def test_255_is_a_class_where_the_list_says_so(tmp_path):
    two_pairs(tmp_path, 255)
    write(tmp_path / "classes.txt", "0 background\n255 box\n")
    assert_read(read_masks(tmp_path, val_share=0.5), train=1)
    write(tmp_path / "classes.txt", "0 background\n1 box\n255 ignore\n")
    report = check_masks(read_masks(tmp_path, val_share=0.5))
    assert report.ignored == 0.5


def test_masks_of_0_and_255_with_one_more_value_leave_255_out(tmp_path):
    two_pairs(tmp_path)
    values = np.zeros((4, 6), np.uint8)
    values[0], values[1] = 1, 255
    save(tmp_path / "masks" / "0.png", values)
    assert check_masks(read_masks(tmp_path, val_share=0.5)).bad == ()


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", "_mask.jpg"])
def test_masks_as_jpeg_are_refused_by_their_folder(tmp_path, suffix):
    two_pairs(tmp_path, suffix=suffix)
    with pytest.raises(DataError, match=r"masks/ in .* has masks as JPEG \(0.* and 1 more\)"):
        read_masks(tmp_path)


def test_masks_as_jpeg_in_a_folder_of_any_name_are_refused(tmp_path):
    for name in "01":
        picture(tmp_path / "photos" / f"{name}.png")
        mask(tmp_path / "drawn by hand" / f"{name}_mask.jpg")
    write(tmp_path / "classes.txt", NAMES)
    with pytest.raises(DataError, match=r"drawn by hand/ in .* has masks as JPEG"):
        read_masks(tmp_path)


def test_empty_lists_of_voc_are_one_line(tmp_path):
    picture(tmp_path / "JPEGImages" / "0.png")
    mask(tmp_path / "SegmentationClass" / "0.png")
    write(tmp_path / "ImageSets" / "Segmentation" / "train.txt", "\n")
    with pytest.raises(DataError, match="name no picture"):
        read_masks(tmp_path)


def test_masks_as_jpeg_in_a_list_are_refused_too(tmp_path):
    picture(tmp_path / "JPEGImages" / "0.png")
    mask(tmp_path / "SegmentationClass" / "0.jpg")
    write(tmp_path / "ImageSets" / "Segmentation" / "train.txt", "0\n")
    with pytest.raises(DataError, match=r"SegmentationClass/ in .* has masks as JPEG \(0\.jpg\)"):
        read_masks(tmp_path)


def test_masks_with_three_equal_channels_are_values(tmp_path):
    _, coding = parse_classes(["sky", "road"])
    save(tmp_path / "a.png", [[[0, 0, 0], [1, 1, 1]]])
    assert read_mask(tmp_path / "a.png", coding).tolist() == [[0, 1]]
    save(tmp_path / "b.png", [[[0, 0, 0, 255], [1, 1, 1, 255]]])
    assert read_mask(tmp_path / "b.png", coding).tolist() == [[0, 1]]


def test_masks_of_16_bits_are_values(tmp_path):
    _, coding = parse_classes(["sky", "road"])
    Image.fromarray(np.array([[0, 1, 255]], np.uint16)).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", coding).tolist() == [[0, 1, 255]]
    Image.fromarray(np.array([[0, 256]], np.uint16)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match="1 pixels of no class, the first, 256, at row 0, column 1"):
        read_mask(tmp_path / "b.png", coding)


def test_folders_that_cannot_be_told_apart_are_refused(tmp_path):
    for folder in ("a", "b"):
        picture(tmp_path / folder / "0.png")
    write(tmp_path / "classes.txt", NAMES)
    with pytest.raises(DataError, match="cannot be told which of a and b has the masks"):
        read_masks(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("images/0.jpg", r"0\.jpg and 0\.png have one name"),
        ("masks/0.gif", r"0\.png has two masks"),
    ],
)
def test_what_is_ambiguous_is_refused_by_name(tmp_path, path, message):
    two_pairs(tmp_path)
    (picture if "images" in path else mask)(tmp_path / path)
    with pytest.raises(DataError, match=message):
        read_masks(tmp_path)


def test_pictures_without_a_mask_are_left_out_and_counted_unless_they_are_most(tmp_path):
    two_pairs(tmp_path)
    for number in (5, 6):
        picture(tmp_path / "images" / f"{number}.png")
    assert read_masks(tmp_path).left_out == ("2 pictures without a mask, such as images/5.png",)
    picture(tmp_path / "images" / "7.png")
    with pytest.raises(DataError, match=r"5\.png and 2 more has no mask in .*masks"):
        read_masks(tmp_path)


def test_masks_without_a_picture_are_counted(tmp_path):
    two_pairs(tmp_path)
    mask(tmp_path / "masks" / "9.png")
    assert read_masks(tmp_path).left_out == ("1 file in no pair, such as masks/9.png",)
