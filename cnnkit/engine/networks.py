"""Trained networks ready to run: on OpenVINO without Keras, or on the backend that Keras is on.

A task names a function that builds its networks in Keras. On OpenVINO a child process calls it, and
leaves the graphs in the user's cache folder; from then on nothing of Keras is needed.
"""

import contextlib
import functools
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit import __version__, errors
from cnnkit.engine import network_cache
from cnnkit.engine.choice import (
    OPENVINO,
    configure_keras,
    current_choice,
    current_engine,
    give_up_openvino,
    import_lean_keras,
    runs_beside_keras,
)
from cnnkit.errors import CnnkitError
from cnnkit.imports import import_openvino
from cnnkit.ops.openvino_graph import (
    OpenvinoNetwork,
    convert_model,
    read_graph,
    write_graph,
)
from cnnkit.weights import fingerprint

if TYPE_CHECKING:
    import keras

# What the child process leaves behind where a user can mend what went wrong.
_ERROR = "error.json"
# What the graphs of a network depend on, beside its weights.
_CODE = ("engine", "losses", "models", "ops", "pipelines", "tasks", "weights")


class EngineError(Exception):
    """Why OpenVINO cannot run a network."""


@dataclass(frozen=True, eq=False)
class BuiltNetworks:
    """Networks of a task, built and filled.

    Attributes:
        models: name -> model.
        facts: what the task needs to know of them, as plain JSON types.
        dtypes: name -> "uint8" where the model is given bytes; "float32" for the others.
    """

    models: Mapping[str, "keras.Model"]
    facts: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)

    def dtype(self, name: str) -> str:
        """Of the floats that a model is given."""
        return self.dtypes.get(name, "float32")


@dataclass(frozen=True)
class NetworkSource:
    """Where the networks of a task come from.

    Attributes:
        title: for people, such as "detector coco80".
        builder: "module:function", which gives a `BuiltNetworks`; the module may import Keras.
        files: of the weights, the builder's arguments, in order.
        settings: its arguments by name, as plain JSON types.
    """

    title: str
    builder: str
    files: Sequence[Path]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> BuiltNetworks:
        """Builds them, on the backend that Keras is on."""
        module, _, function = self.builder.partition(":")
        return getattr(importlib.import_module(module), function)(*self.files, **self.settings)

    def key(self) -> str:
        """The name of all that the networks depend on; where their files lie is no part of it."""
        hashes = [fingerprint(path) for path in self.files]
        return network_cache.cache_key(
            [__version__, _versions(), self.builder, self.settings, hashes]
        )


