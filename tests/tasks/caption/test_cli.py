import io
import json
import sys

import pytest

from cnnkit.cli.app import run


def caption(color_captioner, *arguments):
    return run(["caption", "--model", color_captioner, *map(str, arguments)])


def test_one_line_for_each_picture(color_captioner, color_pictures, capsys):
    assert caption(color_captioner, color_pictures, "-r") == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 12
    assert out[0] == f"{color_pictures}/blue/0.png: a blue picture"


def test_candidates_stand_below_the_picture(color_captioner, color_pictures, capsys):
    picture = color_pictures / "red" / "2.png"
    assert caption(color_captioner, picture, "--candidates", 3) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == str(picture)
    assert len(out) == 4
    assert out[1].endswith("%  a red picture")


def test_records_have_the_one_schema(color_captioner, color_pictures, capsys):
    arguments = ["--json", "--candidates", 2, "--beams", 2]
    assert caption(color_captioner, color_pictures / "green" / "0.png", *arguments) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["schema"] == "cnnkit/1"
    assert (record["width"], record["height"], record["model"]) == (30, 20, "colors")
    first, second = record["items"]
    assert first["sentence"] == "a green picture"
    assert 0 < second["score"] <= first["score"] <= 1
    assert first["log_probability"] < 0
    assert record["error"] is None


def test_a_broken_picture_is_a_record_and_the_others_go_on(
    color_captioner, color_pictures, tmp_path, capsys
):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert caption(color_captioner, broken, color_pictures / "red" / "0.png", "--jsonl") == 3
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["error"]["code"] == "ImageError"
    assert second["items"][0]["sentence"] == "a red picture"


def test_a_picture_comes_from_stdin(color_captioner, color_pictures, capsys, monkeypatch):
    data = (color_pictures / "blue" / "3.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert caption(color_captioner, "-") == 0
    assert capsys.readouterr().out == "-: a blue picture\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a.png", "--model", "runs/none"], 5, "runs/none does not exist"),
        (["a.png", "--model", "none"], 2, "there is no captioner named 'none'"),
        (["a.png", "--json", "--jsonl"], 2, "--json and --jsonl exclude each other"),
        (["a.png", "--candidates", "9"], 2, "use --beams 9"),
    ],
)
def test_bad_usage_answers_at_once(arguments, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["caption", *arguments]) == code
    assert message in capsys.readouterr().err
