"""Functions of tensors with a gradient of their own, which leave nothing behind on TensorFlow."""

import functools
from collections.abc import Callable
from typing import Any

import keras

Tensor = Any
# Tensors -> a tensor, and what takes the gradient from above and gives that of each argument.
Differentiated = Callable[..., tuple[Tensor, Callable[..., Any]]]


def with_custom_gradient(*free_axes: int) -> Callable[[Differentiated], Callable[..., Tensor]]:
    """`keras.ops.custom_gradient`, for functions that are traced again and again.

    Where TensorFlow traces a function around it, each custom gradient is registered for good, and
    with it all that was traced stays in memory: some megabytes for each picture that is stylised.
    So the function is traced here by itself, once for each kind of arguments, and called.

    Args:
        free_axes: of each argument, how many of its first axes are of any length.

    Returns:
        What decorates a function of tensors alone; see `keras.ops.custom_gradient`. The tensor that
        it gives may be of unknown shape while TensorFlow traces.
    """

    def decorate(function: Differentiated) -> Callable[..., Tensor]:
        custom = keras.ops.custom_gradient(function)

        @functools.cache
        def traced(kinds: tuple[tuple[tuple[int | None, ...], str], ...]) -> Callable[..., Tensor]:
            import tensorflow as tf

            specs = [tf.TensorSpec(shape, dtype) for shape, dtype in kinds]
            return tf.function(custom, autograph=False).get_concrete_function(*specs)

        @functools.wraps(function)
        def call(*arguments: Tensor) -> Tensor:
            if keras.backend.backend() != "tensorflow":
                return custom(*arguments)
            tensors = [keras.ops.convert_to_tensor(one) for one in arguments]
            kinds = tuple(
                ((None,) * free + tuple(one.shape[free:]), one.dtype.name)
                for one, free in zip(tensors, free_axes, strict=True)
            )
            return traced(kinds)(*tensors)

        return call

    return decorate
