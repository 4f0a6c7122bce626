"""Files read by threads while the network looks at those before."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cnnkit.runtime import reader_count

_Source, _Read = TypeVar("_Source"), TypeVar("_Read")


def read_ahead(
    sources: Iterable[_Source], read: Callable[[_Source], _Read], batch: int
) -> Iterator[list[_Read]]:
    """What is read of sources, in their order; no more than two batches are in memory.

    Args:
        sources: what is to be read, such as paths.
        read: reads one, in a thread; it says of itself what cannot be read.
        batch: sources at a time.

    Example:

    >>> list(read_ahead(["a", "b", "c"], str.upper, 2))
    [['A', 'B'], ['C']]
    """
    left = iter(sources)
    with ThreadPoolExecutor(reader_count()) as pool:
        ahead = [pool.submit(read, source) for source in itertools.islice(left, batch)]
        while ahead:
            now = [future.result() for future in ahead]
            ahead = [pool.submit(read, source) for source in itertools.islice(left, batch)]
            yield now
