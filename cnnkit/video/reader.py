"""Frames of videos, upright and with their times."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnkit.errors import CnnkitError, VideoError
from cnnkit.images import DAMAGED, MAX_PIXELS, explain_missing, is_address
from cnnkit.video.clip import Clip
from cnnkit.video.formats import import_av, is_animation

# Frames a second where a file does not say how many.
_USUAL_RATE = Fraction(25)
# Ticks a second of output where those of a file are too coarse or too fine for it.
_TICKS = 90_000
_COARSEST, _FINEST = 1_000, 1_000_000
# What an animation's frame lasts that says 0: so browsers show it.
_USUAL_DELAY = Fraction(1, 10)
# Rotation of `numpy.rot90` for what a file says, in degrees.
_RIGHT_ANGLE = 90


@dataclass(frozen=True)
class VideoFacts:
    """What a video says of itself.

    Attributes:
        height: of the upright frames, in pixels.
        width: of the upright frames, in pixels.
        rate: frames a second, on average.
        seconds: length; None where it is not known.
        time_base: seconds of a tick.
        aspect: width of a pixel divided by its height.
        sound: codecs of the sound tracks.
    """

    height: int
    width: int
    rate: Fraction
    seconds: float | None
    time_base: Fraction
    aspect: Fraction = Fraction(1)
    sound: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Attributes:
        number: of the frames that are taken, from 0.
        time: seconds since the beginning of the video.
        seconds: how long it is shown.
        pixels: uint8 `(height, width, 3)`, upright.
    """

    number: int
    time: Fraction
    seconds: Fraction
    pixels: npt.NDArray[np.uint8]


