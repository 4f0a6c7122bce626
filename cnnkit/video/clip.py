"""Which part of a video is taken; imports nothing heavy."""

import re
from dataclasses import dataclass
from typing import Annotated

from cnnkit.engine.settings import Option, Settings
from cnnkit.errors import UsageError

VIDEO_PANEL = "Videos"


@dataclass(frozen=True)
class Clip:
    """Which part of a video is read.

    Attributes:
        start: seconds from its beginning.
        end: seconds from its beginning; None for its end.
        every: of so many frames the first is taken.

    Example:

    >>> Clip(start=2.0).count(rate=25.0, seconds=10.0)
    200
    """

    start: float = 0.0
    end: float | None = None
    every: int = 1

    def count(self, rate: float, seconds: float | None) -> int | None:
        """About how many frames that is; None where nobody knows.

        Args:
            rate: frames a second of the video.
            seconds: length of the video; None where it is not known.
        """
        ends = [one for one in (self.end, seconds) if one is not None]
        if not ends:
            return None
        return max(1, round((min(ends) - self.start) * rate / self.every))


@dataclass(frozen=True)
class VideoSettings(Settings):
    """Which part of a video is taken, and whether a stopped run goes on."""

    start: Annotated[
        str | None,
        Option("Begin here, such as 90, 1:30 or 0:01:30.5.", VIDEO_PANEL, metavar="TIME"),
    ] = None
    end: Annotated[str | None, Option("End here.", VIDEO_PANEL, metavar="TIME")] = None
    every: Annotated[
        int, Option("Take one frame of so many; the video gets as many fewer.", VIDEO_PANEL, min=1)
    ] = 1
    resume: Annotated[
        bool,
        Option("Go on with a video whose run was stopped or killed.", VIDEO_PANEL),
    ] = False

    def check(self) -> None:
        """Refuses times that are none, and a part that ends before it begins."""
        start, end = parse_time("start", self.start), parse_time("end", self.end)
        if end is not None and end <= (start or 0.0):
            raise UsageError(f"--end {self.end} is not after --start {self.start or 0}")

    @property
    def clip(self) -> Clip:
        """The part as a reader takes it."""
        start = parse_time("start", self.start) or 0.0
        return Clip(start, parse_time("end", self.end), self.every)

    @property
    def is_given(self) -> bool:
        """Whether anything of it was asked for, which is of no use for pictures."""
        return self != type(self)()


def parse_time(name: str, text: str | None) -> float | None:
    """Seconds of a time as it is typed.

    >>> parse_time("start", "90"), parse_time("start", "1:30.5"), parse_time("start", "1:00:00")
    (90.0, 90.5, 3600.0)
    """
    if text is None:
        return None
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text):
        raise UsageError(f"--{name} takes a time such as 90, 1:30 or 0:01:30.5, not {text!r}")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
