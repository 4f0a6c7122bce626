"""``cnnkit segment`` and ``cutout`` on videos."""

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")

from cnnkit.cli.app import run
from cnnkit.tasks.segment.video import Trail
from tests._clips import read_frames, write_clip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clip(painted, tmp_path):
    """The picture of a red and a blue field, with noise."""
    random = np.random.default_rng(0)
    pixels = np.asarray(Image.open(painted).convert("RGB")).astype(float)
    noisy = (np.clip(pixels + random.normal(0, 3, pixels.shape), 0, 255) for _ in range(4))
    return write_clip(tmp_path / "clip.mp4", [one.astype(np.uint8) for one in noisy])


def test_each_frame_has_a_record_and_its_colours(color_segmenter, clip, capsys):
    command = ["segment", "--model", color_segmenter, str(clip), "-o", "drawn.mp4", "--jsonl"]
    assert run([*command, "--rle", "compressed"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["frame"] for one in records] == [0, 1, 2, 3]
    assert {item["label"] for item in records[3]["items"]} == {"red", "blue"}
    assert "rle" in json.dumps(records[0])
    drawn = read_frames("drawn.mp4")
    assert [one.pixels.shape for one in drawn] == [(60, 80, 3)] * 4
    assert run([*command[:4], "--end", "0.08"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{clip}: 2 frames, ")
    assert line.endswith(" -> clip-segment.mp4\n")


@pytest.mark.parametrize(
    "command",
    [["cutout", "--subject", "red"], ["segment", "--cutout", "red"]],
    ids=["cutout", "segment"],
)
def test_a_subject_stands_before_another_background(color_segmenter, clip, command):
    command = [*command, "--model", color_segmenter, str(clip), "--background", "#00ff00"]
    assert run([*command, "-o", "cut.mp4"]) == 0
    for frame in read_frames("cut.mp4"):
        assert np.abs(frame.pixels[20, 20].astype(int) - (255, 0, 0)).max() < 40
        assert np.abs(frame.pixels[5, 40].astype(int) - (0, 255, 0)).max() < 40


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["cutout"], "clip.mp4: a video has no transparency; give --background blur"),
        (["segment", "--cutout", "red"], "clip.mp4: a video has no transparency"),
        (["segment", "--mask"], "--mask is of pictures"),
    ],
)
def test_what_videos_do_not_have_is_refused(color_segmenter, clip, capsys, command, message):
    assert run([*command, "clip.mp4", "--model", color_segmenter]) == 2
    assert message in capsys.readouterr().err


def test_noise_of_maps_is_averaged_where_nothing_moves():
    random = np.random.default_rng(0)
    still = random.integers(0, 255, (48, 64, 3)).astype(np.uint8)
    trail, mixed = Trail(), []
    for _ in range(12):
        noise = random.normal(0, 0.1, (48, 64, 5)).astype(np.float32)
        mixed.append(trail.mix(still, 0.5 + noise))
    # An average with 0.3 of the newest has 0.3 / 1.7 of the variance.
    assert np.std(mixed[-1]) < 0.06
    changes = np.abs(mixed[-1] - mixed[-2]).mean()
    assert changes < 0.4 * np.sqrt(2) * 0.1


def test_a_trail_goes_on_from_its_state():
    random = np.random.default_rng(0)
    frames = [random.integers(0, 255, (32, 40, 3)).astype(np.uint8)] * 3
    maps = [random.random((32, 40)).astype(np.float32) for _ in frames]
    whole, first, second = Trail(), Trail(), Trail()
    expected = [whole.mix(*one) for one in zip(frames, maps, strict=True)]
    first.mix(frames[0], maps[0])
    second.restore(first.state("a"), "a")
    assert (second.mix(frames[1], maps[1]) == expected[1]).all()
