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


def compile_inference(model: keras.Model, dtype: str = "uint8") -> Callable[..., Any]:
    """Compiles a model for inference.

    The weights are those of the moment of the first call; the model must not be trained
    afterwards.

    Args:
        model: takes one array or several, float32 or, where its inputs say so, int32.
        dtype: of the floats that it will be given, "uint8" or "float32".

    Returns:
        Arrays of the inputs' shapes -> float32 array, or a dict or list of them where the model
        gives one. On TensorFlow it is compiled once for all sizes, on JAX once for each.

    Raises:
        ValueError: an unknown backend.

    Example:

    >>> inputs = keras.Input((None, None, 3))
    >>> mean = compile_inference(keras.Model(inputs, keras.ops.mean(inputs, axis=(1, 2, 3))))
    >>> mean(np.full((1, 2, 2, 3), 7, np.uint8)).tolist()
    [7.0]
    """
    backend = keras.backend.backend()
    is_whole = [one.dtype == "int32" for one in model.inputs]

    def given(arrays: Any) -> Any:
        return arrays[0] if len(arrays) == 1 else list(arrays)

    if backend == "tensorflow":
        import tensorflow as tf

        signature = [
            tf.TensorSpec((None, *one.shape[1:]), "int32" if whole else dtype)
            for one, whole in zip(model.inputs, is_whole, strict=True)
        ]

        @tf.function(input_signature=signature)
        def compiled(*arrays):
            floats = [
                one if whole else tf.cast(one, tf.float32)
                for one, whole in zip(arrays, is_whole, strict=True)
            ]
            return model(given(floats), training=False)

    elif backend == "jax":
        import jax

        # As arguments: constants of 20 MB would make compiling slow.
        trainable = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]

        @jax.jit
        def with_weights(trainable, others, *arrays):
            floats = [
                one if whole else one.astype("float32")
                for one, whole in zip(arrays, is_whole, strict=True)
            ]
            return model.stateless_call(trainable, others, given(floats), training=False)[0]

        def compiled(*arrays):
            return with_weights(trainable, others, *arrays)

    elif backend == "torch":
        import torch

        def compiled(*arrays):
            with torch.no_grad():
                tensors = [
                    keras.ops.convert_to_tensor(one, dtype="int32" if whole else "float32")
                    for one, whole in zip(arrays, is_whole, strict=True)
                ]
                return model(given(tensors), training=False)

    else:
        raise ValueError(f"the backend must be tensorflow, jax or torch. Received: {backend}")

    def run(*arrays: np.ndarray) -> Any:
        return keras.tree.map_structure(
            keras.ops.convert_to_numpy, compiled(*map(np.ascontiguousarray, arrays))
        )

    return run
