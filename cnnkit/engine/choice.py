"""Which engine computes: OpenVINO, or the backend that Keras is on.

OpenVINO runs trained networks, starts in a tenth of the time that TensorFlow takes, and has no
gradients. What needs gradients runs on Keras' backend always.
"""

import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cnnkit.errors import UsageError
from cnnkit.imports import leave_out
from cnnkit.runtime import (
    check_device,
    check_threads,
    configure,
    import_keras,
    set_threads,
)

ENGINES = ("auto", "openvino", "tensorflow")
OPENVINO = "openvino"


@dataclass(frozen=True)
class Choice:
    """What a process was told about its engine.

    Attributes:
        engine: one of `ENGINES`.
        threads: compute threads; None for all cores.
        device: "auto", "cpu" or "gpu".
        verbose: let an engine's own messages through.
        note: told in one line of what the user may want to know.
    """

    engine: str = "auto"
    threads: int | None = None
    device: str = "auto"
    verbose: bool = False
    note: Callable[[str], None] | None = None

    def tell(self, text: str) -> None:
        """Passes a line on to whoever started this; to Python's warnings where nobody is told."""
        if self.note is None:
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        else:
            self.note(text)


_choice = [Choice()]


def configure_inference(
    engine: str = "auto",
    *,
    threads: int | None = None,
    device: str = "auto",
    verbose: bool = False,
    note: Callable[[str], None] | None = None,
    needs_keras: bool = False,
) -> str:
    """Chooses what trained networks run on, and imports Keras where it is needed for that.

    Args:
        engine: "openvino", "tensorflow", or "auto": what `KERAS_BACKEND` names; else the backend of
            Keras where that is imported already; else OpenVINO where it is installed, and
            TensorFlow where a GPU is asked for.
        threads: compute threads; all cores by default.
        device: "auto", "cpu" or "gpu"; OpenVINO computes on processors.
        verbose: let an engine's own messages through.
        note: told in one line when TensorFlow takes over.
        needs_keras: import Keras at once, on OpenVINO too.

    Returns:
        "openvino" or the name of Keras' backend.

    Raises:
        UsageError: an unknown engine or device, fewer than one thread, or an engine that is not
            installed or that contradicts `KERAS_BACKEND`.
        CnnkitError: Keras' backend cannot be imported.
    """
    check_threads(threads)
    check_device(device)
    found = resolve_engine(engine, device)
    _choice[0] = Choice(engine, threads, device, verbose, note)
    if found == OPENVINO:
        set_threads(threads)
        if needs_keras:
            import_lean_keras(verbose)
    else:
        configure_keras()
    return found


def remember_choice(
    engine: str = "auto",
    *,
    threads: int | None = None,
    device: str = "auto",
    verbose: bool = False,
    note: Callable[[str], None] | None = None,
) -> None:
    """Keeps what the user said, for a job that imports Keras for its gradients itself.

    For the arguments see `configure_inference`.

    Raises:
        UsageError: an engine that cannot be.
    """
    resolve_engine(engine, device)
    _choice[0] = Choice(engine, threads, device, verbose, note)


def runs_beside_keras() -> bool:
    """Whether networks without gradients run on OpenVINO though Keras is there for others.

    It compiles them in no time, and computes while Keras' backend is imported or compiles.
    """
    choice = _choice[0]
    return (
        choice.engine in ("auto", OPENVINO)
        and choice.device != "gpu"
        and os.environ.get("KERAS_BACKEND", OPENVINO) == OPENVINO
        and is_installed()
    )


def configure_keras() -> None:
    """Imports Keras on the backend that computes where OpenVINO does not."""
    choice = _choice[0]
    if choice.engine == "tensorflow" and "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    if choice.note is None:
        # Called from Python: what the process warns of is its own affair.
        import_keras(choice.verbose)
    else:
        configure(
            threads=choice.threads,
            verbose=choice.verbose,
            device=choice.device,
            needs_gradients=False,
        )


def current_choice() -> Choice:
    """What this process was told; the defaults where `configure_inference` was not called."""
    return _choice[0]


def give_up_openvino(reason: str) -> None:
    """Has Keras' backend compute from now on, and tells why.

    Raises:
        UsageError: the user insists on OpenVINO.
    """
    choice = _choice[0]
    if choice.engine == OPENVINO or os.environ.get("KERAS_BACKEND") == OPENVINO:
        raise UsageError(f"OpenVINO cannot run this: {reason}; use --engine tensorflow")
    choice.tell(f"OpenVINO cannot run this ({reason}); TensorFlow takes over")
    _choice[0] = Choice("tensorflow", choice.threads, choice.device, choice.verbose, choice.note)


def current_engine() -> str:
    """What trained networks run on in this process: "openvino" or the name of Keras' backend."""
    return resolve_engine(_choice[0].engine, _choice[0].device)


def resolve_engine(
    engine: str = "auto", device: str = "auto", environment: Mapping[str, str] = os.environ
) -> str:
    """See `configure_inference`.

    Args:
        engine: one of `ENGINES`.
        device: "auto", "cpu" or "gpu".
        environment: where `KERAS_BACKEND` is looked for.

    Example:

    >>> resolve_engine("auto", environment={"KERAS_BACKEND": "jax"})
    'jax'
    """
    if engine not in ENGINES:
        raise UsageError(f"--engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    named = environment.get("KERAS_BACKEND")
    if engine != "auto" and named and named != engine:
        raise UsageError(f"--engine {engine} contradicts KERAS_BACKEND={named}; give one of them")
    if engine == OPENVINO and not is_installed():
        raise UsageError(
            "--engine openvino: it is not installed here; run: pip install openvino, or use "
            "--engine tensorflow"
        )
    if engine == OPENVINO and device == "gpu":
        raise UsageError("--engine openvino computes on the processor; leave out --device gpu")
    if engine != "auto":
        return engine
    if named:
        return named
    keras = sys.modules.get("keras")
    if keras is not None:
        return keras.backend.backend()
    return "tensorflow" if device == "gpu" or not is_installed() else OPENVINO


def is_installed() -> bool:
    """Whether OpenVINO can be imported here, as far as one knows without trying.

    There are no wheels of it for some systems.
    """
    return importlib.util.find_spec(OPENVINO) is not None


def import_lean_keras(verbose: bool = False) -> None:
    """Imports Keras on OpenVINO, without the packages that no trained network needs there.

    Args:
        verbose: let the engine's own messages through.
    """
    os.environ["KERAS_BACKEND"] = OPENVINO
    # Keras looks for it whenever it describes a layer.
    leave_out("tensorflow")
    # Keras' backend needs it for spectra alone.
    spec = importlib.util.find_spec("scipy.signal")
    if spec is not None and spec.loader is not None and spec.name not in sys.modules:
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    import_keras(verbose, lean=True)
