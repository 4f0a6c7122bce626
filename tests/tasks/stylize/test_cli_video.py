"""``cnnkit stylize`` on videos."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from cnnkit.cli.app import run
from tests._clips import read_frames, read_sound, write_clip

pytest.importorskip("cv2")


@pytest.fixture(autouse=True)
def room(tmp_path, monkeypatch):
    """The current directory, with a clip that has sound."""
    monkeypatch.chdir(tmp_path)
    scene = np.asarray(Image.fromarray(skimage.data.chelsea()).resize((96, 64)))
    frames = [scene[8:56, 2 * number : 2 * number + 64] for number in range(4)]
    write_clip(tmp_path / "clip.mp4", frames, sound=True)


def test_a_video_is_a_draft_with_its_sound_unless_more_is_asked_for(capsys):
    assert run(["stylize", "clip.mp4", "waves", "--jsonl"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["items"] == [{"output": "clip-stylized.mp4", "frames": 4, "finished": True}]
    assert (record["width"], record["height"], record["model"]) == (64, 48, "draft")
    painted, frames = read_frames("clip-stylized.mp4"), read_frames("clip.mp4")
    assert [one.time for one in painted] == [one.time for one in frames]
    assert np.abs(painted[0].pixels.astype(int) - frames[0].pixels).mean() > 10
    assert read_sound("clip-stylized.mp4")[0] == read_sound("clip.mp4")[0]


def test_a_picture_and_a_part_of_a_video_in_one_command(capsys):
    Image.fromarray(skimage.data.chelsea()).resize((64, 48)).save("cat.png")
    command = ["stylize", "cat.png", "clip.mp4", "waves", "--quality", "draft", "-o", "out"]
    assert run([*command, "--end", "0.08"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("out/cat.png  64x48, draft, ")
    assert out[1].startswith("out/clip.mp4  64x48, 2 frames, ")
    assert run(command) == 2
    assert "out/cat.png exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--budget", "9s"], 2, "--budget is of pictures; leave it out for clip.mp4"),
        (["--sheet"], 2, "--sheet is of pictures; leave it out for clip.mp4"),
        (["--steps", "9"], 2, "steps is of the optimizer, which a draft goes without"),
        (["-o", "a.png"], 2, "a.png: cannot write videos as '.png'"),
        (["--start", "9"], 3, "clip.mp4 has no frame in the part from --start to --end"),
        (["--end", "x"], 2, "--end takes a time"),
    ],
)
def test_what_does_not_go_with_videos_is_one_line(capsys, arguments, code, message):
    assert run(["stylize", "clip.mp4", "waves", *arguments]) == code
    assert message in capsys.readouterr().err
    assert not Path("clip-stylized.mp4").exists()


def test_times_are_for_videos(capsys):
    Image.fromarray(skimage.data.chelsea()).save("cat.png")
    assert run(["stylize", "cat.png", "waves", "--every", "2"]) == 2
    assert (
        "--start, --end, --every and --resume are for videos; there is none"
        in capsys.readouterr().err
    )
