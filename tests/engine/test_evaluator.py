import pytest
from PIL import Image

from cnnkit.cli.app import run
from cnnkit.engine.evaluator import check_report, read_batches, write_report
from cnnkit.engine.observer import Observer
from cnnkit.errors import ImageError, UsageError


def test_a_report_takes_the_place_of_no_file_of_the_users(tmp_path):
    (tmp_path / "pairs.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"pairs\.csv exists; use --overwrite or another -o"):
        check_report(tmp_path, False, ("roc.png", "pairs.csv"))
    check_report(tmp_path, False, ("roc.png",))
    check_report(tmp_path, True, ("pairs.csv",))
    check_report(None, False, ("pairs.csv",))
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(UsageError, match="has a report already"):
        check_report(tmp_path, False, ())


def test_what_came_into_the_folder_meanwhile_stays(tmp_path):
    check_report(tmp_path, False, ("roc.png",))
    (tmp_path / "roc.png").write_text("another program's")
    with pytest.raises(ImageError, match=r"roc\.png exists, and is left as it is"):
        write_report(tmp_path, {"report.json": b"{}", "roc.png": b"new"}, False)
    assert (tmp_path / "roc.png").read_text() == "another program's"
    assert write_report(tmp_path, {"roc.png": b"new"}, True) == ["roc.png"]
    assert (tmp_path / "roc.png").read_bytes() == b"new"


def test_a_sidecar_takes_the_place_of_no_file_of_the_users(tmp_path, capsys):
    assert run(["samples", str(tmp_path), "-q"]) == 0
    (tmp_path / "out.png.json").write_text("mine")
    arguments = ["stylize", str(tmp_path / "coffee.png"), "waves", "--quality", "draft"]
    arguments += ["--size", "64", "-o", str(tmp_path / "out.png"), "--sidecar"]
    assert run(arguments) == 2
    assert "out.png.json exists; use --overwrite" in capsys.readouterr().err
    assert (tmp_path / "out.png.json").read_text() == "mine"


def test_neither_a_preview_nor_groups_take_the_place_of_a_file(tmp_path, capsys):
    file = tmp_path / "mine.png"
    file.write_text("mine")
    assert run(["train", "classify", str(tmp_path), "--preview-augment", str(file)]) == 2
    assert "mine.png exists; give --preview-augment another name" in capsys.readouterr().err
    assert run(["faces", "cluster", str(file), "-o", str(file)]) == 2
    assert "mine.png is a file; name a folder" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_pictures_that_cannot_be_read_are_told_and_left_out(tmp_path):
    for name in ("a.png", "c.png", "d.png"):
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no picture")
    paths = [str(tmp_path / f"{name}.png") for name in "abcd"]
    errors, steps = [], []
    observer = Observer(on_error=errors.append, on_progress=lambda *step: steps.append(step))
    batches = list(read_batches(paths, 2, observer))
    assert [[index for index, _ in some] for some in batches] == [[0], [2, 3]]
    assert batches[0][0][1].shape == (3, 4, 3)
    assert [type(error) for error in errors] == [ImageError]
    assert steps == [("evaluate", 2, 4), ("evaluate", 4, 4)]
