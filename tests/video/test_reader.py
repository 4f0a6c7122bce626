"""Reading videos: frames upright and at their times."""

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import VideoError
from cnnkit.video.clip import Clip
from cnnkit.video.reader import VideoReader
from tests._clips import moving_square, read_frames, turn, write_clip

UNEVEN = [0, 40, 100, 110, 200, 240, 400, 440, 441, 500]


def times_of(frames):
    return [round(float(one.time), 3) for one in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
def test_frames_of_any_container_keep_uneven_times(tmp_path, suffix):
    path = write_clip(tmp_path / f"a{suffix}", moving_square(10), UNEVEN)
    frames = read_frames(path)
    assert times_of(frames) == [one / 1000 for one in UNEVEN]
    assert [one.number for one in frames] == list(range(10))
    assert np.abs(frames[3].pixels[40, 60].astype(int) - (255, 0, 0)).max() < 8


def test_part_of_a_video_and_every_third_frame(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving_square(20))
    with VideoReader(path) as reader:
        assert times_of(reader.frames(Clip(0.2, 0.48, 3))) == [0.2, 0.32, 0.44]
        assert Clip(0.2, 0.48, 3).count(25.0, reader.facts.seconds) == 2
    with VideoReader(path) as reader:
        left = list(reader.frames(Clip(0.2, 0.48, 3), skip=1))
    assert [one.number for one in left] == [1, 2]
    assert float(left[0].seconds) == pytest.approx(0.12)


@pytest.mark.parametrize(("degrees", "corner"), [(90, (5, 5)), (270, (-5, -5)), (180, (5, 5))])
def test_frames_of_turned_videos_are_upright(tmp_path, degrees, corner):
    # The lower half is red: turned to the right it is the left half, and so on.
    path = turn(write_clip(tmp_path / "a.mp4", moving_square(2)), degrees)
    with VideoReader(path) as reader:
        frame = next(reader.frames())
        assert frame.pixels.shape[:2] == (reader.facts.height, reader.facts.width)
    assert frame.pixels.shape[:2] == ((48, 64) if degrees == 180 else (64, 48))
    red = {90: (32, 5), 270: (32, -5), 180: (5, 32)}[degrees]
    assert np.abs(frame.pixels[red].astype(int) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_keep_their_delays_and_are_seen_before_white(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    frames = [Image.new("RGBA", (16, 12), (255, 0, 0, 0)) for _ in range(3)]
    for number, one in enumerate(frames):
        one.putpixel((number, 0), (0, 0, 255, 255))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[50, 70, 90], loop=0)
    found = read_frames(path)
    assert times_of(found) == [0.0, 0.05, 0.12]
    assert found[2].pixels[6, 8].tolist() == [255, 255, 255]


def test_a_video_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path):
    path = write_clip(tmp_path / "a.mkv", moving_square(20))
    path.write_bytes(path.read_bytes()[:-300])
    assert 0 < len(read_frames(path)) < 20


def _picture(path):
    Image.new("RGB", (8, 8)).save(path.with_suffix(".png"))
    path.write_bytes(path.with_suffix(".png").read_bytes())


def _sound(path):
    write_clip(path, moving_square(4), sound=True)
    import av

    content = path.rename(path.with_suffix(".mkv"))
    with av.open(str(content)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.pts is not None:
                packet.stream = stream
                out.mux(packet)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist; check the path"),
        (lambda path: path.mkdir(), "is a directory, not a video"),
        (lambda path: path.write_bytes(b""), r"is empty \(0 bytes\)"),
        (lambda path: path.write_bytes(b"no video" * 99), "is damaged, cut off or no video"),
        (_picture, "is a picture with the name of a video"),
        (_sound, r"holds no moving picture \(only sound\)"),
        (
            lambda path: path.write_bytes(write_clip(path, moving_square(9)).read_bytes()[:700]),
            "is damaged, cut off or no video",
        ),
    ],
    ids=["missing", "folder", "empty", "text", "picture", "sound", "cut"],
)
def test_what_cannot_be_read_is_one_line(tmp_path, make, message):
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(VideoError, match=message), VideoReader(path) as reader:
        next(reader.frames())


def test_an_address_is_never_fetched():
    with pytest.raises(VideoError, match=r"https://example\.org/a\.mp4: URLs are not read"):
        VideoReader("https://example.org/a.mp4")


def test_a_playlist_opens_no_other_place(tmp_path):
    path = tmp_path / "list.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError, match=r"list\.mp4"):
        VideoReader(path)


def test_a_part_beyond_the_end_is_one_line(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving_square(5))
    with (
        VideoReader(path) as reader,
        pytest.raises(
            VideoError, match=r"no frame in the part from --start to --end; it is 0\.2 s"
        ),
    ):
        list(reader.frames(Clip(start=9.0)))