class VideoReader:
    """A video that is read frame after frame; no more than a few are in memory.

    Of what FFmpeg reads all is read; animated GIF and WebP are read by Pillow. Where parts are
    damaged, what can be decoded is taken, as players do.

    Args:
        path: of the file.

    Attributes:
        facts: what it says of itself.
        damaged: packets so far that could not be decoded.

    Raises:
        VideoError: it is missing, damaged, no video, or without a moving picture; or PyAV is not
            installed.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self.damaged = 0
        self._resources = contextlib.ExitStack()
        file = Path(self.path)
        if is_address(self.path) or not os.path.lexists(file):
            raise VideoError(explain_missing(self.path))
        if file.is_dir():
            raise VideoError(f"{file} is a directory, not a video")
        if file.is_file() and file.stat().st_size == 0:
            raise VideoError(f"{file} is empty (0 bytes); copy or download it again")
        self._is_animation = is_animation(file)
        self.facts = self._open_animation() if self._is_animation else self._open_video()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *error: Any) -> None:
        self._resources.close()

    def frames(self, clip: Clip | None = None, skip: int = 0) -> Iterator[Frame]:
        """The frames in order, once.

        Args:
            clip: the part that is wanted; all by default.
            skip: frames of it that are left out, since they are done.

        Raises:
            VideoError: not one frame can be decoded, or none lies in the part.
        """
        clip = clip or Clip()
        found = number = 0
        shown = self._animated() if self._is_animation else self._decoded(clip)
        for time, seconds, pixels in shown:
            # Between two ticks lies nothing: a frame begins at its time, but for rounding.
            if time < clip.start - 1e-6:
                continue
            if clip.end is not None and time >= clip.end - 1e-6:
                break
            found += 1
            if (found - 1) % clip.every:
                continue
            if number >= skip:
                yield Frame(number, time, seconds * clip.every, pixels())
            number += 1
        if not found:
            where = "" if clip == Clip() else " in the part from --start to --end"
            raise VideoError(
                f"{self.path} has no frame{where} that can be decoded; copy or download it again"
                if not where
                else f"{self.path} has no frame{where}; it is {self._length()} long"
            )

    def _length(self) -> str:
        return "an unknown time" if self.facts.seconds is None else f"{self.facts.seconds:.1f} s"

    # FFmpeg ------------------------------------------------------------------------------------

    def _open_video(self) -> VideoFacts:
        container = self._open()
        if container.format.name == "image2" or container.format.name.endswith("_pipe"):
            raise VideoError(
                f"{self.path} is a picture with the name of a video; give it its own suffix"
            )
        self._stream = stream = self._find_stream(container)
        context = stream.codec_context
        if context is None:
            raise VideoError(f"{self.path} is packed in a way that cannot be read here")
        if context.width * context.height > MAX_PIXELS:
            raise VideoError(
                f"{self.path} claims {context.width}x{context.height} pixels; make it smaller first"
            )
        self._origin = Fraction(stream.start_time or 0) * (stream.time_base or 1)
        # The first frame knows how it lies; it is decoded anew when frames are asked for.
        first = next(self._raw(), None)
        if first is None:
            raise VideoError(
                f"{self.path} has no frame that can be decoded; copy or download it again"
            )
        rate = stream.average_rate or stream.guessed_rate or _USUAL_RATE
        seconds = None
        if stream.duration:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            seconds = container.duration / import_av().time_base
        time_base = Fraction(stream.time_base or Fraction(1, _TICKS))
        if not _COARSEST <= 1 / time_base <= _FINEST or time_base.numerator != 1:
            time_base = Fraction(1, _TICKS)
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        is_turned = (first.rotation // _RIGHT_ANGLE) % 2 == 1
        height, width = (first.width, first.height) if is_turned else (first.height, first.width)
        return VideoFacts(
            height,
            width,
            Fraction(rate),
            seconds,
            time_base,
            1 / aspect if is_turned else aspect,
            tuple(one.codec_context.name for one in container.streams.audio if one.codec_context),
        )

    def _open(self) -> Any:
        container = open_container(self.path)
        self._resources.callback(container.close)
        return container

    def _find_stream(self, container: Any) -> Any:
        """The moving picture of a container."""
        cover = import_av().stream.Disposition.attached_pic
        # The cover of an album is no moving picture.
        streams = [one for one in container.streams.video if not one.disposition & cover]
        if not streams:
            has_sound = " (only sound)" if container.streams.audio else ""
            raise VideoError(f"{self.path} holds no moving picture{has_sound}; give a video")
        streams[0].thread_type = "AUTO"
        return streams[0]

    def _rewind(self, start: float) -> None:
        """Goes to a key frame before `start`; where there is no way to it, to the beginning."""
        stream = self._stream
        target = int((self._origin + Fraction(start)) / stream.time_base)
        try:
            stream.container.seek(target, stream=stream, backward=True)
            stream.codec_context.flush_buffers()
        except import_av().error.FFmpegError:
            self._stream = self._find_stream(self._open())

    def _raw(self) -> Iterator[Any]:
        """FFmpeg's frames from where the file stands."""
        av = import_av()
        stream = self._stream
        packets = stream.container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                # Cut off in the middle: what comes before it counts.
                self.damaged += 1
                packet = None
            try:
                yield from stream.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.damaged += 1
            if packet is None:
                return

    def _decoded(self, clip: Clip) -> Iterator[tuple[Fraction, Fraction, Any]]:
        rate, last = self.facts.rate, None
        self._rewind(clip.start)
        for frame in self._raw():
            time_base = frame.time_base or self._stream.time_base
            if frame.pts is None:
                time = Fraction(0) if last is None else last + 1 / rate
            else:
                time = frame.pts * time_base - self._origin
            if last is not None and time <= last:
                time = last + self.facts.time_base
            last = time
            seconds = frame.duration * time_base if frame.duration else 1 / rate
            yield time, seconds, lambda frame=frame: self._upright(frame)

    def _upright(self, frame: Any) -> npt.NDArray[np.uint8]:
        pixels = frame.to_ndarray(format="rgb24")
        turns = (frame.rotation // _RIGHT_ANGLE) % 4
        pixels = np.rot90(pixels, turns) if turns else pixels
        if pixels.shape[:2] != (self.facts.height, self.facts.width):
            # Some streams change their size on the way.
            size = self.facts.width, self.facts.height
            pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        return np.ascontiguousarray(pixels)

    # Pillow ------------------------------------------------------------------------------------

    def _open_animation(self) -> VideoFacts:
        with self._reading_animation():
            image = Image.open(self.path, formats=("GIF", "WEBP"))
            self._resources.callback(image.close)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise VideoError(
                    f"{self.path} claims {width}x{height} pixels; make it smaller first"
                )
            count = getattr(image, "n_frames", 1)
            image.load()
        self._image = image
        seconds = float(count * self._delay())
        return VideoFacts(height, width, 1 / self._delay(), seconds, Fraction(1, 1000))

    def _animated(self) -> Iterator[tuple[Fraction, Fraction, Any]]:
        image, time, number = self._image, Fraction(0), 0
        while True:
            try:
                with self._reading_animation():
                    image.seek(number)
                    image.load()
            except VideoError:
                if not number:
                    raise
                self.damaged += 1
                return
            except EOFError:
                return
            seconds = self._delay()
            yield time, seconds, self._opaque
            time, number = time + seconds, number + 1

    def _delay(self) -> Fraction:
        milliseconds = self._image.info.get("duration", 0)
        # Shorter ones are a tenth of a second in browsers.
        return Fraction(round(milliseconds), 1000) if milliseconds > 10 else _USUAL_DELAY

    def _opaque(self) -> npt.NDArray[np.uint8]:
        """The frame before white, as it is seen."""
        image = self._image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image).convert("RGB"))

    @contextlib.contextmanager
    def _reading_animation(self) -> Iterator[None]:
        try:
            yield
        except (CnnkitError, EOFError):
            raise
        except (*DAMAGED, Image.DecompressionBombError) as error:
            raise VideoError(
                f"{self.path} is damaged or cut off ({error}); copy or download it again"
            ) from None


def open_container(path: str) -> Any:
    """PyAV's container of a file that is read; nothing but files is ever opened.

    Raises:
        VideoError: it cannot be read.
    """
    av = import_av()
    try:
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise VideoError(f"{path} cannot be read: permission denied") from None
        raise VideoError(
            f"{path} is damaged, cut off or no video; copy or download it again"
        ) from None
