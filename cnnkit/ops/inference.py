"""Runs a frozen model on arrays, compiled by the Keras backend in use: the file that names them.

`keras.Model.predict` builds a data pipeline for every call, which for one picture costs more than
the picture, and on some backends keeps memory.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from cnnkit.ops.openvino_graph import OpenvinoNetwork, all_layers, convert_model

# Weights: more than the convolutions of VGG-19 have, less than its dense layers.
_MOST_CONSTANTS = 50e6


def compiles_each_size() -> bool:
    """Whether the backend in use compiles anew for each size, so that sizes should be few."""
    return keras.backend.backend() == "jax"


def with_constant_weights(model: keras.Model) -> Callable[..., Any]:
    """A model that is not trained any more, as a function whose weights are constants.

    What TensorFlow compiles around it then knows the weights: it folds normalisations into
    convolutions, and lays kernels out once as the processor likes them. On two cores with AVX2 a
    step of style transfer takes two thirds of the time. Very large models are called as they are,
    since constants lie in memory several times; and so is any model on JAX, which compiles slowly
    with them.

    Args:
        model: any; its weights are taken as they are now.

    Returns:
        What is called as the model is.

    Example:

    >>> inputs = keras.Input((2,))
    >>> model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
    >>> constant = with_constant_weights(model)
    >>> model.set_weights([np.zeros((2, 1)), np.zeros(1)])
    >>> float(constant(np.array([[1.0, 2.0]], np.float32))[0, 0])
    3.0
    """
    count = sum(math.prod(one.shape) for one in model.variables)
    if keras.backend.backend() != "tensorflow" or count > _MOST_CONSTANTS:
        return model
    values = [(one, keras.ops.convert_to_numpy(one.value).copy()) for one in model.variables]

    def call(*arrays: Any, **settings: Any) -> Any:
        # Made anew for each graph, since a tensor from outside would be an argument of it.
        constants = [(one, keras.ops.convert_to_tensor(value)) for one, value in values]
        with keras.StatelessScope(constants):
            return model(*arrays, **settings)

    return call


def compile_on_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function whose results are fed to `keras.Model.fit`.

    Args:
        function: tensors -> tensor, or a tuple of them, written in `keras.ops`.

    Returns:
        Arrays or tensors -> what `fit` takes: on JAX arrays that stay where they were computed,
        elsewhere NumPy's.

    Example:

    >>> twice = compile_on_device(lambda x: 2 * x)
    >>> np.asarray(twice(np.array([1.0, 2.0], np.float32))).tolist()
    [2.0, 4.0]
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "tensorflow":
        import tensorflow as tf

        function = tf.function(function, reduce_retracing=True, autograph=False)

    def run(*arrays: Any) -> Any:
        tensors = map(keras.ops.convert_to_tensor, arrays)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, function(*tensors))

    return run


def compile_inference(model: keras.Model, dtype: str = "uint8") -> Callable[..., Any]:
    """Compiles a model for inference, with the weights that it has now.

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
    if backend == "openvino":
        graph, signature = convert_model(model, dtype)
        # Compiling reads a graph anew, since it fixes the sizes of its inputs.
        return OpenvinoNetwork(graph.clone, signature)
    is_whole = [one.dtype == "int32" for one in model.inputs]

    def given(arrays: Any) -> Any:
        return arrays[0] if len(arrays) == 1 else list(arrays)

    if backend == "tensorflow":
        import tensorflow as tf

        frozen = with_constant_weights(model)
        signature = [
            tf.TensorSpec((None, *one.shape[1:]), "int32" if whole else dtype)
            for one, whole in zip(model.inputs, is_whole, strict=True)
        ]

        @tf.function(autograph=False)
        def see(*arrays):
            floats = [
                one if whole else tf.cast(one, tf.float32)
                for one, whole in zip(arrays, is_whole, strict=True)
            ]
            return frozen(given(floats), training=False)

        with _plain_silu(model):
            # Of a concrete function TensorFlow does not count, and warn, how often it traces.
            concrete = see.get_concrete_function(*signature)

        def compiled(*arrays):
            tensors = [
                tf.convert_to_tensor(one, spec.dtype)
                for one, spec in zip(arrays, signature, strict=True)
            ]
            return concrete(*tensors)

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
        raise ValueError(
            f"the backend must be tensorflow, jax, torch or openvino. Received: {backend}"
        )

    def run(*arrays: np.ndarray) -> Any:
        return keras.tree.map_structure(
            keras.ops.convert_to_numpy, compiled(*map(np.ascontiguousarray, arrays))
        )

    return run


@contextlib.contextmanager
def _plain_silu(model: keras.Model) -> Iterator[None]:
    """While the block runs, a model's layers compute SiLU as `x sigmoid(x)`.

    TensorFlow's own has a gradient of its own, which it registers for good for each graph that is
    traced, and with it all weights that are constants there: tens of megabytes for each model.
    """
    changed = [
        layer
        for layer in all_layers(model)
        if getattr(layer, "activation", None) is keras.activations.silu
    ]
    for layer in changed:
        layer.activation = _silu
    try:
        yield
    finally:
        for layer in changed:
            layer.activation = keras.activations.silu


def _silu(x: Any) -> Any:
    return keras.ops.multiply(x, keras.ops.sigmoid(x))


def compiles_training() -> bool:
    """Whether XLA compiles what is trained: on the backend that knows no other way.

    Keras has TensorFlow do so too, which on processors takes 15 seconds more for the compact
    network, and then no less time for a step.
    """
    return keras.backend.backend() == "jax"
