"""OpenVINO's form of a Keras model, and what runs it.

Keras' backend "openvino" computes with nodes of an OpenVINO graph: a model that is called on the
graph's inputs gives the graph of the whole network. It has no gradients.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit.imports import import_openvino
from cnnkit.ops._channels_first import put_channels_first

if TYPE_CHECKING:
    import keras
    import openvino

# So many shapes of inputs get a program of their own, which takes half of the time on small
# pictures; all further ones share one that takes any shape.
_OWN_PROGRAMS = 2
# Numbers of the inputs above which what is computed between them and the outputs is given back
# after each run: of large pictures hundreds of megabytes for each network.
_MOST_KEPT = 1_000_000


@dataclass(frozen=True)
class Signature:
    """What a network takes and gives.

    Attributes:
        inputs: type of each input: "float32", "uint8" (computed with as floats) or "int32".
        outputs: None for one array; the keys of a dict of arrays; or "0", "1" ... of a list.
        is_mapping: whether it gives a dict.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] | None = None
    is_mapping: bool = False

    def pack(self, arrays: Sequence[np.ndarray]) -> Any:
        """Arrays as the Keras model would give them."""
        if self.outputs is None:
            return arrays[0]
        return dict(zip(self.outputs, arrays, strict=True)) if self.is_mapping else list(arrays)


def input_types(model: "keras.Model", dtype: str) -> tuple[str, ...]:
    """Types of a model's inputs where floats are given as `dtype`."""
    return tuple("int32" if one.dtype == "int32" else dtype for one in model.inputs)


def convert_model(model: "keras.Model", dtype: str) -> tuple["openvino.Model", Signature]:
    """Makes the OpenVINO graph of a Keras model, with the weights that it has now.

    Args:
        model: on Keras' backend "openvino"; functional or sequential.
        dtype: of the floats that it will be given, "uint8" or "float32".

    Returns:
        The graph, whose sizes are as open as those of the model's inputs, and what it takes.

    Raises:
        Exception: whatever Keras or OpenVINO raises where an operation cannot be expressed.
    """
    import_openvino()
    import keras
    import openvino
    import openvino.opset16 as opset

    # There is no public way to call a model on inputs of a graph: `model.export` traces it with
    # sizes of 1, which layers that look at sizes keep for good.
    from keras.src.backend.openvino.core import OpenVINOKerasTensor

    types = input_types(model, dtype)
    parameters, tensors = [], []
    for one, name in zip(model.inputs, types, strict=True):
        shape = openvino.PartialShape([-1 if side is None else side for side in one.shape])
        parameter = opset.parameter(shape, np.dtype(name).type)
        node = opset.convert(parameter, np.float32) if name == "uint8" else parameter
        parameters.append(parameter)
        tensors.append(OpenVINOKerasTensor(node.output(0)))
    with _exact_transposed_convolutions(model):
        outputs = model(tensors[0] if len(tensors) == 1 else tensors, training=False)
    if isinstance(outputs, Mapping):
        keys, flat, is_mapping = tuple(outputs), list(outputs.values()), True
    elif isinstance(outputs, list | tuple):
        keys, flat, is_mapping = tuple(map(str, range(len(outputs)))), list(outputs), False
    else:
        keys, flat, is_mapping = None, [outputs], False
    nodes = [keras.ops.convert_to_tensor(one).output for one in flat]
    graph = openvino.Model(nodes, parameters)
    put_channels_first(graph)
    return graph, Signature(types, keys, is_mapping)


