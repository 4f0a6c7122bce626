"""Gets weights into the cache, by download or from a file, and only ever the right ones.

A file takes its final name when its hash has been verified, in one atomic move. A download that is
cut off leaves a `.part` neighbour, from which the next one goes on.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from cnnkit.errors import UsageError, WeightsError
from cnnkit.weights._cache import (
    CHUNK_BYTES,
    Status,
    difference,
    expected_digest,
    home_of,
    new_hash,
    pin,
    remedy,
    status,
)
from cnnkit.weights._registry import Entry, entries, entry

if TYPE_CHECKING:
    import requests

MIRROR_VARIABLE = "CNNKIT_MIRROR"
# A connection that breaks loses the piece under way: small pieces lose little.
_PIECE_BYTES = 1 << 16
_CONNECT_SECONDS = 15
_READ_SECONDS = 60
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

Progress = Callable[[int, int], None]


def fetch(name: str, on_progress: Progress | None = None) -> Status:
    """Downloads weights into the cache unless a whole file is already on this machine.

    The address is the table's, or `CNNKIT_MIRROR` (a base address, under which the file has its own
    name). The usual environment variables name a proxy. An earlier download that was cut off is
    resumed.

    Args:
        name: such as "vgg19", see `entries`.
        on_progress: called with the bytes that are here and the bytes of the whole file.

    Returns:
        A `Status` whose `state` is "here".

    Raises:
        WeightsError: no network, a wrong or cut-off file, a cache that cannot be written. A wrong
            file is thrown away, a cut-off one is kept to be resumed.
        UsageError: no weights have that name.
    """
    wanted = entry(name)
    found = status(wanted)
    if found.state == "here":
        return found
    if wanted.kind != "fetchable":
        raise WeightsError(f"the {name} weights are {found.state}; {remedy(wanted)}")
    target = home_of(wanted)
    part = target.with_name(f"{target.name}.part")
    with _writing_into(target.parent):
        with _claim(part) as file:
            resumed = file.seek(0, os.SEEK_END) > 0
            problem = _receive(file, wanted, on_progress)
            if problem and resumed:
                # What an earlier run left may be to blame: once more from the start.
                problem = _receive(file, wanted, on_progress)
            file.flush()
            os.fsync(file.fileno())
        if problem:
            raise WeightsError(f"{_address(wanted)} is not the {name} file: {problem}")
        part.replace(target)
        pin(wanted, target)
    return Status(wanted, "here", target)


def import_file(path: str | os.PathLike, name: str | None = None) -> Status:
    """Copies a file of weights into the cache after verifying it; the file itself stays as it is.

    Args:
        path: the file.
        name: which weights it holds; None recognizes them by the name or the hash of the file.

    Returns:
        A `Status` whose `state` is "here".

    Raises:
        WeightsError: the file is missing, is not the one in the table, or cannot be copied.
        UsageError: no weights have that name, or they come with cnnkit.
    """
    path = Path(path)
    if not path.exists():
        raise WeightsError(f"{path} does not exist; check the path")
    if not path.is_file():
        raise WeightsError(f"{path} is not a file; name the file itself")
    wanted = _recognize(path) if name is None else entry(name)
    if wanted.kind != "fetchable":
        giver = wanted.package or "cnnkit"
        raise UsageError(f"the {wanted.name} weights come with {giver}; there is nothing to import")
    problem = difference(wanted, path)
    if problem:
        raise WeightsError(f"{path} is not the {wanted.name} file: {problem}; get {wanted.url}")
    target = home_of(wanted)
    with _writing_into(target.parent):
        if not (target.exists() and target.samefile(path)):
            _copy(path, target, wanted)
        pin(wanted, target)
    return Status(wanted, "here", target)


def _recognize(path: Path) -> Entry:
    fetchable = [candidate for candidate in entries() if candidate.kind == "fetchable"]
    for candidate in fetchable:
        if candidate.file_name == path.name or difference(candidate, path) is None:
            return candidate
    names = ", ".join(candidate.name for candidate in fetchable)
    raise WeightsError(
        f"{path} is none of the known weights ({names}); "
        "to see what is wrong with it: cnnkit weights import NAME FILE"
    )


@contextlib.contextmanager
def _writing_into(folder: Path) -> Iterator[None]:
    """Makes the folder, and turns what the disk refuses into one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise WeightsError(
            f"{folder} cannot be written: {error.strerror or error}; "
            "make room, or set CNNKIT_HOME to another folder"
        ) from None


@contextlib.contextmanager
def _claim(part: Path) -> Iterator[BinaryIO]:
    """Opens a partial file for this process alone, and removes it when it stays empty.

    Windows needs no lock: there a file that another process holds open cannot be moved.
    """
    with part.open("a+b") as file:
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WeightsError(f"another process is fetching {part}; wait for it") from None
        try:
            yield file
        finally:
            is_empty = file.seek(0, os.SEEK_END) == 0
            file.close()
            if is_empty:
                part.unlink(missing_ok=True)


