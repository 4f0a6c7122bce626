"""Threads, or processes, that make what a network is trained on while it computes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from cnnkit.runtime import reader_count

# What a worker process makes; every process has its own.
_make: Callable[..., Any]


class Workers:
    """Calls a function ahead of time, in several threads or processes.

    Threads take turns whenever Python itself runs, so that about three of them are busy at a time:
    enough for a processor that trains too, not for a graphics card. Processes begin at the first
    call, and import what they need anew.

    Args:
        make: what is called; for processes, something that can be pickled.
        processes: how many of them; 0 for threads, as many as may read files.
        name: of the threads.
    """

    def __init__(self, make: Callable[..., Any], processes: int, name: str):
        self._make, self._processes, self._name = make, processes, name
        self._pool: ThreadPoolExecutor | ProcessPoolExecutor | None = None

    def submit(self, *arguments: Any) -> Future[Any]:
        """Begins a call; the `Future` gives what comes of it."""
        if self._pool is None:
            self._pool = self._open()
        made = self._make if isinstance(self._pool, ThreadPoolExecutor) else _call
        return self._pool.submit(made, *arguments)

    def _open(self) -> ThreadPoolExecutor | ProcessPoolExecutor:
        if not self._processes:
            return ThreadPoolExecutor(reader_count(), self._name)
        # A copy of this process would have the locks of its threads without the threads.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._processes, context, _begin, (self._make,))


def _begin(make: Callable[..., Any]) -> None:
    """Makes a process ready: it ends with the one that began it, however that ends."""
    global _make
    _make = make
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _call(*arguments: Any) -> Any:
    return _make(*arguments)
