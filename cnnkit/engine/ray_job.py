"""One command over many pictures, in parts, on a Ray cluster.

The pictures are cut into parts of some hundreds. A part is done by a process that keeps the network
loaded, and calls the command as a user would; its records become one file, put in place at once. A
part whose file is there is done, so that nothing is recorded twice or lost, whichever process or
machine dies meanwhile, the one that started the job included.
"""

import contextlib
import hashlib
import importlib
import io
import json
import logging
import math
import os
import pickle
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cnnkit.console import Console
from cnnkit.data._values import counted
from cnnkit.engine.command import Call, ElsewhereSettings
from cnnkit.engine.settings import Option
from cnnkit.errors import CnnkitError, DataError, ExitCode, UsageError
from cnnkit.video.formats import VIDEO_SUFFIXES, is_installed

if TYPE_CHECKING:
    from cnnkit.data.sources import Source
    from cnnkit.engine.storage import Storage

RAY_PANEL = "Many machines"
REMEDY = 'pip install "cnnkit[ray]"'

MANIFEST, SOURCES, SUMMARY = "manifest.json", "sources.jsonl", "summary.json"
_SCHEMA = "cnnkit-parts/1"
# Options that do not change what the records say: where, how fast, and what is printed.
_NOT_OF_THE_JOB = {
    *("pictures", "recursive", "overwrite", "skip_existing", "resume", "json", "jsonl", "quiet"),
    *("verbose", "threads", "device", "engine", "batch"),
}


# Pictures in a part at most, and parts for each core of this machine at least.
_MOST_IN_PART, _PARTS_OF_CORE = 256, 4
# How often a part is begun whose process dies; a picture may be the reason.
_MOST_TRIES = 5
# Seconds that a cluster has to answer.
_PATIENCE = 5.0
_ENVIRONMENT = {
    # A cluster that is started here tells nobody of itself.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Of its C++ code; what fails comes as an exception.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # Its processes would yield to everything else, unlike the command without it.
    "RAY_worker_niceness": "0",
}


