import io
import json
import sys

import pytest

from cnnkit.cli.app import run


def classify(color_run, *arguments):
    return run(["classify", "--model", color_run, *map(str, arguments)])


def test_classes_stand_below_the_picture(color_run, color_pictures, capsys):
    picture = color_pictures / "red" / "2.png"
    assert classify(color_run, picture) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == str(picture)
    assert [line.split()[1] for line in out[1:]] == ["red", "blue", "green"]


def test_one_line_for_each_picture(color_run, color_pictures, capsys):
    assert classify(color_run, color_pictures, "-r", "--top", 1) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 12
    assert out[0].startswith(f"{color_pictures}/blue/0.png: ")
    assert out[0].endswith("%  blue")


def test_records_have_the_one_schema(color_run, color_pictures, capsys):
    assert classify(color_run, color_pictures / "green" / "0.png", "--json", "--conf", 0.5) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["width"], record["height"]) == (30, 20)
    [item] = record["items"]
    assert (item["label"], item["class_id"]) == ("green", 1)
    assert 0.5 < item["score"] <= 1
    assert record["threshold"] == 0.5
    assert record["model"] == "colors"
    assert record["ms"]["net"] > 0


def test_a_broken_picture_is_a_record_and_the_others_go_on(
    color_run, color_pictures, tmp_path, capsys
):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert classify(color_run, broken, color_pictures / "red" / "0.png", "--jsonl") == 3
    out, err = capsys.readouterr()
    first, second = map(json.loads, out.splitlines())
    assert first["error"]["code"] == "ImageError"
    assert second["items"][0]["label"] == "red"
    assert err.startswith("error: ")
    assert "broken.png" in err


def test_nothing_probable_enough_is_exit_code_4(color_run, color_pictures, capsys):
    picture = color_pictures / "red" / "0.png"
    assert classify(color_run, picture, "--conf", 0.999, "--fail-if-empty") == 4
    assert "no class reaches 0.999" in capsys.readouterr().out
    assert classify(color_run, picture, "--conf", 0.5, "--fail-if-empty") == 0


def test_a_picture_comes_from_stdin(color_run, color_pictures, capsys, monkeypatch):
    data = (color_pictures / "blue" / "3.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert classify(color_run, "-", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["source"] == "-"
    assert record["items"][0]["label"] == "blue"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a.png", "--model", "runs/none"], 5, "runs/none does not exist"),
        (["a.png", "--model", "none"], 2, "there is no classifier named 'none'"),
        (["a.png", "--model", "none.keras"], 5, "none.keras does not exist"),
        (["a.png", "--json", "--jsonl"], 2, "--json and --jsonl exclude each other"),
    ],
)
def test_wrong_usage_is_one_line(arguments, code, message, capsys):
    assert run(["classify", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
