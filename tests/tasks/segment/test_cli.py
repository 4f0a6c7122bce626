import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run
from cnnkit.ops.rle import decode_rle


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def segment(model, *arguments):
    return run(["segment", "--model", model, *map(str, arguments)])


def test_an_overlay_is_written_beside_and_lines_say_what_is_there(
    color_segmenter, painted, tmp_path, capsys
):
    assert segment(color_segmenter, painted) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"{painted} -> painted-segment.png"
    assert out[1].split() == ["16.7%", "blue", "1", "region"]
    assert out[2].split() == ["13.3%", "red", "2", "regions"]
    drawn = np.asarray(Image.open(tmp_path / "painted-segment.png"))
    assert drawn.shape[0] > 60
    assert segment(color_segmenter, painted, "-o", "plain.png", "--no-legend") == 0
    assert Image.open(tmp_path / "plain.png").size == (80, 60)


def test_a_mask_has_class_numbers_at_the_picture_s_size(color_segmenter, painted, capsys):
    assert segment(color_segmenter, painted, "--mask") == 0
    mask = Image.open("painted-mask.png")
    assert mask.mode == "P"
    values = np.asarray(mask)
    assert values.shape == (60, 80)
    assert (values[20, 20], values[20, 60], values[0, 0]) == (1, 2, 0)
    assert mask.convert("RGB").getpixel((20, 20)) == (128, 0, 0)
    assert segment(color_segmenter, painted, "--mask", "-o", "a.jpg") == 2
    assert "--mask writes .png" in capsys.readouterr().err


def test_a_cutout_is_transparent_elsewhere(color_segmenter, painted):
    assert segment(color_segmenter, painted, "--cutout", "red") == 0
    pixels = np.asarray(Image.open("painted-cutout.png"))
    assert pixels.shape == (60, 80, 4)
    assert (pixels[20, 20, 3], pixels[20, 60, 3]) == (255, 0)


@pytest.mark.parametrize("more", [[], ["--background", "white"], ["--json", "-o", "cut.png"]])
def test_a_cutout_of_nothing_is_not_written_and_says_what_was_found(
    color_segmenter, painted, tmp_path, capsys, more
):
    before = set(tmp_path.iterdir())
    half = np.asarray(Image.open(painted))[:, :45]
    Image.fromarray(half).save(tmp_path / "half.png")
    assert segment(color_segmenter, "half.png", "--cutout", "blue", *more) == 4
    printed = capsys.readouterr()
    assert "half.png: no blue was found, only red; nothing is written" in printed.err
    assert set(tmp_path.iterdir()) - before == {tmp_path / "half.png"}
    if "--json" in more:
        assert json.loads(printed.out)["output"] is None
    # The others of a batch go on.
    command = ["half.png", painted, "--cutout", "blue", "-o", "out"]
    assert segment(color_segmenter, *command) == 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["painted.png"]


@pytest.mark.parametrize("hidden", [0, 255])
def test_what_transparency_hides_is_not_segmented(color_segmenter, painted, tmp_path, hidden):
    pixels = np.asarray(Image.open(painted).convert("RGBA")).copy()
    pixels[:, 40:, 3] = 0
    pixels[:, 40:, :3] = hidden
    Image.fromarray(pixels).save(tmp_path / "half.png")
    assert segment(color_segmenter, "half.png", "--mask", "-o", "mask.png") == 0
    classes = np.asarray(Image.open("mask.png"))
    pixels[:, 40:] = 255
    Image.fromarray(pixels).convert("RGB").save(tmp_path / "seen.png")
    assert segment(color_segmenter, "seen.png", "--mask", "-o", "seen-mask.png") == 0
    np.testing.assert_array_equal(classes, np.asarray(Image.open("seen-mask.png")))


