"""Value and gradient of a function on the Keras backend in use: the one file that names backends.

`keras.Model.fit` differentiates for itself; this is for optimisers that need the gradient as an
array, such as L-BFGS.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def value_and_gradient(
    function: Callable[[Any], Any],
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Compiles a scalar function of one tensor into one that returns its gradient too.

    Args:
        function: tensor -> scalar tensor, written in `keras.ops`.

    Returns:
        float32 array -> `(value, gradient)`, the gradient with the shape of the argument.

    Example:

    >>> square = value_and_gradient(lambda x: keras.ops.sum(x * x))
    >>> value, gradient = square(np.array([1.0, 3.0], "float32"))
    >>> value, gradient.tolist()
    (10.0, [2.0, 6.0])
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(reduce_retracing=True)
        def compiled(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            return value, tape.gradient(value, x)

    elif backend == "jax":
        import jax

        compiled = jax.jit(jax.value_and_grad(function))
    elif backend == "torch":

        def compiled(x):
            x = x.detach().requires_grad_(True)
            value = function(x)
            value.backward()
            return value.detach(), x.grad

    else:
        raise ValueError(f"the backend must be tensorflow, jax or torch. Received: {backend}")

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compiled(keras.ops.convert_to_tensor(np.asarray(x, np.float32)))
        return float(value), keras.ops.convert_to_numpy(gradient)

    return evaluate
