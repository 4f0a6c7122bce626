"""Videos that are written in segments, so that what is done survives whatever ends the program.

The frames of each segment are encoded into a file of its own in a hidden folder beside the output.
At the end the packets of all segments are joined, with the sound of the source, and put under the
output's name at once. Segments begin and end at the same frames however often a run is stopped, so
the video is the same as without a stop.
"""

import contextlib
import dataclasses
import heapq
import io
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnkit.errors import VideoError
from cnnkit.images import placing
from cnnkit.video.clip import Clip
from cnnkit.video.formats import WRITABLE_VIDEOS, import_av, is_animation, parts_folder
from cnnkit.video.reader import Frame, VideoFacts, open_container

# Codecs by FFmpeg's names, the best first, with the settings that keep the picture as it is seen.
# Without frames that look ahead, a segment's packets have the times of its frames, and join.
_H264 = (
    ("libx264", {"crf": "18", "preset": "veryfast", "bf": "0"}),
    ("libopenh264", {"b": "8000000"}),
    ("mpeg4", {"qscale": "3"}),
)
_VP9 = (("libvpx-vp9", {"crf": "28", "b": "0", "deadline": "realtime", "cpu-used": "6"}),)
# What is to become an animation is kept without loss until all of its colours are known.
_LOSSLESS = (("ffv1", {}),)
# An animation's ticks a second, and the shortest time of a frame that browsers show as it is.
_GIF_TICKS, _WEBP_TICKS, _SHORTEST_DELAY = 100, 1000, Fraction(1, 50)
_WEBP_OPTIONS = {"quality": "85", "compression_level": "3"}
# Matrix, primaries and transfer of high-definition video, which every encoder is told.
_BT709 = 1
# Sound that begins less than this before the first frame belongs to it, in seconds.
_PRIMING = Fraction(1, 10)
_RUN_FILE = "run.json"


