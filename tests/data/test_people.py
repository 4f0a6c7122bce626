"""Folders and lists of people."""

import pytest

from cnnkit.data.people import find_people, read_people, split_people
from cnnkit.errors import DataError


@pytest.fixture
def people(tmp_path):
    for name in ("person00/0.png", "person00/1.jpg", "person00/2.png", "person00/3.png"):
        path = tmp_path / "people" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    for name in ("person01/a.JPG", "empty/notes.txt", ".hidden/a.png", "person01/.b.png"):
        path = tmp_path / "people" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "people"


def test_people_are_folders_with_pictures(people):
    found = find_people([people])
    assert list(found) == ["person00", "person01"]
    assert [path.name for path in found["person00"]] == ["0.png", "1.jpg", "2.png", "3.png"]


def test_folders_of_one_name_are_one_person(people):
    assert len(find_people([people, people])["person00"]) == 8


@pytest.mark.parametrize(("name", "message"), [("", "no folders of people in"), ("x", "cannot be")])
def test_a_folder_without_people_is_one_clear_line(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        find_people([tmp_path / name])


@pytest.mark.parametrize("text", ["2\nAda L\t4\nBob\t1\n", "Ada L\nBob\n\n", "\ufeffAda L\r\nBob"])
def test_lists_of_people_are_read_as_lfw_has_them_and_plain(tmp_path, text):
    (tmp_path / "people.txt").write_text(text, encoding="utf-8")
    assert read_people(tmp_path / "people.txt") == ["Ada L", "Bob"]


def test_a_list_without_names_is_refused(tmp_path):
    (tmp_path / "people.txt").write_text("12\n")
    with pytest.raises(DataError, match="has no names in it"):
        read_people(tmp_path / "people.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_people(tmp_path / "missing.txt")


def test_people_are_parted_whole():
    pictures = {f"p{i:02d}": range(1 + i % 2) for i in range(40)}
    training, validation = split_people(pictures, 0.2)
    assert not set(training) & set(validation)
    assert sorted(training + validation) == sorted(pictures)
    # A fifth of the 20 with several pictures, and of the 20 with one.
    assert sum(len(pictures[name]) > 1 for name in validation) == 4
    assert len(validation) == 8
    assert split_people(pictures, 0.2) == (training, validation)
    assert split_people(pictures, 0.2, seed=1) != (training, validation)


def test_of_four_people_two_are_kept_for_validation():
    assert [len(part) for part in split_people(dict.fromkeys("abcd", (1, 2)), 0.01)] == [2, 2]
