"""What this installation is and can do."""

import importlib.metadata
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import cnnkit
from cnnkit.engine.choice import resolve_engine
from cnnkit.engine.network_cache import measure_cache
from cnnkit.runtime import devices, import_keras, measure_memory, thread_count
from cnnkit.weights import cache_dir, entries, status


@dataclass(frozen=True)
class Diagnosis:
    """The state of an installation.

    Attributes:
        cnnkit: version.
        python: version.
        system: operating system and processor.
        keras: version.
        engine: what runs trained networks in a new process: "openvino", or the backend.
        engine_version: its version.
        backend: what trains, and computes whatever needs gradients: "tensorflow", "jax" or "torch".
        backend_version: its version.
        numpy: version.
        pillow: version.
        devices: names such as "cpu:0".
        threads: compute threads that a job uses unless it is told otherwise.
        memory_bytes: main memory of the machine.
        memory_available_bytes: how much of it is free for a job.
        cache: folder of fetched and imported weights, whether it is there or not.
        disk_free_bytes: room on the disk of that folder.
        networks: names of the networks that lie there compiled, see `cnnkit weights warm`.
        networks_bytes: what they take.
        weights: name of each entry of the table -> "here", "missing" or "damaged".
    """

    cnnkit: str
    python: str
    system: str
    keras: str
    engine: str
    engine_version: str
    backend: str
    backend_version: str
    numpy: str
    pillow: str
    devices: tuple[str, ...]
    threads: int
    memory_bytes: int
    memory_available_bytes: int
    cache: Path
    disk_free_bytes: int
    networks: tuple[str, ...]
    networks_bytes: int
    weights: dict[str, str]


def diagnose() -> Diagnosis:
    """Looks at the installation; takes as long as Keras takes to be imported.

    Returns:
        A `Diagnosis`.

    Raises:
        CnnkitError: the backend that `KERAS_BACKEND` names cannot be imported.
    """
    # Before Keras is imported, which would be an answer.
    engine = resolve_engine()
    import_keras()
    import keras

    kept = measure_cache()

    backend = keras.backend.backend()
    memory = measure_memory()
    return Diagnosis(
        cnnkit=cnnkit.__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        keras=keras.__version__,
        engine=engine,
        engine_version=_version(engine),
        backend=backend,
        backend_version=_version(backend),
        numpy=_version("numpy"),
        pillow=_version("pillow"),
        devices=devices(),
        threads=thread_count(),
        memory_bytes=memory.total,
        memory_available_bytes=memory.available,
        cache=cache_dir(),
        disk_free_bytes=_disk_free(cache_dir()),
        networks=kept.titles,
        networks_bytes=kept.total_bytes,
        weights={wanted.name: status(wanted).state for wanted in entries()},
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # Builds for special machines have other names, such as "tensorflow-macos".
        return "unknown"


def _disk_free(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