def _need_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WeightsError(
            f"{folder} has {free / 1e6:.0f} MB free but {needed / 1e6:.0f} MB are needed; "
            "make room, or set CNNKIT_HOME to another folder"
        )


def _receive(file: BinaryIO, wanted: Entry, on_progress: Progress | None) -> str | None:
    """Completes a partial file, hashing what passes.

    Returns:
        What is wrong with the result, which is then emptied; None when it is the file.

    Raises:
        WeightsError: the server cannot be reached or stopped; what came is kept.
    """
    algorithm, expected = expected_digest(wanted)
    running = new_hash(algorithm)
    file.seek(0)
    while chunk := file.read(CHUNK_BYTES):
        running.update(chunk)
    done = file.tell()
    if done < wanted.size:
        _need_room(Path(file.name).parent, wanted.size - done)
        with _request(wanted, done) as response:
            start = done if response.status_code == 206 else 0
            announced = response.headers.get("Content-Length", "")
            if announced.isdecimal() and start + int(announced) != wanted.size:
                raise WeightsError(
                    f"{response.url} is not the {wanted.name} file: expected {wanted.size} bytes, "
                    f"received {start + int(announced)}; {_by_hand(wanted)}"
                )
            if done > start:
                file.truncate(0)
                running, done = new_hash(algorithm), 0
            for chunk in _chunks(response, wanted):
                if on_progress:
                    on_progress(done, wanted.size)
                file.write(chunk)
                running.update(chunk)
                done += len(chunk)
                if done > wanted.size:
                    break
        if on_progress:
            on_progress(done, wanted.size)
        if done < wanted.size:
            raise _cut_off(wanted)
    problem = None
    if done > wanted.size:
        problem = f"expected {wanted.size} bytes, received more"
    elif running.hexdigest() != expected:
        problem = f"expected {algorithm} {expected}, received {running.hexdigest()}"
    if problem:
        file.truncate(0)
    return problem


def _address(wanted: Entry) -> str:
    mirror = os.environ.get(MIRROR_VARIABLE)
    url = f"{mirror.rstrip('/')}/{wanted.file_name}" if mirror else wanted.url
    _check_secure(url)
    return url


def _check_secure(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise WeightsError(f"{url} is refused: weights are fetched over https only")


@contextlib.contextmanager
def _request(wanted: Entry, start: int) -> Iterator["requests.Response"]:
    import requests

    url = _address(wanted)
    # "identity": a compressed answer would have another length and could not be resumed.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = requests.get(
            url, headers=headers, stream=True, timeout=(_CONNECT_SECONDS, _READ_SECONDS)
        )
    except requests.RequestException as error:
        reason = "no answer in time" if isinstance(error, requests.Timeout) else "no connection"
        if isinstance(error, requests.exceptions.ProxyError):
            reason = "the proxy does not answer"
        elif isinstance(error, requests.exceptions.SSLError):
            reason = "its certificate is not trusted"
        raise WeightsError(
            f"{urlsplit(url).hostname} cannot be reached ({reason}); {_by_hand(wanted)}"
        ) from None
    with response:
        _check_secure(response.url)
        resumes = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if start and (response.status_code == 416 or (response.status_code == 206 and not resumes)):
            # The server will not go on from there: ask for the whole file.
            with _request(wanted, 0) as whole:
                yield whole
            return
        if response.status_code not in (200, 206):
            raise WeightsError(
                f"{url} answered {response.status_code} {response.reason}; {_by_hand(wanted)}"
            )
        yield response


def _chunks(response: "requests.Response", wanted: Entry) -> Iterator[bytes]:
    import requests

    try:
        yield from response.iter_content(_PIECE_BYTES)
    except requests.RequestException:
        raise _cut_off(wanted) from None


def _cut_off(wanted: Entry) -> WeightsError:
    return WeightsError(
        f"the connection broke off; what came is kept, go on with: "
        f"cnnkit weights fetch {wanted.name}"
    )


def _by_hand(wanted: Entry) -> str:
    return (
        f"get {wanted.file_name} on another machine ({wanted.url}), then run: "
        f"cnnkit weights import {wanted.name} {wanted.file_name}"
    )


def _copy(path: Path, target: Path, wanted: Entry) -> None:
    _need_room(target.parent, wanted.size)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as copy, path.open("rb") as original:
            shutil.copyfileobj(original, copy, CHUNK_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
        problem = difference(wanted, Path(temporary))
        if problem:
            raise WeightsError(f"{path} changed while it was copied: {problem}; run it again")
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)
