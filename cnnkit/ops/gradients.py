"""Value and gradient of a function on the Keras backend in use: the one file that names backends.

`keras.Model.fit` differentiates for itself; this is for optimisers that need the gradient as an
array, such as L-BFGS.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def value_and_gradient(
    function: Callable[..., Any], *, has_aux: bool = False, any_size: bool = False
) -> Callable[..., tuple[Any, np.ndarray]]:
    """Compiles a scalar function of one tensor into one that returns its gradient too.

    Args:
        function: tensor, and constants where there are any -> scalar tensor, written in
            `keras.ops`.
        has_aux: the function returns `(scalar, aux)`, with tensors in aux that are wanted too.
        any_size: TensorFlow compiles once for all sizes of pictures and maps: of arrays with three
            axes the first two may differ from call to call.

    Returns:
        float32 array and constants, arrays or tensors in any structure -> `(value, gradient)`, the
        gradient with the shape of the argument, or `((value, aux), gradient)`.

    Raises:
        ValueError: an unknown backend.

    Example:

    >>> square = value_and_gradient(lambda x: keras.ops.sum(x * x))
    >>> value, gradient = square(np.array([1.0, 3.0], "float32"))
    >>> value, gradient.tolist()
    (10.0, [2.0, 6.0])
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def compute(x, *constants):
            with tf.GradientTape() as tape:
                tape.watch(x)
                result = function(x, *constants)
            return result, tape.gradient(result[0] if has_aux else result, x)

        compiled = (
            _for_any_size(compute)
            if any_size
            else tf.function(compute, reduce_retracing=True, autograph=False)
        )

    elif backend == "jax":
        import jax

        compiled = jax.jit(jax.value_and_grad(function, has_aux=has_aux))
    elif backend == "torch":

        def compiled(x, *constants):
            x = x.detach().requires_grad_(True)
            result = function(x, *constants)
            (result[0] if has_aux else result).backward()
            return keras.tree.map_structure(lambda one: one.detach(), result), x.grad

    else:
        raise ValueError(_unknown(backend))

    def evaluate(x: np.ndarray, *constants: Any) -> tuple[Any, np.ndarray]:
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, constants)
        result, gradient = compiled(
            keras.ops.convert_to_tensor(np.asarray(x, np.float32)), *tensors
        )
        gradient = keras.ops.convert_to_numpy(gradient)
        if not has_aux:
            return float(result), gradient
        value, aux = result
        return (float(value), keras.tree.map_structure(keras.ops.convert_to_numpy, aux)), gradient

    return evaluate


def value_for_any_size(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of pictures and maps without its gradient.

    Args:
        function: tensors in any structure -> tensors in any structure, written in `keras.ops`.

    Returns:
        Arrays or tensors -> NumPy arrays. On TensorFlow it is compiled once for all sizes, as by
        `value_and_gradient` with `any_size`; on JAX once for each.

    Raises:
        ValueError: an unknown backend.

    Example:

    >>> total = value_for_any_size(lambda maps: keras.ops.sum(maps["one"], axis=(0, 1)))
    >>> [total({"one": np.ones((side, 2, 1), "float32")}).tolist() for side in (1, 3)]
    [[2.0], [6.0]]
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        compiled = _for_any_size(function)
    elif backend == "jax":
        import jax

        compiled = jax.jit(function)
    elif backend == "torch":

        def compiled(*arguments):
            import torch

            with torch.no_grad():
                return function(*arguments)

    else:
        raise ValueError(_unknown(backend))

    def evaluate(*arguments: Any) -> Any:
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, arguments)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, compiled(*tensors))

    return evaluate


def _unknown(backend: str) -> str:
    return f"the backend must be tensorflow, jax or torch. Received: {backend}"


def _for_any_size(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors, traced by TensorFlow once for each structure of its arguments."""
    import tensorflow as tf

    traced: dict[str, Any] = {}

    def spec(tensor: Any) -> Any:
        shape = list(tensor.shape)
        if len(shape) == 3:
            shape[:2] = None, None
        return tf.TensorSpec(shape, tensor.dtype)

    def call(*arguments: Any) -> Any:
        signature = keras.tree.map_structure(spec, arguments)
        key = repr(signature)
        if key not in traced:
            # Of a concrete function TensorFlow does not count, and warn, how often it traces.
            traced[key] = tf.function(function, autograph=False).get_concrete_function(*signature)
        return traced[key](*arguments)

    return call
