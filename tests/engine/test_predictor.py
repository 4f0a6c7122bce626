"""Sources and how they are read: paths, and pictures in memory."""

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.data.face_pictures import read_face_picture
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.engine.predictor import each_source, loaded, name_of, predict_each, run_by_shape
from cnnkit.errors import ImageError
from cnnkit.images import Picture, read_image, to_uint8


@pytest.fixture(scope="module")
def cat(tmp_path_factory):
    """A photograph as a file and in memory."""
    pixels = to_uint8(load_sample(find_sample("chelsea")).pixels)
    path = tmp_path_factory.mktemp("pictures") / "cat.png"
    Image.fromarray(pixels).save(path)
    return path, pixels


def test_one_and_several_pictures_of_all_kinds_are_told_apart(cat):
    path, pixels = cat
    floats = pixels.astype(np.float32) / 255.0
    for one in (pixels, floats, pixels[..., 0], Image.fromarray(pixels), Picture(floats)):
        (picture,) = each_source(one)
        assert picture.source == "picture 1"
        assert picture.pixels.shape == (300, 451, 3)
    assert list(each_source(path)) == [str(path)]
    mixed = list(each_source(iter([path, pixels, Picture(floats, source="mine")])))
    assert [name_of(one) for one in mixed] == [str(path), "picture 2", "mine"]
    assert len(list(each_source(np.stack([floats, floats])))) == 2
    np.testing.assert_array_equal(to_uint8(mixed[1].pixels), pixels)


def test_what_is_no_picture_is_named():
    with pytest.raises(ValueError, match="picture 2 must be an array"):
        list(each_source([np.zeros((2, 2, 3)), np.zeros((2, 2, 5))]))
    with pytest.raises(ValueError, match=r"picture 1 must have finite floats in \[0, 1\]"):
        list(each_source(np.full((2, 2, 3), 7.0)))


def test_only_where_there_is_stdin_a_dash_stands_for_it(cat):
    path, _ = cat
    assert loaded("-") is None
    assert loaded(str(path), lambda: b"") is None
    assert loaded("-", path.read_bytes).pixels.shape == (300, 451, 3)


@pytest.mark.parametrize("job", ["detect", "segment", "caption", "classify"])
def test_a_picture_in_memory_is_seen_as_its_file_is(cat, job):
    path, pixels = cat
    before = pixels.copy()
    function = getattr(cnnkit, job)
    from_file, from_array, from_pil = function([path, pixels, Image.open(path)])
    assert [one.source for one in (from_file, from_array, from_pil)] == [
        str(path),
        "picture 2",
        "picture 3",
    ]
    if job == "segment":
        np.testing.assert_array_equal(from_array.classes, from_file.classes)
    elif job == "detect":
        assert [one.label for one in from_array.objects] == ["cat"]
        assert from_array.objects == from_file.objects
    elif job == "caption":
        said = [[one.sentence for one in found.candidates] for found in (from_array, from_file)]
        assert said[0] == said[1]
    else:
        assert from_array.best == from_file.best
    assert function(pixels)[0].source == "picture 1"
    np.testing.assert_array_equal(pixels, before)


def test_a_face_in_an_image_that_lies_on_its_side_is_turned_upright(tmp_path):
    image = Image.fromarray(to_uint8(load_sample(find_sample("astronaut")).pixels)[::4, ::8])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    image.save(tmp_path / "lying.png", exif=exif)
    with Image.open(tmp_path / "lying.png") as opened:
        picture = read_face_picture(opened)
    np.testing.assert_array_equal(
        picture.pixels, to_uint8(read_image(tmp_path / "lying.png").pixels)
    )
    floats = picture.pixels.astype(np.float32) / 255.0
    assert read_face_picture(floats).sha256 == picture.sha256


def test_what_cannot_be_read_is_its_error_among_the_results():
    def read(source):
        if source == "bad":
            raise ImageError("bad is bad")
        return len(source)

    batches = []

    def predict(some):
        batches.append([one.source for one in some])
        assert all(one.ms >= 0 for one in some)
        return [one.value for one in some]

    found = list(predict_each(["a", "bad", "ccc", "dddd"], read, predict, batch=3))
    assert [str(one) for one in found] == ["1", "bad is bad", "3", "4"]
    assert batches == [["a", "ccc"], ["dddd"]]


def test_inputs_of_one_shape_run_together():
    shapes = []

    def network(batch):
        shapes.append(batch.shape)
        return batch.sum(axis=1)

    inputs = [np.ones(2), np.ones(3), np.full(2, 2.0)]
    found = run_by_shape(network, inputs)
    assert [float(output) for output, _ in found] == [2.0, 3.0, 4.0]
    assert shapes == [(2, 2), (1, 3)]
    assert found[0][1] == found[2][1]
