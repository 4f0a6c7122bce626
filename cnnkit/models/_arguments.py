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


def smallest_input(filters: Sequence[int], kernel_size: int, pool_size: int) -> int:
    """The shortest side that valid convolutions, each with a pooling, leave one place of.

    Raises:
        ValueError: no convolution, or a size below 1.

    Back from the end: (1 * 2 + 4) * 2 + 4 places for two convolutions of 5 and poolings of 2.

    >>> smallest_input((16, 32), kernel_size=5, pool_size=2)
    16
    """
    if not filters or min(*filters, kernel_size, pool_size) < 1:
        raise ValueError(
            "filters, kernel_size and pool_size must be at least 1. "
            f"Received: {filters}, {kernel_size}, {pool_size}"
        )
    smallest = 1
    for _ in filters:
        smallest = smallest * pool_size + kernel_size - 1
    return smallest


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