@dataclass(frozen=True)
class RaySettings(ElsewhereSettings):
    """Where pictures are worked on, if not by this process."""

    ray: Annotated[
        bool,
        Option(
            "Spread the pictures over this machine's cores with Ray, in parts, for --results.",
            RAY_PANEL,
        ),
    ] = False
    ray_address: Annotated[
        str | None,
        Option(
            "Join this Ray cluster instead: auto, HOST:PORT, or ray://HOST:PORT.",
            RAY_PANEL,
            metavar="ADDRESS",
        ),
    ] = None
    results: Annotated[
        str | None,
        Option(
            "With --ray: folder for the records, one file for each part; s3:// and gs:// too.",
            RAY_PANEL,
            metavar="DIR",
        ),
    ] = None
    results_format: Annotated[
        str, Option("Of these files.", RAY_PANEL, choices=("jsonl", "parquet"))
    ] = "jsonl"
    part_size: Annotated[
        int | None,
        Option(
            "Pictures in a part.",
            RAY_PANEL,
            min=1,
            show_default=f"{_MOST_IN_PART}, or fewer where there are few",
        ),
    ] = None
    cpus_per_model: Annotated[
        int, Option("Cores of each process that holds the network.", RAY_PANEL, min=1)
    ] = 1
    gpus_per_model: Annotated[
        float, Option("GPUs of each, such as 1 or 0.5.", RAY_PANEL, min=0.0)
    ] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.results is not None and not self.is_on:
            raise UsageError("--results is for --ray; give --ray too")
        if self.is_on and self.results is None:
            raise UsageError("--ray writes its records to a folder; give --results DIR")

    @property
    def is_on(self) -> bool:
        """See `ElsewhereSettings`."""
        return self.ray or self.ray_address is not None

    def run(self, call: Call) -> int:
        """See `ElsewhereSettings`."""
        for package in ("ray", "pyarrow"):
            if not is_installed(package):
                raise UsageError(f"--ray needs an extra; run: {REMEDY}")
        values = dict(call.values)
        console = Console(quiet=values.get("quiet", False), verbose=values.get("verbose", False))
        _refuse(call)
        if self.ray_address is not None:
            _check_reachable(self.ray_address)
        job = _open(call, self, console.note)
        missing = job.missing()
        done = "" if len(missing) == job.parts else f", {job.parts - len(missing)} of them done"
        console.note(f"{counted(job.count, 'picture')} in {counted(job.parts, 'part')}{done}")
        failures: list[str] = []
        begin = time.monotonic()
        if missing:
            with _cluster(self.ray_address) as processes:
                count = max(1, min(len(missing), processes // self.cpus_per_model))
                with console.progress() as bar:
                    task = bar.add_task(job.name, total=len(missing), status="")
                    for outcome in _run_parts(job, missing, self, count):
                        if error := outcome["error"]:
                            failures.append(f"part {outcome['part']}: {error}")
                            console.error(failures[-1])
                        bar.update(task, advance=1)
        if failures:
            raise DataError(
                f"{len(failures)} of {job.parts} parts failed; mend what they name, and give "
                "--resume"
            )
        return _finish(job, values, console, time.monotonic() - begin)


@dataclass(frozen=True)
class ResumableRaySettings(RaySettings):
    """The same, of commands that have no `--resume` for videos."""

    resume: Annotated[bool, Option("With --ray: go on with a job that was stopped.", RAY_PANEL)] = (
        False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resume and not self.is_on:
            raise UsageError("--resume is for --ray; give --ray too")


@dataclass(frozen=True)
class Job:
    """A job as its folder has it.

    Attributes:
        function: of the command, "module:name".
        values: of its options.
        folder: address of the folder of its results.
        place: the folder that the command was given in, which other names are relative to.
        suffix: of the files of its parts.
        count: of pictures.
        part_size: of pictures in a part.
    """

    function: str
    values: Mapping[str, Any]
    folder: str
    place: str
    suffix: str
    count: int
    part_size: int

    @property
    def name(self) -> str:
        """Of the command."""
        return self.function.partition(":")[2]

    @property
    def parts(self) -> int:
        """How many there are."""
        return -(-self.count // self.part_size)

    @property
    def storage(self) -> "Storage":
        """The folder."""
        from cnnkit.engine.storage import Storage

        return Storage.of(self.folder)

    def file_of(self, part: int) -> str:
        """Name of the file of a part in the folder."""
        return f"parts/part-{part:06d}.{self.suffix}"

    def missing(self) -> list[int]:
        """The parts that are to be done."""
        there = set(self.storage.names("parts"))
        return [part for part in range(self.parts) if Path(self.file_of(part)).name not in there]

    def sources(self) -> list["Source"]:
        """All pictures, in order."""
        from cnnkit.data.sources import Source

        lines = self.storage.read(SOURCES).decode().splitlines()
        return [Source(path, Path(relative)) for path, relative in map(json.loads, lines)]


def _refuse(call: Call) -> None:
    """Refuses what cannot be done in parts."""
    values = call.values
    for name in ("json", *call.whole):
        if values.get(name):
            raise UsageError(
                f"--{name.replace('_', '-')} is one document about all pictures; leave it out with "
                "--ray, whose records are in --results"
            )
    output = values.get("output")
    if output == "-" or "-" in values["pictures"]:
        raise UsageError("--ray takes no stdin and writes no picture to stdout")
    if output is not None and Path(str(output)).suffix:
        raise UsageError(f"{output} is one file; with --ray give -o a folder")


def _open(call: Call, settings: RaySettings, note: Any) -> Job:
    """The job of a command: a new one, or the one that is to go on.

    Raises:
        UsageError: there is another job in the folder, or none to go on with.
        ImageError: there are no pictures.
    """
    from cnnkit.engine.storage import Storage, find_stored_sources, is_stored

    values = dict(call.values)
    folder = str(settings.results)
    address = folder if is_stored(folder) else str(Path(folder).absolute())
    storage = Storage.of(address)
    options = {
        name: value
        for name, value in values.items()
        if name not in _NOT_OF_THE_JOB and name not in {one.name for one in fields(settings)}
    }
    options = json.loads(json.dumps(options, default=str))
    kept = storage.read_if_there(MANIFEST)
    if values.get("resume"):
        if kept is None:
            raise UsageError(f"{folder} holds no job to go on with; leave out --resume")
        manifest = json.loads(kept)
        if manifest["function"] != call.function:
            raise UsageError(f"{folder} holds a job of {manifest['function'].partition(':')[2]}")
        changed = [name for name in options if manifest["options"].get(name) != options[name]]
        if changed:
            name = changed[0]
            raise UsageError(
                f"the job in {folder} has --{name.replace('_', '-')} "
                f"{manifest['options'].get(name)}, not {options[name]}; give the same, or another "
                "--results"
            )
    else:
        if kept is not None:
            raise UsageError(f"{folder} holds a job already; go on with --resume, or give another")
        sources = find_stored_sources(values["pictures"], values.get("recursive", False), note)
        videos = [one.path for one in sources if one.relative.suffix.lower() in VIDEO_SUFFIXES]
        if videos:
            raise UsageError(f"{videos[0]} is a video; --ray is for pictures")
        lines = [json.dumps([one.path, str(one.relative)]) + "\n" for one in sources]
        content = "".join(lines).encode()
        storage.write(SOURCES, content)
        manifest = {
            "schema": _SCHEMA,
            "function": call.function,
            "options": options,
            "place": str(Path.cwd()),
            "count": len(sources),
            "part_size": settings.part_size or _usual_part_size(len(sources)),
            "format": settings.results_format,
            "sources_sha256": hashlib.sha256(content).hexdigest(),
        }
        # Last: a folder with a manifest has all that a job needs.
        storage.write(MANIFEST, json.dumps(manifest, indent=2).encode())
    return Job(
        call.function,
        values,
        address,
        manifest["place"],
        manifest["format"],
        manifest["count"],
        manifest["part_size"],
    )


def _usual_part_size(count: int) -> int:
    cores = os.cpu_count() or 1
    return min(_MOST_IN_PART, math.ceil(count / (_PARTS_OF_CORE * cores)))


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[int]:
    """Joins a cluster, or starts one on this machine; gives the number of its cores.

    Raises:
        UsageError: there is none at that address.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        with _silent_stderr():
            if address is None:
                ray.init(include_dashboard=False, **quiet)
            else:
                ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"--ray-address {address}: {lines[0]}") from None
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuses an address at which nobody answers, which Ray would wait for minutes for.

    Raises:
        UsageError: there is nobody.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except OSError as error:
        raise UsageError(
            f"--ray-address {address}: {error.strerror or error}; is the cluster up?"
        ) from None


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drops what C++ code writes to stderr meanwhile."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _run_parts(
    job: Job, missing: Sequence[int], settings: RaySettings, processes: int
) -> Iterator[dict[str, Any]]:
    """Has the cluster do parts; gives what became of each, in whatever order."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    sources = [[one.path, str(one.relative)] for one in job.sources()]
    # With each part goes what its process needs: that may be started anew on another machine.
    shared = pickle.dumps((job, settings.cpus_per_model, uuid.uuid4().hex))
    rows = [
        {
            "part": part,
            "sources": json.dumps(sources[part * job.part_size : (part + 1) * job.part_size]),
            "job": shared,
        }
        for part in missing
    ]
    parts = ray.data.from_items(rows, override_num_blocks=len(rows))
    # A class that Ray builds in each process; its annotation knows functions alone.
    worker: Any = PartWorker
    done = parts.map(
        worker,
        num_cpus=settings.cpus_per_model,
        num_gpus=settings.gpus_per_model or None,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=processes),
    )
    yield from done.iter_rows()


class PartWorker:
    """Does parts of a job, one after another, in a process that keeps the network loaded."""

    def __init__(self) -> None:
        from cnnkit.engine.networks import share_networks

        share_networks()

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Does a part.

        Args:
            row: its number, its sources as JSON, and pickled the job, the number of threads, and
                what names this run of it.

        Returns:
            The number, and why it failed, or "".
        """
        part = int(row["part"])
        job, threads, run = pickle.loads(row["job"])
        # Ray begins a process in a folder of its own.
        with contextlib.suppress(OSError):
            os.chdir(job.place)
        try:
            _count_try(job, part, run)
            records = list(_records(job, threads, json.loads(row["sources"])))
            job.storage.write(job.file_of(part), encode(records, job.suffix))
        except CnnkitError as error:
            return {"part": part, "error": str(error)}
        return {"part": part, "error": ""}


def _count_try(job: Job, part: int, run: str) -> None:
    """Notes that a part is begun.

    Raises:
        DataError: it was begun too often in this run of the job.
    """
    begin = f"{part:06d}-{run}-"
    tries = sum(name.startswith(begin) for name in job.storage.names("begun"))
    if tries >= _MOST_TRIES:
        raise DataError(
            f"the process died {tries} times, perhaps of a picture that takes too much memory; its "
            f"pictures are lines {part * job.part_size + 1} to "
            f"{min((part + 1) * job.part_size, job.count)} of {SOURCES}"
        )
    job.storage.write(f"begun/{begin}{tries}", b"")


def _records(
    job: Job, threads: int, sources: Sequence[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """What the command of a job prints of some sources with `--jsonl`."""
    from cnnkit.data.sources import Source
    from cnnkit.engine.storage import Storage, is_stored

    wanted = {
        **{one.name: one.default for one in fields(ResumableRaySettings)},
        "json": False,
        "jsonl": True,
        "quiet": True,
        "verbose": False,
        "threads": threads,
        # What a process that died left behind of its part is made again.
        "overwrite": True,
        "skip_existing": False,
    }
    values = {name: wanted.get(name, one) for name, one in job.values.items()}
    output = values.get("output")
    with tempfile.TemporaryDirectory(prefix="cnnkit-part-") as name:
        room = Path(name)
        values["pictures"], addresses = [], {}
        for number, (path, relative) in enumerate(sources):
            place = path
            if is_stored(path):
                place = str(room / "in" / f"{number}{Path(path).suffix}")
                Storage.copy_in(path, Path(place))
                addresses[place] = path
            values["pictures"].append(Source(place, Path(relative)))
        if output is not None:
            # A folder even where there is one picture.
            values["output"] = f"{room / 'out' if is_stored(output) else output}/"
        module, _, function = job.function.partition(":")
        command = getattr(importlib.import_module(module), function)
        out = io.StringIO()
        # The records say what people are told.
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            command(**values)
        if output is not None and is_stored(output):
            Storage.of(output).copy_out(room / "out")
    for line in out.getvalue().splitlines():
        place = json.loads(line)["source"]
        # An error names the file too.
        yield json.loads(line.replace(place, addresses.get(place, place)))


def encode(records: Sequence[Mapping[str, Any]], suffix: str) -> bytes:
    """The file of a part.

    Args:
        records: as the command's JSON has them.
        suffix: "jsonl", an object a line; or "parquet", a row each, with the columns source, width,
            height, model, error, and the whole record as JSON.
    """
    lines = [json.dumps(one, ensure_ascii=False) for one in records]
    if suffix == "jsonl":
        return "".join(f"{line}\n" for line in lines).encode()
    import pyarrow
    from pyarrow import parquet

    errors = [(one.get("error") or {}).get("message") for one in records]
    table = pyarrow.table(
        {
            "source": pyarrow.array([one["source"] for one in records], pyarrow.string()),
            "width": pyarrow.array([one.get("width") for one in records], pyarrow.int32()),
            "height": pyarrow.array([one.get("height") for one in records], pyarrow.int32()),
            "model": pyarrow.array([one.get("model") for one in records], pyarrow.string()),
            "error": pyarrow.array(errors, pyarrow.string()),
            "record": pyarrow.array(lines, pyarrow.string()),
        }
    )
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def decode(content: bytes, suffix: str) -> Iterator[dict[str, Any]]:
    """The records of `encode`."""
    if suffix == "jsonl":
        lines = content.decode().splitlines()
    else:
        from pyarrow import parquet

        lines = parquet.read_table(io.BytesIO(content))["record"].to_pylist()
    yield from map(json.loads, lines)


def _finish(job: Job, values: Mapping[str, Any], console: Console, seconds: float) -> int:
    """Counts what is recorded, prints it, and gives the exit code."""
    storage = job.storage
    count = failed = items = 0
    for part in range(job.parts):
        content = storage.read(job.file_of(part))
        for record in decode(content, job.suffix):
            count += 1
            failed += record.get("error") is not None
            items += len(record.get("items") or ())
            if values.get("jsonl"):
                console.json_lines([record])
    summary = {"pictures": count, "failed": failed, "items": items}
    storage.write(SUMMARY, json.dumps(summary, indent=2).encode())
    said = f"{counted(count, 'picture')}, {failed:,} failed, {seconds:.0f} s -> {job.folder}"
    (console.note if values.get("jsonl") else console.result)(said)
    if failed:
        return int(ExitCode.INPUT_FAILED)
    if values.get("fail_if_empty") and not items:
        return int(ExitCode.NOTHING_FOUND)
    return int(ExitCode.DONE)
