import json
import subprocess
import sys

import pytest

from cnnkit.cli.app import run


def test_an_export_says_what_was_made_and_how_it_compares(color_run, tmp_path, capsys):
    target = tmp_path / "a.tflite"
    assert run(["export", color_run, "--format", "tflite", "-o", str(target)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{target}  tflite, ")
    assert "input 16x16x3, differs by " in out
    assert err == f"{tmp_path}/a-classes.txt has the names of the classes\n"
    assert run(["export", color_run, "--format", "tflite", "-o", str(target)]) == 2
    assert "exists; use --overwrite" in capsys.readouterr().err


@pytest.mark.slow
def test_json_and_no_chatter(color_run, tmp_path):
    arguments = ["export", color_run, "--format", "savedmodel", "-o", f"{tmp_path}/a", "--json"]
    found = subprocess.run(
        [sys.executable, "-m", "cnnkit", *arguments, "-q"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stderr == ""
    made = json.loads(found.stdout)
    assert made["schema"] == "cnnkit/1"
    assert made["format"] == "savedmodel"
    assert made["largest_difference"] < 1e-5
    assert made["input_shape"] == [16, 16, 3]


def test_what_is_missing_is_one_line(tmp_path, capsys):
    assert run(["export", "runs/none", "--format", "keras", "-o", f"{tmp_path}/a.keras"]) == 5
    assert capsys.readouterr().err.startswith("error: runs/none does not exist")
