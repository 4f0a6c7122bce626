import json

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import DataError
from cnnkit.tasks.caption.data import (
    check_captions,
    data_hash,
    read_captions,
    without_unreadable,
)


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b", "c", "d"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def write_csv(folder, *lines):
    path = folder / "captions.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def names(part):
    return [path.rsplit("/", 1)[1] for path in part.paths]


def test_a_csv_has_several_sentences_for_a_picture(folder):
    path = write_csv(
        folder,
        "File;Caption;Split",
        "b.png;A dog,  on grass.;train",
        "a.png;A cat;train",
        "b.png;A dog,  on grass.;train",
        "b.png;The dog;train",
        "c.png;A bird;val",
    )
    data = read_captions(path)
    assert names(data.train) == ["a.png", "b.png"]
    assert data.train.sentences == (("A cat",), ("A dog, on grass.", "The dog"))
    assert (names(data.val), data.val.sentences) == (["c.png"], (("A bird",),))


def test_pictures_for_validation_are_drawn_by_their_names(folder):
    path = write_csv(folder, "file,sentence", *(f"{one}.png,a {one}" for one in "abcd"))
    data = read_captions(path, val_share=0.5, seed=1)
    assert (len(data.train), len(data.val)) == (2, 2)
    assert sorted(names(data.train) + names(data.val)) == ["a.png", "b.png", "c.png", "d.png"]
    assert read_captions(path, val_share=0.5, seed=1) == data
    again = write_csv(folder, "file,sentence", *(f"{one}.png,a {one}" for one in "dcba"))
    assert read_captions(again, val_share=0.5, seed=1) == data


def coco(names, captions):
    return {
        "images": [{"id": 10 + at, "file_name": name} for at, name in enumerate(names)],
        "annotations": [{"image_id": 10 + at, "caption": text} for at, text in captions],
    }


def test_cocos_files_are_read_with_their_pictures_where_coco_has_them(folder):
    for split, name in (("train2017", "a"), ("val2017", "b")):
        (folder / split).mkdir()
        (folder / f"{name}.png").rename(folder / split / f"{name}.png")
        (folder / "annotations").mkdir(exist_ok=True)
        written = coco([f"{name}.png"], [(0, f"The {name}. "), (0, f"One {name}")])
        (folder / "annotations" / f"captions_{split}.json").write_text(json.dumps(written))
    data = read_captions(folder)
    assert data.train.paths == (str(folder / "train2017" / "a.png"),)
    assert data.val.sentences == (("The b.", "One b"),)


def test_json_may_map_names_to_sentences(folder):
    path = folder / "captions.json"
    path.write_text(json.dumps({"a.png": ["one", "two"], "b.png": "three"}))
    data = read_captions(path, val_share=0.0)
    assert data.train.sentences == (("one", "two"), ("three",))
    moved = folder / "pictures"
    moved.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.png").rename(moved / f"{name}.png")
    assert len(read_captions(path, moved, val_share=0.0).train) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["picture,words", "a.png,x"], "must name the columns 'file' and 'sentence'"),
        (["file,sentence", "e.png,x", "f.png,y"], "e.png and 1 more pictures of captions.csv"),
        (["file,sentence", "e.png,x"], "e.png of captions.csv is not there; give --images"),
        (["file,sentence", ",x"], "has no picture with a sentence"),
        (["file,sentence,split", "a.png,x,other"], "the split must be train or val, not 'other'"),
        (["file,sentence,split", "a.png,x,val", "a.png,y,train"], "a.png is both in train and in"),
        (["file,sentence"], "has a heading, but no rows"),
        (["file,sentence", "a.png,A dog, on grass"], "3 cells, but the heading has 2"),
    ],
)
def test_what_is_amiss_with_a_csv_is_said(folder, lines, message):
    with pytest.raises(DataError, match=message):
        read_captions(write_csv(folder, *lines))


def test_bad_lines_are_left_out_and_named(folder):
    path = write_csv(
        folder, "file,sentence", "a.png,x", "b.png, ...", "b.png,y", "c.png,...", "e.png,z", ",w"
    )
    data = read_captions(path, val_share=0.0)
    assert (names(data.train), data.train.sentences) == (["a.png", "b.png"], (("x",), ("y",)))
    assert [line.replace(f"{folder}/", "") for line in check_captions(data).lines()] == [
        "left out: captions.csv, line 7: names no file",
        "left out: captions.csv, line 3: the sentence about b.png has no words",
        "left out: captions.csv, line 5: the sentence about c.png has no words",
        "left out: e.png is not there",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.json", "{", "is no JSON file"),
        ("c.json", "[1]", "holds no captions"),
        ("c.json", '{"annotations": [{"image_id": 1, "caption": "x"}]}', "holds no captions"),
        ("c.txt", "", "is neither a .csv, a .json nor a folder"),
    ],
)
def test_other_files_are_refused(folder, name, text, message):
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_captions(folder / name)
    with pytest.raises(DataError, match="cannot be read"):
        read_captions(folder / "none.json")
    with pytest.raises(DataError, match=r"holds no captions\*\.json"):
        read_captions(folder)


def test_a_check_finds_pictures_that_cannot_be_read(folder):
    (folder / "b.png").write_bytes(b"no picture")
    path = write_csv(folder, "file,sentence", "a.png,A cat", "a.png,a cat", "b.png,the dog barks")
    data = read_captions(path, val_share=0.0)
    seen = []
    report = check_captions(data, lambda done, total: seen.append((done, total)))
    assert [bad for bad, _ in report.unreadable] == [str(folder / "b.png")]
    assert "b.png" in report.lines()[0]
    assert report.distinct == 2
    assert seen[-1] == (2, 2)
    assert names(without_unreadable(data, report).train) == ["a.png"]


def test_the_hash_is_of_names_and_sentences(folder, tmp_path_factory):
    first = read_captions(write_csv(folder, "file,sentence", "a.png,x", "b.png,y"))
    second = read_captions(write_csv(folder, "file,sentence", "a.png,x", "b.png,z"))
    assert data_hash(first) != data_hash(second)
