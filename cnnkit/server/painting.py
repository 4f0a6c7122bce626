"""Pictures that an optimizer paints for a server: jobs that go on when nobody watches them.

Each is painted by a child process, which gives all its memory back at the end, and which can be
stopped at any moment. One is painted at a time, since it takes all cores.
"""

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cnnkit.errors import CnnkitError
from cnnkit.images import Picture, encode_image
from cnnkit.server.models import BusyError
from cnnkit.tasks.stylize.settings import StylizeSettings

# Jobs that are done, kept for whoever asks for their picture.
_KEPT_JOBS, _KEPT_SECONDS = 50, 3600.0
# Seconds that a picture takes, about, to tell when to ask again.
_USUAL_SECONDS = 30
_CONTENT, _STYLE, _MASK = "content.png", "style.png", "mask.png"
_READY, _PREVIEW, _RESULT = "ready", "preview.jpg", "result.png"


@dataclass
class Job:
    """A picture that is being painted, or was.

    Attributes:
        name: that it is asked for by; it cannot be guessed.
        options: of the picture.
        status: "waiting", "painting", "done", "cancelled" or "failed".
        step: steps done.
        steps: steps planned.
        seconds_left: predicted; None before there is anything to predict from.
        error: why it failed.
        version: grows whenever something of the others changes.
    """

    name: str
    options: StylizeSettings
    folder: Path
    status: str = "waiting"
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    error: str | None = None
    version: int = 0
    ended: float | None = None
    _child: "subprocess.Popen[str] | None" = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The job as plain JSON types."""
        return {
            "job": self.name,
            "status": self.status,
            "step": self.step,
            "steps": self.steps,
            "seconds_left": self.seconds_left,
            "error": self.error,
        }

    @property
    def is_over(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.ended is not None

    def result(self) -> bytes | None:
        """The picture as PNG, or None before it is done."""
        path = self.folder / _RESULT
        return path.read_bytes() if self.status == "done" and path.exists() else None

    def preview(self) -> bytes | None:
        """The picture so far as JPEG, or None before there is one."""
        path = self.folder / _PREVIEW
        return path.read_bytes() if path.exists() else None


class Painter:
    """Paints one picture after another.

    Args:
        most: pictures that may wait, the one that is painted included.
        code: that the child runs: for tests.
    """

    def __init__(self, most: int, code: str = f"from {__name__} import main; main()"):
        self._most = most
        # Isolated, so that no file of the folder that the user is in is taken for a module.
        self._command = [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path[:] = {sys.path!r}; {code}",
        ]
        self._folder = Path(tempfile.mkdtemp(prefix="cnnkit-serve-"))
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._is_closed = False
        self._worker = threading.Thread(target=self._work, name="cnnkit-painter", daemon=True)
        self._worker.start()

    @property
    def waiting(self) -> int:
        """Jobs that are not over, the one that is painted included."""
        return sum(not job.is_over for job in self._jobs.values())

    def begin(
        self,
        content: Picture,
        style: Picture,
        options: StylizeSettings,
        mask: Picture | None = None,
    ) -> Job:
        """Has a picture painted.

        Args:
            content: what to paint.
            style: in whose style.
            options: as of `stylize`.
            mask: as of `stylize`.

        Raises:
            BusyError: too many are waiting.
        """
        with self._changed:
            if self.waiting >= self._most:
                raise BusyError(self.waiting * _USUAL_SECONDS)
            name = secrets.token_urlsafe(16)
            job = Job(name, options, self._folder / name)
            self._jobs[name] = job
        job.folder.mkdir()
        for file, picture in ((_CONTENT, content), (_STYLE, style), (_MASK, mask)):
            if picture is not None:
                (job.folder / file).write_bytes(encode_image(picture, ".png"))
        (job.folder / _READY).touch()
        with self._changed:
            self._forget()
            self._changed.notify_all()
        return job

    def find(self, name: str) -> Job | None:
        """A job by its name; None where there is none, or it was long ago."""
        return self._jobs.get(name)

    def cancel(self, job: Job) -> None:
        """Stops a job, if it is not over."""
        with self._changed:
            if job.is_over:
                return
            child = job._child
            self._end(job, "cancelled")
        if child is not None:
            child.kill()

    def close(self) -> None:
        """Stops everything, and removes the pictures."""
        with self._changed:
            self._is_closed = True
            jobs = [job for job in self._jobs.values() if not job.is_over]
            self._changed.notify_all()
        for job in jobs:
            self.cancel(job)
        self._worker.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._next() is not None)
                if self._is_closed:
                    return
                job = self._next()
                assert job is not None
                job.status = "painting"
                self._tell(job)
            self._paint(job)

    def _next(self) -> Job | None:
        ready = (
            job
            for job in self._jobs.values()
            if job.status == "waiting" and (job.folder / _READY).exists()
        )
        return next(ready, None)

    def _paint(self, job: Job) -> None:
        child = subprocess.Popen(
            [*self._command, str(job.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with self._changed:
            job._child = child
            is_cancelled = job.is_over
        if is_cancelled:
            child.kill()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(asdict(job.options)))
            child.stdin.close()
        except BrokenPipeError:
            # What became of the child is told by its exit code.
            pass
        for line in child.stdout:
            self._take(job, json.loads(line))
        child.stdout.close()
        code = child.wait()
        with self._changed:
            if not job.is_over:
                is_done = code == 0 and (job.folder / _RESULT).exists()
                if not is_done and job.error is None:
                    job.error = f"the painting process ended with exit code {code}"
                self._end(job, "done" if is_done else "failed")

    def _take(self, job: Job, said: Mapping[str, Any]) -> None:
        with self._changed:
            job.error = said.get("error", job.error)
            job.step, job.steps = said.get("step", job.step), said.get("steps", job.steps)
            job.seconds_left = said.get("seconds_left", job.seconds_left)
            self._tell(job)

    def _tell(self, job: Job) -> None:
        job.version += 1
        self._changed.notify_all()

    def _end(self, job: Job, status: str) -> None:
        job.status, job.ended, job.seconds_left = status, time.monotonic(), None
        self._tell(job)

    def _forget(self) -> None:
        """Removes what is long over."""
        now = time.monotonic()
        over = [job for job in self._jobs.values() if job.ended is not None]
        for number, job in enumerate(reversed(over)):
            assert job.ended is not None
            if number >= _KEPT_JOBS or now - job.ended > _KEPT_SECONDS:
                del self._jobs[job.name]
                shutil.rmtree(job.folder, ignore_errors=True)


def main() -> None:
    """The child process: paints what lies in a folder, with the options that stdin gives."""
    options = json.load(sys.stdin)
    if options["scale_steps"] is not None:
        options["scale_steps"] = tuple(options["scale_steps"])
    paint(Path(sys.argv[1]), StylizeSettings(**options))


def paint(folder: Path, options: StylizeSettings) -> None:
    """What the child process does: paints, and says on stdout how far it is, a JSON object a line.

    Args:
        folder: has the content and the style; gets previews and the result.
        options: of the picture.
    """

    def say(**values: Any) -> None:
        print(json.dumps(values), flush=True)  # noqa: T201

    try:
        from cnnkit.images import read_image, write_bytes, write_image
        from cnnkit.runtime import configure
        from cnnkit.tasks.stylize.predict import Stylizer
        from cnnkit.tasks.stylize.results import StylizeProgress

        content = read_image(folder / _CONTENT, keep_alpha=True)
        style = read_image(folder / _STYLE)
        mask = read_image(folder / _MASK) if (folder / _MASK).exists() else None
        configure()

        def show(progress: StylizeProgress) -> None:
            picture = Picture(progress.image())
            write_bytes(folder / _PREVIEW, encode_image(picture, ".jpg"))
            say(
                step=progress.total_step,
                steps=progress.total_steps,
                seconds_left=progress.seconds_left,
            )

        result = Stylizer(style, options).run(content, mask=mask, on_progress=show)
        write_image(folder / _RESULT, result.image, record=json.dumps(dict(result.settings)))
    except CnnkitError as error:
        say(error=str(error))
        sys.exit(int(error.exit_code))
