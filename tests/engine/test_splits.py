"""What is said of validation pictures before their figures are believed."""

from cnnkit.engine.splits import FEW, shared_files, warnings_of_split


def files(folder, contents):
    folder.mkdir()
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.png"
        path.write_bytes(content)
        paths.append(str(path))
    return paths


def test_files_of_one_content_are_shared_whatever_their_names(tmp_path):
    train = files(tmp_path / "train", [b"a", b"bb", b"cc", b""])
    other = files(tmp_path / "val", [b"cc", b"bb", b"dd", b"ccc"])
    assert shared_files(train, other) == 2
    assert shared_files(train, train) == 4
    # What is not there is nothing that could be shared.
    assert shared_files(["gone.png"], ["gone.png"]) == 0


def test_validation_that_is_training_is_a_warning_and_so_are_few_pictures(tmp_path):
    train = files(tmp_path / "train", [b"%d" % one for one in range(FEW)])
    assert warnings_of_split(train, []) == []
    [line] = warnings_of_split(train, train)
    assert line.startswith(f"warning: {FEW} of {FEW} validation pictures are trained on too")
    shared, few = warnings_of_split(train, train[:3])
    assert shared.startswith("warning: 3 of 3 validation pictures")
    assert few == "warning: 3 validation pictures are few: their figures are rough"
    own = files(tmp_path / "val", [b"x%d" % one for one in range(FEW)])
    assert warnings_of_split(train, own) == []
