"""Which files a process has written, for those who want to show them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

_recorders: list[list[Path]] = []


@contextlib.contextmanager
def recording_writes() -> Iterator[list[Path]]:
    """Notes the files that are put in place meanwhile.

    Yields:
        A list that they are added to, as they were named.

    Example:

    >>> with recording_writes() as written:
    ...     record_write(Path("a.png"))
    >>> [path.name for path in written]
    ['a.png']
    """
    written: list[Path] = []
    _recorders.append(written)
    try:
        yield written
    finally:
        _recorders.remove(written)


def record_write(path: Path) -> None:
    """Says that a file was put in place."""
    for written in _recorders:
        written.append(path)
