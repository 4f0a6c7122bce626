"""Settings of the process that must stand before Keras is imported, and its quiet import."""

import contextlib
import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from cnnkit.errors import CnnkitError, UsageError

DEVICES = ("auto", "cpu", "gpu")


def configure(threads: int | None = None, verbose: bool = False, device: str = "auto") -> None:
    """Bounds the backend's threads and imports Keras without its chatter.

    Call it before anything else imports Keras: threads and log levels are read only once.

    Args:
        threads: compute threads; all cores by default.
        verbose: let the backend's own messages through.
        device: "cpu" hides GPUs from the backend, "gpu" insists on one, "auto" takes what is there.

    Raises:
        UsageError: fewer than one thread, an unknown device, or a GPU asked for that is not there.
        CnnkitError: the backend that `KERAS_BACKEND` names cannot be imported.
    """
    if threads is not None:
        if threads < 1:
            raise UsageError(f"--threads must be at least 1, not {threads}")
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            os.environ[name] = str(threads)
    if device not in DEVICES:
        raise UsageError(f"--device must be one of {', '.join(DEVICES)}, not {device!r}")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        os.environ["JAX_PLATFORMS"] = "cpu"
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        logging.getLogger("absl").setLevel(logging.ERROR)
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
    if "keras" not in sys.modules:
        with contextlib.nullcontext() if verbose else silent_stderr():
            _import_keras()
    if device == "gpu" and all(name.startswith("cpu") for name in devices()):
        raise UsageError("--device gpu: the backend sees no GPU here; use --device cpu")


def devices() -> tuple[str, ...]:
    """What the backend can compute on, such as `("cpu:0", "gpu:0")`; call `configure` first."""
    keras = sys.modules["keras"]
    try:
        return tuple(keras.distribution.list_devices())
    except AttributeError:
        # Keras lists no devices of PyTorch: this is the one that it puts tensors on.
        return (str(keras.ops.zeros(1).device),)


def _import_keras() -> None:
    try:
        keras = importlib.import_module("keras")
        # Its first tensor has TensorFlow look for a graphics card and complain of having none.
        keras.ops.zeros(1)
        if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
            # Keras' `fit` looks into TensorFlow, where there is one, whatever the backend.
            with contextlib.suppress(ImportError):
                importlib.import_module("tensorflow")
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND")
        if backend is None:
            raise
        raise CnnkitError(
            f"Keras cannot use the backend '{backend}' ({error}); install it, or unset "
            "KERAS_BACKEND"
        ) from None


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, and shows it if the block fails.

    TensorFlow's C++ code writes there while it is imported, before any log level is read: no
    environment variable stops it.
    """
    try:
        kept = os.dup(2)
    except OSError:
        # There is no stderr, so there is nothing to hold back.
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except CnnkitError:
            raise
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
