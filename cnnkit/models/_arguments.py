"""What the builders of classifiers check of their arguments."""

from collections.abc import Sequence


def check_input_shape(input_shape: Sequence[int], axes: int, smallest: int) -> tuple[int, ...]:
    """The shape as a tuple, if it has so many axes of at least that size, and channels.

    Raises:
        ValueError: otherwise.

    >>> check_input_shape([32, 32, 1], axes=2, smallest=20)
    (32, 32, 1)
    """
    shape = tuple(input_shape)
    names = {1: "(length, channels)", 2: "(height, width, channels)"}.get(
        axes, "(depth, height, width, channels)"
    )
    right = len(shape) == axes + 1 and all(isinstance(size, int) for size in shape)
    if not right or min(shape[:-1]) < smallest or shape[-1] < 1:
        raise ValueError(
            f"input_shape must be {names} with sizes of at least {smallest}. "
            f"Received: {input_shape}"
        )
    return shape


def check_classes(classes: int) -> None:
    """Raises `ValueError` unless there is a class to tell.

    >>> check_classes(10)
    """
    if not isinstance(classes, int) or classes < 1:
        raise ValueError(f"classes must be a number from 1. Received: {classes!r}")


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raises `ValueError` unless an argument is one of a few.

    >>> check_choice("pooling", "max", ("max", "average"))
    """
    if value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {allowed}. Received: {value!r}")
