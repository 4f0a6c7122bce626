"""Tiny videos, made by the tests themselves."""

import struct
from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av")


def moving_square(count, size=(48, 64)):
    """A white square that goes right by two pixels a frame, before blue above red."""
    for number in range(count):
        pixels = np.zeros((*size, 3), np.uint8)
        pixels[: size[0] // 2], pixels[size[0] // 2 :] = (0, 0, 255), (255, 0, 0)
        pixels[8:16, 2 * number : 2 * number + 8] = 255
        yield pixels


def write_clip(path, frames, times=None, rate=25, sound=False, codec=None):
    """Writes frames, by default 40 ms apart; `times` are in milliseconds."""
    frames = list(frames)
    times = times or [1000 * number // rate for number in range(len(frames))]
    codec = codec or ("libvpx-vp9" if path.suffix == ".webm" else "libx264")
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options={"crf": "10"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        audio = out.add_stream("aac", rate=16_000) if sound else None
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if audio is not None:
            wave = 8000 * np.sin(0.1 * np.arange(16 * len(frames) * 1000 // rate))
            for begin in range(0, len(wave), 1024):
                samples = wave[None, begin : begin + 1024].astype(np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.sample_rate, frame.pts = 16_000, begin
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return path


def turn(path, degrees):
    """Has an MP4 say that it lies turned by this to the right, as telephones do."""
    content = bytearray(path.read_bytes())
    matrix = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    a, b, c, d = (65_536 * one for one in matrix)
    # After the name: version and flags, times, numbers, length, and what is reserved.
    at = content.index(b"tkhd") + 44
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def read_frames(path):
    from cnnkit.video.reader import VideoReader

    with VideoReader(path) as reader:
        return list(reader.frames())


def read_sound(path):
    """Packets of the sound, and their times in seconds."""
    with av.open(str(path)) as container:
        packets = [one for one in container.demux(audio=0) if one.pts is not None]
        return [bytes(one) for one in packets], [float(one.pts * one.time_base) for one in packets]
