"""Runs a frozen model on arrays, compiled by the Keras backend in use: the file that names them.

`keras.Model.predict` builds a data pipeline for every call, which for one picture costs more than
the picture, and on some backends keeps memory.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def compiles_each_size() -> bool:
    """Whether the backend in use compiles anew for each size, so that sizes should be few."""
    return keras.backend.backend() == "jax"


def compile_inference(model: keras.Model, dtype: str = "uint8") -> Callable[[np.ndarray], Any]:
    """Compiles a model of one input for inference.

    The weights are those of the moment of the first call; the model must not be trained
    afterwards.

    Args:
        model: takes float32 of `model.inputs[0].shape`.
        dtype: of the arrays that it will be given, "uint8" or "float32".

    Returns:
        Array of the input's shape -> float32 array, or a dict of them where the model gives one.
        On TensorFlow it is compiled once for all sizes, on JAX once for each.

    Raises:
        ValueError: an unknown backend.

    Example:

    >>> inputs = keras.Input((None, None, 3))
    >>> mean = compile_inference(keras.Model(inputs, keras.ops.mean(inputs, axis=(1, 2, 3))))
    >>> mean(np.full((1, 2, 2, 3), 7, np.uint8)).tolist()
    [7.0]
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        shape = (None, *model.inputs[0].shape[1:])

        @tf.function(input_signature=[tf.TensorSpec(shape, dtype)])
        def compiled(pixels):
            return model(tf.cast(pixels, tf.float32), training=False)

    elif backend == "jax":
        import jax

        # As arguments: constants of 20 MB would make compiling slow.
        trainable = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]

        @jax.jit
        def with_weights(trainable, others, pixels):
            pixels = pixels.astype("float32")
            return model.stateless_call(trainable, others, pixels, training=False)[0]

        def compiled(pixels):
            return with_weights(trainable, others, pixels)

    elif backend == "torch":
        import torch

        def compiled(pixels):
            with torch.no_grad():
                floats = keras.ops.convert_to_tensor(pixels, dtype="float32")
                return model(floats, training=False)

    else:
        raise ValueError(f"the backend must be tensorflow, jax or torch. Received: {backend}")

    def run(pixels: np.ndarray) -> Any:
        return keras.tree.map_structure(
            keras.ops.convert_to_numpy, compiled(np.ascontiguousarray(pixels))
        )

    return run
