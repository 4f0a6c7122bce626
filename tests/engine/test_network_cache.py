import json
import os

import pytest

from cnnkit.engine import network_cache
from cnnkit.engine.network_cache import (
    KeptPrograms,
    describe_folder,
    discard,
    measure_cache,
    network_cache_dir,
    new_folder,
    prune,
    publish,
    read_kept,
)
from cnnkit.ops.openvino_graph import Signature

SIGNATURES = {"net": Signature(("float32", "int32"), ("a", "b"), True)}


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path))
    return tmp_path


def make(key, title="detector", size=1000):
    folder = new_folder()
    (folder / "net.xml").write_text("<net/>")
    (folder / "net.bin").write_bytes(bytes(size))
    describe_folder(folder, title, {"names": ("cat", "dog")}, SIGNATURES)
    return publish(folder, key)


def test_what_was_kept_is_read_again():
    place = make("k1")
    kept = read_kept("k1")
    assert (kept.folder, kept.title, kept.facts) == (place, "detector", {"names": ["cat", "dog"]})
    assert kept.signatures == SIGNATURES
    assert kept.graph_file("net") == place / "net.xml"
    assert [path.name for path in network_cache_dir().iterdir()] == ["k1"]
    # Others may read what was made for them.
    assert place.stat().st_mode & 0o055 == 0o055


@pytest.mark.parametrize("name", ["net.xml", "net.bin"])
def test_a_damaged_file_is_noticed(name):
    path = make("k1") / name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=rf"{name} is damaged"):
        read_kept("k1").graph_file("net")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-3],
        lambda text: text.replace("cat", "cow"),
        lambda text: "[]",
        lambda text: json.dumps({"sha256": "", "content": {}}),
    ],
)
def test_a_damaged_description_is_none(damage):
    path = make("k1") / "networks.json"
    path.write_text(damage(path.read_text()))
    assert read_kept("k1") is None


def test_of_two_who_made_the_same_the_first_ones_stays():
    first, second = make("k1"), make("k1", "another")
    assert first == second
    assert read_kept("k1").title == "detector"
    assert len(list(network_cache_dir().iterdir())) == 1


def test_what_is_damaged_is_replaced():
    (make("k1") / "networks.json").write_text("")
    make("k1", "another")
    assert read_kept("k1").title == "another"


def test_programs_are_kept_whole_or_not_at_all():
    programs = KeptPrograms(make("k1"), "net")
    assert programs.read("a") is None
    programs.write("a", b"program")
    assert programs.read("a") == b"program"
    [path] = network_cache_dir().glob("k1/*.program")
    path.write_bytes(path.read_bytes()[:-1])
    assert programs.read("a") is None
    path.write_bytes(b"")
    assert programs.read("a") is None


def test_of_a_folder_that_was_removed_nothing_comes_back():
    programs = KeptPrograms(make("k1"), "net")
    discard("k1")
    programs.write("a", b"program")
    assert measure_cache().total_bytes == 0


def test_what_was_not_used_for_longest_goes_first():
    for age, key in ((100, "old"), (10, "new"), (1000, "kept")):
        description = make(key) / "networks.json"
        then = description.stat().st_mtime - age
        os.utime(description, (then, then))
    one = measure_cache().total_bytes / 3
    prune(keep=network_cache_dir() / "kept", most=round(2.5 * one))
    assert {path.name for path in network_cache_dir().iterdir()} == {"new", "kept"}
    prune(keep=network_cache_dir() / "kept", most=0)
    assert {path.name for path in network_cache_dir().iterdir()} == {"kept"}


def test_folders_that_nobody_finished_go_after_a_while(monkeypatch):
    folder = new_folder()
    place = make("k1")
    assert folder.exists()
    monkeypatch.setattr(network_cache, "_ABANDONED", -1.0)
    prune(keep=place)
    assert not folder.exists()


def test_where_nothing_can_be_written_networks_are_made_elsewhere(monkeypatch, home):
    (home / "file").write_text("")
    monkeypatch.setenv("CNNKIT_HOME", str(home / "file"))
    place = make("k1")
    assert not place.is_relative_to(home)
    assert network_cache.read_folder(place).title == "detector"
    assert read_kept("k1") is None
    assert measure_cache().titles == ()