class Networks:
    """Networks of a task on the engine of this process, see `choice.configure_inference`.

    Where OpenVINO cannot run them, the backend of Keras takes over, and the user is told.

    Attributes:
        engine: what they run on: "openvino", or the backend of Keras.
        facts: what the builder says of them.
        conversion_seconds: what making the graphs took; 0 where they were in the cache already.

    Args:
        source: where they come from.
        beside_keras: run them on OpenVINO where that is possible, even though Keras is imported on
            another backend for what needs gradients.

    Raises:
        CnnkitError: as the builder raises it.
        UsageError: OpenVINO cannot run them, and the user insists on it.
    """

    def __init__(self, source: NetworkSource, beside_keras: bool = False):
        self._source = source
        self._lock = threading.RLock()
        self._makers: dict[str, Callable[[], Callable[..., Any]]] = {}
        self._compiled: dict[str, Callable[..., Any]] = {}
        self.engine, self.conversion_seconds = "", 0.0
        self.facts: Mapping[str, Any] = {}
        # In this order: another thread may be importing Keras, which cannot be asked yet.
        if (beside_keras and runs_beside_keras()) or current_engine() == OPENVINO:
            try:
                self._use_openvino()
                return
            except EngineError as error:
                give_up_openvino(str(error))
        self._use_keras()

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """A network, compiled when it is first asked for.

        Returns:
            Arrays -> a float32 array, or a dict or list of them where the network gives one.
        """
        return functools.partial(self._run, name)

    @property
    def compiles_each_size(self) -> bool:
        """Whether each size of inputs is compiled anew, so that sizes should be few."""
        return self.engine == "jax"

    def _run(self, name: str, *arrays: np.ndarray) -> Any:
        try:
            return self._network(name)(*arrays)
        except RuntimeError as error:
            if self.engine != OPENVINO:
                raise
            # Some operations fail only when they are compiled, or meet a size.
            with self._lock:
                if self.engine == OPENVINO:
                    give_up_openvino(_first_line(error))
                    self._use_keras()
        return self._network(name)(*arrays)

    def _network(self, name: str) -> Callable[..., Any]:
        with self._lock:
            if name not in self._compiled:
                self._compiled[name] = self._makers[name]()
            return self._compiled[name]

    def _use_keras(self) -> None:
        configure_keras()
        import keras

        from cnnkit.ops.inference import compile_inference

        built = self._source.build()
        self.engine, self.facts = keras.backend.backend(), built.facts
        self._compiled = {}
        self._makers = {
            name: functools.partial(compile_inference, model, built.dtype(name))
            for name, model in built.models.items()
        }

    def _use_openvino(self) -> None:
        key = self._source.key()
        kept = network_cache.read_kept(key)
        if kept is None:
            begin = time.monotonic()
            kept = self._convert(key)
            self.conversion_seconds = time.monotonic() - begin
        try:
            import_openvino()
        except (ImportError, OSError, RuntimeError) as error:
            raise EngineError(_first_line(error)) from None
        self.engine, self.facts = OPENVINO, kept.facts
        self._compiled = {}
        self._makers = {
            name: functools.partial(self._open, key, kept, name) for name in kept.signatures
        }

    def _open(self, key: str, kept: network_cache.KeptNetworks, name: str) -> OpenvinoNetwork:
        def read() -> Any:
            try:
                return read_graph(kept.graph_file(name))
            except (OSError, ValueError):
                # Removed or damaged since it was made.
                network_cache.discard(key)
                return read_graph(self._convert(key).graph_file(name))

        return OpenvinoNetwork(
            read,
            kept.signatures[name],
            current_choice().threads,
            network_cache.KeptPrograms(kept.folder, name),
        )

    def _convert(self, key: str) -> network_cache.KeptNetworks:
        """Has a child process make the graphs, since this one may need Keras on TensorFlow yet.

        Raises:
            EngineError: they cannot be made.
            CnnkitError: as the builder raises it.
        """
        # Its import takes as long in the child, at the same time.
        ahead = threading.Thread(target=_import_ahead)
        ahead.start()
        folder = network_cache.new_folder()
        try:
            self._fill(folder)
            place = network_cache.publish(folder, key)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            ahead.join()
        kept = network_cache.read_folder(place)
        if kept is None:
            raise EngineError(f"what was written to {place} cannot be read again")
        return kept

    def _fill(self, folder: Path) -> None:
        """Has a child process write the graphs into a folder; see `_convert`."""
        job = {
            "title": self._source.title,
            "builder": self._source.builder,
            "files": [str(path) for path in self._source.files],
            "settings": self._source.settings,
            "folder": str(folder),
        }
        environment = {**os.environ, "KERAS_BACKEND": OPENVINO}
        # Isolated, so that no file of the folder that the user is in is taken for a module.
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import convert; convert()"
        try:
            ended = subprocess.run(
                [sys.executable, "-I", "-c", code],
                input=json.dumps(job).encode(),
                stdout=subprocess.DEVNULL,
                stderr=None if current_choice().verbose else subprocess.PIPE,
                env=environment,
                check=False,
            )
        except OSError as error:
            raise EngineError(f"{sys.executable} cannot be started: {error.strerror}") from None
        if ended.returncode:
            lines = (ended.stderr or b"").decode(errors="replace").strip().splitlines()
            raise EngineError(lines[-1] if lines else f"exit code {ended.returncode}")
        failed = folder / _ERROR
        if failed.exists():
            described = json.loads(failed.read_bytes())
            raise getattr(errors, described["kind"])(described["message"])


# Networks that stay open for the whole process, by their source; None where each user has its own.
_shared: dict[tuple[str, bool], Networks] | None = None


def share_networks() -> None:
    """Has `open_networks` open the networks of each source once in this process.

    For processes that call one command many times.
    """
    global _shared
    _shared = {} if _shared is None else _shared


def open_networks(source: NetworkSource, beside_keras: bool = False) -> Networks:
    """Opens the networks of a source; see `Networks` for arguments and errors."""
    if _shared is None:
        return Networks(source, beside_keras)
    key = source.key(), beside_keras
    if key not in _shared:
        _shared[key] = Networks(source, beside_keras)
    return _shared[key]


def convert() -> None:
    """What the child process does: builds the networks that stdin names, and writes their graphs.

    What a user can mend comes back as a file; anything else ends the process with a traceback.
    """
    import_lean_keras()
    job = json.loads(sys.stdin.buffer.read())
    folder = Path(job["folder"])
    files = [Path(name) for name in job["files"]]
    source = NetworkSource(job["title"], job["builder"], files, job["settings"])
    try:
        built = source.build()
    except CnnkitError as error:
        described = {"kind": type(error).__name__, "message": str(error)}
        (folder / _ERROR).write_text(json.dumps(described), encoding="utf-8")
        return
    signatures = {}
    for name, model in built.models.items():
        graph, signatures[name] = convert_model(model, built.dtype(name))
        write_graph(graph, folder / f"{name}.xml")
    network_cache.describe_folder(folder, source.title, built.facts, signatures)


def _import_ahead() -> None:
    """Imports OpenVINO; whoever needs it is told why it cannot be."""
    with contextlib.suppress(Exception):
        import_openvino()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    # OpenVINO names the line of its own source first.
    said = [line for line in lines if line and not line.startswith(("Exception from", "Check "))]
    return (said or lines or [type(error).__name__])[0]


@functools.cache
def _versions() -> tuple[Any, ...]:
    """What changes when Keras, OpenVINO or cnnkit's own code does, without importing them."""
    stamps: list[Any] = []
    for package in ("keras", OPENVINO):
        spec = importlib.util.find_spec(package)
        stamps.append(_stamp(Path(spec.origin)) if spec and spec.origin else None)
    room = Path(__file__).parents[1]
    for part in _CODE:
        stamps += [(path.name, *_stamp(path)) for path in sorted((room / part).rglob("*.py"))]
    return tuple(stamps)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