def all_layers(model: "keras.Model") -> Iterator["keras.layers.Layer"]:
    """The layers of a model, and of the models in it."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from all_layers(layer)
        else:
            yield layer


@contextlib.contextmanager
def _exact_transposed_convolutions(model: "keras.Model") -> Iterator[None]:
    """While the block runs, transposed convolutions with "same" padding cut what they give.

    Keras' backend does not know, where sizes are open, how much that is.
    """
    import keras

    changed = [
        layer
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.Conv2DTranspose)
        and layer.padding == "same"
        and layer.output_padding is None
        and layer.data_format == "channels_last"
    ]

    def replacement(layer: "keras.layers.Conv2DTranspose") -> Callable[[Any], Any]:
        def call(x: Any) -> Any:
            x = keras.ops.conv_transpose(
                x, layer.kernel, layer.strides, "valid", data_format=layer.data_format
            )
            for axis in (1, 2):
                more = max(0, layer.kernel_size[axis - 1] - layer.strides[axis - 1])
                before = more // 2
                cut = slice(before, -(more - before) or None)
                x = x[(*(slice(None),) * axis, cut)]
            if layer.use_bias:
                x = x + layer.bias
            return x if layer.activation is None else layer.activation(x)

        return call

    try:
        for layer in changed:
            layer.call = replacement(layer)
        yield
    finally:
        for layer in changed:
            del layer.call


class ProgramStore:
    """Keeps nothing: every program is compiled by the process that needs it."""

    def read(self, key: str) -> bytes | None:
        """What was kept under a key; None where there is nothing, or nothing whole."""
        return None

    def write(self, key: str, program: bytes) -> None:
        """Keeps a program."""


class OpenvinoNetwork:
    """Runs an OpenVINO graph on the processor, in float32.

    The program for the first shapes of inputs is compiled for these alone, that for others once for
    all shapes. Threads may call it at the same time.

    Args:
        read: gives the graph; called when a program must be compiled.
        signature: what it takes and gives.
        threads: that compute; as many as there are cores by default.
        store: where compiled programs are kept for other processes.
    """

    def __init__(
        self,
        read: Callable[[], "openvino.Model"],
        signature: Signature,
        threads: int | None = None,
        store: ProgramStore | None = None,
    ):
        import_openvino()
        import openvino

        self._read, self._signature = read, signature
        self._store = store or ProgramStore()
        self._core = openvino.Core()
        # By itself it computes in bfloat16 where the processor can.
        self._settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if threads is not None:
            self._settings["INFERENCE_NUM_THREADS"] = threads
        self._machine = "|".join(
            [
                openvino.__version__,
                self._core.get_property("CPU", "FULL_DEVICE_NAME"),
                *sorted(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
                str(threads),
            ]
        )
        self._programs: dict[Any, Any] = {}
        self._lock = threading.Lock()
        self._requests = threading.local()

    def __call__(self, *arrays: np.ndarray) -> Any:
        """Runs the network.

        Args:
            arrays: one for each input.

        Returns:
            A float32 array, or a dict or list of them, as the Keras model gives it.
        """
        values = [
            np.ascontiguousarray(one, name)
            for one, name in zip(arrays, self._signature.inputs, strict=True)
        ]
        key = self._key(tuple(one.shape for one in values))
        requests = self._requests.__dict__
        if sum(one.size for one in values) > _MOST_KEPT:
            program = self._program(key)
            found = self._infer(program.create_infer_request(), values)
            with self._lock, contextlib.suppress(RuntimeError):
                # Refused while another thread computes, who will ask for it in turn.
                program.release_memory()
            return found
        if key not in requests:
            requests[key] = self._program(key).create_infer_request()
        return self._infer(requests[key], values)

    def _infer(self, request: Any, values: list[np.ndarray]) -> Any:
        found = request.infer(values, share_inputs=True)
        return self._signature.pack([np.array(one) for one in found.to_tuple()])

    def _key(self, shapes: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...] | None:
        """Which program is for inputs of these shapes: None for the one that takes any."""
        with self._lock:
            own = [key for key in self._programs if key is not None]
            if shapes in own or len(own) < _OWN_PROGRAMS:
                self._programs.setdefault(shapes, None)
                return shapes
        return None

    def _program(self, key: tuple[tuple[int, ...], ...] | None) -> Any:
        with self._lock:
            program = self._programs.get(key)
            if program is None:
                program = self._programs[key] = self._kept(key) or self._compiled(key)
        return program

    def _kept(self, key: Any) -> Any:
        kept = self._store.read(self._name(key))
        if kept is None:
            return None
        try:
            return self._core.import_model(kept, "CPU", self._settings)
        except RuntimeError:
            # Of another build of OpenVINO, whatever its version says.
            return None

    def _compiled(self, key: Any) -> Any:
        graph = self._read()
        if key is not None:
            graph.reshape(dict(zip(graph.inputs, map(list, key), strict=True)))
        program = self._core.compile_model(graph, "CPU", self._settings)
        self._store.write(self._name(key), bytes(program.export_model().getvalue()))
        return program

    def _name(self, key: Any) -> str:
        return hashlib.sha256(f"{self._machine}|{key}".encode()).hexdigest()[:16]


def read_graph(path: Path) -> "openvino.Model":
    """The graph of a file that `write_graph` wrote; the numbers lie beside it."""
    import_openvino()
    import openvino

    return openvino.Core().read_model(path)


def write_graph(graph: "openvino.Model", path: Path) -> None:
    """Writes `path` (.xml) and the numbers, all of their bits, beside it (.bin)."""
    import_openvino()
    import openvino

    openvino.save_model(graph, path, compress_to_fp16=False)
