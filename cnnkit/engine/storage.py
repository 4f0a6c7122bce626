"""Folders of results and of pictures, on this machine or in a bucket."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from cnnkit.data.sources import Source, find_sources
from cnnkit.errors import DataError, ImageError, UsageError
from cnnkit.images import READABLE_SUFFIXES, write_bytes

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

# Addresses of buckets that pyarrow opens; and of folders of this machine, for trying things out.
_SCHEMES = ("s3://", "gs://", "gcs://", "hdfs://", "abfs://", "abfss://", "file://")


def is_stored(name: str) -> bool:
    """Whether a name is the address of something in a bucket.

    >>> is_stored("s3://photos/a.jpg"), is_stored("photos/a.jpg")
    (True, False)
    """
    return name.startswith(_SCHEMES)


@functools.lru_cache(maxsize=64)
def _file_system(root: str) -> "FileSystem":
    from pyarrow import fs

    return fs.FileSystem.from_uri(root)[0]


def _open(address: str) -> tuple[Any, str]:
    """The file system of an address, and its path there.

    Raises:
        DataError: it cannot be reached.
    """
    from pyarrow import fs

    try:
        system, path = fs.FileSystem.from_uri(address)
    except (OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{address} cannot be opened: {_first_line(error)}") from None
    return system, path


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@dataclass(frozen=True)
class Storage:
    """A folder, in which files appear whole or not at all.

    Attributes:
        address: as the user named it.
        path: of the folder in its file system.
        system: of pyarrow; None for that of this machine.
    """

    address: str
    path: str
    system: Any = None

    @classmethod
    def of(cls, address: str) -> "Storage":
        """The folder of a name.

        Raises:
            DataError: it cannot be reached.
        """
        if not is_stored(address):
            return cls(address, address)
        system, path = _open(address)
        return cls(address, path.rstrip("/"), system)

    def _place(self, name: str) -> str:
        return f"{self.path}/{name}"

    def write(self, name: str, content: bytes) -> None:
        """Writes a file; one that is there is replaced.

        Raises:
            ImageError: the folder does not take it.
            DataError: the same of a bucket.
        """
        if self.system is None:
            write_bytes(self._place(name), content)
            return
        try:
            self.system.create_dir(str(PurePosixPath(self._place(name)).parent), recursive=True)
            # It appears when it is closed.
            with self.system.open_output_stream(self._place(name)) as stream:
                stream.write(content)
        except OSError as error:
            raise DataError(f"{self.address}/{name}: {_first_line(error)}") from None

    def read(self, name: str) -> bytes:
        """A file.

        Raises:
            DataError: it is not there, or cannot be read.
        """
        try:
            if self.system is None:
                return Path(self._place(name)).read_bytes()
            with self.system.open_input_stream(self._place(name)) as stream:
                return stream.read()
        except OSError as error:
            raise DataError(f"{self.address}/{name} cannot be read: {_first_line(error)}") from None

    def read_if_there(self, name: str) -> bytes | None:
        """A file, or None where there is none."""
        folder, _, own = name.rpartition("/")
        return self.read(name) if own in self.names(folder) else None

    def names(self, folder: str = "") -> list[str]:
        """Names of the files in a folder below; none where there is no such folder."""
        place = self._place(folder) if folder else self.path
        if self.system is None:
            found = Path(place)
            return [one.name for one in found.iterdir()] if found.is_dir() else []
        from pyarrow import fs

        try:
            infos = self.system.get_file_info(fs.FileSelector(place, allow_not_found=True))
        except OSError as error:
            raise DataError(f"{self.address} cannot be read: {_first_line(error)}") from None
        return [one.base_name for one in infos]

    def copy_out(self, folder: Path) -> None:
        """Writes all files of a folder of this machine here, in the same tree."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.write(path.relative_to(folder).as_posix(), path.read_bytes())

    @staticmethod
    def copy_in(address: str, path: Path) -> None:
        """Copies a file from a bucket to this machine; none appears where it cannot be read."""
        path.parent.mkdir(parents=True, exist_ok=True)
        parent, _, name = address.rpartition("/")
        try:
            content = Storage.of(parent).read(name)
        except DataError:
            return
        path.write_bytes(content)


def find_stored_sources(
    arguments: Sequence[str],
    recursive: bool,
    note: Callable[[str], None],
    suffixes: tuple[str, ...] = READABLE_SUFFIXES,
) -> list[Source]:
    """The pictures of a command, of buckets too.

    Args:
        arguments: what `find_sources` takes, and addresses of files or folders in buckets.
        recursive: look into folders of folders.
        note: see `find_sources`.
        suffixes: of pictures.

    Raises:
        UsageError: no argument.
        ImageError: a folder without pictures.
        DataError: a bucket that cannot be read.
    """
    if not arguments:
        raise UsageError("no pictures given; name files, folders, globs, @list.txt or addresses")
    found: dict[str, Source] = {}
    for argument in arguments:
        if is_stored(argument):
            some: Iterable[Source] = _below(argument, recursive, suffixes)
        else:
            some = find_sources([argument], recursive, suffixes, note)
        for source in some:
            found.setdefault(source.path, source)
    return list(found.values())


def _below(address: str, recursive: bool, suffixes: tuple[str, ...]) -> list[Source]:
    from pyarrow import fs

    system, path = _open(address)
    try:
        info = system.get_file_info(path)
        if info.type == fs.FileType.File:
            return [Source(address, Path(info.base_name))]
        infos = system.get_file_info(fs.FileSelector(path, recursive=recursive))
    except OSError as error:
        raise DataError(f"{address} cannot be read: {_first_line(error)}") from None
    root = address.rstrip("/")
    names = sorted(
        str(PurePosixPath(one.path).relative_to(path))
        for one in infos
        if one.type == fs.FileType.File and PurePosixPath(one.path).suffix.lower() in suffixes
    )
    if not names:
        raise ImageError(f"{address} holds no pictures")
    return [Source(f"{root}/{name}", Path(name)) for name in names]
