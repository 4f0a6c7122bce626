"""Networks in numbers, layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnnkit.ops.convolution import ReceptiveField


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a network in numbers.

    Attributes:
        name: of the layer.
        kind: what it is: a word of the shape language such as "conv", or a class of Keras.
        output_shape: without the batch; None for an axis of any size.
        parameters: number of weights and biases, whether they are trained or not.
        multiply_adds: for one input; None where it is not known how to count them. Additions,
            comparisons and functions of single numbers are not counted.
        receptive_field: along each axis, the places of the input that one unit sees; None where
            that is not known.
        jump: along each axis, places of the input from one unit to the next; 0 where a unit sees
            all there is.
        start: along each axis, the first place that the first unit sees; negative in the padding.
        inputs: names of the layers before it.
        kernel: of a convolution or pooling, along each axis.
        stride: of a convolution or pooling, along each axis.
        arithmetic: how the numbers come about, a line each.
    """

    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    parameters: int = 0
    multiply_adds: int | None = 0
    receptive_field: tuple[int, ...] | None = None
    jump: tuple[int, ...] | None = None
    start: tuple[int, ...] | None = None
    inputs: tuple[str, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    arithmetic: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[ReceptiveField, ...] | None:
        """What the units see along each axis; None where that is not known."""
        if self.receptive_field is None or self.jump is None or self.start is None:
            return None
        columns = zip(self.receptive_field, self.jump, self.start, strict=True)
        return tuple(ReceptiveField(*numbers) for numbers in columns)


@dataclass(frozen=True)
class NetworkSummary:
    """A network in numbers, layer by layer.

    Attributes:
        name: of the network.
        input_shape: without the batch, channels last.
        layers: in the order of computation.
    """

    name: str
    input_shape: tuple[int | None, ...]
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        """Weights and biases of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of all layers where they are known, for one input."""
        return sum(layer.multiply_adds or 0 for layer in self.layers)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of the layers whose multiply-adds are not known."""
        return tuple(layer.name for layer in self.layers if layer.multiply_adds is None)

    def to_dict(self) -> dict[str, Any]:
        """The layers, and their totals."""
        return {
            "name": self.name,
            "input_shape": self.input_shape,
            "layers": self.layers,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "uncounted": self.uncounted,
        }


def field_columns(fields: Sequence[ReceptiveField] | None) -> dict[str, Any]:
    """Receptive fields along each axis as a `LayerSummary` has them.

    >>> field_columns([ReceptiveField(3, 1, -1), ReceptiveField(5, 2, 0)])
    {'receptive_field': (3, 5), 'jump': (1, 2), 'start': (-1, 0)}
    """
    names = {"receptive_field": "size", "jump": "jump", "start": "start"}
    return {
        column: None if fields is None else tuple(getattr(field, name) for field in fields)
        for column, name in names.items()
    }
