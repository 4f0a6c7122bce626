"""Decoding and encoding beside the network, each in a thread, with few frames between them."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, TypeVar

_Item = TypeVar("_Item")

# Frames that wait for the network, and for the encoder.
_WAITING = 12
_END = object()


def read_beside(items: Iterator[_Item], waiting: int = _WAITING) -> Generator[_Item, None, None]:
    """The items of an iterator that runs in a thread, a few ahead of who takes them.

    Args:
        items: what they come from; closed when nobody takes more.
        waiting: items that are made ahead, at most.

    Example:

    >>> list(read_beside(iter("abc")))
    ['a', 'b', 'c']
    """
    made: queue.Queue[Any] = queue.Queue(waiting)
    is_over = threading.Event()
    failure: list[BaseException] = []

    def make() -> None:
        try:
            for item in items:
                if not _put(made, item, is_over):
                    return
        except BaseException as error:
            failure.append(error)
        finally:
            _put(made, _END, is_over)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not _END:
            yield item
    finally:
        is_over.set()
        thread.join()
    if failure:
        raise failure[0]


def _put(made: "queue.Queue[Any]", item: Any, is_over: threading.Event) -> bool:
    """Whether an item found room before everything was over."""
    while not is_over.is_set():
        try:
            made.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False


class WriteBeside(Generic[_Item]):
    """Hands items to a function that runs in a thread, in their order.

    Args:
        write: takes an item; what it raises is raised by the next call.
        waiting: items that wait, at most.

    Example:

    >>> found = []
    >>> with WriteBeside(found.append) as beside:
    ...     beside.put("a")
    >>> found
    ['a']
    """

    def __init__(self, write: Callable[[_Item], None], waiting: int = _WAITING):
        self._write = write
        self._left: queue.Queue[Any] = queue.Queue(waiting)
        self._failure: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (item := self._left.get()) is not _END:
            if not self._failure:
                try:
                    self._write(item)
                except BaseException as error:
                    # The queue is emptied still, or who fills it would wait for ever.
                    self._failure.append(error)

    def __enter__(self) -> "WriteBeside[_Item]":
        return self

    def put(self, item: _Item) -> None:
        """Hands one over; waits where many wait already."""
        self._raise()
        self._left.put(item)

    def __exit__(self, kind: Any, *error: Any) -> None:
        """Waits until all is written."""
        self._left.put(_END)
        self._thread.join()
        # Of two failures the first is told.
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._raise()

    def _raise(self) -> None:
        if self._failure:
            raise self._failure[0]
