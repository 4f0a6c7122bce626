"""``cnnkit samples`` as the user meets it."""

import json

import numpy as np
import pytest

from cnnkit.cli.app import run
from cnnkit.data.samples import Sample
from cnnkit.images import Picture
from cnnkit.pipelines import samples as pipeline


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    table = (
        Sample("cat", "photograph", "", "photograph by me", "CC0", "chelsea.png"),
        Sample("grey", "style", "", "painted by me", "MIT", "grey.png"),
    )
    monkeypatch.setattr(pipeline, "SAMPLES", table)
    load, grey = pipeline.load_sample, Picture(np.full((4, 5, 3), 0.5, np.float32))
    monkeypatch.setattr(
        pipeline, "load_sample", lambda sample: grey if sample.name == "grey" else load(sample)
    )


def test_samples_prints_one_line_a_file_with_its_origin(tmp_path, capsys):
    assert run(["samples", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{tmp_path}/cat.png  451x300, photograph by me, CC0",
        f"{tmp_path}/grey.png  5x4, painted by me, MIT",
    ]
    assert "writing samples" in err


def test_samples_go_to_a_folder_named_samples_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["samples", "-q"]) == 0
    assert (tmp_path / "samples" / "grey.png").exists()


def test_quiet_leaves_only_the_results(tmp_path, capsys):
    assert run(["samples", str(tmp_path), "-q"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err == ""


def test_samples_as_one_json_document(tmp_path, capsys):
    assert run(["samples", str(tmp_path), "--json", "--only", "grey"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "cnnkit/1"
    (item,) = document["items"]
    assert item["path"] == f"{tmp_path}/grey.png"
    assert (item["width"], item["height"], item["status"]) == (5, 4, "written")


def test_samples_can_be_asked_for_again(tmp_path, capsys):
    assert run(["samples", str(tmp_path), "-q"]) == 0
    assert run(["samples", str(tmp_path), "-q"]) == 0
    assert capsys.readouterr().out.count("[present]") == 2


def test_a_file_in_the_way_is_a_usage_error_in_one_line(tmp_path, capsys):
    (tmp_path / "cat.png").write_text("mine")
    assert run(["samples", str(tmp_path), "-q"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "--overwrite" in err


def test_a_file_instead_of_a_folder_exits_with_3(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(["samples", str(tmp_path / "file"), "-q"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unknown_sample_is_a_usage_error(tmp_path, capsys):
    assert run(["samples", str(tmp_path), "-q", "--only", "dog"]) == 2
    assert "choose from: cat, grey" in capsys.readouterr().err


def test_a_full_disk_exits_with_3_in_one_line(tmp_path, capsys, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    assert run(["samples", str(tmp_path), "-q"]) == 3
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_photograph_is_one_error_and_the_rest_is_written(tmp_path, capsys, monkeypatch):
    missing = Sample("dog", "photograph", "", "", "CC0", "no-such-file.png")
    monkeypatch.setattr(pipeline, "SAMPLES", (missing, *pipeline.SAMPLES))
    assert run(["samples", str(tmp_path), "-q"]) == 3
    out, err = capsys.readouterr()
    assert "no-such-file.png is not in the installed scikit-image" in err
    assert "grey.png" in out
