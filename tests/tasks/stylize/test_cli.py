"""``cnnkit stylize`` as the user meets it, on a network of two random layers."""

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cnnkit.cli.app import run
from cnnkit.data.samples import style_names
from cnnkit.errors import ImageError
from cnnkit.images import Picture, read_image, read_record, write_image
from cnnkit.models.generated_image import GeneratedImage
from cnnkit.tasks.stylize import cli, jobs


def picture(seed, height=24, width=32):
    coarse = np.random.default_rng(seed).random((height // 4, width // 4, 3)).astype("float32")
    return Picture(coarse.repeat(4, axis=0).repeat(4, axis=1))


@pytest.fixture
def tiny(tiny_backbone):
    """The options that make a run short."""
    return [
        "--backbone", tiny_backbone, "--content-layer", "second",
        "--style-layers", "first,second:2", "--size", "32", "--steps", "2",
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def room(tmp_path, monkeypatch):
    """The current directory: an empty folder with a content and a style picture."""
    monkeypatch.chdir(tmp_path)
    write_image("photo.png", picture(0))
    write_image("style.png", picture(1))
    # Tracing and compiling two steps would take longer than the steps do.
    compiled = GeneratedImage.compile
    monkeypatch.setattr(
        GeneratedImage, "compile", lambda *args, **kw: compiled(*args, **kw, run_eagerly=True)
    )
    return tmp_path


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def one_line(err):
    return err.startswith("error: ") and err.count("\n") == 1


# Results -------------------------------------------------------------------------------------


def test_one_picture_is_painted_beside_the_user(room, tiny, capsys):
    assert run(["stylize", "photo.png", "style.png", *tiny]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("photo-stylized.png  32x24, 2 steps, loss 0.")
    assert out.count("\n") == 1
    assert err.splitlines()[0].startswith("scale 1 of 1: 32x24, 2 steps, loss 0.")
    assert names(room) == ["photo-stylized.png", "photo.png", "style.png"]
    assert read_image("photo-stylized.png").pixels.shape == (24, 32, 3)


def test_quiet_leaves_only_the_result(tiny, capsys):
    assert run(["stylize", "photo.png", "style.png", "-q", *tiny]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert err == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".tif", ".TIFF"])
def test_every_format_carries_the_settings(tiny, suffix, capsys):
    output = f"out/painted{suffix}"
    assert run(["stylize", "photo.png", "style.png", "-o", output, "-q", *tiny]) == 0
    record = json.loads(read_record(output))
    assert record["content"] == "photo.png"
    assert record["styles"][0]["source"] == "style.png"
    assert record["steps"] == 2
    assert record["style_layers"] == {"first": 1.0, "second": 2.0}
    assert record["finished"] is True
    assert set(record["losses"]) == {"loss", "content", "style", "tv"}
    assert len(record["backbone_sha256"]) == 64


def test_a_sidecar_holds_the_same_record(tiny):
    assert run(["stylize", "photo.png", "style.png", "-o", "a.jpg", "--sidecar", "-q", *tiny]) == 0
    sidecar = Path("a.jpg.json").read_text(encoding="utf-8")
    assert json.loads(sidecar) == json.loads(read_record("a.jpg"))


def test_an_unknown_format_is_refused_before_anything_else(tiny, capsys):
    assert run(["stylize", "photo.png", "style.png", "-o", "a.gif", *tiny]) == 3
    err = capsys.readouterr().err
    assert one_line(err)
    assert "cannot write pictures as '.gif'" in err


def test_json_is_one_record_for_one_picture(tiny, capsys):
    assert run(["stylize", "photo.png", "style.png", "--json", *tiny]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["schema"] == "cnnkit/1"
    assert record["source"] == "photo.png"
    assert (record["width"], record["height"]) == (32, 24)
    assert record["model"] == "tiny.keras"
    assert record["error"] is None
    assert record["ms"]["net"] > 0
    (item,) = record["items"]
    assert item["output"] == "photo-stylized.png"
    assert item["steps"] == 2
    assert item["finished"] is True


def test_json_is_a_list_for_several_pictures_and_holds_what_failed(tiny, capsys):
    Path("bad.png").write_bytes(b"no picture")
    assert run(["stylize", "photo.png", "bad.png", "style.png", "--json", "-o", "out", *tiny]) == 3
    out, err = capsys.readouterr()
    good, bad = json.loads(out)
    assert good["error"] is None
    assert bad["source"] == "bad.png"
    assert bad["error"]["code"] == "ImageError"
    assert "bad.png is not a picture" in bad["error"]["message"]
    assert "error: bad.png is not a picture" in err


def test_jsonl_is_one_object_a_line(tiny, capsys):
    write_image("other.png", picture(2))
    assert run(["stylize", "photo.png", "other.png", "style.png", "--jsonl", "-o", "o", *tiny]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["source"] for line in lines] == ["photo.png", "other.png"]


def test_json_of_a_picture_that_fails_is_its_record(tiny, capsys):
    assert run(["stylize", "none.png", "style.png", "--json", *tiny]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["message"] == "none.png does not exist; check the path"
    assert one_line(err)


def test_json_says_what_was_skipped(tiny, capsys):
    write_image("photo-stylized.png", picture(3))
    assert run(["stylize", "photo.png", "style.png", "--json", "--skip-existing", *tiny]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["items"] == [{"output": "photo-stylized.png", "skipped": True}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "--jsonl"], "exclude each other"),
        (["-o", "-", "--json"], "-o - writes the picture to stdout"),
        (["-o", "-", "--sidecar"], "-o - goes without"),
        (["--size", "0"], "--size takes a number of pixels or 'original', not '0'"),
        (["--size", "²"], "--size takes a number"),
        (["--budget", "soon"], "--budget takes a time such as 60s, 2m or 1h, not 'soon'"),
        (["--strength", "1.5"], "strength must be between 0 and 1"),
        (["--quality", "best"], "quality must be one of draft, standard, fine"),
        (["--style-layers", "first:heavy"], "--style-layers takes LAYER:WEIGHT"),
        (["--style-layers", "first:0"], "needs a layer of positive weight"),
        (["--style-scale", "100"], "style-scale must be between 0 and 8"),
        (["--seed", "-1"], "seed must be a whole number from 0"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--optimizer", "adamw"], "optimizer must be one of auto, adam, sgd, lbfgs"),
        (["--content-layer", "third"], "has no layer 'third'; did you mean"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(tiny, capsys, arguments, message):
    assert run(["stylize", "photo.png", "style.png", *tiny, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert one_line(err)


def test_one_picture_alone_is_no_job(capsys):
    assert run(["stylize", "photo.png"]) == 2
    assert "give a content picture and a style picture" in capsys.readouterr().err


def test_missing_weights_have_their_own_exit_code(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert run(["stylize", "photo.png", "style.png", "--backbone", "vgg19"]) == 5
    err = capsys.readouterr().err
    assert one_line(err)
    assert "cnnkit weights fetch vgg19" in err


# Outputs that are there already ----------------------------------------------------------------


def test_a_result_never_replaces_a_file_by_itself(tiny, capsys):
    write_image("photo-stylized.png", picture(3))
    before = read_image("photo-stylized.png").pixels
    assert run(["stylize", "photo.png", "style.png", *tiny, "-o", "photo-stylized.png"]) == 2
    assert "photo-stylized.png exists; use --overwrite" in capsys.readouterr().err
    assert run(["stylize", "photo.png", "style.png", *tiny]) == 0
    assert "photo-stylized-2.png" in capsys.readouterr().out
    np.testing.assert_array_equal(read_image("photo-stylized.png").pixels, before)


def test_overwrite_replaces_it(tiny):
    write_image("photo-stylized.png", picture(3))
    assert run(["stylize", "photo.png", "style.png", "--overwrite", "-q", *tiny]) == 0
    assert read_record("photo-stylized.png") is not None


def test_skip_existing_goes_on_with_the_others(tiny, capsys, room):
    write_image("other.png", picture(2))
    write_image("out/photo.png", picture(3))
    arguments = ["photo.png", "other.png", "style.png", "-o", "out", "--skip-existing"]
    assert run(["stylize", *arguments, *tiny]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("out/other.png  ")
    assert "out/photo.png exists, skipped" in err
    assert read_record("out/photo.png") is None


@pytest.mark.parametrize("target", ["photo.png", "style.png", "mask.png", "link.png"])
def test_no_input_is_ever_replaced(tiny, capsys, target):
    write_image("mask.png", Picture(np.ones((24, 32, 3), "float32")))
    Path("link.png").symlink_to("photo.png")
    arguments = ["photo.png", "style.png", "--mask", "mask.png", "-o", target, "--overwrite"]
    assert run(["stylize", *arguments, *tiny]) == 2
    assert one_line(capsys.readouterr().err)


def test_a_folder_for_a_file_is_refused(tiny, capsys, room):
    (room / "a.png").mkdir()
    (room / "a.png" / "photo.png").mkdir()
    assert run(["stylize", "photo.png", "style.png", "-o", "a.png", *tiny]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_an_output_below_a_file_is_found_out_before_the_run(tiny, capsys, monkeypatch):
    monkeypatch.setattr("cnnkit.runtime.configure", lambda **_: pytest.fail("the run began"))
    assert run(["stylize", "photo.png", "style.png", "-o", "style.png/a.png", *tiny]) == 3
    err = capsys.readouterr().err
    assert one_line(err)
    assert "style.png/a.png cannot be written" in err


def test_a_read_only_folder_is_found_out_before_the_run(tiny, capsys, monkeypatch, room):
    (room / "locked").mkdir()
    # The superuser may write everywhere, so permissions alone would not do.
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path))
    monkeypatch.setattr("cnnkit.runtime.configure", lambda **_: pytest.fail("the run began"))
    assert run(["stylize", "photo.png", "style.png", "-o", "locked/new/a.png", *tiny]) == 3
    assert "locked is read-only; give another -o" in capsys.readouterr().err


def test_a_name_that_is_too_long_is_one_line(tiny, capsys):
    assert run(["stylize", "photo.png", "style.png", "-o", "a" * 300 + ".png", *tiny]) == 3
    err = capsys.readouterr().err
    assert "cannot be written: File name too long" in err
    assert one_line(err)
    assert run(["stylize", "a" * 300 + ".png", "style.png", *tiny]) == 3
    err = capsys.readouterr().err
    assert "cannot be read: File name too long" in err
    assert one_line(err)


def test_a_disk_that_is_full_at_the_end_saves_the_picture_elsewhere(
    tiny, capsys, monkeypatch, room
):
    import cnnkit.images

    write = cnnkit.images.write_image

    def full(path, *rest, **how):
        if str(path).startswith("out"):
            raise ImageError(f"{path} cannot be written: No space left on device")
        write(path, *rest, **how)

    monkeypatch.setattr(cnnkit.images, "write_image", full)
    monkeypatch.setattr(jobs.tempfile, "mkdtemp", lambda prefix: str(room / "elsewhere"))
    assert run(["stylize", "photo.png", "style.png", "-o", "out/a.png", "-q", *tiny]) == 3
    err = capsys.readouterr().err
    assert one_line(err)
    assert f"No space left on device. The picture is safe in {room}/elsewhere/a.png" in err
    assert read_image("elsewhere/a.png").pixels.shape == (24, 32, 3)


# Sources -------------------------------------------------------------------------------------


@pytest.fixture
def album(room):
    """album/a.png, album/trip/ü b.jpg, and a text file."""
    write_image(room / "album" / "a.png", picture(4))
    write_image(room / "album" / "trip" / "ü b.jpg", picture(5))
    (room / "album" / "notes.txt").write_text("no picture")


@pytest.mark.usefixtures("album")
def test_a_folder_is_mirrored(room, tiny, capsys):
    assert run(["stylize", "album", "style.png", "-r", "-o", "out", *tiny]) == 0
    assert names(room / "out") == ["a.png", "trip/ü b.png"]
    assert capsys.readouterr().out.splitlines()[1].startswith("out/trip/ü b.png  32x24")


@pytest.mark.usefixtures("album")
@pytest.mark.parametrize("argument", ["album/*.png", "@list.txt"])
def test_globs_and_lists_are_expanded(room, tiny, argument):
    (room / "list.txt").write_text("album/a.png\n\n# no more\n", encoding="utf-8")
    assert run(["stylize", argument, "style.png", "-o", "out", "-q", *tiny]) == 0
    assert names(room / "out") == ["a.png"]


def test_a_picture_comes_from_stdin_and_goes_to_stdout(tiny, monkeypatch, capsysbinary):
    data = Path("photo.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert run(["stylize", "-", "style.png", "-o", "-", *tiny]) == 0
    out = capsysbinary.readouterr().out
    assert read_image(out).pixels.shape == (24, 32, 3)


def test_the_style_may_come_from_stdin(tiny, monkeypatch):
    data = Path("style.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert run(["stylize", "photo.png", "-", "-q", *tiny]) == 0


def test_stdin_cannot_be_two_pictures(tiny, capsys):
    assert run(["stylize", "-", "-", *tiny]) == 2
    assert "only one picture can come from stdin" in capsys.readouterr().err


def test_several_pictures_do_not_go_to_stdout(tiny, capsys):
    assert run(["stylize", "photo.png", "style.png", "style.png", "-o", "-", *tiny]) == 2
    assert "-o - takes one picture, not 2" in capsys.readouterr().err


def test_one_bad_file_does_not_stop_the_others(room, tiny, capsys):
    (room / "bad.png").write_bytes(b"")
    write_image("last.png", picture(6))
    arguments = ["photo.png", "bad.png", "last.png", "style.png", "-o", "out"]
    assert run(["stylize", *arguments, *tiny]) == 3
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "error: bad.png is empty (0 bytes); copy or download it again" in err
    assert names(room / "out") == ["last.png", "photo.png"]


@pytest.mark.parametrize("style", ["none.png", "bad.png", "folder"])
def test_a_style_that_cannot_be_read_is_one_line(room, tiny, capsys, style):
    (room / "bad.png").write_bytes(b"no picture")
    (room / "folder").mkdir()
    assert run(["stylize", "photo.png", style, *tiny]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {style} ")
    assert one_line(err)


def test_styles_have_shares(tiny):
    write_image("b:2.png", picture(7))
    arguments = ["photo.png", "--style", "style.png:0.7", "--style", "b:2.png:0.3"]
    assert run(["stylize", *arguments, "-o", "a.png", "-q", *tiny]) == 0
    styles = json.loads(read_record("a.png"))["styles"]
    assert [(style["source"], style["weight"]) for style in styles] == [
        ("style.png", 0.7),
        ("b:2.png", 0.3),
    ]


def test_a_mask_that_does_not_fit_one_picture_fails_that_one_only(room, tiny, capsys):
    write_image("mask.png", Picture(np.ones((24, 32, 3), "float32")))
    write_image("tall.png", picture(8, height=32, width=24))
    arguments = ["tall.png", "photo.png", "style.png", "--mask", "mask.png", "-o", "out", "--json"]
    assert run(["stylize", *arguments, *tiny]) == 3
    tall, photo = json.loads(capsys.readouterr().out)
    assert "not the shape of the content (24x32)" in tall["error"]["message"]
    assert photo["error"] is None


def test_a_mask_that_does_not_fit_the_only_picture_is_wrong_usage(tiny, capsys):
    write_image("mask.png", Picture(np.ones((32, 8, 3), "float32")))
    assert run(["stylize", "photo.png", "style.png", "--mask", "mask.png", *tiny]) == 2
    assert one_line(capsys.readouterr().err)


def halves(height=24, width=32):
    """Red on the left, dark on the right."""
    pixels = np.full((height, width, 3), 0.1, "float32")
    pixels[:, : width // 2, 0] = 1.0
    return Picture(pixels)


@pytest.mark.parametrize("is_inverted", [False, True])
def test_what_is_found_is_stylised_or_kept(tiny, color_segmenter, is_inverted):
    write_image("halves.png", halves())
    arguments = ["halves.png", "style.png", "--mask", "segment:red", "--segmenter", color_segmenter]
    arguments += ["--invert-mask"] * is_inverted
    assert run(["stylize", *arguments, "-o", "a.png", "-q", *tiny]) == 0
    changed = np.abs(read_image("a.png").pixels - halves().pixels).max(axis=(0, 2))
    # The network looks at no picture smaller than 32 pixels, so that the edge is a little blurred.
    styled, kept = changed[:13], changed[19:]
    if is_inverted:
        styled, kept = kept, styled
    assert kept.max() < 1 / 255
    assert styled.min() > 4 / 255


def test_a_picture_without_what_is_to_be_found_fails_alone(room, tiny, color_segmenter, capsys):
    write_image("halves.png", halves())
    arguments = ["halves.png", "photo.png", "style.png", "--mask", "segment:blue", "-o", "out"]
    write_image("photo.png", Picture(halves().pixels[..., ::-1]))
    assert run(["stylize", *arguments, "--segmenter", color_segmenter, "-q", *tiny]) == 3
    assert capsys.readouterr().err.startswith("error: halves.png shows no blue")
    assert names(room / "out") == ["photo.png"]


def test_a_mask_file_can_be_turned_over(tiny):
    mask = np.zeros((24, 32, 3), "float32")
    mask[:, :16] = 1.0
    write_image("mask.png", Picture(mask))
    arguments = ["photo.png", "style.png", "--mask", "mask.png", "--invert-mask", "-o", "a.png"]
    assert run(["stylize", *arguments, "-q", *tiny]) == 0
    changed = np.abs(read_image("a.png").pixels - read_image("photo.png").pixels).max(axis=(0, 2))
    assert changed[:16].max() < 1 / 255
    assert changed[16:].min() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mask", "segment:persn"], "did you mean person"),
        (["--mask", "segment:person", "--segmenter", "voc12"], "give --segmenter the folder"),
        (["--invert-mask"], "--invert-mask is for --mask"),
        (["--mask", "style.png", "--segmenter", "run"], "--segmenter is for --mask segment:LABEL"),
    ],
)
def test_masks_that_make_no_sense(arguments, message, capsys):
    assert run(["stylize", "photo.png", "style.png", *arguments]) == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert message in error


# Steps, budget, interruption -------------------------------------------------------------------


def test_save_every_writes_the_steps_too(room, tiny):
    arguments = ["photo.png", "style.png", "-o", "out/a.png", "--save-every", "2", "--steps", "5"]
    assert run(["stylize", *arguments[:-2], "-q", *tiny, *arguments[-2:]]) == 0
    assert names(room / "out") == ["a-step00002.png", "a-step00004.png", "a.png"]


def test_steps_that_cannot_be_written_do_not_stop_the_run(tiny, capsys, monkeypatch):
    import cnnkit.images

    write = cnnkit.images.write_image

    def full(path, *rest, **how):
        if "-step" in str(path):
            raise ImageError(f"{path} cannot be written: No space left on device")
        write(path, *rest, **how)

    monkeypatch.setattr(cnnkit.images, "write_image", full)
    assert run(["stylize", "photo.png", "style.png", "--save-every", "1", *tiny]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("photo-stylized.png")
    assert err.count("no more steps are written") == 1


def test_each_picture_of_a_batch_has_the_budget_for_itself(tiny, monkeypatch):
    from cnnkit.tasks.stylize.predict import Stylizer

    begins = []
    paint = Stylizer.run

    def spy(self, *args, started, **kw):
        begins.append(time.monotonic() - started)
        return paint(self, *args, started=started, **kw)

    monkeypatch.setattr(Stylizer, "run", spy)
    monkeypatch.setattr(cli, "_process_age", lambda: 500.0)
    write_image("other.png", picture(2))
    arguments = ["photo.png", "other.png", "style.png", "-o", "out", "--budget", "1h", "-q"]
    assert run(["stylize", *arguments, *tiny]) == 0
    # The first counts the 500 s that the program took to start.
    assert begins[0] > 500.0
    assert begins[1] < 5.0


def test_a_budget_that_is_too_short_for_the_optimizer_gives_a_draft_at_once(room, capsys):
    arguments = ["stylize", "photo.png", "style.png", "-o", "a.png", "--size", "64"]
    assert run([*arguments, "--budget", "5s"]) == 0
    printed = capsys.readouterr()
    assert "budget 5 s: too short for the optimizer; the picture is a draft\n" in printed.err
    assert "a.png  64x64, draft" in printed.out or "draft" in printed.out


def test_ctrl_c_leaves_the_picture_so_far_and_resume_completes_it(room, tiny, capsys, monkeypatch):
    arguments = ["stylize", "photo.png", "style.png", "-o", "a.png", *tiny, "--steps", "9"]
    assert run([*arguments[:4], "whole.png", *arguments[5:], "-q"]) == 0
    interrupt = _interrupt_at(4)
    assert run([*arguments, "--json"]) == 130
    out, err = capsys.readouterr()
    assert json.loads(out.split("\n", 1)[1])["items"][0]["finished"] is False
    assert "stopped by Ctrl-C; a.png is the picture so far, --resume goes on from here" in err
    assert json.loads(read_record("a.png"))["finished"] is False
    assert ".a.png.cnnkit-state" in names(room)

    interrupt.undo()
    assert run([*arguments, "--resume"]) == 0
    assert ".a.png.cnnkit-state" not in names(room)
    np.testing.assert_array_equal(read_image("a.png").pixels, read_image("whole.png").pixels)

    assert run([*arguments, "--resume"]) == 0
    assert "a.png is done already" in capsys.readouterr().err


def test_ctrl_c_ends_a_batch_and_keeps_what_is_done(room, tiny, capsys, monkeypatch):
    write_image("other.png", picture(2))
    write_image("third.png", picture(3))
    interrupt = _interrupt_at(3)
    arguments = ["photo.png", "other.png", "third.png", "style.png", "-o", "out", "--json"]
    assert run(["stylize", *arguments, *tiny]) == 130
    interrupt.undo()
    records = json.loads(capsys.readouterr().out)
    assert [record["items"][0]["finished"] for record in records] == [True, False]
    assert "third.png" not in names(room / "out")


def _interrupt_at(step):
    """Presses Ctrl-C at the end of the given step, counted over all pictures."""
    from cnnkit.tasks.stylize import checkpoint

    after_step, count = checkpoint.Checkpoint.step, [0]

    def interrupted(self, optimizer):
        after_step(self, optimizer)
        count[0] += 1
        if count[0] == step:
            raise KeyboardInterrupt

    patch = pytest.MonkeyPatch()
    patch.setattr(checkpoint.Checkpoint, "step", interrupted)
    return patch


def test_the_state_of_other_settings_is_refused(room, tiny, capsys, monkeypatch):
    arguments = ["stylize", "photo.png", "style.png", "-o", "a.png", *tiny]
    interrupt = _interrupt_at(1)
    assert run(arguments) == 130
    interrupt.undo()
    capsys.readouterr()
    assert run([*arguments, "--resume", "--strength", "0.5"]) == 2
    err = capsys.readouterr().err
    assert one_line(err)
    assert "run with other pictures or settings" in err


# Processes -----------------------------------------------------------------------------------


def start(arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "cnnkit", "stylize", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_process_is_quiet_but_for_its_own_words(tiny, room):
    process = start(["photo.png", "style.png", "-o", "a.png", "--threads", "1", *tiny])
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert out.startswith("a.png  32x24, 2 steps, loss ")
    assert len(out.splitlines()) == 1
    assert len(err.splitlines()) == 1
    assert err.startswith("scale 1 of 1: 32x24")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_the_command_runs_on_jax(tiny):
    process = start(["photo.png", "style.png", "-o", "a.png", *tiny], KERAS_BACKEND="jax")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert len(err.splitlines()) == 1
    assert json.loads(read_record("a.png"))["keras"].endswith("(jax)")


# L-BFGS would find nothing more after some hundred steps.
LONG = ["--steps", "3000", "--size", "64", "--optimizer", "adam"]


@pytest.mark.slow
def test_sigint_leaves_a_picture_and_resume_completes_it(tiny, room):
    arguments = ["photo.png", "style.png", *tiny, *LONG, "--save-every", "50"]
    process = start([*arguments, "-o", "a.png"])
    wait_for(lambda: (room / "a-step00050.png").exists(), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "a.png is the picture so far, --resume goes on from here" in err
    assert "Traceback" not in err
    assert json.loads(read_record("a.png"))["finished"] is False

    process = start([*arguments, "-o", "a.png", "--resume"])
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert json.loads(read_record("a.png"))["scales"][0]["steps"] == 3000


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_picture_of_an_unbroken_one(tiny, room):
    arguments = ["photo.png", "style.png", *tiny, *LONG]
    process = start([*arguments, "-o", "a.png"])
    wait_for(lambda: (room / ".a.png.cnnkit-state").exists(), process)
    process.kill()
    process.communicate()
    assert not (room / "a.png").exists()
    for extra in (["-o", "a.png", "--resume"], ["-o", "whole.png"]):
        process = start([*arguments, *extra])
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert "starting anew" not in err
    np.testing.assert_array_equal(read_image("a.png").pixels, read_image("whole.png").pixels)


def test_progress_on_a_terminal_fits_into_80_columns(tiny, monkeypatch, capsys):
    from rich.console import Console as RichConsole

    from cnnkit.console import Console

    monkeypatch.setenv("COLUMNS", "80")
    drawn = io.StringIO()
    make = Console.__init__

    def terminal(self, *args, **kw):
        make(self, *args, **kw)
        self._err = RichConsole(file=drawn, force_terminal=True, width=80, color_system=None)

    monkeypatch.setattr(Console, "__init__", terminal)
    name = "a very long name of a picture [red] from the last holiday.png"
    Path("photo.png").rename(name)
    assert run(["stylize", name, "style.png", *tiny]) == 0
    lines = [line for line in drawn.getvalue().replace("\r", "\n").split("\n") if " of " in line]
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in lines]
    assert plain
    assert max(len(line) for line in plain) <= 80
    assert any("32x24 loss 0." in line and "2 of 2" in line for line in plain)


# Styles by name, and sheets to choose from ----------------------------------------------------


def test_a_style_that_comes_with_cnnkit_is_named(tiny, capsys):
    assert run(["stylize", "photo.png", "waves", "-o", "a.png", *tiny]) == 0
    assert run(["stylize", "photo.png", "--style", "waves:2", "-o", "b.png", *tiny]) == 0
    first, second = (read_image(name).pixels for name in ("a.png", "b.png"))
    np.testing.assert_array_equal(first, second)
    assert json.loads(read_record("a.png"))["styles"][0]["source"] == "painted by cnnkit"


def test_a_file_of_that_name_comes_first(room, tiny):
    (room / "waves").write_bytes((room / "style.png").read_bytes())
    assert run(["stylize", "photo.png", "waves", "-o", "a.png", *tiny]) == 0
    assert run(["stylize", "photo.png", "style.png", "-o", "b.png", *tiny]) == 0
    np.testing.assert_array_equal(read_image("a.png").pixels, read_image("b.png").pixels)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("wave", "did you mean waves?"), ("xyz", "styles are stained-glass, impasto, ")],
)
def test_a_style_that_is_neither_picture_nor_name_is_one_line(name, hint, capsys):
    assert run(["stylize", "photo.png", name]) == 3
    err = capsys.readouterr().err
    assert one_line(err)
    assert f"there is no picture and no style named {name}; {hint}" in err


def test_one_picture_alone_is_told_the_names_of_styles(capsys):
    assert run(["stylize", "photo.png"]) == 2
    err = capsys.readouterr().err
    assert one_line(err)
    assert "or a style's name: stained-glass, impasto, ink-wash, woodcut, mosaic, waves" in err


def test_help_names_all_styles(capsys):
    assert run(["stylize", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in style_names())


def test_a_sheet_shows_the_photograph_in_all_styles(room, capsys):
    assert run(["stylize", "photo.png", "--sheet", "--size", "32"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("photo-sheet.jpg  ")
    assert "stained-glass, impasto, ink-wash, woodcut, mosaic, waves" in out
    sheet = read_image("photo-sheet.jpg").pixels
    # Seven cells in two rows of four below a heading: the last place is empty.
    assert sheet.shape[1] > sheet.shape[0]
    assert sheet[-40:, -40:].min() > 0.95


def test_a_sheet_of_several_styles_and_strengths_has_a_row_for_each_style(room):
    options = ["--style", "style.png", "--style", "waves", "--strength", "0,1", "--size", "32"]
    assert run(["stylize", "photo.png", "--sheet", *options, "-o", "sheet.png"]) == 0
    sheet = read_image("sheet.png").pixels
    height = sheet.shape[0] - 52 - 16 + 10
    assert height % 2 == 0
    rows = [sheet[52 + i * height // 2 :][:24] for i in range(2)]
    # Both rows begin with the photograph, and what has no strength is the photograph again.
    photo = read_image("photo.png").pixels
    for row in rows:
        np.testing.assert_allclose(row[:, 16 : 16 + 32], photo, atol=0.02)
    assert np.abs(rows[0] - rows[1]).mean() > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strength", "0.2,0.8"], "several strengths are for --sheet"),
        (["--strength", "much"], "--strength takes a number from 0 to 1, or several"),
        (["--sheet", "--quality", "fine"], "--sheet is of drafts and goes without --quality"),
        (["--sheet", "--resume"], "--sheet is of drafts and goes without --resume"),
        (["--sheet", "--steps", "3"], "steps is of the optimizer, which a draft goes without"),
        (["--sheet", "--strength", "0.5,7"], "strength must be between 0 and 1, not 7"),
        (["--sheet", "-o", "-"], "--sheet is written to a file"),
        (["--sheet", "--style", "waves:0.5"], "--sheet shows each style alone"),
    ],
)
def test_what_a_sheet_has_no_use_for_is_refused(options, message, capsys):
    assert run(["stylize", "photo.png", "style.png", *options]) == 2
    err = capsys.readouterr().err
    assert one_line(err)
    assert message in err
