"""Writing samples into a folder."""

import json

import numpy as np
import pytest

from cnnkit.data.samples import Sample
from cnnkit.errors import ImageError, UsageError
from cnnkit.images import Picture, read_image, read_record, write_image
from cnnkit.pipelines import samples as pipeline
from cnnkit.pipelines.samples import write_samples

BLACK = np.zeros((2, 2, 3), np.float32)


SQUARES = np.random.default_rng(7).random((6, 8, 3), dtype=np.float32)


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    table = (
        Sample("cat", "photograph", "a cat", "photograph by me", "CC0", "chelsea.png"),
        Sample("squares", "style", "squares", "painted by me", "MIT", "squares.png"),
    )
    monkeypatch.setattr(pipeline, "SAMPLES", table)
    load = pipeline.load_sample
    monkeypatch.setattr(
        pipeline,
        "load_sample",
        lambda sample: Picture(SQUARES) if sample.name == "squares" else load(sample),
    )


def statuses(written):
    return {item.name: item.status for item in written.items}


def test_all_samples_are_written_into_a_new_folder(tmp_path):
    folder = tmp_path / "new" / "bilder für alle"
    written = write_samples(folder)
    assert statuses(written) == {"cat": "written", "squares": "written"}
    assert sorted(path.name for path in folder.iterdir()) == ["cat.png", "squares.png"]
    assert (written.items[1].height, written.items[1].width) == (6, 8)
    assert not written.failed


def test_the_file_holds_the_picture_to_the_nearest_of_256_levels(tmp_path):
    write_samples(tmp_path, ["squares"])
    np.testing.assert_allclose(
        read_image(tmp_path / "squares.png").pixels, SQUARES, atol=0.5 / 255 + 1e-6
    )


def test_the_file_says_where_the_picture_comes_from(tmp_path):
    write_samples(tmp_path, ["cat"])
    record = json.loads(read_record(tmp_path / "cat.png"))
    assert record["origin"] == "photograph by me"
    assert record["licence"] == "CC0"


def test_only_the_named_samples_are_written(tmp_path):
    write_samples(tmp_path, ["squares"])
    assert [path.name for path in tmp_path.iterdir()] == ["squares.png"]


def test_each_sample_is_reported_as_soon_as_it_is_settled(tmp_path):
    seen = []
    written = write_samples(tmp_path, on_progress=seen.append)
    assert tuple(seen) == written.items


def test_a_second_run_finds_the_samples_present_and_leaves_them(tmp_path):
    write_samples(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert statuses(write_samples(tmp_path)) == {"cat": "present", "squares": "present"}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_another_file_in_the_way_is_refused_before_anything_is_written(tmp_path):
    write_image(tmp_path / "squares.png", Picture(BLACK))
    before = (tmp_path / "squares.png").read_bytes()
    with pytest.raises(UsageError, match=r"squares\.png exists and is not the sample; give --over"):
        write_samples(tmp_path)
    assert (tmp_path / "squares.png").read_bytes() == before
    assert not (tmp_path / "cat.png").exists()


def test_a_file_in_the_way_that_is_no_picture_is_refused_too(tmp_path):
    (tmp_path / "cat.png").write_text("my notes")
    (tmp_path / "squares.png").mkdir()
    with pytest.raises(UsageError, match=r"cat\.png \(and 1 more\) exists"):
        write_samples(tmp_path)
    assert (tmp_path / "cat.png").read_text() == "my notes"


def test_overwrite_replaces_what_is_in_the_way(tmp_path):
    write_image(tmp_path / "squares.png", Picture(BLACK))
    written = write_samples(tmp_path, overwrite=True)
    assert statuses(written) == {"cat": "written", "squares": "replaced"}
    assert read_image(tmp_path / "squares.png").width == 8


def test_skip_existing_keeps_what_is_in_the_way_and_writes_the_rest(tmp_path):
    write_image(tmp_path / "squares.png", Picture(BLACK))
    written = write_samples(tmp_path, skip_existing=True)
    assert statuses(written) == {"cat": "written", "squares": "kept"}
    assert read_image(tmp_path / "squares.png").width == 2


def test_overwrite_and_skip_existing_contradict_each_other(tmp_path):
    with pytest.raises(UsageError, match="contradict"):
        write_samples(tmp_path, overwrite=True, skip_existing=True)


def test_an_unknown_sample_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="no sample named dog; choose from: cat, squares"):
        write_samples(tmp_path / "new", ["cat", "dog"])
    assert not (tmp_path / "new").exists()


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="file is a file, not a folder"):
        write_samples(tmp_path / "file")
    with pytest.raises(ImageError, match="below cannot be made: Not a directory"):
        write_samples(tmp_path / "file" / "below")


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    # Not by chmod: root may write anywhere.
    monkeypatch.setattr(pipeline.os, "access", lambda path, mode: False)
    with pytest.raises(ImageError, match="cannot be written to: permission denied"):
        write_samples(tmp_path)


def test_a_missing_photograph_fails_alone(tmp_path, monkeypatch):
    table = (
        Sample("dog", "photograph", "", "", "CC0", file_name="no-such-file.png"),
        *pipeline.SAMPLES,
    )
    monkeypatch.setattr(pipeline, "SAMPLES", table)
    written = write_samples(tmp_path)
    assert statuses(written) == {"dog": "failed", "cat": "written", "squares": "written"}
    assert written.failed
    assert written.items[0].error.code == "ImageError"
    assert not (tmp_path / "dog.png").exists()
