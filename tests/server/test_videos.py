"""Short videos of the studio: each in a process of its own."""

import asyncio
import contextlib
import json
from dataclasses import asdict

import pytest

from cnnkit.errors import UsageError, VideoError
from cnnkit.server.videos import Videos, work
from cnnkit.tasks.detect.settings import DEFAULT_DETECTOR, DetectSettings
from cnnkit.tasks.stylize.settings import StylizeSettings
from tests._clips import moving_square, read_frames, write_clip

# A child that says what it is to say, and waits.
_STUCK = 'import time; print(\'{"done": 1, "total": 9}\', flush=True); time.sleep(600)'
_FAILING = 'import sys; sys.stdin.read(); print(\'{"error": "no room"}\'); sys.exit(3)'
_DYING = "import sys; sys.stdin.read(); sys.exit(7)"


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", moving_square(6))


def steps_of(steps):
    async def collect():
        return [one async for one in steps]

    return asyncio.run(collect())


def test_the_process_says_how_far_it_is_and_what_it_found(clip, tmp_path, capsys):
    order = {"source": str(clip), "end": 20.5, "model": DEFAULT_DETECTOR, "track": True}
    work(tmp_path, {**order, "detect": asdict(DetectSettings())})
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[:-1] == [{"done": done, "total": 6} for done in range(7)]
    assert said[-1]["words"].startswith("the video: 6 frames")
    assert len(list(read_frames(tmp_path / "video.mp4"))) == 6


def test_the_process_names_no_folder_of_the_server(tmp_path, capsys):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    order = {"source": str(tmp_path / "broken.mp4"), "end": 20.5, "stylize": {}}
    with pytest.raises(SystemExit) as ended:
        work(tmp_path, order)
    assert ended.value.code == 3
    assert json.loads(capsys.readouterr().out) == {
        "error": "the video is damaged, cut off or no video; copy or download it again"
    }


@pytest.mark.slow
def test_objects_of_a_video_are_drawn_with_a_step_for_each_frame(clip, tmp_path):
    videos = Videos(20.0, tmp_path)
    steps = steps_of(videos.detect(clip, DEFAULT_DETECTOR, DetectSettings(), True))
    assert [one.done for one in steps[:-1]] == list(range(7))
    assert {one.total for one in steps[:-1]} == {6}
    assert steps[-1].words.startswith("the video: 6 frames")
    assert len(list(read_frames(steps[-1].output))) == 6


@pytest.mark.slow
def test_a_video_is_painted_with_the_style(clip, tmp_path):
    from cnnkit.data.samples import find_sample, load_sample

    videos = Videos(20.0, tmp_path)
    options = StylizeSettings(quality="draft", size=64)
    *_, last = steps_of(videos.paint(clip, load_sample(find_sample("waves")), options))
    assert len(list(read_frames(last.output))) == 6
    # The style goes when it is used.
    assert [one.name for one in last.output.parent.iterdir()] == ["video.mp4"]


def test_long_videos_and_files_that_are_none_are_refused_before_anything_is_loaded(clip, tmp_path):
    videos = Videos(0.01, tmp_path)
    videos.check(clip)
    longer = write_clip(tmp_path / "long.mp4", moving_square(20))
    with pytest.raises(UsageError, match=r"1 s long, and 0\.01 are taken here.*--max-video-sec"):
        steps_of(videos.detect(longer, DEFAULT_DETECTOR, DetectSettings(), False))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match="the video is damaged, cut off or no video"):
        videos.check(tmp_path / "text.mp4")


@pytest.mark.parametrize(
    ("code", "words"), [(_FAILING, "no room"), (_DYING, "ended with exit code 7")]
)
def test_what_went_wrong_in_the_process_is_told_and_leaves_nothing(clip, tmp_path, code, words):
    made = tmp_path / "made"
    made.mkdir()
    videos = Videos(20.0, made, code)
    with pytest.raises(UsageError, match=words):
        steps_of(videos.detect(clip, DEFAULT_DETECTOR, DetectSettings(), False))
    assert not list(made.iterdir())


def test_the_process_ends_when_nobody_watches_any_more(clip, tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    videos = Videos(20.0, made, _STUCK)

    async def stop():
        for _ in range(2):
            # The second one would wait for ever for the first if that were still there.
            steps = videos.detect(clip, DEFAULT_DETECTOR, DetectSettings(), False)
            async with contextlib.aclosing(steps):
                async for one in steps:
                    assert (one.done, one.total) == (1, 9)
                    break

    asyncio.run(asyncio.wait_for(stop(), 60))
    assert not list(made.iterdir())
