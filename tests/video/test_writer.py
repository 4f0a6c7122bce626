"""Writing videos in segments, and joining them."""

import errno
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError, VideoError
from cnnkit.video import writer as writer_module
from cnnkit.video.clip import Clip
from cnnkit.video.formats import parts_folder
from cnnkit.video.reader import VideoReader
from cnnkit.video.writer import VideoWriter
from tests._clips import av, moving_square, read_frames, read_sound, write_clip

UNEVEN = [0, 40, 100, 130, 200, 240, 400, 440, 480, 500, 600, 640]


def copy(source, output, clip=None, segment=5, notes=None, **settings):
    clip = clip or Clip()
    note = (lambda text: None) if notes is None else notes.append
    with VideoReader(source) as reader:
        writer = VideoWriter(output, str(source), reader.facts, clip, {}, note=note, **settings)
        writer.begin()
        for frame in reader.frames(clip):
            writer.write(frame, frame.pixels)
            if not (frame.number + 1) % segment:
                writer.cut({}, frame.number + 1)
        writer.finish()
    return output


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".gif", ".webp"])
def test_frames_keep_their_times_and_colours_in_every_format(tmp_path, suffix):
    source = write_clip(tmp_path / "a.mp4", moving_square(12), UNEVEN)
    output = copy(source, tmp_path / f"b{suffix}")
    frames = read_frames(output)
    assert [round(float(one.time), 3) for one in frames] == [one / 1000 for one in UNEVEN]
    assert np.abs(frames[7].pixels[40, 60].astype(int) - (255, 0, 0)).max() < 8
    assert np.abs(frames[7].pixels[3, 60].astype(int) - (0, 0, 255)).max() < 8
    assert [path.name for path in sorted(tmp_path.iterdir())] == sorted(["a.mp4", output.name])


def test_sound_is_copied_packet_by_packet_and_cut_with_the_frames(tmp_path):
    source = write_clip(tmp_path / "a.mp4", moving_square(25), sound=True)
    packets, times = read_sound(source)
    whole = copy(source, tmp_path / "whole.mov")
    assert read_sound(whole) == (packets, pytest.approx(times, abs=2e-3))
    # Matroska has no times before 0: all begins later by as much.
    assert read_sound(copy(source, tmp_path / "whole.mkv"))[0] == packets
    part = copy(source, tmp_path / "part.mp4", Clip(0.4, 0.8))
    kept = [(one, time) for one, time in zip(packets, times, strict=True) if 0.4 <= time < 0.8]
    found, begins = read_sound(part)
    assert found == [one for one, _ in kept]
    assert begins == pytest.approx([time - 0.4 for _, time in kept], abs=2e-3)


@pytest.mark.parametrize("suffix", [".webm", ".gif"])
def test_sound_that_has_no_room_is_said_once(tmp_path, suffix):
    notes = []
    source = write_clip(tmp_path / "a.mp4", moving_square(6), sound=True)
    copy(source, tmp_path / f"b{suffix}", notes=notes)
    assert len(notes) == 1
    assert "sound" in notes[0]


def test_odd_sizes_are_made_even_for_h264_alone_and_said(tmp_path):
    frames = [one[:47, :63] for one in moving_square(3)]
    pictures = [Image.fromarray(one) for one in frames]
    source = tmp_path / "a.gif"
    pictures[0].save(source, save_all=True, append_images=pictures[1:], duration=40)
    notes = []
    assert read_frames(copy(source, tmp_path / "b.webm"))[0].pixels.shape == (47, 63, 3)
    wide = read_frames(copy(source, tmp_path / "b.mp4", notes=notes))[0].pixels
    assert wide.shape == (48, 64, 3)
    assert np.abs(wide[-1].astype(int) - wide[-2].astype(int)).max() < 8
    assert notes == [".mp4 takes even sizes: the last row or column is doubled, 64x48"]


def test_pixels_that_are_no_squares_stay_so(tmp_path):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        for pixels in moving_square(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        out.mux(stream.encode(None))
    with VideoReader(copy(source, tmp_path / "b.mp4")) as reader:
        assert reader.facts.aspect == 2


def test_a_full_disk_is_one_line_and_leaves_nothing_under_the_name(tmp_path, monkeypatch):
    def fail(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    source = write_clip(tmp_path / "a.mp4", moving_square(6))
    monkeypatch.setattr(writer_module._Segment, "close", fail)
    with pytest.raises(
        VideoError, match=r"b\.mp4 cannot be written: No space left on device; make"
    ):
        copy(source, tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()


def test_a_folder_that_takes_nothing_is_one_line(tmp_path):
    source = write_clip(tmp_path / "a.mp4", moving_square(2))
    with pytest.raises(VideoError, match=r"a\.mp4/b\.mp4 cannot be written: Not a directory"):
        copy(source, source / "b.mp4")


def test_a_file_is_replaced_only_where_that_is_said(tmp_path):
    source = write_clip(tmp_path / "a.mp4", moving_square(6))
    output = tmp_path / "b.mp4"
    output.write_bytes(b"mine")
    with pytest.raises(ImageError, match=r"b\.mp4 exists, and is left as it is"):
        copy(source, output)
    assert output.read_bytes() == b"mine"
    assert len(read_frames(copy(source, output, overwrite=True))) == 6


def test_a_run_of_other_settings_is_not_gone_on_with(tmp_path):
    source = write_clip(tmp_path / "a.mp4", moving_square(12))
    output, notes = tmp_path / "b.mp4", []

    def begin(settings, resume):
        with VideoReader(source) as reader:
            writer = VideoWriter(
                output, str(source), reader.facts, Clip(), settings, note=notes.append
            )
            state = writer.begin(resume)
            if not resume:
                for frame in list(reader.frames())[:7]:
                    writer.write(frame, frame.pixels)
                    if frame.number == 3:
                        writer.cut({"last": frame.pixels}, 4)
                writer.abandon()
        return writer.done, state

    assert begin({"size": 1}, resume=False) == (4, {})
    done, state = begin({"size": 1}, resume=True)
    assert (done, list(state), state["last"].shape) == (4, ["last"], (48, 64, 3))
    assert begin({"size": 2}, resume=True) == (0, {})
    assert notes == [f"there is no interrupted run for {output}; starting anew"]
    assert parts_folder(output).is_dir()
