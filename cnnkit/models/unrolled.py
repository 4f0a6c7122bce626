"""Models that hold models, as one graph of single layers."""

from collections.abc import Sequence
from typing import Any

import keras


def unroll_model(
    model: keras.Model,
    inputs: Sequence[Any],
    outputs: dict[str, Any] | None = None,
    prefix: str = "",
) -> list[Any]:
    """Calls the layers of a model one by one; the weights stay shared with it.

    Args:
        model: functional or sequential; the models in it are taken apart too.
        inputs: tensors to call it on.
        outputs: gets the output of every layer, under its name or "model/layer".
        prefix: of those names.

    Returns:
        What the model gives, as a list.

    Example:

    >>> inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="d")], name="in")
    >>> model = keras.Sequential([keras.Input((2,)), inner])
    >>> found = {}
    >>> unroll_model(model, [keras.Input((2,))], found)[0].shape, list(found)
    ((None, 3), ['in/d'])
    """
    outputs = {} if outputs is None else outputs

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            inner = unroll_model(
                operation, keras.tree.flatten(args), outputs, f"{prefix}{operation.name}/"
            )
            return keras.tree.pack_sequence_as(operation.output, inner)
        result = operation(*args, **kwargs)
        outputs[f"{prefix}{operation.name}"] = result
        return result

    # A sequential model has a graph too, but does not show its operations.
    graph = model if hasattr(model, "operations") else keras.Model(model.inputs, model.outputs)
    # What Functional.call does; Keras has no public way to call the layers one by one.
    return keras.tree.flatten(graph._run_through_graph(list(inputs), call_fn=call))
