"""Folders on this machine and in buckets, tried with a bucket's address of a folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.engine.storage import Storage, find_stored_sources, is_stored
from cnnkit.errors import DataError, ImageError, UsageError

pytest.importorskip("pyarrow")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "photos"
    for name in ("b.png", "a.png", "deep/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("none")
    return folder


@pytest.fixture(params=["", "file://"])
def storage(request, tmp_path):
    return Storage.of(f"{request.param}{tmp_path / 'out'}")


def test_files_are_written_read_and_listed_the_same_way_here_and_in_a_bucket(storage):
    assert storage.names("parts") == []
    assert storage.read_if_there("manifest.json") is None
    storage.write("parts/one.jsonl", b"{}")
    storage.write("manifest.json", b"1")
    storage.write("manifest.json", b"2")
    assert storage.names("parts") == ["one.jsonl"]
    assert storage.read("parts/one.jsonl") == b"{}"
    assert storage.read_if_there("manifest.json") == b"2"
    with pytest.raises(DataError, match=r"other\.json cannot be read"):
        storage.read("other.json")


def test_a_folder_is_copied_out_with_its_tree(storage, pictures):
    storage.copy_out(pictures)
    assert sorted(storage.names()) == ["a.png", "b.png", "deep", "notes.txt"]
    assert storage.read("deep/c.png") == (pictures / "deep/c.png").read_bytes()


def test_pictures_of_a_bucket_are_found_in_the_order_of_their_names(pictures):
    address = f"file://{pictures}"
    found = find_stored_sources([address], False, print)
    assert [one.path for one in found] == [f"{address}/a.png", f"{address}/b.png"]
    found = find_stored_sources([f"{address}/", str(pictures / "a.png")], True, print)
    assert [str(one.relative) for one in found] == ["a.png", "b.png", "deep/c.png", "a.png"]
    one = find_stored_sources([f"{address}/a.png"], False, print)
    assert [(source.path, source.relative) for source in one] == [
        (f"{address}/a.png", Path("a.png"))
    ]


def test_buckets_without_pictures_and_addresses_that_nobody_knows_are_refused(tmp_path):
    with pytest.raises(ImageError, match="holds no pictures"):
        find_stored_sources([f"file://{tmp_path}"], True, print)
    with pytest.raises(DataError, match="cannot be read"):
        find_stored_sources([f"file://{tmp_path}/none"], True, print)
    with pytest.raises(UsageError, match="no pictures given"):
        find_stored_sources([], True, print)
    assert not is_stored("https://example.org/a.jpg")


def test_a_file_that_is_not_in_the_bucket_does_not_appear_here(pictures, tmp_path):
    Storage.copy_in(f"file://{pictures}/a.png", tmp_path / "in/1.png")
    Storage.copy_in(f"file://{pictures}/gone.png", tmp_path / "in/2.png")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["1.png"]
