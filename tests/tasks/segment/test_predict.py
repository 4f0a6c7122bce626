"""The class of every pixel: sizes and regions."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from cnnkit.data._class_names import VOC_CLASSES
from cnnkit.errors import ImageError, UsageError, WeightsError
from cnnkit.images import Picture, read_image
from cnnkit.models.deeplab import build_deeplab
from cnnkit.tasks.segment import files
from cnnkit.tasks.segment.predict import Segmenter, segment
from cnnkit.tasks.segment.regions import find_segments, label_pixels, resize_maps, soft_mask
from cnnkit.tasks.segment.settings import SegmentSettings
from tests.models.test_deeplab import write_network


@pytest.fixture(scope="module")
def segmenter(color_segmenter):
    return Segmenter(color_segmenter)


@pytest.fixture(scope="module")
def found(segmenter, painted):
    return segmenter.label(read_image(painted))


def test_areas_and_boxes_by_hand(found, painted):
    assert found.source == str(painted)
    blue, red = found.segments
    assert (blue.label, blue.class_id, blue.area) == ("blue", 2, 40 * 20)
    assert blue.box_xyxy == (50, 10, 70, 50)
    assert blue.share == 800 / 4800
    assert (red.label, red.area) == ("red", 20 * 30 + 4 * 10)
    assert red.box_xyxy == (10, 10, 40, 44)
    assert [(part.area, part.box_xyxy) for part in red.regions] == [
        (600, (10, 10, 40, 30)),
        (40, (10, 40, 20, 44)),
    ]
    assert red.regions[0].mask.all()
    # exp(20 * 250/255) against exp(10) and exp(20 * 20/255)
    assert red.score == pytest.approx(1 / (1 + np.exp(10 - 19.608)), abs=1e-3)


def test_a_large_picture_is_seen_small_and_labelled_at_its_own_size(color_segmenter, painted):
    large = np.asarray(Image.open(painted).resize((320, 240), Image.Resampling.NEAREST))
    found = Segmenter(color_segmenter, SegmentSettings(size=160)).label(
        Picture(large / np.float32(255))
    )
    assert found.probabilities.shape == (120, 160, 3)
    assert found.classes.shape == (240, 320)
    true = np.zeros((240, 320), int)
    true[40:120, 40:160] = true[160:176, 40:80] = 1
    true[40:200, 200:280] = 2
    assert (found.classes == true).mean() > 0.99


def test_tiny_pictures_have_labels_too(segmenter):
    pixels = np.zeros((1, 3, 3), np.float32)
    pixels[..., 0] = 1.0
    found = segmenter.label(Picture(pixels))
    assert found.classes.tolist() == [[1, 1, 1]]


def test_mirror_images_and_sizes_are_averaged(color_segmenter, painted):
    picture = read_image(painted)
    plain = Segmenter(color_segmenter)
    flipped = Segmenter(color_segmenter, SegmentSettings(flip=True))
    # This network sees each pixel by itself: the mirror image says the same.
    np.testing.assert_allclose(
        flipped.probabilities(picture.pixels), plain.probabilities(picture.pixels), atol=1e-6
    )
    several = Segmenter(color_segmenter, SegmentSettings(scales=(1.0, 0.5)))
    half = Segmenter(color_segmenter, SegmentSettings(scales=(0.5,)))
    half = resize_maps(half.probabilities(picture.pixels), 60, 80)
    expected = (plain.probabilities(picture.pixels) + half) / 2
    np.testing.assert_allclose(several.probabilities(picture.pixels), expected, atol=1e-5)
    assert several.label(picture).classes[20, 20] == 1


def test_labels_of_another_size_are_those_of_all_maps_resized():
    maps = np.random.default_rng(0).dirichlet(np.ones(5), (6, 7)).astype(np.float32)
    classes, certain = label_pixels(maps, 20, 30)
    whole = resize_maps(maps, 20, 30)
    np.testing.assert_array_equal(classes, whole.argmax(axis=-1))
    np.testing.assert_allclose(certain, whole.max(axis=-1), atol=1e-6)


def test_specks_are_no_regions_unless_there_is_nothing_else():
    classes = np.zeros((100, 100), np.uint8)
    classes[:50, :50] = 1
    classes[80, 80] = 1
    classes[90, 10] = classes[95, 95] = 2
    first, second = find_segments(classes, np.ones((100, 100)), ("background", "a", "b"))
    assert (first.area, len(first.regions)) == (2501, 1)
    assert (second.area, len(second.regions)) == (2, 1)


def test_nothing_but_background_has_no_segments():
    assert find_segments(np.zeros((4, 4), np.uint8), np.ones((4, 4)), ("background",)) == ()


def test_the_edge_of_a_soft_mask_is_soft(segmenter):
    # Red grows from left to right: the probability of red passes 1/2 at 0.5.
    ramp = np.zeros((32, 101, 3), np.float32)
    ramp[..., 0] = np.linspace(0.4, 0.6, 101)
    alpha = soft_mask(segmenter.label(Picture(ramp)), (1,))[10]
    assert alpha[50] == pytest.approx(0.5, abs=0.02)
    assert (np.diff(alpha) >= -1e-6).all()
    assert ((alpha > 0.01) & (alpha < 0.99)).sum() > 3


def test_the_library_function_takes_one_picture_or_several(color_segmenter, painted):
    assert len(segment(painted, model=color_segmenter)) == 1
    assert len(segment([painted, painted], model=color_segmenter)) == 2
    seen = segment(painted, SegmentSettings(flip=True), model=color_segmenter, size=64)
    assert seen[0].probabilities.shape == (48, 64, 3)
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        segment("gone.png", model=color_segmenter)


def test_pictures_of_files_are_not_kept_in_memory_but_can_be_drawn(color_segmenter, painted):
    with Image.open(painted) as image:
        from_file, from_memory = segment([painted, image], model=color_segmenter)
    assert from_file.picture is None
    assert from_memory.source == "picture 2"
    np.testing.assert_array_equal(np.asarray(from_file.plot()), np.asarray(from_memory.plot()))


def test_threads_may_use_one_segmenter(segmenter, painted):
    pixels = np.asarray(Image.open(painted))
    pictures = [pixels, pixels[:40], pixels[:, :50]]
    expected = [segmenter.segment(one)[0].classes for one in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: segmenter.segment(one)[0].classes, pictures * 6))
    for one, known in zip(found, expected * 6, strict=True):
        np.testing.assert_array_equal(one, known)


def test_what_is_no_segmenter_is_refused(tmp_path, color_run):
    with pytest.raises(UsageError, match="there is no segmenter named 'city'"):
        Segmenter("city")
    with pytest.raises(WeightsError, match=r"holds no model\.keras"):
        Segmenter(str(tmp_path))
    with pytest.raises(UsageError, match="is no segmenter; give --model"):
        Segmenter(color_run)


def test_sizes_that_make_no_sense_are_refused(color_segmenter):
    with pytest.raises(UsageError, match="size must be at least 32"):
        Segmenter(color_segmenter, SegmentSettings(size=8))
    with pytest.raises(UsageError, match="scales must be from"):
        Segmenter(color_segmenter, SegmentSettings(scales=(9.0,)))


def test_deeplab_is_used_where_its_file_is(painted, tmp_path, monkeypatch):
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path / "nothing"))
    with pytest.raises(WeightsError, match=r"deeplab weights are not .*cnnkit weights fetch deepl"):
        segment(painted, model="deeplab")
    file = write_network(tmp_path / "x.tflite")
    monkeypatch.setattr(files, "locate", lambda name: file)
    [found] = segment(painted, model="deeplab")
    assert (found.model, found.names) == ("deeplab", VOC_CLASSES)
    # A small picture is enlarged to the usual size.
    picture = read_image(painted)
    assert picture.pixels.shape[:2] == found.classes.shape == (60, 80)
    assert found.probabilities.shape == (384, 512, 21)
    [same] = segment(painted, model="deeplab", size=80)
    scores = np.array(build_deeplab(file)(picture.pixels[None]))[0]
    np.testing.assert_array_equal(same.classes, scores.argmax(axis=-1))
