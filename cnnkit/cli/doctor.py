"""``cnnkit doctor``: what this installation is and can do."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.cli._options import Json
from cnnkit.console import Console
from cnnkit.errors import UsageError
from cnnkit.results import SCHEMA

if TYPE_CHECKING:
    from cnnkit.pipelines.doctor import Diagnosis


def doctor(
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.txt",
            help="Write it for a bug report, without the names of your folders.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Tell what this installation is and can do: versions, devices, memory, weights."""
    if report is not None and report.exists():
        raise UsageError(f"{report} exists; give --report another name")
    from cnnkit.pipelines.doctor import diagnose

    found = diagnose()
    console = Console()
    if json:
        console.json({"schema": SCHEMA, **asdict(found), "advice": list(found.advice())})
        return
    lines = _lines(found)
    advice = [f"         {line}" for line in found.advice()]
    for line in [*lines, *(["could be better:"] if advice else []), *advice]:
        console.result(line)
    if report is not None:
        from cnnkit.images import write_bytes

        home = str(Path.home())
        text = "\n".join([*lines, *advice]).replace(home, "~") + "\n"
        write_bytes(report, text.encode(), overwrite=False)
        console.note(f"{report} has the same, without the name of your home folder")


def _lines(found: "Diagnosis") -> list[str]:
    """A line for each fact."""
    by_state: dict[str, list[str]] = {}
    for name, state in found.weights.items():
        by_state.setdefault(state, []).append(name)
    weights = "; ".join(f"{state}: {', '.join(names)}" for state, names in by_state.items())
    facts = (
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
    )
    return [f"{label:<8} {value}" for label, value in facts]


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
