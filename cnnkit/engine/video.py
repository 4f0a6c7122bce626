"""A video on its way through a task: decoded, looked at, drawn, encoded and told of."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cnnkit.console import Console, duration
from cnnkit.results import Record
from cnnkit.video.clip import Clip, VideoSettings
from cnnkit.video.reader import Frame, VideoFacts, VideoReader
from cnnkit.video.threads import WriteBeside, read_beside
from cnnkit.video.writer import VideoWriter

# Seconds between two lines about how far it is, where there is no bar.
_BETWEEN_LINES = 10.0
# Digits of the seconds in the JSON.
_MILLISECONDS = 3


class FrameResult(Protocol):
    """What a task makes of a frame."""

    def draw(self) -> npt.NDArray[np.uint8]:
        """The frame of the output, uint8 `(height, width, 3)`; called in another thread."""

    def to_record(self) -> Record:
        """What the JSON says of the frame."""


class VideoTask(Protocol):
    """What a command does to one video, frame after frame.

    Attributes:
        batch: frames at a time.
        segment: frames after which what is done is kept, see `VideoWriter`.
        settings: what the frames depend on beside the video, as plain JSON types.
    """

    batch: int
    segment: int

    @property
    def settings(self) -> Mapping[str, Any]:
        """See above."""

    def begin(self, facts: VideoFacts) -> None:
        """Is told of the video before its first frame."""

    def run(self, frames: Sequence[Frame]) -> Iterable[FrameResult]:
        """Looks at frames that follow one another; a result for each."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What the next frame depends on beside itself."""

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up a state, in another process."""

    def summary(self) -> str:
        """What was found, in a line for people."""


def run_video(
    source: str,
    output: Path | None,
    make: Callable[[], VideoTask],
    settings: VideoSettings,
    *,
    console: Console,
    on_record: Callable[[Record], None],
    overwrite: bool = False,
) -> str:
    """Takes a video through a task.

    Frames are decoded and encoded in threads of their own, beside the network. Ctrl-C leaves what
    is done in `output`.

    Args:
        source: the video.
        output: what is made of it; None for nothing but records.
        make: loads what is done; called once the video was found to be one.
        settings: the part that is taken, and whether a stopped run goes on.
        console: told how far it is.
        on_record: takes what is said of each frame.
        overwrite: replace a file that is there.

    Returns:
        A line for people.

    Raises:
        VideoError: the video cannot be read, or the output not be written.
        KeyboardInterrupt: after what is done was put in place.
    """
    clip = settings.clip
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(VideoReader(source))
        task = make()
        writer = None
        if output is not None:
            writer = VideoWriter(
                output,
                source,
                reader.facts,
                clip,
                task.settings,
                overwrite=overwrite,
                note=console.note,
            )
            stack.enter_context(_abandoning(writer))
        task.begin(reader.facts)
        if writer is not None and (state := writer.begin(settings.resume)):
            task.restore(state)
        first = 0 if writer is None else writer.done
        if first:
            console.note(f"{first} frames are done already")
        total = clip.count(float(reader.facts.rate), reader.facts.seconds)
        watch = stack.enter_context(_Watch(console, source, total, first))
        try:
            _run(reader, writer, task, clip, watch, on_record)
        except KeyboardInterrupt:
            if writer is not None and output is not None:
                watch.close()
                _leave(writer, output, watch.done, console)
            raise
        if writer is not None:
            writer.finish()
        if reader.damaged:
            console.warning(f"{source}: {reader.damaged} damaged parts were passed over")
    line = f"{source}: {watch.done:,} frames, {watch.speed():.1f} a second"
    found = task.summary()
    return f"{line}: {found}" if found else line


def _run(
    reader: VideoReader,
    writer: VideoWriter | None,
    task: VideoTask,
    clip: Clip,
    watch: "_Watch",
    on_record: Callable[[Record], None],
) -> None:
    done = watch.done

    def write(step: Callable[[], None]) -> None:
        step()

    with (
        contextlib.closing(read_beside(reader.frames(clip, skip=done))) as frames,
        WriteBeside(write) as beside,
    ):
        while some := list(itertools.islice(frames, min(task.batch, _left(done, task.segment)))):
            for frame, result in zip(some, task.run(some), strict=True):
                if writer is not None:
                    beside.put(_writing(writer, frame, result))
                record = result.to_record()
                place = {"frame": frame.number, "time": round(float(frame.time), _MILLISECONDS)}
                on_record(replace(record, details={**record.details, **place}))
                done += 1
                watch.show(done)
            if writer is not None and not done % task.segment:
                beside.put(_cutting(writer, task.state(), done))


@contextlib.contextmanager
def _abandoning(writer: VideoWriter) -> Iterator[None]:
    """After a failure leaves nothing that nobody can go on from; Ctrl-C is none."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        writer.abandon()
        raise


def _left(done: int, segment: int) -> int:
    """Frames until the end of a segment."""
    return segment - done % segment


def _writing(writer: VideoWriter, frame: Frame, result: FrameResult) -> Callable[[], None]:
    return lambda: writer.write(frame, result.draw())


def _cutting(
    writer: VideoWriter, state: Mapping[str, npt.NDArray[Any]], done: int
) -> Callable[[], None]:
    return lambda: writer.cut(state, done)


def _leave(writer: VideoWriter, output: Path, done: int, console: Console) -> None:
    """After Ctrl-C: puts what is done in place."""
    if not done:
        writer.abandon()
        return
    writer.finish(is_whole=False)
    go_on = "; --resume goes on" + ("" if writer.done else " from the beginning")
    console.note(f"{output} has the first {done:,} frames{go_on}")


class _Watch:
    """Shows how far a video is: a bar on a terminal, lines elsewhere."""

    def __init__(self, console: Console, source: str, total: int | None, done: int):
        self._console, self._name = console, Path(source).name
        self._total, self._first = total, done
        self.done = done
        self._begin = self._told = time.monotonic()
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> "_Watch":
        self._bar = self._resources.enter_context(self._console.progress())
        self._task = self._bar.add_task(self._name, total=self._total, status="")
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Takes the bar away."""
        self._resources.close()

    def speed(self) -> float:
        """Frames a second so far."""
        return (self.done - self._first) / max(time.monotonic() - self._begin, 1e-6)

    def show(self, done: int) -> None:
        """Says that so many frames are done."""
        self.done = done
        speed = self.speed()
        # A clip that is longer than its header says is no reason to count beyond the end.
        total = None if self._total is None else max(self._total, done)
        left = None if total is None else (total - done) / max(speed, 1e-6)
        self._bar.update(
            self._task,
            total=total,
            completed=done,
            status=f"{speed:.1f} frames/s",
            seconds_left=left,
        )
        now = time.monotonic()
        if not self._console.is_live and now - self._told > _BETWEEN_LINES:
            self._told = now
            of = "" if total is None else f" of {total:,}"
            rest = f", {duration(left)} left" if left else ""
            self._console.note(f"{self._name}: {done:,}{of} frames, {speed:.1f} a second{rest}")
