"""Short videos that the studio paints and looks through, each in a child process.

The child gives all its memory back at the end, and can be stopped at any moment. One at a time is
worked on, since it takes all cores.
"""

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.errors import CnnkitError, UsageError
from cnnkit.images import Picture, encode_image
from cnnkit.tasks.detect.settings import DetectSettings
from cnnkit.tasks.stylize.settings import StylizeSettings

if TYPE_CHECKING:
    from cnnkit.engine.video import VideoTask

_STYLE, _OUTPUT = "style.png", "video.mp4"
# A header's length may be off by a frame or two.
_SLACK = 0.5


@dataclass(frozen=True)
class Step:
    """How far a video is.

    Attributes:
        done: frames.
        total: frames, about; None where the video does not say how long it is.
        words: the summary, once it is done.
        output: the video that was made, once it is done.
    """

    done: int = 0
    total: int | None = None
    words: str = ""
    output: Path | None = None


class Videos:
    """Takes one short video after another through a task.

    Args:
        most_seconds: longer ones are refused.
        folder: what is made lies in folders of it.
        code: that the child runs: for tests.
    """

    def __init__(
        self, most_seconds: float, folder: Path, code: str = f"from {__name__} import main; main()"
    ):
        self._most_seconds, self._folder = most_seconds, folder
        # Isolated, so that no file of the folder that the user is in is taken for a module.
        self._command = [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path[:] = {sys.path!r}; {code}",
        ]
        self._lock = asyncio.Lock()

    def paint(
        self, source: Path, style: Picture, options: StylizeSettings
    ) -> AsyncGenerator[Step, None]:
        """Paints a video, with a step after each frame; see `stylize`.

        Raises:
            CnnkitError: the video is too long, or cannot be read.
        """
        return self._run(source, {"stylize": asdict(options)}, style)

    def detect(
        self, source: Path, model: str, settings: DetectSettings, track: bool
    ) -> AsyncGenerator[Step, None]:
        """Draws the objects of a video, with a step after each frame; see `detect`.

        Args:
            source: the video.
            model: of the detector.
            settings: of the detector.
            track: give what is the same from frame to frame a number.

        Raises:
            CnnkitError: the video is too long, or cannot be read.
        """
        return self._run(source, {"detect": asdict(settings), "model": model, "track": track})

    def check(self, source: Path) -> None:
        """Refuses what is no video, or a long one, before anything is loaded.

        Raises:
            VideoError: it cannot be read.
            UsageError: it is too long.
        """
        from cnnkit.video.reader import VideoReader

        try:
            with VideoReader(source) as reader:
                seconds = reader.facts.seconds
        except CnnkitError as error:
            raise type(error)(str(error).replace(str(source), "the video")) from None
        if seconds is not None and seconds > self._most_seconds + _SLACK:
            raise UsageError(
                f"the video is {seconds:.0f} s long, and {self._most_seconds:g} are taken here: "
                "cut it, raise --max-video-seconds, or use the command, which takes any length"
            )

    async def _run(
        self, source: Path, task: Mapping[str, Any], style: Picture | None = None
    ) -> AsyncGenerator[Step, None]:
        await asyncio.to_thread(self.check, source)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        if style is not None:
            (folder / _STYLE).write_bytes(encode_image(style, ".png"))
        order = {"source": str(source), "end": self._most_seconds + _SLACK, **task}
        try:
            async with self._lock, contextlib.aclosing(self._follow(folder, order)) as steps:
                async for step in steps:
                    yield step
        finally:
            (folder / _STYLE).unlink(missing_ok=True)
            if not (folder / _OUTPUT).exists():
                shutil.rmtree(folder, ignore_errors=True)

    async def _follow(self, folder: Path, order: Mapping[str, Any]) -> AsyncGenerator[Step, None]:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *self._command,
            str(folder),
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                child.stdin.write(json.dumps(order).encode())
                child.stdin.write_eof()
            error = None
            words = ""
            async for line in child.stdout:
                said = json.loads(line)
                error, words = said.get("error", error), said.get("words", words)
                if "done" in said:
                    yield Step(said["done"], said["total"])
            code = await child.wait()
            if error is not None or code:
                raise UsageError(error or f"the process of the video ended with exit code {code}")
            yield Step(words=words, output=folder / _OUTPUT)
        finally:
            # Whoever watched is gone, or stopped it.
            if child.returncode is None:
                child.kill()
                await child.wait()


def main() -> None:
    """The child process: does what stdin says, in the folder that it is given."""
    from cnnkit.runtime import configure

    order = json.load(sys.stdin)
    configure()
    work(Path(sys.argv[1]), order)


def work(folder: Path, order: Mapping[str, Any]) -> None:
    """Takes a video through a task, and says on stdout how far it is, a JSON object a line.

    Args:
        folder: has the style, if one is needed; gets the video.
        order: of `Videos`.
    """
    from cnnkit.console import Console
    from cnnkit.engine.video import run_video
    from cnnkit.results import Record
    from cnnkit.video.clip import VideoSettings

    def say(**values: Any) -> None:
        print(json.dumps(values), flush=True)  # noqa: T201

    source, settings = order["source"], VideoSettings(end=str(order["end"]))
    total: int | None = None

    def make() -> "VideoTask":
        nonlocal total
        from cnnkit.video.reader import VideoReader

        with VideoReader(source) as reader:
            facts = reader.facts
        total = settings.clip.count(float(facts.rate), facts.seconds)
        say(done=0, total=total)
        return _make_task(folder, order)

    def on_record(record: Record) -> None:
        say(done=record.details["frame"] + 1, total=total)

    try:
        line = run_video(
            source,
            folder / _OUTPUT,
            make,
            settings,
            console=Console(quiet=True),
            on_record=on_record,
        )
    except CnnkitError as error:
        say(error=str(error).replace(source, "the video"))
        sys.exit(int(error.exit_code))
    say(words=line.replace(source, "the video"))


def _make_task(folder: Path, order: Mapping[str, Any]) -> "VideoTask":
    if "detect" in order:
        from cnnkit.tasks.detect.predict import Detector
        from cnnkit.tasks.detect.video import DetectVideo, tracking_settings

        settings, track = DetectSettings(**order["detect"]), order["track"]
        detector = Detector(order["model"], tracking_settings(settings) if track else settings)
        return DetectVideo(detector, order["source"], settings.conf, track=track)
    from cnnkit.images import read_image
    from cnnkit.tasks.stylize.predict import Stylizer
    from cnnkit.tasks.stylize.video import StylizeVideo

    stylizer = Stylizer(read_image(folder / _STYLE), StylizeSettings(**order["stylize"]))
    return StylizeVideo(stylizer, order["source"])
