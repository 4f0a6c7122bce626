"""``cnnkit detect`` on videos."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run
from tests._clips import read_frames, write_clip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clip(dotted_pictures, tmp_path):
    """The picture of two dots, which go down."""
    pixels = np.asarray(Image.open(dotted_pictures / "two.png").convert("RGB"))
    frames = [np.roll(pixels, 2 * number, axis=0) for number in range(6)]
    return write_clip(tmp_path / "clip.mp4", frames)


def detect(dot_detector, *arguments):
    return run(["detect", "--model", dot_detector, *map(str, arguments)])


def test_a_video_is_drawn_and_told_of_in_one_line(dot_detector, clip, capsys):
    assert detect(dot_detector, clip) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{clip}: 6 frames, ")
    assert re.search(r": at most \d blue, \d red at once -> clip-detect\.mp4$", line)
    assert read_frames("clip-detect.mp4")[0].pixels.shape == (64, 64, 3)


def test_tracked_objects_have_numbers_and_each_frame_a_line(dot_detector, clip, capsys):
    assert detect(dot_detector, clip, "--track", "--jsonl", "--end", "0.16") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["frame"], one["time"]) for one in records] == [
        (0, 0.0),
        (1, 0.04),
        (2, 0.08),
        (3, 0.12),
    ]
    for record in records:
        found = {one["track"]: one["label"] for one in record["items"]}
        assert found == {1: "blue", 2: "red"}
    assert not Path("clip-detect.mp4").exists()


def test_videos_and_pictures_of_a_folder_go_their_ways(dot_detector, clip, dotted_pictures, capsys):
    clip.rename(dotted_pictures / "clip.mp4")
    (dotted_pictures / "bad.avi").write_bytes(b"no video")
    try:
        assert detect(dot_detector, dotted_pictures, "-o", "out", "--track") == 3
    finally:
        (dotted_pictures / "clip.mp4").unlink()
        (dotted_pictures / "bad.avi").unlink()
    out, err = capsys.readouterr()
    assert "bad.avi is damaged, cut off or no video" in err
    assert out.splitlines()[-1].endswith(": 1 blue, 1 red -> out/clip.mp4")
    names = sorted(path.name for path in Path("out").iterdir())
    assert names == ["clip.mp4", "none.jpg", "tall.jpg", "two.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clip.mp4", "-o", "b.jpg"], "b.jpg: cannot write videos as '.jpg'; use one of: .mp4"),
        (["clip.mp4", "--crops", "c"], "--crops is of pictures"),
        (["photo.png", "--track"], "--track follows objects from frame to frame; give a video"),
        (["photo.png", "--start", "3"], "--start, --end, --every and --resume are for videos"),
        (["clip.mp4", "-o", "clip.mp4"], "clip.mp4 is an input and would be replaced"),
    ],
)
def test_what_does_not_go_with_videos_is_refused(dot_detector, clip, capsys, arguments, message):
    assert detect(dot_detector, *arguments) == 2
    assert message in capsys.readouterr().err


def test_without_the_extra_a_line_says_how_to_install_it(dot_detector, clip, capsys, monkeypatch):
    from cnnkit.engine import batch

    monkeypatch.setattr(batch, "is_installed", lambda package: False)
    assert detect(dot_detector, clip) == 3
    assert 'clip.mp4: videos need an extra; run: pip install "cnnkit[video]"' in (
        capsys.readouterr().err
    )


def test_without_the_extra_the_videos_of_a_folder_are_left_out(
    dot_detector, dotted_pictures, clip, capsys, monkeypatch
):
    from cnnkit.video import formats

    monkeypatch.setattr(formats, "is_installed", lambda package="av": False)
    (dotted_pictures / "clip.mp4").write_bytes(clip.read_bytes())
    try:
        assert detect(dot_detector, dotted_pictures, "--jsonl") == 0
    finally:
        (dotted_pictures / "clip.mp4").unlink()
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert "1 .mp4 (clip.mp4)" in err


def test_a_missing_video_is_told_before_an_engine_is_loaded(dot_detector, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cnnkit.tasks.detect.predict", None)
    assert detect(dot_detector, "gone.mp4") == 3
    assert "gone.mp4 does not exist; check the path" in capsys.readouterr().err


def test_a_finished_video_is_skipped_and_not_replaced(dot_detector, clip, capsys):
    assert detect(dot_detector, clip, "-o", "b.mp4") == 0
    assert detect(dot_detector, clip, "-o", "b.mp4") == 2
    assert "b.mp4 exists; use --overwrite, --skip-existing or another place" in (
        capsys.readouterr().err
    )
    before = Path("b.mp4").stat().st_mtime_ns
    assert detect(dot_detector, clip, "-o", "b.mp4", "--skip-existing") == 0
    assert Path("b.mp4").stat().st_mtime_ns == before
