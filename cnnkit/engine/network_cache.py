"""Keeps networks in OpenVINO's form, and compiled programs, in the user's cache folder.

Each set of networks has a folder named after all that it depends on. Nothing there is trusted
before its hash is verified; what is damaged or missing is made again, and a folder that cannot be
written costs only time. The whole is bounded: what was not used for longest goes first.
"""

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit.errors import CnnkitError
from cnnkit.images import write_bytes
from cnnkit.ops.openvino_graph import ProgramStore, Signature
from cnnkit.weights import cache_dir, fingerprint

MOST_BYTES = 1_000_000_000
_DESCRIPTION = "networks.json"
_PROGRAM = ".program"
_MAKING = ".making-"
# Folders that a process was making when it was ended go after so many seconds.
_ABANDONED = 3600.0
_DIGEST_BYTES = 32


def network_cache_dir() -> Path:
    """The folder of all kept networks; it need not exist yet."""
    return cache_dir().parent / "networks"


@dataclass(frozen=True)
class KeptNetworks:
    """Networks in OpenVINO's form in a folder, verified when they are read.

    Attributes:
        folder: where they lie.
        title: what they are, for people.
        facts: what the builder said of them, as plain JSON types.
        signatures: of each network, by its name.
        digests: SHA-256 of each file, by its name.
    """

    folder: Path
    title: str
    facts: Mapping[str, Any]
    signatures: Mapping[str, Signature]
    digests: Mapping[str, str]

    def graph_file(self, name: str) -> Path:
        """The verified file of a network.

        Raises:
            ValueError: it, or the file of its numbers, is not as it was written.
        """
        for suffix in (".xml", ".bin"):
            path = self.folder / f"{name}{suffix}"
            if fingerprint(path) != self.digests[path.name]:
                raise ValueError(f"{path} is damaged")
        return self.folder / f"{name}.xml"


class KeptPrograms(ProgramStore):
    """Compiled programs of one network beside it.

    Args:
        folder: of its set.
        name: of the network.
    """

    def __init__(self, folder: Path, name: str):
        self._folder, self._name = folder, name

    def read(self, key: str) -> bytes | None:
        """See `ProgramStore`."""
        with contextlib.suppress(OSError):
            data = self._path(key).read_bytes()
            digest, program = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
            if hashlib.sha256(program).digest() == digest:
                return program
        return None

    def write(self, key: str, program: bytes) -> None:
        """See `ProgramStore`."""
        # Of a folder that somebody removed nothing comes back.
        if (self._folder / _DESCRIPTION).is_file():
            with contextlib.suppress(CnnkitError):
                write_bytes(self._path(key), hashlib.sha256(program).digest() + program)
            prune(keep=self._folder)

    def _path(self, key: str) -> Path:
        return self._folder / f"{self._name}-{key}{_PROGRAM}"


def cache_key(parts: Any) -> str:
    """The name of a folder, from all that its networks depend on, as plain JSON types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def read_kept(key: str) -> KeptNetworks | None:
    """The networks of a key; None where there are none, or their description is damaged."""
    kept = read_folder(network_cache_dir() / key)
    if kept is not None:
        with contextlib.suppress(OSError):
            # When it was used last.
            os.utime(kept.folder / _DESCRIPTION)
    return kept


def read_folder(folder: Path) -> KeptNetworks | None:
    """The networks of a folder, see `read_kept`."""
    path = folder / _DESCRIPTION
    try:
        values = json.loads(path.read_bytes())
        content = values["content"]
        if values["sha256"] != _digest(content):
            return None
        signatures = {
            name: Signature(
                tuple(one["inputs"]),
                None if one["outputs"] is None else tuple(one["outputs"]),
                one["is_mapping"],
            )
            for name, one in content["signatures"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return KeptNetworks(folder, content["title"], content["facts"], signatures, content["digests"])


def describe_folder(
    folder: Path, title: str, facts: Mapping[str, Any], signatures: Mapping[str, Signature]
) -> None:
    """Writes down what the files of a folder are; until then it holds nothing."""
    content = {
        "title": title,
        "facts": facts,
        "signatures": {
            name: {
                "inputs": one.inputs,
                "outputs": one.outputs,
                "is_mapping": one.is_mapping,
            }
            for name, one in signatures.items()
        },
        "digests": {path.name: fingerprint(path) for path in sorted(folder.iterdir())},
    }
    # As it will be read: tuples become lists.
    content = json.loads(json.dumps(content))
    described = json.dumps({"sha256": _digest(content), "content": content})
    (folder / _DESCRIPTION).write_text(described, encoding="utf-8")


def new_folder() -> Path:
    """A folder to make networks in, beside the kept ones where these can be written.

    Where they cannot, it is one that goes with the process.
    """
    parent = network_cache_dir()
    with contextlib.suppress(OSError):
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=_MAKING, dir=parent))
    folder = Path(tempfile.mkdtemp(prefix="cnnkit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def publish(folder: Path, key: str) -> Path:
    """Puts a folder of `new_folder` in its place, whole.

    Returns:
        Where its networks are now. Of two processes that made the same the first one's stay.
    """
    if folder.parent != network_cache_dir():
        return folder
    # Of temporary folders others can read nothing, and a cache may be filled for them.
    folder.chmod(0o755)
    place = folder.parent / key
    for _ in range(2):
        with contextlib.suppress(OSError):
            folder.rename(place)
            break
        if read_folder(place) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            break
        discard(key)
    else:
        return folder
    prune(keep=place)
    return place


def discard(key: str) -> None:
    """Removes what is damaged."""
    place = network_cache_dir() / key
    with contextlib.suppress(OSError):
        aside = Path(tempfile.mkdtemp(prefix=_MAKING, dir=place.parent))
        place.rename(aside / key)
        place = aside
    shutil.rmtree(place, ignore_errors=True)


@dataclass(frozen=True)
class CacheUse:
    """What lies in the folder of kept networks.

    Attributes:
        titles: of the sets of networks, in alphabetical order.
        total_bytes: of all files.
    """

    titles: tuple[str, ...]
    total_bytes: int


def measure_cache() -> CacheUse:
    """Looks at the folder of kept networks."""
    folders = [folder for folder in _folders() if not folder.name.startswith(".")]
    kept = [read for folder in folders if (read := read_folder(folder)) is not None]
    return CacheUse(tuple(sorted(one.title for one in kept)), sum(map(_size, _folders())))


def prune(keep: Path, most: int = MOST_BYTES) -> None:
    """Removes what was not used for longest until no more than `most` bytes are left.

    Args:
        keep: a folder that stays.
        most: bytes of all folders.
    """
    rest = []
    total = 0
    for folder in _folders():
        with contextlib.suppress(OSError):
            if folder.name.startswith("."):
                if time.time() - folder.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            size = _size(folder)
            total += size
            if folder != keep:
                description = folder / _DESCRIPTION
                used = description if description.exists() else folder
                rest.append((used.stat().st_mtime, size, folder))
    for _, size, folder in sorted(rest):
        if total <= most:
            return
        discard(folder.name)
        total -= size


def _folders() -> list[Path]:
    try:
        return [path for path in network_cache_dir().iterdir() if path.is_dir()]
    except OSError:
        return []


def _size(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                total += path.stat().st_size
    return total


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
