"""Keeps what is slow to read in a form that is fast to read, in the user's cache folder.

A converted file is named after the hash of its source and the version of the conversion, so it is
never out of date. A damaged one is made again; a folder that cannot be written costs only time.
"""

import contextlib
import io
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from cnnkit.weights._cache import cache_dir, locate, package_dir
from cnnkit.weights._registry import Entry, entry

# zipfile raises a RuntimeError for a flag or method that it does not know.
_DAMAGE = (
    *(OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError),
    *(struct.error, zipfile.BadZipFile, zlib.error),
)

Arrays = Mapping[str, np.ndarray]


class _Storable(Protocol):
    def to_arrays(self) -> Arrays: ...


Weights = TypeVar("Weights", bound=_Storable)


def load_converted(
    name: str,
    version: int,
    read: Callable[[Path], Weights],
    restore: Callable[[Arrays], Weights],
) -> Weights:
    """Some weights, read from their file once and afterwards from the converted copy.

    The file's hash is verified before it is read; when there is a copy, only its size is looked at.

    Args:
        name: of an entry whose file lies in a dependency.
        version: of the conversion; a new one leaves older copies unused.
        read: reads the file.
        restore: makes of `to_arrays()` what `read` gave; KeyError, TypeError or ValueError mean
            that it cannot.

    Returns:
        What `read` gave, now or earlier.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    wanted = entry(name)
    place = converted_path(wanted, version)
    if _is_here(wanted):
        with contextlib.suppress(*_DAMAGE):
            # As bytes: of a damaged file np.load would leave the handle open.
            with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            return restore(arrays)
    weights = read(locate(name))
    _write(place, weights.to_arrays())
    return weights


def converted_path(wanted: Entry, version: int) -> Path:
    """Where the converted arrays of an entry are kept, whether they are there or not."""
    return cache_dir() / "converted" / f"{wanted.name}-v{version}-{wanted.digest[:16]}.npz"


def _is_here(wanted: Entry) -> bool:
    folder = package_dir(wanted.package)
    try:
        return folder is not None and (folder / wanted.file_name).stat().st_size == wanted.size
    except OSError:
        return False


def _write(place: Path, arrays: Arrays) -> None:
    """Writes atomically; a folder that refuses it is no fault."""
    temporary = None
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **arrays)
        Path(temporary).replace(place)
        temporary = None
    if temporary is not None:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
