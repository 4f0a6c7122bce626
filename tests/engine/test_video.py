"""A video on its way through a task, whole or stopped."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from cnnkit.console import Console
from cnnkit.engine.video import run_video
from cnnkit.errors import UsageError, VideoError
from cnnkit.results import Record
from cnnkit.video.clip import VideoSettings
from cnnkit.video.formats import parts_folder
from cnnkit.video.writer import VideoWriter
from tests._clips import moving_square, read_frames, write_clip


class Trail:
    """Shows what was white in any frame so far: each frame depends on all before it."""

    batch, segment = 3, 4
    settings = MappingProxyType({"task": "trail"})

    def __init__(self, stop_at=None, stop=None):
        self._seen, self._count = np.zeros((48, 64), bool), 0
        self._stop_at, self._stop = stop_at, stop

    def begin(self, facts):
        assert (facts.height, facts.width) == (48, 64)

    def run(self, frames):
        for frame in frames:
            if frame.number == self._stop_at:
                self._stop()
            self._seen = self._seen | (frame.pixels.min(axis=-1) > 200)
            self._count += 1
            yield Drawn(np.repeat(self._seen[..., None] * np.uint8(255), 3, axis=-1))

    def state(self):
        return {"seen": self._seen.copy(), "count": np.array(self._count)}

    def restore(self, state):
        self._seen, self._count = state["seen"], int(state["count"])

    def summary(self):
        return f"{self._count} seen"


class Drawn:
    def __init__(self, pixels):
        self._pixels = pixels

    def draw(self):
        return self._pixels

    def to_record(self):
        return Record("clip", items=({"white": int(self._pixels.any())},))


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", moving_square(22), sound=True)


def run(clip, output, task=None, records=None, **settings):
    return run_video(
        str(clip),
        output,
        lambda: task or Trail(),
        VideoSettings(**settings),
        console=Console(),
        on_record=([] if records is None else records).append,
        overwrite="resume" in settings,
    )


def interrupt():
    raise KeyboardInterrupt


def test_each_frame_has_a_record_with_its_number_and_time(clip, tmp_path):
    records = []
    line = run(clip, None, records=records, start="0.2", every=2)
    assert [one.details for one in records[:2]] == [
        {"frame": 0, "time": 0.2},
        {"frame": 1, "time": 0.28},
    ]
    assert line.startswith(f"{clip}: 9 frames, ")
    assert line.endswith(": 9 seen")


def test_ctrl_c_leaves_a_video_and_resume_makes_the_one_of_an_unbroken_run(clip, tmp_path, capsys):
    whole, output = tmp_path / "whole.mp4", tmp_path / "b.mp4"
    run(clip, whole)
    with pytest.raises(KeyboardInterrupt):
        run(clip, output, Trail(14, interrupt))
    # In the middle of a batch: what came before it is there.
    assert len(read_frames(output)) in (13, 14)
    assert "has the first" in capsys.readouterr().err
    assert run(clip, output, resume=True).endswith(": 22 seen")
    assert "12 frames are done already" in capsys.readouterr().err
    assert output.read_bytes() == whole.read_bytes()
    assert not parts_folder(output).exists()


def test_a_killed_run_goes_on_to_the_same_video(clip, tmp_path):
    whole, output = tmp_path / "whole.mp4", tmp_path / "b.mp4"
    run(clip, whole)
    code = f"""
        import os, signal, time
        from pathlib import Path
        from tests.engine.test_video import Trail, run
        def kill():
            # What was handed over is encoded in another thread.
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)
        run({str(clip)!r}, Path({str(output)!r}), Trail(9, kill))
    """
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=root)
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    assert (parts_folder(output) / "part-00001.nut").exists()
    run(clip, output, resume=True)
    assert output.read_bytes() == whole.read_bytes()


def test_a_task_that_fails_leaves_nothing_under_the_name(clip, tmp_path):
    def fail():
        raise VideoError("no more")

    with pytest.raises(VideoError, match="no more"):
        run(clip, tmp_path / "b.mp4", Trail(2, fail))
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("step", ["begin", "finish"])
def test_a_full_disk_leaves_no_hidden_folder_without_a_segment(tmp_path, monkeypatch, step):
    def fail(self, *arguments, **settings):
        parts_folder(tmp_path / "b.mp4").mkdir(exist_ok=True)
        raise VideoError("no room")

    short = write_clip(tmp_path / "clip.mp4", moving_square(2))
    monkeypatch.setattr(VideoWriter, step, fail)
    with pytest.raises(VideoError, match="no room"):
        run(short, tmp_path / "b.mp4")
    assert not parts_folder(tmp_path / "b.mp4").exists()


def test_a_file_that_is_no_video_is_told_before_the_task_is_loaded(tmp_path):
    def load():
        raise AssertionError

    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"none" * 100)
    with pytest.raises(VideoError, match=r"bad\.mp4 is damaged, cut off or no video"):
        run_video(
            str(bad), None, load, VideoSettings(), console=Console(), on_record=lambda one: None
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": "soon"}, "--start takes a time such as 90, 1:30 or 0:01:30.5, not 'soon'"),
        ({"start": "1:00", "end": "50"}, "--end 50 is not after --start 1:00"),
        ({"every": 0}, "every must be a whole number from 1, not 0"),
    ],
)
def test_parts_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        VideoSettings(**settings)
