"""The trained networks of a server: each is loaded when it is first asked for, and stays."""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cnnkit.errors import CnnkitError
from cnnkit.server.settings import LEAST_CONFIDENCE, ServerSettings
from cnnkit.tasks.detect.settings import DetectSettings

_Result = TypeVar("_Result")
# How much the last job counts in the mean of how long jobs take.
_NEWEST = 0.2


class BusyError(CnnkitError):
    """More is waiting than the server takes on.

    Attributes:
        seconds: after which to ask again.
    """

    def __init__(self, seconds: int):
        super().__init__(f"the server is busy; try again in {seconds} s")
        self.seconds = seconds


class ModelQueue:
    """Runs one job at a time, in the order in which they came; refuses more than it may keep.

    A network uses all cores, so that two at a time would only take each other's caches.

    Args:
        most: jobs that may wait, the running one included.
    """

    def __init__(self, most: int):
        self._most, self._waiting = most, 0
        self._lock = threading.Lock()
        self._seconds = 0.5
        self._worker = ThreadPoolExecutor(1, "cnnkit-model")

    @property
    def waiting(self) -> int:
        """Jobs that are not done, the running one included."""
        return self._waiting

    async def run(self, job: Callable[[], _Result]) -> _Result:
        """What a job returns or raises.

        Raises:
            BusyError: too many are waiting.
        """
        with self._lock:
            if self._waiting >= self._most:
                raise BusyError(math.ceil(self._waiting * self._seconds))
            self._waiting += 1

        def timed() -> _Result:
            begin = time.monotonic()
            try:
                return job()
            finally:
                with self._lock:
                    self._waiting -= 1
                    taken = time.monotonic() - begin
                    self._seconds += _NEWEST * (taken - self._seconds)

        # Shielded: a job whose client went away is done to its end, and counted.
        return await asyncio.shield(asyncio.wrap_future(self._worker.submit(timed)))

    def close(self) -> None:
        """Takes no more jobs."""
        self._worker.shutdown(wait=False, cancel_futures=True)


class Models:
    """The networks by task. Not for several threads at once: jobs of a `ModelQueue` ask for them.

    Args:
        settings: which models.
    """

    def __init__(self, settings: ServerSettings):
        self._settings = settings
        self._loaded: dict[str, Any] = {}

    @property
    def loaded(self) -> list[str]:
        """The tasks whose networks are loaded."""
        return sorted(self._loaded)

    def _keep(self, task: str, load: Callable[[], Any]) -> Any:
        if task not in self._loaded:
            self._loaded[task] = load()
        return self._loaded[task]

    def detector(self) -> Any:
        """The `Detector`, which keeps even improbable objects."""
        from cnnkit.tasks.detect.predict import Detector

        settings = DetectSettings(conf=LEAST_CONFIDENCE)
        return self._keep("detect", lambda: Detector(self._settings.detector, settings))

    def segmenter(self) -> Any:
        """The `Segmenter`."""
        from cnnkit.tasks.segment.predict import Segmenter

        return self._keep("segment", lambda: Segmenter(self._settings.segmenter))

    def classifier(self) -> Any:
        """The `Classifier`."""
        from cnnkit.tasks.classify.predict import Classifier

        return self._keep("classify", lambda: Classifier(self._settings.classifier))

    def captioner(self) -> Any:
        """The `Captioner`."""
        from cnnkit.tasks.caption.predict import Captioner

        return self._keep("caption", lambda: Captioner(self._settings.captioner))

    def verifier(self) -> Any:
        """The `Verifier`, whose recognizer serves all that has to do with faces."""
        from cnnkit.tasks.faces.verify import Verifier

        return self._keep("verify", Verifier)
