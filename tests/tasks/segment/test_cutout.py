"""Cutouts: what the subject is, where it ends, and what is put behind it."""

import numpy as np
import pytest
from PIL import Image

from cnnkit import cutout
from cnnkit.data._class_names import VOC_CLASSES
from cnnkit.errors import ImageError, NothingFoundError, UsageError
from cnnkit.images import Picture, read_image
from cnnkit.results import Milliseconds
from cnnkit.tasks.segment.cutout import (
    _without_crumbs,
    clean_mask,
    cut_out,
    read_background,
    share_of,
    subject_alpha,
    subject_classes,
)
from cnnkit.tasks.segment.predict import Segmenter
from cnnkit.tasks.segment.regions import find_segments
from cnnkit.tasks.segment.results import Segmentation
from cnnkit.tasks.segment.settings import CutoutSettings


@pytest.fixture(scope="module")
def found(color_segmenter, painted):
    return Segmenter(color_segmenter).label(read_image(painted))


def segmentation(classes: np.ndarray, names=VOC_CLASSES, sure: float = 0.9) -> Segmentation:
    """What a segmenter says that is as sure of each pixel."""
    others = (1.0 - sure) / (len(names) - 1)
    probabilities = np.where(np.eye(len(names))[classes] > 0, sure, others).astype(np.float32)
    segments = find_segments(classes, np.full(classes.shape, sure), names)
    return Segmentation(
        "", classes, probabilities, names, segments, "by hand", Milliseconds(0.0, 0.0, 0.0)
    )


def scene(**areas: slice) -> Segmentation:
    """100 rows, of which some show classes."""
    classes = np.zeros((100, 100), np.uint8)
    for label, rows in areas.items():
        classes[rows] = VOC_CLASSES.index(label)
    return segmentation(classes)


def labels(*given) -> list[str]:
    return [VOC_CLASSES[index] for index in subject_classes(*given)]


def test_people_are_the_subject_unless_something_is_much_larger():
    assert labels(scene(dog=slice(0, 40), person=slice(60, 70))) == ["person"]
    assert labels(scene(train=slice(0, 60), person=slice(60, 70))) == ["train"]
    assert labels(scene(dog=slice(0, 20), cat=slice(50, 90))) == ["cat"]
    assert labels(scene()) == []


def test_a_subject_that_is_named_is_taken_where_it_is():
    both = scene(dog=slice(0, 40), person=slice(60, 70))
    assert labels(both, "dog") == ["dog"]
    assert sorted(labels(both, "dog, person, cat")) == ["dog", "person"]
    assert labels(both, "cat") == []
    with pytest.raises(UsageError, match="did you mean dog"):
        subject_classes(both, "dgo")


def test_a_subject_s_share_is_against_the_most_probable_of_the_others():
    probabilities = np.float32([[[0.3, 0.4, 0.2, 0.1]]])
    assert share_of(probabilities, (1,)) == pytest.approx(0.4 / 0.7)
    assert share_of(probabilities, (1, 3)) == pytest.approx(0.5 / 0.8)
    assert share_of(probabilities, (0, 1, 2, 3)) == 1.0


def test_crumbs_are_dropped_and_holes_filled_that_are_none():
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:50] = True
    mask[2:4, 2:4] = True
    background = np.full((60, 60), 0.95)
    mask[20:21, 20:21] = False  # a speck
    mask[25:31, 15:21] = False  # another thing, such as a tie
    background[25:31, 15:21] = 0.1
    mask[35:43, 35:43] = False  # a gap
    wanted = np.zeros((60, 60), bool)
    wanted[10:50, 10:50] = True
    wanted[35:43, 35:43] = False
    np.testing.assert_array_equal(clean_mask(mask, background), wanted)


def test_nothing_stays_of_an_empty_mask():
    empty = np.zeros((9, 9), bool)
    assert not clean_mask(empty, np.ones((9, 9))).any()


def test_a_cutout_is_opaque_inside_and_clear_outside(found, painted):
    picture = read_image(painted)
    cut = cut_out(picture, found, (1,))
    assert cut.alpha[20, 20] == 1.0
    assert cut.alpha[30, 60] == cut.alpha[0, 0] == 0.0
    np.testing.assert_allclose(cut.pixels[20, 20], picture.pixels[20, 20], atol=1e-5)
    half = Picture(picture.pixels, np.full((60, 80), 0.5, np.float32))
    assert cut_out(half, found, (1,)).alpha[20, 20] == 0.5


@pytest.mark.parametrize("enlarged", [1, 4])
def test_the_edge_is_the_picture_s_and_not_the_segmenter_s(enlarged):
    # The segmenter is three pixels off all around.
    y, x = np.mgrid[:120, :160]
    true = ((x - 80) ** 2 + (y - 60) ** 2 < 40**2).astype(np.float32)
    classes = ((x - 80) ** 2 + (y - 60) ** 2 < 43**2).astype(np.uint8)
    true = true.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
    found = segmentation(classes, ("background", "ball"))
    large = classes.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
    found = Segmentation(**{**vars(found), "classes": large})
    noise = np.random.default_rng(0).normal(0.0, 0.02, (*true.shape, 3))
    pixels = true[..., None] * [0.9, 0.6, 0.2] + (1.0 - true[..., None]) * [0.1, 0.2, 0.5]
    picture = Picture(np.clip(pixels + noise, 0.0, 1.0).astype(np.float32))
    alpha = subject_alpha(picture, found, (1,))
    before = np.abs(large - true).sum()
    assert np.abs(alpha - true).sum() < 0.1 * before


