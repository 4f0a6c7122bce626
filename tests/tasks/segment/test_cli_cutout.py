import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def cutout(model, *arguments):
    return run(["cutout", *map(str, arguments), "--model", model])


def test_the_second_of_two_names_is_the_output(color_segmenter, painted, capsys):
    assert cutout(color_segmenter, painted, "out.png", "--subject", "red") == 0
    assert capsys.readouterr().out == f"{painted}: red, 13% of the picture -> out.png\n"
    pixels = np.asarray(Image.open("out.png"))
    assert pixels.shape == (60, 80, 4)
    assert (pixels[20, 20, 3], pixels[20, 60, 3]) == (255, 0)


def test_a_picture_that_may_be_meant_as_the_second_is_not_replaced(
    color_segmenter, painted, capsys
):
    Path("b.png").write_bytes(painted.read_bytes())
    for more in ([], ["--overwrite"]):
        assert cutout(color_segmenter, painted, "b.png", *more) == 2
        assert "b.png exists; to replace it give -o b.png --overwrite" in capsys.readouterr().err
    assert cutout(color_segmenter, painted, "b.png", "--skip-existing") == 0
    assert Path("b.png").read_bytes() == painted.read_bytes()
    assert cutout(color_segmenter, painted, "-o", "b.png", "--overwrite") == 0
    assert cutout(color_segmenter, painted, "b.png", "-o", "both") == 0
    assert sorted(path.name for path in Path("both").iterdir()) == ["b.png", "painted.png"]


def test_what_is_largest_is_cut_out_of_a_folder_where_nobody_is(color_segmenter, painted):
    Path("photos/more").mkdir(parents=True)
    Path("photos/more/a.png").write_bytes(painted.read_bytes())
    assert cutout(color_segmenter, "photos", "cut", "-r") == 0
    pixels = np.asarray(Image.open("cut/more/a.png"))
    assert (pixels[20, 20, 3], pixels[20, 60, 3]) == (0, 255)


def test_a_subject_that_is_not_there_is_exit_code_4_and_says_what_is(
    color_segmenter, painted, capsys
):
    half = np.asarray(Image.open(painted))[:, :45]
    Image.fromarray(half).save("half.png")
    assert cutout(color_segmenter, "half.png", "-o", "cut.png", "--subject", "blue") == 4
    assert "half.png: no blue was found, only red; nothing is written" in capsys.readouterr().err
    Image.new("RGB", (40, 40)).save("dark.png")
    assert cutout(color_segmenter, "dark.png", painted, "half.png", "-o", "cut", "--json") == 4
    printed = capsys.readouterr()
    assert "dark.png: nothing to cut out was found, nothing but background" in printed.err
    dark, both, _ = json.loads(printed.out)
    assert (dark["output"], dark["items"], dark["error"]) == (None, [], None)
    assert (both["items"][0]["label"], both["others"]) == ("blue", ["red"])
    assert Path(both["output"]) == Path("cut/painted.png")
    assert sorted(path.name for path in Path("cut").iterdir()) == ["half.png", "painted.png"]


def test_stdin_to_stdout_before_a_colour(color_segmenter, painted, monkeypatch):
    class Stream(io.StringIO):
        buffer = io.BytesIO()

    stream = Stream()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(painted.read_bytes())))
    monkeypatch.setattr(sys, "stdout", stream)
    command = ["-", "-", "--subject", "red", "--background", "#00ff00"]
    assert cutout(color_segmenter, *command) == 0
    pixels = np.asarray(Image.open(io.BytesIO(stream.buffer.getvalue())))
    assert pixels[20, 60].tolist() == [0, 255, 0]
    assert stream.getvalue() == ""


def test_a_broken_picture_fails_and_the_others_go_on(color_segmenter, painted, capsys):
    Path("broken.png").write_bytes(b"no picture")
    assert cutout(color_segmenter, "broken.png", painted, "-o", "cut", "--jsonl") == 3
    out, err = capsys.readouterr()
    first, second = map(json.loads, out.splitlines())
    assert first["error"]["code"] == "ImageError"
    assert second["items"][0]["label"] == "blue"
    assert "broken.png" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "cut.jpg"], "cut.jpg: JPEG has no transparency; name it .png or .webp"),
        (["--subject", "rad"], "--subject: there is no class 'rad'; did you mean red"),
        (["--background", "#12"], "#12 is no colour"),
        (["-o", "-", "--json"], "both want stdout"),
        (["--json", "--jsonl"], "exclude each other"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    color_segmenter, painted, arguments, message, capsys
):
    assert cutout(color_segmenter, painted, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(Path().iterdir())