def test_a_background_is_put_behind(color_segmenter, painted, tmp_path):
    Image.new("RGB", (10, 10), (0, 255, 0)).save(tmp_path / "green.png")
    assert segment(color_segmenter, painted, "--background", "green.png", "--cutout", "red") == 0
    pixels = np.asarray(Image.open("painted-background.png"))
    assert pixels[20, 60].tolist() == [0, 255, 0]
    assert pixels[20, 20].tolist() == [250, 20, 20]
    assert segment(color_segmenter, painted, "--background", "blur", "-o", "b.png") == 0
    assert np.asarray(Image.open("b.png"))[20, 60].tolist() == [20, 20, 250]


def test_records_have_the_one_schema_and_runs(color_segmenter, painted, tmp_path, capsys):
    assert segment(color_segmenter, painted, "--json", "--rle", "compressed") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["schema"], record["width"], record["height"]) == ("cnnkit/1", 80, 60)
    blue, red = record["items"]
    assert blue["box"] == {"x1": 50, "y1": 10, "x2": 70, "y2": 50}
    assert (red["label"], red["area"], len(red["regions"])) == ("red", 640, 2)
    mask = decode_rle(red["regions"][1]["rle"]["counts"], *red["regions"][1]["rle"]["size"])
    assert np.argwhere(mask).min(axis=0).tolist() == [40, 10]
    assert mask.sum() == 40
    assert decode_rle(red["rle"]["counts"], 60, 80).sum() == 640
    assert record["output"] is None
    assert not list(tmp_path.glob("*.png"))


def test_stdin_to_stdout(color_segmenter, painted, monkeypatch):
    class Stream(io.StringIO):
        buffer = io.BytesIO()

    given = io.TextIOWrapper(io.BytesIO(painted.read_bytes()))
    stream = Stream()
    monkeypatch.setattr(sys, "stdin", given)
    monkeypatch.setattr(sys, "stdout", stream)
    assert segment(color_segmenter, "-", "-o", "-", "--mask") == 0
    assert np.asarray(Image.open(io.BytesIO(stream.buffer.getvalue())))[20, 20] == 1
    assert stream.getvalue() == ""


def test_a_broken_picture_is_a_record_and_the_others_go_on(color_segmenter, painted, capsys):
    Path("broken.png").write_bytes(b"no picture")
    assert segment(color_segmenter, "broken.png", painted, "--jsonl", "-o", "out") == 3
    out, err = capsys.readouterr()
    first, second = map(json.loads, out.splitlines())
    assert first["error"]["code"] == "ImageError"
    assert second["items"][0]["label"] == "blue"
    assert "broken.png" in err
    assert Image.open("out/painted.png").width >= 80


def test_files_that_exist_are_not_replaced(color_segmenter, painted, capsys):
    assert segment(color_segmenter, painted, "-o", "a.png") == 0
    assert segment(color_segmenter, painted, "-o", "a.png") == 2
    assert "a.png exists; use --overwrite" in capsys.readouterr().err
    assert segment(color_segmenter, painted, "-o", "a.png", "--skip-existing") == 0
    assert segment(color_segmenter, painted, "-o", "a.png", "--overwrite") == 0


def test_nothing_but_background_is_exit_code_4(color_segmenter, tmp_path, capsys):
    Image.new("RGB", (40, 40)).save(tmp_path / "dark.png")
    assert segment(color_segmenter, "dark.png", "--fail-if-empty") == 4
    assert "nothing but background" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mask", "--cutout", "red"], "--mask goes without --cutout"),
        (["--cutout", "rad"], "did you mean red"),
        (["--show", "all"], "show must be one of overlay, colors, contours, not 'all'"),
        (["--rle", "counts"], "--rle is for --json"),
        (["--json", "-o", "-"], "both want stdout"),
        (["--json", "--mask"], "name it with -o"),
        (["--scales", "big"], "--scales takes numbers"),
        (["--json", "--jsonl"], "exclude each other"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    color_segmenter, painted, arguments, message, capsys
):
    assert segment(color_segmenter, painted, *arguments) == 2
    assert message in capsys.readouterr().err