def test_a_subject_at_the_border_stays_whole():
    classes = np.zeros((40, 60), np.uint8)
    classes[:, :30] = 1
    found = segmentation(classes, ("background", "ball"))
    pixels = np.where(classes[..., None] > 0, np.float32(0.9), np.float32(0.1)).repeat(3, axis=2)
    alpha = subject_alpha(Picture(pixels), found, (1,))
    np.testing.assert_allclose(alpha, classes, atol=0.02)


def test_another_background_leaves_what_stays(found, painted):
    picture = read_image(painted)
    white = cut_out(picture, found, (1, 2), read_background("white"))
    np.testing.assert_allclose(white.pixels[20, 20], picture.pixels[20, 20], atol=1e-5)
    np.testing.assert_allclose(white.pixels[55, 5], 1.0)
    green = Picture(np.tile(np.float32([0, 1, 0]), (7, 9, 1)))
    behind = cut_out(picture, found, (1,), green)
    np.testing.assert_allclose(behind.pixels[30, 60], [0, 1, 0], atol=1e-5)
    assert behind.pixels.shape == picture.pixels.shape


def test_a_blurred_background_has_nothing_of_what_stands_before_it(found, painted):
    picture = read_image(painted)
    blurred = cut_out(picture, found, (1, 2), "blur")
    # All that is not red or blue is dark, also beside them.
    assert blurred.pixels[25, 45].max() < 0.15
    np.testing.assert_allclose(blurred.pixels[20, 20], picture.pixels[20, 20], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "color"),
    [("white", (1, 1, 1)), ("#ff8000", (1, 128 / 255, 0)), ((0.5, 0, 1), (0.5, 0, 1))],
)
def test_a_background_is_a_colour_in_several_ways(name, color):
    np.testing.assert_allclose(read_background(name).pixels[0, 0], color, atol=1e-6)


def test_a_background_that_is_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="#12345 is no colour; give six digits"):
        read_background("#12345")
    with pytest.raises(ImageError, match=r"beach\.jpg"):
        read_background(str(tmp_path / "beach.jpg"))


def test_the_library_function_cuts_out_and_says_what(color_segmenter, painted):
    [one] = cutout(painted, subject="red", model=color_segmenter)
    assert (one.source, one.labels) == (str(painted), ("red",))
    assert one.picture.alpha[20, 20] == 1.0
    pixels = np.asarray(Image.open(painted))[:, :45]
    [none, largest] = cutout([pixels, painted], background="#00ff00", model=color_segmenter)
    assert largest.labels == ("blue",)
    np.testing.assert_allclose(largest.picture.pixels[0, 0], [0, 1, 0], atol=1e-5)
    assert none.labels == ("red",)
    [none] = cutout(pixels, CutoutSettings(subject="blue"), model=color_segmenter)
    assert (none.picture, none.labels, none.segments) == (None, (), ())
    assert repr(none) == "Cutout(picture 1: nothing cut out)"
    with pytest.raises(NothingFoundError, match="picture 1: no blue was found, only red; nothing"):
        none.plot()


def test_a_cutout_shows_itself(color_segmenter, painted, tmp_path):
    [cut] = cutout(painted, subject="red", model=color_segmenter)
    assert repr(cut) == f"Cutout({painted}: red)"
    assert (cut.plot().mode, cut.plot().size) == ("RGBA", (80, 60))
    cut.save(tmp_path / "cut.png")
    with Image.open(tmp_path / "cut.png") as image:
        assert image.getpixel((60, 20))[3] == 0
    assert cut._repr_png_()[:4] == b"\x89PNG"
    found = cut.to_dict()
    assert ([one["label"] for one in found["items"]], found["others"]) == (["red"], ["blue"])
    # A file is read again where it is drawn.
    assert cut.segmentation.picture is None


def test_a_picture_s_own_alpha_stays(color_segmenter, painted):
    image = Image.open(painted).convert("RGBA")
    image.putalpha(128)
    [cut] = cutout(image, subject="red", background=None, model=color_segmenter)
    assert cut.picture.alpha.max() <= 128 / 255 + 1e-6


def test_small_parts_that_only_the_colors_made_are_dropped():
    alpha = np.zeros((20, 30), np.float32)
    alpha[2:18, 2:18] = 1.0
    alpha[5:7, 24:26] = 0.8
    cleaned = _without_crumbs(alpha)
    assert (cleaned[:, :20] == alpha[:, :20]).all()
    assert (cleaned[:, 20:] == 0.0).all()
    # A second large part stays.
    alpha[2:18, 22:30] = 1.0
    assert (_without_crumbs(alpha) == alpha).all()
