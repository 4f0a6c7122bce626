"""``cnnkit doctor``: what this installation is and can do."""

from dataclasses import asdict

from cnnkit.cli._options import Json
from cnnkit.console import Console
from cnnkit.results import SCHEMA


def doctor(json: Json = False) -> None:
    """Tell what this installation is and can do: versions, devices, memory, weights."""
    from cnnkit.pipelines.doctor import diagnose

    found = diagnose()
    console = Console()
    if json:
        console.json({"schema": SCHEMA, **asdict(found)})
        return
    weights = ", ".join(f"{name} {state}" for name, state in found.weights.items())
    for label, value in (
        ("cnnkit", found.cnnkit),
        ("python", f"{found.python} on {found.system}"),
        ("keras", found.keras),
        ("engine", f"{found.engine} {found.engine_version}, for trained networks"),
        ("backend", f"{found.backend} {found.backend_version}"),
        ("numpy", found.numpy),
        ("pillow", found.pillow),
        ("devices", ", ".join(found.devices)),
        ("threads", str(found.threads)),
        (
            "memory",
            f"{_gigabytes(found.memory_available_bytes)} available "
            f"of {_gigabytes(found.memory_bytes)}",
        ),
        ("cache", f"{found.cache} ({_gigabytes(found.disk_free_bytes)} free)"),
        (
            "compiled",
            f"{len(found.networks)} networks, {found.networks_bytes / 1e6:.0f} MB in the cache",
        ),
        ("weights", weights),
    ):
        console.result(f"{label:<8} {value}")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
