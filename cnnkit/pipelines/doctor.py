"""What this installation is and can do."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import cnnkit
from cnnkit.engine.choice import OPENVINO, resolve_engine
from cnnkit.engine.network_cache import measure_cache
from cnnkit.runtime import devices, import_keras, measure_memory, thread_count
from cnnkit.weights import cache_dir, entries, status

# Optional parts: the module that tells whether one is installed, and what it is for.
_EXTRAS = {
    "heif": ("pillow_heif", "HEIC pictures, as telephones make them"),
    "studio": ("gradio", "the page of cnnkit studio"),
    "serve": ("fastapi", "the HTTP API of cnnkit serve"),
    "show": ("textual_image", "pictures in the terminal, --show"),
    "onnx": ("onnxruntime", "export to ONNX"),
    "video": ("av", "videos, in and out"),
}
_CUDA = {
    "tensorflow": "pip install 'tensorflow[and-cuda]'",
    "jax": "pip install 'jax[cuda12]'",
    "torch": "install a build of torch with CUDA",
}
# Systems that there are wheels of OpenVINO for, as `Diagnosis.system` names them.
_WITH_OPENVINO = ("Linux x86_64", "Darwin arm64", "Windows AMD64")
# Bytes from which on nothing is said, and networks that `cnnkit weights warm` leaves.
_LITTLE_MEMORY, _LITTLE_DISK, _USUAL_NETWORKS = 3e9, 2e9, 6


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
        extras: optional parts that are not installed -> what they are for.
        has_nvidia: whether the machine has NVIDIA's driver.
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
    extras: dict[str, str] = field(default_factory=dict)
    has_nvidia: bool = False

    def advice(self) -> tuple[str, ...]:
        """What would make this machine quicker, or is missing: a line each, with its remedy."""
        lines = []
        if self.engine != OPENVINO and os.environ.get("KERAS_BACKEND"):
            lines.append(
                f"trained networks run on {self.engine}, as KERAS_BACKEND says: unset it, and they "
                "start in a fifth of the time"
            )
        elif self.engine != OPENVINO and self.system in _WITH_OPENVINO:
            lines.append("trained networks start in a fifth of the time with: pip install openvino")
        if self.engine == OPENVINO and len(set(self.networks)) < _USUAL_NETWORKS:
            lines.append("the first picture of each command is quicker after: cnnkit weights warm")
        if self.has_nvidia and not any("gpu" in one for one in self.devices):
            remedy = _CUDA.get(self.backend, f"{self.backend} with CUDA")
            lines.append(f"the NVIDIA GPU is not used: {remedy}")
        if self.memory_available_bytes < _LITTLE_MEMORY:
            lines.append(
                "little memory is free: close other programs, or paint with --backbone compact "
                "and --size 384"
            )
        if self.disk_free_bytes < _LITTLE_DISK:
            lines.append(f"{self.cache} has little room: move it with CNNKIT_HOME=FOLDER")
        damaged = [name for name, state in self.weights.items() if state == "damaged"]
        lines += [f"{name} is damaged: cnnkit weights check {name}" for name in damaged]
        lines += [f'{purpose}: pip install ".[{extra}]"' for extra, purpose in self.extras.items()]
        return tuple(lines)


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
        extras={
            extra: purpose
            for extra, (module, purpose) in _EXTRAS.items()
            if importlib.util.find_spec(module) is None
        },
        has_nvidia=shutil.which("nvidia-smi") is not None,
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
