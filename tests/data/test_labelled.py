"""Labelled examples: found, parted, checked, read."""

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from cnnkit.data.labelled import (
    LabelledFiles,
    check_labelled,
    read_example,
    read_labelled,
    without_bad,
)
from cnnkit.errors import DataError, ImageError, UsageError
from cnnkit.images import read_image, resize


def save(path, seed=0, size=(40, 40), **options):
    """A picture of its own for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path


@pytest.fixture
def animals(tmp_path):
    """Ten cats and twenty dogs."""
    for name, count, begin in (("cat", 10, 0), ("dog", 20, 100)):
        for number in range(count):
            save(tmp_path / "animals" / name / f"{number:02d}.jpg", begin + number)
    return tmp_path / "animals"


def names(files):
    return ["/".join(path.split("/")[-2:]) for path in files.paths]


def test_a_folder_per_class_is_parted_by_class(animals):
    data = read_labelled(animals, val_share=0.2)
    assert data.classes == ("cat", "dog")
    assert data.kind == "pictures"
    assert data.test is None
    # A fifth of 10 and of 20.
    assert np.bincount(data.val.labels).tolist() == [2, 4]
    assert np.bincount(data.train.labels).tolist() == [8, 16]
    assert not set(data.train.paths) & set(data.val.paths)
    for files in data.splits.values():
        assert [name.split("/")[0] for name in names(files)] == [
            data.classes[label] for label in files.labels
        ]


def test_the_draw_is_repeated_and_goes_by_the_seed(animals, tmp_path):
    first = read_labelled(animals)
    assert read_labelled(animals).val.paths == first.val.paths
    assert read_labelled(animals, seed=1).val.paths != first.val.paths
    # The same files elsewhere are parted in the same way.
    animals.rename(tmp_path / "moved")
    assert names(read_labelled(tmp_path / "moved").val) == names(first.val)


def test_files_that_are_added_later_hardly_move_the_others(animals):
    before = set(names(read_labelled(animals, val_share=0.5).val))
    save(animals / "dog" / "new.jpg", 300)
    after = set(names(read_labelled(animals, val_share=0.5).val))
    assert len(before - after) <= 1


def test_of_two_files_one_is_kept_and_of_one_none(tmp_path):
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        save(tmp_path / name)
    data = read_labelled(tmp_path, val_share=0.01)
    assert data.val.labels.tolist() == [0]
    assert data.train.labels.tolist() == [0, 1]
    assert len(read_labelled(tmp_path, val_share=0.0).val) == 0
    assert read_labelled(tmp_path, val_share=0.99).train.labels.tolist() == [0, 1]


def test_what_is_beyond_the_limit_of_a_class_is_left_out(animals):
    whole, limited = read_labelled(animals), read_labelled(animals, per_class=3)
    assert np.bincount(limited.train.labels).tolist() == [3, 3]
    assert limited.val.paths == whole.val.paths
    assert set(limited.train.paths) < set(whole.train.paths)
    # A larger limit keeps what a smaller one had.
    assert set(limited.train.paths) < set(read_labelled(animals, per_class=5).train.paths)


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_splits_of_the_folder_are_taken_as_they_are(tmp_path, name):
    for number, path in enumerate(
        ("train/a/0", "train/b/0", f"{name}/b/1", "test/a/2", "test/b/3")
    ):
        save(tmp_path / f"{path}.png", number)
    (tmp_path / "notes").mkdir()
    data = read_labelled(tmp_path, val_share=0.5)
    assert names(data.train) == ["a/0.png", "b/0.png"]
    assert names(data.val) == ["b/1.png"]
    assert names(data.test) == ["a/2.png", "b/3.png"]
    assert data.val.labels.tolist() == [1]


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "bus"):
        save(tmp_path / name / "0.png")
    assert read_labelled(tmp_path).classes == ("bus", "train")


def test_hidden_files_other_files_and_deeper_folders(tmp_path):
    for name in (
        "a/0.png",
        "a/deep/1.PNG",
        "a/._0.png",
        "b/.hidden/0.png",
        "b/2.webp",
        ".git/x.png",
    ):
        save(tmp_path / name, format="PNG")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    (tmp_path / "labels.txt").write_text("no class")
    data = read_labelled(tmp_path, val_share=0)
    assert names(data.train) == ["a/0.png", "deep/1.PNG", "b/2.webp"]
    assert data.train.labels.tolist() == [0, 0, 1]


def test_one_accented_name_written_in_two_ways_is_one_class(tmp_path):
    decomposed = unicodedata.normalize("NFD", "Käse")
    save(tmp_path / "train" / decomposed / "bärlauch 1.png")
    save(tmp_path / "train" / "パン" / "一.png")
    save(tmp_path / "val" / unicodedata.normalize("NFC", "Käse") / "2.png")
    data = read_labelled(tmp_path)
    assert data.classes == (unicodedata.normalize("NFC", "Käse"), "パン")
    assert data.val.labels.tolist() == [0]
    assert read_example(data.train.paths[0], (8, 8, 3)).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has no folders in it"),
        (["0.png"], "has no folders in it; each class needs a folder"),
        (["a/0.png"], "has only the class 'a' to train on; a classifier needs two"),
        (["a/0.png", "b/notes.txt"], "the class 'b' has no files to train on"),
        (["train/a/0.png", "train/b/0.png", "val/c/0.png"], "the class 'c' is in val but not in"),
        (["val/a/0.png", "val/b/0.png"], "has val/ but no train/"),
        (["a/0.png", "b/0.npy"], r"mixes pictures \(.*0.png\) with arrays \(.*0.npy\)"),
    ],
)
def test_data_that_are_none_are_one_clear_line(tmp_path, files, message):
    for name in files:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "data").mkdir(exist_ok=True)
    with pytest.raises(DataError, match=message):
        read_labelled(tmp_path / "data")


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="nowhere cannot be read: No such file"):
        read_labelled(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"nowhere.csv cannot be read: No such file"):
        read_labelled(tmp_path / "nowhere.csv")


@pytest.mark.parametrize("options", [{"val_share": 1.0}, {"val_share": -0.1}, {"per_class": 0}])
def test_shares_and_limits_that_make_no_sense_are_refused(tmp_path, options):
    with pytest.raises(UsageError, match="must be"):
        read_labelled(tmp_path, **options)


@pytest.mark.parametrize(
    "text",
    [
        "file,label,split\na.png,2,train\nb.png,10,\nc.png,2,val\n\nd.png,10,Test\n",
        "\ufeffIMAGE;split;Class\r\na.png;train;2\r\nb.png;;10\r\nc.png;valid;2\r\nd.png;test;10\r\n",
        'path\tlabel\tsplit\n"a.png"\t2\ttrain\nb.png\t10\nc.png\t2\tval\nc.png\t2\tval\nd.png\t10\ttest',
    ],
)
def test_a_csv_of_any_common_kind_is_read(tmp_path, text):
    (tmp_path / "list.csv").write_text(text, encoding="utf-8", newline="")
    data = read_labelled(tmp_path / "list.csv")
    # Numbers in the order of numbers.
    assert data.classes == ("2", "10")
    assert data.train.paths == (str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    assert data.train.labels.tolist() == [0, 1]
    assert data.val.paths == (str(tmp_path / "c.png"),)
    assert data.test.paths == (str(tmp_path / "d.png"),)


def test_files_of_a_csv_are_named_as_they_are_written_there(tmp_path):
    # Both ways to write the letter; the first is another file than the second on most systems.
    decomposed = unicodedata.normalize("NFD", "käse.png")
    (tmp_path / "list.csv").write_text(f"file,label\n{decomposed},a\nb.png,b\n")
    data = read_labelled(tmp_path / "list.csv", val_share=0.0)
    assert data.train.paths == (str(tmp_path / decomposed), str(tmp_path / "b.png"))


def test_without_splits_a_csv_is_parted(tmp_path):
    rows = "".join(f"{label}/{i}.jpg,{label}\n" for label in "ab" for i in range(10))
    (tmp_path / "list.csv").write_text("filename,class\n" + rows)
    data = read_labelled(tmp_path / "list.csv", val_share=0.3)
    assert np.bincount(data.val.labels).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; its first line must name the columns"),
        ("a.png,cat\nb.png,dog\n", "its first line must name the columns 'file' and 'label', not"),
        ("file,label\na.png,cat\nb.png,\n", "line 3: the label is missing"),
        ("file,label\n,cat\n", "line 2: the file is missing"),
        ("file,label\na.xyz,cat\n", "line 2: a.xyz is neither a picture nor .npy"),
        ("file,label,split\na.png,cat,dev\n", "line 2: the split must be train, val or test"),
        ("file,label\na.png,cat\na.png,dog\n", "line 3: a.png is listed before as 'cat'"),
        ("file,label\n", "has a heading, but no rows; add some"),
        ("file,label\na.png,cat\xe9\n".encode("latin-1"), "is not a UTF-8 text file"),
    ],
)
def test_a_csv_that_is_none_is_one_clear_line(tmp_path, text, message):
    content = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_labelled(tmp_path / "list.csv")


def test_clean_data_are_clean(animals):
    calls = []
    report = check_labelled(
        read_labelled(animals, val_share=0.2),
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert report.is_clean
    assert report.lines() == [
        "2 classes of pictures: 24 to train on, 6 to validate with",
        "pictures of each class (train + val): cat 8 + 2, dog 16 + 4",
    ]
    assert report.counts["val"] == {"cat": 2, "dog": 4}
    assert report.imbalance == 2.0
    assert calls == [(number, 30) for number in range(1, 31)]


def test_a_check_finds_every_file_that_cannot_be_read(animals):
    whole = (animals / "cat" / "00.jpg").read_bytes()
    (animals / "cat" / "00.jpg").write_bytes(b"")
    (animals / "cat" / "01.jpg").write_bytes(whole[: len(whole) // 2])
    (animals / "cat" / "02.jpg").write_text("no picture")
    save(animals / "cat" / "cut.png", 1)
    (animals / "cat" / "cut.png").write_bytes((animals / "cat" / "cut.png").read_bytes()[:-60])
    data = read_labelled(animals, val_share=0)
    (animals / "cat" / "03.jpg").unlink()
    report = check_labelled(data)
    reasons = {path.split("/")[-1]: reason for path, reason in report.unreadable}
    assert set(reasons) == {"00.jpg", "01.jpg", "02.jpg", "03.jpg", "cut.png"}
    assert reasons["00.jpg"].startswith("is empty (0 bytes)")
    assert reasons["01.jpg"].startswith("is damaged or cut off")
    assert reasons["02.jpg"].startswith("is not a picture that can be read")
    assert reasons["03.jpg"] == "does not exist"
    assert not report.is_clean
    assert report.lines()[2] == "5 files cannot be used:"
    left = without_bad(data, report)
    assert len(left.train) == len(data.train) - 5
    assert check_labelled(left).is_clean


def test_kinds_of_pictures_that_only_look_odd_are_read(tmp_path):
    grey = np.linspace(0, 255, 40 * 40).reshape(40, 40)
    folder = tmp_path / "a"
    folder.mkdir()
    Image.fromarray(grey.astype(np.uint8)).save(folder / "grey.jpg")
    Image.fromarray((grey * 257).astype(np.uint16)).save(folder / "deep.png")
    Image.fromarray(grey.astype(np.uint8)).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(grey.astype(np.uint8)).convert("P").save(folder / "palette.gif")
    Image.fromarray(grey.astype(np.uint8)).convert("LA").save(folder / "alpha.png")
    save(tmp_path / "b" / "0.png")
    data = read_labelled(tmp_path, val_share=0)
    assert check_labelled(data).is_clean
    for path in data.train.paths[:5]:
        example = read_example(path, (40, 40, 1))
        assert example.shape == (40, 40, 1)
        assert np.abs(example[..., 0] - grey / 255).max() < 0.03


def test_one_content_in_two_splits_or_under_two_labels_is_found(animals):
    # In train and val of one class, and in two classes.
    for path in sorted((animals / "dog").iterdir())[:2]:
        (animals / "dog" / f"copy-{path.name}").write_bytes(path.read_bytes())
    (animals / "dog" / "00-cat.jpg").write_bytes((animals / "cat" / "00.jpg").read_bytes())
    splits = {"00.jpg": "val", "copy-00.jpg": "train", "01.jpg": "train", "copy-01.jpg": "train"}
    rows = [f"dog/{name},dog,{split}" for name, split in splits.items()]
    rows += ["cat/00.jpg,cat,train", "dog/00-cat.jpg,dog,train", "cat/01.jpg,cat,train"]
    (animals / "list.csv").write_text("\n".join(["file,label,split", *rows]))
    data = read_labelled(animals / "list.csv")
    report = check_labelled(data)
    (first,) = report.duplicates
    assert {path.split("/")[-1] for path in first} == {"00.jpg", "copy-00.jpg"}
    (second,) = report.contradictions
    assert {path.split("/")[-1] for path in second} == {"00.jpg", "00-cat.jpg"}
    assert report.repeats == 1
    assert not report.is_clean
    text = "\n".join(report.lines())
    assert "1 file in more than one of train, val and test" in text
    assert "1 file under more than one label" in text
    left = without_bad(data, report)
    assert names(left.train) == ["cat/01.jpg", "dog/01.jpg", "dog/copy-01.jpg"]
    assert left.val.paths == data.val.paths


def test_a_class_that_loses_all_its_files_is_refused(animals):
    data = read_labelled(animals, val_share=0)
    for path in (animals / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="the class 'cat' has none to train on"):
        without_bad(data, check_labelled(data))


def test_uneven_classes_tiny_and_huge_pictures_are_named(tmp_path):
    for number in range(7):
        save(tmp_path / "many" / f"{number}.png", number)
    save(tmp_path / "few" / "tiny.png", 10, size=(31, 50))
    Image.new("1", (8000, 6300)).save(tmp_path / "few" / "huge.png")
    report = check_labelled(read_labelled(tmp_path, val_share=0))
    assert report.is_clean
    assert [path.split("/")[-1] for path in report.tiny] == ["tiny.png"]
    # 8000 * 6300 = 50.4 million.
    assert [path.split("/")[-1] for path in report.huge] == ["huge.png"]
    text = "\n".join(report.lines())
    assert "uneven: 7 of 'many' to train on, 2 of 'few'; consider class weights" in text
    assert "1 picture of fewer than 32 pixels a side" in text
    assert "1 picture of more than 50 megapixels" in text


def test_files_that_did_not_change_are_not_read_again(animals, monkeypatch):
    from cnnkit.data import labelled

    data = read_labelled(animals, val_share=0)
    (animals / "cat" / "00.jpg").write_bytes(b"")
    first = check_labelled(data)
    # As it comes back from a file.
    known = json.loads(json.dumps(first.files))
    save(animals / "cat" / "01.jpg", 500)
    read = []
    inspect = labelled.measure_image
    monkeypatch.setattr(
        labelled, "measure_image", lambda *args: read.append(args[1]) or inspect(*args)
    )
    again = check_labelled(data, known=known)
    assert [path.split("/")[-1] for path in read] == ["01.jpg"]
    assert [path for path, _ in again.unreadable] == [path for path, _ in first.unreadable]
    assert again.files[data.train.paths[1]]["sha256"] != first.files[data.train.paths[1]]["sha256"]


def test_arrays_are_checked_and_read(tmp_path):
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            np.save(tmp_path / name / f"{number}.npy", random.normal(size=(6, 5, 4)))
    np.save(tmp_path / "a" / "other.npy", np.zeros((6, 5)))
    np.save(tmp_path / "a" / "nan.npy", np.full((6, 5, 4), np.nan))
    np.save(tmp_path / "a" / "text.npy", np.array(["a", "b"]))
    (tmp_path / "a" / "cut.npy").write_bytes((tmp_path / "a" / "0.npy").read_bytes()[:-10])
    (tmp_path / "a" / "empty.npy").write_bytes(b"")
    data = read_labelled(tmp_path, val_share=0)
    assert data.kind == "arrays"
    report = check_labelled(data)
    assert report.shapes == {(6, 5, 4): 6, (6, 5): 1}
    reasons = {path.split("/")[-1]: reason for path, reason in report.unreadable}
    assert set(reasons) == {"other.npy", "nan.npy", "text.npy", "cut.npy", "empty.npy"}
    assert reasons["other.npy"] == "has the shape (6, 5), most have (6, 5, 4)"
    assert reasons["nan.npy"] == "has values that are not finite"
    assert reasons["text.npy"] == "holds no array of real numbers"
    path = str(tmp_path / "a" / "0.npy")
    example = read_example(path, (6, 5, 4, 1))
    assert example.dtype == np.float32
    np.testing.assert_allclose(example[..., 0], np.load(path), rtol=1e-6)
    np.testing.assert_array_equal(read_example(path, (6, 5, 4)), example[..., 0])
    with pytest.raises(DataError, match=r"0.npy has the shape \(6, 5, 4\), but the network takes"):
        read_example(path, (5, 6, 4))
    with pytest.raises(DataError, match=r"cut.npy is not a NumPy array that can be read"):
        read_example(str(tmp_path / "a" / "cut.npy"), (6, 5, 4))
    with pytest.raises(DataError, match="does not exist"):
        read_example(str(tmp_path / "a" / "missing.npy"), (6, 5, 4))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_example_is_the_whole_picture_stretched(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", size=(60, 45))
    expected = np.clip(resize(read_image(path).pixels, 20, 30), 0.0, 1.0)
    example = read_example(str(path), (20, 30, 3))
    assert example.dtype == np.float32
    # Both passes of the resizing round to bytes.
    assert np.abs(example - expected).max() <= 2 / 255
    grey = expected @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    assert np.abs(read_example(str(path), (20, 30, 1))[..., 0] - grey).max() <= 2 / 255


def test_pictures_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "cut.jpg").write_bytes(save(tmp_path / "a.jpg").read_bytes()[:300])
    with pytest.raises(ImageError, match=r"cut.jpg is damaged or cut off"):
        read_example(str(tmp_path / "cut.jpg"), (8, 8, 3))
    with pytest.raises(ValueError, match=r"Received: shape=\(8, 8\)"):
        read_example(str(tmp_path / "a.jpg"), (8, 8))


def test_files_know_how_many_they_are():
    assert len(LabelledFiles(("a", "b"), np.array([0, 1]))) == 2


# Layouts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder", ["data/{}", "archive/dataset/{}", "seg_{0}/seg_{0}", "{}ing_set", "{}_images"]
)
def test_splits_are_found_inside_other_folders_and_under_other_names(tmp_path, folder):
    for split in ("train", "test"):
        for number, name in enumerate(("cat", "dog")):
            save(tmp_path / folder.format(split) / name / "0.png", number)
            save(tmp_path / folder.format(split) / name / "1.png", number)
    data = read_labelled(tmp_path)
    assert data.classes == ("cat", "dog")
    assert [len(part) for part in data.splits.values()] == [2, 2, 4]


def test_classes_inside_other_folders_are_found(tmp_path):
    for name in ("cat", "dog"):
        save(tmp_path / "archive" / "pets" / name / "0.png")
    (tmp_path / "archive" / "readme.md").write_text("of pets")
    assert read_labelled(tmp_path).classes == ("cat", "dog")


def test_a_stray_picture_between_classes_does_not_make_splits_classes(tmp_path):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            save(tmp_path / "set" / split / name / "0.png")
        save(tmp_path / "set" / split / "cover.png")
    data = read_labelled(tmp_path)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.val)) == (2, 2)
    assert len(data.left_out) == 2


def test_what_systems_leave_in_folders_is_no_class(tmp_path):
    for name in ("båll", "red box"):
        save(tmp_path / name / "0.png")
        (tmp_path / name / "desktop.ini").write_text("[.ShellClassInfo]")
        (tmp_path / name / "Thumbs.db").write_bytes(b"x")
        save(tmp_path / name / "__MACOSX" / "1.png")
    save(tmp_path / "__MACOSX" / "red box" / "0.png")
    save(tmp_path / ".ipynb_checkpoints" / "0.png")
    save(tmp_path / "loose.png")
    data = read_labelled(tmp_path)
    assert data.classes == ("båll", "red box")
    assert len(data.train) + len(data.val) == 2
    folders, pictures = data.left_out
    assert folders == f".ipynb_checkpoints/, __MACOSX/ in {tmp_path}"
    assert pictures == f"1 file of no class in {tmp_path}, such as loose.png"
    assert [f"left out: {one}" for one in data.left_out] == check_labelled(data).lines()[2:4]


def test_two_folders_of_one_split_are_refused(tmp_path):
    for split in ("train", "valid", "val"):
        for name in ("cat", "dog"):
            save(tmp_path / split / name / "0.png")
    with pytest.raises(DataError, match="val and valid/ beside it are both for val"):
        read_labelled(tmp_path)


def test_backslashes_in_a_csv_are_folders(tmp_path):
    for name in ("cat", "dog"):
        save(tmp_path / name / "0.png")
    (tmp_path / "list.csv").write_text("file,label\ncat\\0.png,cat\ndog\\0.png,dog\n")
    data = read_labelled(tmp_path / "list.csv")
    assert names(data.train) == ["cat/0.png", "dog/0.png"]


def test_paths_of_another_machine_in_a_csv_are_found_by_their_ends(tmp_path):
    for name in ("cat", "dog"):
        save(tmp_path / name / "0.png")
    lines = ["file,label", r"D:\sets\cat\0.png,cat", "/root/sets/dog/0.png,dog"]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    assert names(read_labelled(tmp_path / "list.csv").train) == ["cat/0.png", "dog/0.png"]
