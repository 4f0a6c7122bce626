"""What pictures are given as: paths, or pictures that are in memory already."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from cnnkit.images import Picture, as_picture, read_image

# A path, "-", or a picture whose `source` names it.
Source = str | Picture


def each_source(sources: Any) -> Iterator[Source]:
    """The pictures of one argument, one or several, as they are needed.

    Args:
        sources: a path, `Picture`, `PIL.Image` or array, see `as_picture`; or an iterable of them.

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
            picture = as_picture(source, name)
            yield picture if picture.source else replace(picture, source=name)


def name_of(source: Source) -> str:
    """What results call a source."""
    return source.source or "the picture" if isinstance(source, Picture) else source


def loaded(source: Source, stdin: Callable[[], bytes] | None = None) -> Picture | None:
    """The picture, where it is not to be read from a file.

    Args:
        source: see `Source`.
        stdin: reads what "-" stands for; without it that is a file's name.
    """
    if isinstance(source, Picture):
        return source
    return read_image(stdin()) if source == "-" and stdin is not None else None