class VideoWriter:
    """Writes the frames that are made of a video.

    Args:
        output: where to; the suffix chooses the format.
        source: the video that they are made of, whose sound they get.
        facts: what it says of itself.
        clip: the part that they are made of.
        settings: what the frames depend on, as plain JSON types: only a run with the same is gone
            on with.
        overwrite: replace a file that is there.
        note: takes a line that the user may want to know.

    Attributes:
        done: frames in whole segments.

    Raises:
        VideoError: the folder takes no file.
    """

    def __init__(
        self,
        output: Path,
        source: str,
        facts: VideoFacts,
        clip: Clip,
        settings: Mapping[str, Any],
        *,
        overwrite: bool = False,
        note: Callable[[str], None] = lambda text: None,
    ):
        self._output, self._source, self._facts, self._clip = output, source, facts, clip
        self._overwrite, self._note = overwrite, note
        self._folder = parts_folder(output)
        status = Path(source).stat()
        self._run = {
            "source": os.path.realpath(source),
            "file": [status.st_size, status.st_mtime_ns],
            "clip": dataclasses.asdict(clip),
            "suffix": output.suffix.lower(),
            **settings,
        }
        self._parts = 0
        self._segment: _Segment | None = None
        self.done = 0
        # Times in the source: of the first frame, of the last, and of its end.
        self._origin: Fraction | None = None
        self._last = self._end = Fraction(0)

    def begin(self, resume: bool = False) -> dict[str, npt.NDArray[Any]]:
        """Makes the hidden folder, or finds in it what an interrupted run has done.

        Args:
            resume: go on with that.

        Returns:
            The state that was kept with the last segment; {} at the beginning.
        """
        with self._reporting():
            found = self._find_run() if resume else None
            if resume and found is None:
                self._note(f"there is no interrupted run for {self._output}; starting anew")
            if found is not None:
                return found
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            (self._folder / _RUN_FILE).write_text(json.dumps(self._run), encoding="utf-8")
        return {}

    def _find_run(self) -> dict[str, npt.NDArray[Any]] | None:
        try:
            run = json.loads((self._folder / _RUN_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if run != json.loads(json.dumps(self._run)):
            return None
        state: dict[str, npt.NDArray[Any]] = {}
        while (part := self._part(self._parts)).is_file():
            with np.load(part.with_suffix(".npz"), allow_pickle=False) as kept:
                state = dict(kept)
            self._parts += 1
        if not self._parts:
            return state
        self.done, *times = (int(one) for one in state.pop("_written"))
        self._origin, self._last, self._end = (Fraction(*times[at : at + 2]) for at in (0, 2, 4))
        return state

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number:05d}.nut"

    def write(self, frame: Frame, pixels: npt.NDArray[np.uint8]) -> None:
        """Adds a frame.

        Args:
            frame: whose time it has.
            pixels: uint8 `(height, width, 3)`, all frames of one size.
        """
        with self._reporting():
            if self._origin is None:
                self._origin = frame.time
            if self._segment is None:
                self._segment = _Segment(
                    self._folder / "part.nut",
                    pixels.shape[:2],
                    self._facts,
                    self._output.suffix.lower(),
                    self._note if not self._parts else lambda text: None,
                )
            self._segment.write(frame.time - self._origin, frame.seconds, pixels)
            self._last, self._end = frame.time, frame.time + frame.seconds

    def cut(self, state: Mapping[str, npt.NDArray[Any]], done: int) -> None:
        """Ends a segment, which is kept from now on.

        Args:
            state: what the next frame depends on beside itself.
            done: frames that are written.
        """
        if self._segment is None or self._origin is None:
            return
        with self._reporting():
            self._segment.close()
            self._segment = None
            times = [
                part
                for time in (self._origin, self._last, self._end)
                for part in time.as_integer_ratio()
            ]
            buffer = io.BytesIO()
            np.savez(buffer, **state, _written=np.array([done, *times], np.int64))
            part = self._part(self._parts)
            # The segment counts when it has its name, and its state is there then.
            part.with_suffix(".npz").write_bytes(buffer.getvalue())
            (self._folder / "part.nut").replace(part)
            self._parts, self.done = self._parts + 1, done

    def finish(self, is_whole: bool = True) -> None:
        """Joins the segments and puts the video in place.

        Args:
            is_whole: whether this is the end of the clip; otherwise the segments stay, to go on.

        Raises:
            VideoError: there is no frame, or no room for the video.
            ImageError: there is a file that must not be replaced.
        """
        parts = [self._part(number) for number in range(self._parts)]
        with self._reporting():
            if self._segment is not None:
                self._segment.close()
                self._segment = None
                parts.append(self._folder / "part.nut")
            if not parts:
                shutil.rmtree(self._folder, ignore_errors=True)
                raise VideoError(f"{self._output} would have no frame; nothing is written")
            with placing(self._output, overwrite=self._overwrite) as temporary:
                self._join(parts, temporary, is_whole)
        if is_whole:
            shutil.rmtree(self._folder, ignore_errors=True)

    def abandon(self) -> None:
        """After a failure: leaves whole segments to go on from, and nothing where there is none."""
        if self._segment is not None:
            with contextlib.suppress(Exception):
                self._segment.close()
            self._segment = None
        with contextlib.suppress(OSError):
            (self._folder / "part.nut").unlink(missing_ok=True)
        if not self._parts:
            shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        av = import_av()
        try:
            yield
        except (OSError, av.error.FFmpegError) as error:
            reason = getattr(error, "strerror", None) or error
            go_on = "; then --resume goes on from here" if self._parts else ""
            raise VideoError(
                f"{self._output} cannot be written: {reason}; make room or choose another folder"
                f"{go_on}"
            ) from None

    # Joining -----------------------------------------------------------------------------------

    def _join(self, parts: Sequence[Path], file: Path, is_whole: bool) -> None:
        suffix = self._output.suffix.lower()
        if is_animation(self._output):
            if self._facts.sound:
                self._note(f"{self._output} has no sound: animated pictures have none")
            if suffix == ".gif":
                _join_gif(parts, file, self._end - self._last)
            else:
                _join_webp(parts, file)
            return
        av = import_av()
        kind = WRITABLE_VIDEOS[suffix]
        options = {"movflags": "+faststart"} if kind in ("mp4", "mov") else {}
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(
                av.open(str(file), "w", format=kind, container_options=options)
            )
            first = stack.enter_context(open_container(str(parts[0])))
            template = first.streams.video[0]
            video = out.add_stream_from_template(template)
            video.time_base = template.time_base
            tracks = [_video_packets(parts, video, self._end - self._origin)]
            if self._facts.sound:
                end = None
                if self._clip.end is not None or not is_whole:
                    end = self._end
                source = stack.enter_context(open_container(self._source))
                tracks.append(self._sound_packets(source, out, end))
            for _, _, packet in heapq.merge(*tracks, key=lambda one: one[:2]):
                out.mux(packet)

    def _sound_packets(
        self, source: Any, out: Any, end: Fraction | None
    ) -> Iterator[tuple[Fraction, int, Any]]:
        """Sound packets of the clip as they are, moved to its beginning."""
        streams = {}
        for one in source.streams.audio:
            name = one.codec_context.name if one.codec_context else "unknown"
            if name not in out.supported_codecs:
                self._note(
                    f"{self._output}: the sound ({name}) does not fit into "
                    f"{self._output.suffix}, so there is none; .mkv takes any"
                )
                continue
            streams[one.index] = out.add_stream_from_template(one)
        wanted = [one for one in source.streams.audio if one.index in streams]
        if not wanted:
            return iter(())
        # The times of frames count from the first frame of the source.
        video = next(iter(source.streams.video))
        begin = Fraction(video.start_time or 0) * (video.time_base or 1)
        origin = begin + self._origin
        first = origin if self._clip.start else origin - _PRIMING
        last = None if end is None else begin + end
        return self._moved(source, wanted, streams, origin, first, last)

    def _moved(
        self,
        source: Any,
        wanted: Sequence[Any],
        streams: Mapping[int, Any],
        origin: Fraction,
        first: Fraction,
        last: Fraction | None,
    ) -> Iterator[tuple[Fraction, int, Any]]:
        av = import_av()
        packets = source.demux(wanted)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                # The source ends in the middle; so does its sound.
                return
            if packet is None:
                return
            if packet.pts is None or packet.dts is None:
                continue
            time = packet.pts * packet.time_base
            if time < first:
                continue
            if last is not None and time >= last:
                return
            shift = round(origin / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = streams[packet.stream.index]
            yield time - origin, packet.stream.index, packet


class _Segment:
    """A file that frames are encoded into.

    Args:
        file: where to.
        size: height and width of the frames.
        facts: of the source.
        suffix: of what the segments become.
        note: takes a line that the user may want to know.
    """

    def __init__(
        self,
        file: Path,
        size: tuple[int, ...],
        facts: VideoFacts,
        suffix: str,
        note: Callable[[str], None],
    ):
        av = import_av()
        self._av = av
        codec, options = _find_codec(suffix, note)
        height, width = size
        self._padding = 0, 0
        if codec not in ("ffv1", "libvpx-vp9") and (height % 2 or width % 2):
            self._padding = height % 2, width % 2
            note(
                f"{suffix} takes even sizes: the last row or column is doubled, "
                f"{width + width % 2}x{height + height % 2}"
            )
        self._is_lossless = codec == "ffv1"
        self._container = av.open(str(file), "w", format="nut")
        stream = self._container.add_stream(codec, rate=facts.rate, options=options)
        stream.width, stream.height = width + self._padding[1], height + self._padding[0]
        stream.pix_fmt = "bgr0" if self._is_lossless else "yuv420p"
        context = stream.codec_context
        stream.time_base = context.time_base = self._time_base = facts.time_base
        if facts.aspect != 1:
            context.sample_aspect_ratio = facts.aspect
        if not self._is_lossless:
            context.color_range, context.colorspace = 1, _BT709
            context.color_primaries = context.color_trc = _BT709
        self._stream = stream
        self._last: int | None = None

    def write(self, time: Fraction, seconds: Fraction, pixels: npt.NDArray[np.uint8]) -> None:
        """Encodes a frame that is shown from a time on."""
        pixels = np.asarray(pixels)
        if any(self._padding):
            pixels = np.pad(pixels, [(0, one) for one in (*self._padding, 0)], mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        if not self._is_lossless:
            frame = frame.reformat(
                format="yuv420p",
                dst_colorspace=_BT709,
                dst_color_range=1,
            )
            frame.color_primaries = frame.color_trc = _BT709
        pts = round(time / self._time_base)
        if self._last is not None:
            pts = max(pts, self._last + 1)
        self._last = frame.pts = pts
        frame.time_base = self._time_base
        frame.duration = max(1, round(seconds / self._time_base))
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Encodes what is left, and closes the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()


def _find_codec(suffix: str, note: Callable[[str], None]) -> tuple[str, dict[str, str]]:
    """The best encoder that this build of FFmpeg has for a suffix."""
    av = import_av()
    known = _VP9 if suffix == ".webm" else _LOSSLESS if is_animation(f"a{suffix}") else _H264
    for name, options in known:
        if name in av.codecs_available:
            if name == "mpeg4":
                note("this FFmpeg has no encoder for H.264: the video is MPEG-4 Part 2")
            return name, dict(options)
    raise VideoError(f"this FFmpeg has no encoder for {suffix}; choose another of .mp4 and .mkv")


def _video_packets(
    parts: Sequence[Path], stream: Any, end: Fraction
) -> Iterator[tuple[Fraction, int, Any]]:
    """Packets of all segments in order, each as long as until the next."""
    before = None
    for packet in itertools.chain(_packets(parts), [None]):
        if before is not None:
            time = before.pts * before.time_base
            until = end if packet is None else packet.pts * packet.time_base
            before.duration = max(1, round((until - time) / before.time_base))
            before.stream = stream
            yield time, -1, before
        before = packet


def _packets(parts: Sequence[Path]) -> Iterator[Any]:
    for part in parts:
        with open_container(str(part)) as container:
            for packet in container.demux(video=0):
                if packet.pts is not None:
                    yield packet


def _frames(parts: Sequence[Path], ticks: int) -> Iterator[Any]:
    """Decoded frames of all segments; those that follow too soon are left out."""
    last, least = None, round(_SHORTEST_DELAY * ticks)
    for part in parts:
        with open_container(str(part)) as container:
            for frame in container.decode(video=0):
                pts = round(frame.pts * frame.time_base * ticks)
                if last is not None and pts < last + least:
                    continue
                frame.duration = max(least, round(frame.duration * frame.time_base * ticks))
                frame.pts, frame.time_base, last = pts, Fraction(1, ticks), pts
                yield frame


def _join_gif(parts: Sequence[Path], file: Path, seconds: Fraction) -> None:
    """All frames in one palette of 256 colours: one pass over them finds it, another uses it."""
    av = import_av()
    palette = _find_palette(parts)
    base = palette.time_base = Fraction(1, _GIF_TICKS)
    graph, out, stream, frame = None, None, None, None
    with contextlib.ExitStack() as stack:
        for frame in itertools.chain(_frames(parts, _GIF_TICKS), [None]):
            if graph is None:
                graph = av.filter.Graph()
                pictures = _add_input(graph, frame, base)
                colors = _add_input(graph, palette, base)
                use = graph.add("paletteuse", "dither=bayer:bayer_scale=4:diff_mode=rectangle")
                sink = graph.add("buffersink")
                pictures.link_to(use, 0, 0)
                colors.link_to(use, 0, 1)
                use.link_to(sink)
                graph.configure()
                colors.push(palette)
                colors.push(None)
                options = {"final_delay": str(max(2, round(seconds * _GIF_TICKS)))}
                out = stack.enter_context(av.open(str(file), "w", format="gif", options=options))
                stream = _add_animation(out, "gif", "pal8", frame, base)
            pictures.push(frame)
            for one in _pull(graph):
                one.time_base = base
                out.mux(stream.encode(one))
        out.mux(stream.encode(None))


def _find_palette(parts: Sequence[Path]) -> Any:
    """The 256 colours that serve all frames best, as a picture."""
    av = import_av()
    graph = source = None
    for frame in _frames(parts, _GIF_TICKS):
        if graph is None:
            graph = av.filter.Graph()
            source = _add_input(graph, frame, Fraction(1, _GIF_TICKS))
            find, sink = graph.add("palettegen"), graph.add("buffersink")
            source.link_to(find)
            find.link_to(sink)
            graph.configure()
        source.push(frame)
    source.push(None)
    palette = graph.vpull()
    palette.pts = 0
    return palette


def _add_input(graph: Any, frame: Any, time_base: Fraction) -> Any:
    return graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=time_base
    )


def _pull(graph: Any) -> Iterator[Any]:
    """What a graph of filters has ready."""
    av = import_av()
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _add_animation(out: Any, codec: str, pixels: str, frame: Any, time_base: Fraction) -> Any:
    options = _WEBP_OPTIONS if codec != "gif" else {}
    stream = out.add_stream(codec, rate=1 / time_base, options=options)
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixels
    stream.time_base = stream.codec_context.time_base = time_base
    return stream


def _join_webp(parts: Sequence[Path], file: Path) -> None:
    """The encoder keeps what it has packed until the end, since the file begins with its length."""
    av = import_av()
    base, stream = Fraction(1, _WEBP_TICKS), None
    with av.open(str(file), "w", format="webp", options={"loop": "0"}) as out:
        for frame in _frames(parts, _WEBP_TICKS):
            if stream is None:
                stream = _add_animation(out, "libwebp_anim", "bgra", frame, base)
            pts, seconds = frame.pts, frame.duration
            frame = frame.reformat(format="bgra")
            frame.pts, frame.duration, frame.time_base = pts, seconds, base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
