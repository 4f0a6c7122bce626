"""Models that stay loaded from one call of the library to the next."""

import contextlib
import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

_Model = TypeVar("_Model")


def keep_last(load: Callable[..., _Model]) -> Callable[..., _Model]:
    """Loads a model once for calls that follow one another with the same arguments.

    A program that looks at one picture after another would spend most of its time loading. One
    model is kept, until another is asked for; a file that has changed is loaded again.

    Args:
        load: of a name, a file or a folder, and settings that can be compared -> the model.

    Returns:
        The same function; what it raises is raised again the next time.

    Example:

    >>> load = keep_last(lambda model, size=1: [model, size])
    >>> load("a") is load("a"), load("a", size=2) is load("a")
    (True, False)
    """
    lock = threading.Lock()
    kept: list[tuple[Any, _Model]] = []

    @functools.wraps(load)
    def loaded(*arguments: Any, **settings: Any) -> _Model:
        given = [*arguments, *settings.values()]
        files = [_state(Path(one)) for one in given if isinstance(one, (str, Path))]
        key = arguments, settings, files, os.environ.get("CNNKIT_HOME")
        with lock:
            if not kept or kept[0][0] != key:
                # The one before goes first: there is not always room for both.
                kept.clear()
                kept.append((key, load(*arguments, **settings)))
            return kept[0][1]

    return loaded


def _state(path: Path) -> list[tuple[str, int, int]]:
    """Name, time and size of a file, or of a folder and what is in it; of what can be seen."""
    files, found = [path], []
    with contextlib.suppress(OSError, ValueError):
        files += sorted(path.iterdir())
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            status = file.stat()
            found.append((str(file), status.st_mtime_ns, status.st_size))
    return found
