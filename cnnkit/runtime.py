"""Settings of the process that must stand before Keras is imported, and its quiet import."""

import contextlib
import ctypes
import gc
import importlib
import json
import logging
import os
import re
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from cnnkit.errors import CnnkitError, ExitCode, UsageError
from cnnkit.imports import import_openvino, leave_out

DEVICES = ("auto", "cpu", "gpu")

LOST_PROCESS = (
    "another process of this training ended or cannot be reached; "
    "run the same command with --resume in all processes"
)
# Seconds: without a sign of life a process is given up, and the others end.
_HEARTBEAT = 20
_MOST_READERS = 8
# For all processes to be started, and to end.
_START, _END = 600, 30
# As JAX has it: from the number of a job to a port that is not in use.
_SLURM_PORTS = (61440, 4096)


@dataclass(frozen=True)
class Cluster:
    """Processes that train together, and which of them this one is.

    Attributes:
        coordinator: "host:port" of process 0, where the others find it.
        processes: their number.
        process_id: of this one, from 0.
    """

    coordinator: str
    processes: int
    process_id: int


def find_cluster(
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Cluster | None:
    """The processes that this one works with, from what is given or from the environment.

    Each of the three is looked for in turn: as given; in `CNNKIT_COORDINATOR`, `CNNKIT_PROCESSES`
    and `CNNKIT_PROCESS_ID`; in Keras' own `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `..._NUM_PROCESSES`
    and `..._PROCESS_ID`; the number of the process in `JOB_COMPLETION_INDEX` of an indexed job of
    Kubernetes; and, in a step that Slurm's `srun` started, in `SLURM_STEP_NUM_TASKS`,
    `SLURM_PROCID` and the first node of `SLURM_STEP_NODELIST`, with a port made from the job's
    number.

    Args:
        coordinator: "host:port" of process 0.
        processes: their number; 1 for none but this one, whatever the environment says.
        process_id: of this one.
        environment: where the rest is looked for.

    Returns:
        The cluster, or None for one process alone.

    Raises:
        UsageError: one of the three is missing, or no number, or they do not fit together.

    Example:

    >>> find_cluster("node1:1234", 2, environment={"JOB_COMPLETION_INDEX": "1"})
    Cluster(coordinator='node1:1234', processes=2, process_id=1)
    >>> find_cluster(environment={}) is None
    True
    """
    if processes == 1:
        return None
    slurm = _slurm(environment)
    if processes is not None and slurm.get("processes") != str(processes):
        slurm = {}
    names = {
        "coordinator": ("CNNKIT_COORDINATOR", "KERAS_DISTRIBUTION_JOB_ADDRESSES"),
        "processes": ("CNNKIT_PROCESSES", "KERAS_DISTRIBUTION_NUM_PROCESSES"),
        "process_id": ("CNNKIT_PROCESS_ID", "KERAS_DISTRIBUTION_PROCESS_ID"),
    }
    given = {"coordinator": coordinator, "processes": processes, "process_id": process_id}
    for name, value in given.items():
        if value is None:
            values = [environment[key] for key in names[name] if environment.get(key)]
            given[name] = values[0] if values else slurm.get(name)
    if all(value is None for value in given.values()) or given["processes"] == "1":
        return None
    if given["process_id"] is None:
        given["process_id"] = environment.get("JOB_COMPLETION_INDEX")
    for name, value in given.items():
        if value is None:
            option, variable = f"--{name.replace('_', '-')}", names[name][0]
            raise UsageError(f"several processes need {option} or {variable} too")
    try:
        total, own = int(given["processes"]), int(given["process_id"])
    except ValueError as error:
        raise UsageError(f"the number of a process is none: {error}") from None
    if total == 1:
        return None
    if not 0 <= own < total:
        raise UsageError(f"--process-id must be from 0 to {total - 1}, not {own}")
    # Keras' variable may name all processes; the first is the one where they meet.
    address = str(given["coordinator"]).split(",")[0]
    if not re.fullmatch(r".+:\d+", address):
        raise UsageError(f"--coordinator must be HOST:PORT, not {address!r}")
    return Cluster(address, total, own)


def _slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """What a step of Slurm says of its tasks; nothing outside of one, as in a batch script."""
    tasks, node_list = (
        environment.get(f"SLURM_STEP_{key}", "") for key in ("NUM_TASKS", "NODELIST")
    )
    if tasks in ("", "1") or not node_list:
        return {}
    # Such as "node7", "node7,node9", "node[07-12,15],other" or "node[07-12]-ib".
    first = re.match(r"([^\[,]*)(?:\[([^\],-]*)[^\]]*\])?([^,]*)", node_list)
    begin, count = _SLURM_PORTS
    port = begin + int(environment.get("SLURM_JOB_ID", "0")) % count
    found = {"coordinator": f"{''.join(part or '' for part in first.groups())}:{port}"}
    found["processes"] = tasks
    if "SLURM_PROCID" in environment:
        found["process_id"] = environment["SLURM_PROCID"]
    return found


def configure(
    threads: int | None = None,
    verbose: bool = False,
    device: str = "auto",
    cluster: Cluster | None = None,
    needs_gradients: bool = True,
) -> None:
    """Bounds the backend's threads and imports Keras without its chatter.

    Call it before anything else imports Keras: threads and log levels are read only once.

    Args:
        threads: compute threads; all cores by default.
        verbose: let the backend's own messages through.
        device: "cpu" hides GPUs from the backend, "gpu" insists on one, "auto" takes what is there.
        cluster: processes to join, which is possible on JAX; it waits for all of them. From then
            on this one ends, with a line that says so, where another is lost.
        needs_gradients: refuse OpenVINO, which has none.

    Raises:
        UsageError: fewer than one thread, an unknown device, a GPU asked for that is not there,
            or several processes on another backend than JAX.
        CnnkitError: the backend that `KERAS_BACKEND` names cannot be imported, or the other
            processes are not there.
    """
    check_threads(threads)
    check_device(device)
    set_threads(threads)
    if needs_gradients and os.environ.get("KERAS_BACKEND") == "openvino":
        raise UsageError(
            "KERAS_BACKEND=openvino has no gradients, which this command needs; unset it"
        )
    if cluster is not None and os.environ.get("KERAS_BACKEND") != "jax":
        raise UsageError(
            "several processes train together on JAX only: set KERAS_BACKEND=jax in all of them "
            '(pip install "cnnkit[jax]")'
        )
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        os.environ["JAX_PLATFORMS"] = "cpu"
    if not verbose and not sys.warnoptions:
        warnings.simplefilter("ignore")
    if cluster is not None:
        _give_last_words(verbose)
        text = _not_found(cluster, f"in {_START // 60} minutes")
        _last_words.append((text, ExitCode.INPUT_FAILED))
    import_keras(verbose, cluster, lean=True)
    if cluster is not None:
        _last_words.append((LOST_PROCESS, ExitCode.INPUT_FAILED))
    if device == "gpu" and all(name.startswith("cpu") for name in devices()):
        raise UsageError("--device gpu: the backend sees no GPU here; use --device cpu")


def check_threads(threads: int | None) -> None:
    """Refuses fewer than one compute thread; None stands for all cores.

    Raises:
        UsageError: there are fewer.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"--threads must be at least 1, not {threads}")


def check_device(device: str) -> None:
    """Refuses what is not in `DEVICES`.

    Raises:
        UsageError: it is not.
    """
    if device not in DEVICES:
        raise UsageError(f"--device must be one of {', '.join(DEVICES)}, not {device!r}")


def set_threads(threads: int | None) -> None:
    """Bounds the compute threads of what is imported afterwards, and `thread_count`."""
    if threads is not None:
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            os.environ[name] = str(threads)


# What Keras imports where it is there, for what no command does, in half a second or more each.
_UNUSED = ("matplotlib", "jax", "torch")


def import_keras(verbose: bool = False, cluster: Cluster | None = None, lean: bool = False) -> None:
    """Imports Keras, if it is not imported yet, without the chatter of its backend.

    What the environment asks for of TensorFlow's messages is shown.

    Args:
        verbose: let the backend's own messages through.
        cluster: see `configure`.
        lean: without what it imports for functions that no command uses; such functions are
            missing then.

    Raises:
        CnnkitError: the backend that `KERAS_BACKEND` names cannot be imported.
    """
    choose_kernels()
    is_asked_for = verbose or os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") < "3"
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        logging.getLogger("absl").setLevel(logging.ERROR)
    if "keras" not in sys.modules:
        unused = [name for name in _UNUSED if name != _chosen_backend()] if lean else ()
        let_in = leave_out(*unused)
        if _chosen_backend() == "openvino":
            with contextlib.suppress(ImportError):
                import_openvino()
        try:
            with contextlib.nullcontext() if is_asked_for else silent_stderr():
                _import_keras(cluster)
        finally:
            let_in()


def _chosen_backend() -> str:
    """The backend that Keras will be on: by its variable, or by its own file of settings."""
    named = os.environ.get("KERAS_BACKEND")
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    if not named:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            settings = Path(home, "keras.json").expanduser().read_text(encoding="utf-8")
            named = json.loads(settings).get("backend")
    return named or "tensorflow"


def choose_kernels() -> None:
    """Has TensorFlow compute with oneDNN, unless the environment says otherwise.

    By itself it does so only on processors with instructions for neural networks (AVX512-VNNI and
    newer). With AVX2 alone oneDNN takes two thirds of the time for style transfer, and three
    quarters for training. Call it before TensorFlow is imported.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def devices() -> tuple[str, ...]:
    """What the backend can compute on, such as `("cpu:0", "gpu:0")`; call `configure` first."""
    keras = sys.modules["keras"]
    try:
        return tuple(keras.distribution.list_devices())
    except AttributeError:
        # Keras lists no devices of PyTorch: this is the one that it puts tensors on.
        return (str(keras.ops.zeros(1).device),)


def has_accelerator() -> bool:
    """Whether the backend computes on more than processors; call `configure` first."""
    return any(not name.lower().startswith("cpu") for name in devices())


def has_fast_bfloat16(cpu_information: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether TensorFlow computes convolutions on this processor faster in bfloat16.

    That is where it has instructions for products of such matrices (AMX, or AVX-512-BF16); known on
    Linux alone. On two cores with AMX a step of style transfer on VGG-16 takes a third of the time.

    Args:
        cpu_information: where Linux lists the processor's instructions.
    """
    keras = sys.modules["keras"]
    if keras.backend.backend() != "tensorflow" or has_accelerator():
        return False
    try:
        flags = cpu_information.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"^flags\s*:.*\b(amx_bf16|avx512_bf16)\b", flags, re.MULTILINE) is not None


def thread_count() -> int:
    """Threads that this process may keep busy: what `configure` was told, or its cores."""
    bound = os.environ.get("TF_NUM_INTRAOP_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    if bound.isdecimal() and int(bound) > 0:
        return int(bound)
    # A container or a scheduler may allow fewer cores than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def reader_count() -> int:
    """Threads that read files at a time: no more than `thread_count`, and at most eight."""
    return min(_MOST_READERS, thread_count())


def give_back_memory() -> None:
    """Returns memory that is free, but kept by the process, to the system, where that can be done.

    After a graph was traced and compiled that is some hundred megabytes.
    """
    # What was traced is full of cycles.
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        # Of glibc alone.
        ctypes.CDLL(None).malloc_trim(0)


@dataclass(frozen=True)
class Memory:
    """What the process may use, in bytes.

    Attributes:
        total: of the machine or the container.
        available: what is left of it.
    """

    total: int
    available: int


def measure_memory(
    groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> Memory:
    """Memory of the machine, or of the container that the process is in, where that has less.

    Args:
        groups: where Linux shows the limits of groups of processes, in either version.
        own: which of them this process is in.

    Returns:
        A `Memory`. What a container has cached of files counts as available.
    """
    import psutil

    machine = psutil.virtual_memory()
    total, available = machine.total, machine.available
    for folder in _memory_groups(groups, own):
        for limit, used, cached in _MEMORY_FILES:
            most, taken = _number(folder / limit), _number(folder / used)
            if most is None or taken is None or most >= machine.total:
                continue
            with contextlib.suppress(OSError):
                for line in (folder / "memory.stat").read_text().splitlines():
                    name, _, value = line.partition(" ")
                    taken -= int(value) if name == cached else 0
            total, available = min(total, most), min(available, max(0, most - taken))
    return Memory(total, available)


# The limit, what is used of it, and files that are kept as long as nobody needs the room: in the
# second version of groups, and in the first.
_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _memory_groups(groups: Path, own: Path) -> Iterator[Path]:
    """Folders of the groups whose memory this process counts to: the outermost ones, which are a
    container's own, and its own one.
    """
    yield from (groups, groups / "memory")
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                yield groups / "memory" / path.lstrip("/")
            elif not controllers:
                yield groups / path.lstrip("/")


def _number(path: Path) -> int | None:
    """Of a file that holds one; None where it holds none, or is not there."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _import_keras(cluster: Cluster | None = None) -> None:
    try:
        keras = importlib.import_module("keras")
        if cluster is not None:
            # Before the first tensor: afterwards JAX has made up its mind about the devices.
            _join(cluster)
        # Its first tensor has TensorFlow look for a graphics card and complain of having none.
        keras.ops.zeros(1)
        if os.environ.get("KERAS_BACKEND", "tensorflow") not in ("tensorflow", "openvino"):
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


def _join(cluster: Cluster) -> None:
    """Connects the processes, by JAX.

    `keras.distribution.initialize` does that too, but cannot be told when a process counts as lost
    (JAX waits for 100 s), nor to leave a process all of its GPUs in a step of Slurm.
    """
    jax = importlib.import_module("jax")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            cluster.coordinator,
            cluster.processes,
            cluster.process_id,
            cluster_detection_method="deactivate",
            initialization_timeout=_START,
            heartbeat_timeout_seconds=_HEARTBEAT,
            shutdown_timeout_seconds=_END,
        )
    except TypeError as error:
        raise CnnkitError(
            f"several processes need JAX 0.7 or newer, not {jax.__version__} ({error})"
        ) from None
    except RuntimeError as error:
        raise CnnkitError(_not_found(cluster, f"({str(error).splitlines()[0]})")) from None


def _not_found(cluster: Cluster, how: str) -> str:
    return (
        f"process {cluster.process_id} does not find the others at "
        f"{cluster.coordinator} {how}; are all running, and is the port open?"
    )


# What is said when JAX aborts this process, and the code that it ends with: the last of these.
_last_words: list[tuple[str, ExitCode]] = []
# C holds no reference to what it calls.
_kept_handlers: list[object] = []


def _give_last_words(verbose: bool) -> None:
    """Has this process say why it ends when JAX ends it because another one is lost.

    JAX then aborts the process from a thread in C++: nothing of Python would run, and what is left
    is its stack.
    """
    if not verbose:
        sys.stdout, sys.stderr = _without_chatter(sys.stdout, 1), _without_chatter(sys.stderr, 2)
    own = sys.stderr.fileno()

    def end(number: int) -> None:
        text, code = _last_words[-1]
        if text:
            os.write(own, f"error: {text}\n".encode())
        os._exit(int(code))

    # Python's own handlers run between two of its instructions, which never come after an abort.
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(end)
    _kept_handlers.append(handler)
    ctypes.CDLL(None).signal(int(signal.SIGABRT), handler)


def expect_interruption() -> None:
    """From now on the end of another process is taken as that of an interruption of all."""
    _last_words.append(("", ExitCode.INTERRUPTED))


def _without_chatter(stream: TextIO, descriptor: int) -> TextIO:
    """What Python writes goes where it went, what C++ writes there goes nowhere."""
    stream.flush()
    own = os.fdopen(
        os.dup(descriptor), "w", buffering=1, encoding="utf-8", errors="backslashreplace"
    )
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return own


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
