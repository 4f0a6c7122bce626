"""The 1,000 classes of ImageNet (ILSVRC-2012): plain names, and everyday groups of them."""

import functools
from pathlib import Path

_FOLDER = Path(__file__).parent


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """A short name for each class, in the usual order; all of them differ.

    >>> imagenet_names()[281], imagenet_names()[134], imagenet_names()[517]
    ('tabby cat', 'crane', 'construction crane')
    """
    return tuple(_lines("imagenet_classes.txt"))


@functools.cache
def imagenet_groups() -> dict[str, tuple[str, ...]]:
    """Everyday words -> the names of the classes that they stand for; no class is in two groups.

    >>> imagenet_groups()["elephant"]
    ('tusked elephant', 'Indian elephant', 'African elephant')
    """
    groups = {}
    for line in _lines("imagenet_groups.txt"):
        group, _, members = line.partition(": ")
        groups[group] = tuple(members.split(", "))
    return groups


def _lines(file_name: str) -> list[str]:
    return (_FOLDER / file_name).read_text(encoding="utf-8").splitlines()
