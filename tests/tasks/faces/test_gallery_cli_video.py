"""``cnnkit faces identify`` on videos."""

import json

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run
from tests._clips import read_frames, write_clip


@pytest.fixture(scope="module")
def clip(portraits, tmp_path_factory):
    """Two known faces, and a frame in which one of them cannot be seen."""
    pixels = np.asarray(Image.open(portraits / "both.png").convert("RGB"))
    pixels = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
    frames = [np.roll(pixels, 4 * number, axis=1) for number in range(4)]
    frames[2] = frames[2].copy()
    frames[2][:, pixels.shape[1] // 2 :] = 128
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames)


def test_faces_of_a_video_are_named_followed_and_drawn(portraits, clip, tmp_path, capsys):
    gallery = str(tmp_path / "gallery.sqlite")
    for name in ("Ada", "Bob"):
        command = ["faces", "enroll", name, str(portraits / f"{name.lower()}.png")]
        assert run([*command, "--gallery", gallery]) == 0
    capsys.readouterr()
    output = tmp_path / "named.mp4"
    command = ["faces", "identify", str(clip), "--gallery", gallery]
    assert run([*command, "--jsonl", "-o", str(output)]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["frame"] for one in records] == [0, 1, 2, 3]
    found = [{item["name"]: item["track"] for item in one["items"]} for one in records]
    assert found[0] == found[1] == found[3]
    assert set(found[0]) == {"Ada", "Bob"}
    assert set(found[2].items()) < set(found[0].items())
    assert len(read_frames(output)) == 4
    assert run([*command, "--end", "0.06"]) == 0
    assert capsys.readouterr().out.endswith(" a second: Ada, Bob\n")
