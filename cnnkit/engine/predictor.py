"""Sources to results: read ahead by threads, in batches, timed, in order.

A source is a path or a picture in memory. What cannot be read comes out as its error, and the
others go on.
"""

import contextlib
import functools
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnkit.errors import CnnkitError
from cnnkit.images import Picture, as_picture, read_image, read_pixels, to_uint8
from cnnkit.runtime import reader_count

_Item = TypeVar("_Item")
_Read = TypeVar("_Read")
_Value = TypeVar("_Value")
_Result = TypeVar("_Result")
_Model = TypeVar("_Model")

# A path, "-", or a picture whose `source` names it.
PictureSource = str | Picture


def each_source(sources: Any, *, keep_alpha: bool = False) -> Iterator[PictureSource]:
    """The pictures of one argument, one or several, as they are needed.

    Args:
        sources: a path, `Picture`, `PIL.Image` or array, see `as_picture`; or an iterable of them.
        keep_alpha: of pictures in memory; else what they hide is white.

    Raises:
        ValueError: an array that is no picture.

    Example:

    >>> list(each_source("cat.jpg"))
    ['cat.jpg']
    >>> import numpy as np
    >>> [picture.source for picture in each_source(np.zeros((2, 5, 5, 3)))]
    ['picture 1', 'picture 2']
    """
    is_array = getattr(sources, "ndim", None) in (2, 3)
    one = is_array or isinstance(sources, (str, Path, Picture, Image.Image))
    for number, source in enumerate([sources] if one else sources, 1):
        if isinstance(source, (str, Path)):
            yield str(source)
        else:
            name = f"picture {number}"
            picture = as_picture(source, name, keep_alpha=keep_alpha)
            yield picture if picture.source else replace(picture, source=name)


def name_of(source: PictureSource) -> str:
    """What results call a source."""
    return source.source or "the picture" if isinstance(source, Picture) else source


def loaded(source: PictureSource, stdin: Callable[[], bytes] | None = None) -> Picture | None:
    """The picture, where it is not to be read from a file.

    Args:
        source: see `PictureSource`.
        stdin: reads what "-" stands for; without it that is a file's name.
    """
    if isinstance(source, Picture):
        return source
    return read_image(stdin()) if source == "-" and stdin is not None else None


def load_picture(source: PictureSource, stdin: Callable[[], bytes] | None = None) -> Picture:
    """The picture of a source, with its alpha.

    Args:
        source: see `PictureSource`.
        stdin: reads what "-" stands for; without it that is a file's name.

    Raises:
        ImageError: a file cannot be read.
    """
    if isinstance(source, Picture):
        return source
    content = stdin() if source == "-" and stdin is not None else source
    return read_image(content, keep_alpha=True)


def load_pixels(
    source: PictureSource, stdin: Callable[[], bytes] | None = None
) -> npt.NDArray[np.uint8]:
    """The pixels of a source, uint8 `(height, width, 3)`, upright sRGB.

    Args:
        source: see `PictureSource`.
        stdin: reads what "-" stands for; without it that is a file's name.

    Raises:
        ImageError: a file cannot be read.
    """
    picture = loaded(source, stdin)
    return read_pixels(name_of(source)) if picture is None else to_uint8(picture.pixels)


def read_ahead(
    sources: Iterable[_Item], read: Callable[[_Item], _Read], batch: int
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


@dataclass(frozen=True)
class Loaded(Generic[_Value]):
    """What was read of a source.

    Attributes:
        source: what results call it.
        value: what was read.
        ms: milliseconds that it took.
    """

    source: str
    value: _Value
    ms: float


def predict_each(
    sources: Iterable[PictureSource],
    read: Callable[[PictureSource], _Value],
    predict: Callable[[Sequence[Loaded[_Value]]], Iterable[_Result]],
    *,
    batch: int = 8,
) -> Iterator[_Result | CnnkitError]:
    """Results of sources, in their order; one that cannot be read gives the reason instead.

    The next batch is read while the network looks at one; no more is in memory.

    Args:
        sources: paths, "-", or pictures.
        read: reads one, in a thread.
        predict: what was read of some -> a result for each.
        batch: sources at a time.

    Example:

    >>> def measure(names):
    ...     return [len(one.value) for one in names]
    >>> list(predict_each(["a", "bc"], str, measure))
    [1, 2]
    """

    def load(source: PictureSource) -> Loaded[_Value] | CnnkitError:
        begin = time.monotonic()
        try:
            value = read(source)
        except CnnkitError as error:
            return error
        return Loaded(name_of(source), value, milliseconds_since(begin))

    for some in read_ahead(sources, load, batch):
        results = iter(predict([one for one in some if isinstance(one, Loaded)]))
        for one in some:
            yield next(results) if isinstance(one, Loaded) else one


def collect(
    sources: Iterable[PictureSource],
    predict: Callable[[Iterator[PictureSource]], Iterable[_Result | CnnkitError]],
    forget: Callable[[_Result], _Result],
) -> list[_Result]:
    """Results of all sources; the first error is raised.

    Args:
        sources: paths or pictures.
        predict: these -> for each its result, or why there is none.
        forget: result -> the same without the picture, which is a file and can be read again.

    Raises:
        CnnkitError: see `predict`.

    Example:

    >>> collect(["a", "b"], lambda paths: [path * 2 for path in paths], str.upper)
    ['AA', 'BB']
    """
    # No more of them waits than is read ahead.
    named, given = itertools.tee(sources)
    found = []
    for source, result in zip(named, predict(given), strict=True):
        if isinstance(result, CnnkitError):
            raise result
        found.append(forget(result) if isinstance(source, str) else result)
    return found


def milliseconds_since(begin: float) -> float:
    """Milliseconds since a moment of `time.monotonic`."""
    return 1e3 * (time.monotonic() - begin)


def run_by_shape(
    network: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], inputs: Sequence[npt.NDArray[Any]]
) -> list[tuple[npt.NDArray[Any], float]]:
    """Runs a network once for all inputs of one shape.

    Args:
        network: `(n, ...)` -> `(n, ...)`.
        inputs: of any shapes.

    Returns:
        For each its output, and its share of the milliseconds.

    Example:

    >>> found = run_by_shape(lambda x: x * 2, [np.ones(2), np.ones(3), np.full(2, 5.0)])
    >>> [output.tolist() for output, _ in found]
    [[2.0, 2.0], [2.0, 2.0, 2.0], [10.0, 10.0]]
    """
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, one in enumerate(inputs):
        by_shape.setdefault(one.shape, []).append(index)
    found: dict[int, tuple[npt.NDArray[Any], float]] = {}
    for indices in by_shape.values():
        begin = time.monotonic()
        outputs = network(np.stack([inputs[index] for index in indices]))
        ms = milliseconds_since(begin) / len(indices)
        found |= {index: (one, ms) for index, one in zip(indices, outputs, strict=True)}
    return [found[index] for index in range(len(inputs))]


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
