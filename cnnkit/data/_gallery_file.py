"""The gallery's SQLite file: opening, schema, and what SQLite's errors mean to the user."""

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from cnnkit.errors import GalleryError

# "cnnk": tells a gallery from any other SQLite file.
APPLICATION_ID = 0x636E6E6B
SCHEMA_VERSION = 1

# A face of a person and a face of a remembered picture are the same kind of row, so that no
# embedding is stored twice. Face numbers rise and never come back (AUTOINCREMENT): all rows after a
# given number are those stored since.
_SCHEMA = """
CREATE TABLE state (
    gallery BLOB NOT NULL,         -- a random number that tells this gallery from others
    epoch INTEGER NOT NULL,        -- rises when rows are taken away or change hands
    erasing INTEGER NOT NULL       -- 1 while removed bytes may still lie in the files
);
CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    dimensions INTEGER NOT NULL
);
CREATE TABLE people (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    added INTEGER NOT NULL         -- seconds since 1970, UTC
);
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL,
    model INTEGER NOT NULL REFERENCES models (id),
    settings TEXT NOT NULL,
    source TEXT NOT NULL,
    whole INTEGER NOT NULL,        -- 1 when all faces of the picture are known
    added INTEGER NOT NULL,
    UNIQUE (sha256, model, settings)
);
CREATE TABLE faces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person INTEGER REFERENCES people (id),
    model INTEGER NOT NULL REFERENCES models (id),
    picture INTEGER NOT NULL REFERENCES pictures (id),
    place INTEGER NOT NULL,        -- among the faces of the picture
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL,
    confidence REAL,
    quality REAL,
    landmarks BLOB,                -- float32, little-endian, x and y in turn
    embedding BLOB NOT NULL,       -- float32, little-endian
    added INTEGER NOT NULL
);
CREATE INDEX faces_of_people ON faces (person, model);
CREATE INDEX faces_of_pictures ON faces (picture);
"""


def default_path() -> Path:
    """Where the gallery lies unless the user names another place.

    In the user's data folder, or in the folder that the environment variable `CNNKIT_HOME` names.
    """
    home = os.environ.get("CNNKIT_HOME")
    root = Path(home).expanduser() if home else platformdirs.user_data_path("cnnkit", False)
    return root / "gallery.sqlite"


def connect(path: Path, create: bool, read_only: bool, timeout: float) -> sqlite3.Connection:
    """Opens a gallery, and makes it first where that is wanted.

    Raises:
        GalleryError: see `Gallery`.
    """
    with explained(path):
        if path.is_dir():
            raise GalleryError(f"{path} is a folder; name a file for the gallery")
        if not path.exists():
            if read_only or not create:
                raise GalleryError(f"there is no gallery at {path} yet; enroll somebody first")
            _make_private_file(path)
        elif not os.access(path, os.R_OK):
            raise GalleryError(f"{path} cannot be read: permission denied")
        connection = _open(path, read_only, timeout)
        try:
            _check_header(connection, path)
            if not read_only:
                # A write lock first: of two programs that make a gallery, one waits here and finds
                # it made.
                if _is_blank(connection):
                    _make_schema(connection)
                _use_wal(connection, timeout)
            elif _is_blank(connection):
                raise GalleryError(f"the gallery at {path} is empty; enroll somebody first")
            _check_header(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _make_private_file(path: Path) -> None:
    # Embeddings are personal: for the owner only. SQLite gives the files beside it the same mode.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise GalleryError(
            f"the gallery {path} cannot be made: {error.strerror or error}; choose another place"
        ) from None


def _open(path: Path, read_only: bool, timeout: float) -> sqlite3.Connection:
    # An absolute URI, so that "?", "#" and "%" in a path stay what they are.
    uri = path.absolute().as_uri()
    options = ["?mode=ro" if read_only else "?mode=rw"]
    if read_only and not Path(f"{path}-wal").exists():
        # In a folder that takes no files SQLite reads such a gallery only as one that nobody
        # changes meanwhile, which holds where nobody can write.
        options.append("?mode=ro&immutable=1")
    for last, option in enumerate(options, 1):
        connection = sqlite3.connect(uri + option, uri=True, timeout=timeout, isolation_level=None)
        try:
            connection.execute("PRAGMA schema_version").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            if last == len(options):
                raise
            continue
        except BaseException:
            connection.close()
            raise
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        # What is reported as stored outlives a power cut too, not only a killed program.
        connection.execute("PRAGMA synchronous = FULL")
        return connection
    raise AssertionError("unreachable")


def _use_wal(connection: sqlite3.Connection, timeout: float) -> None:
    """Turns the write-ahead log on. SQLite does not wait for other programs here, so wait."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _is_blank(connection: sqlite3.Connection) -> bool:
    """Whether the file was made and nothing was put into it, as by a program killed just then."""
    blank = _pragma(connection, "application_id") == _pragma(connection, "user_version") == 0
    return blank and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0


def _check_header(connection: sqlite3.Connection, path: Path) -> None:
    if _is_blank(connection):
        return
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise GalleryError(f"{path} is an SQLite file of another program, not a gallery")
    version = _pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        raise GalleryError(
            f"{path} was made by a newer cnnkit (version {version} of the gallery; this one reads "
            f"up to {SCHEMA_VERSION}); update cnnkit"
        )
    if version < 1:
        raise GalleryError(f"{path} is damaged: its version is {version}; restore a copy of it")


def _make_schema(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _is_blank(connection):
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute("INSERT INTO state VALUES (?, 0, 0)", (uuid.uuid4().bytes,))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what SQLite says about a gallery into one line for the user."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.NotSupportedError, sqlite3.InterfaceError):
        # Not the file's fault.
        raise
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise GalleryError(_explanation(str(error), path)) from error


def damage(path: Path, what: str) -> GalleryError:
    """The line for a gallery with something wrong in it; `what` is cut to a few words."""
    what = " ".join(what.split())
    what = what if len(what) < 80 else f"{what[:77]}..."
    return GalleryError(
        f"the gallery {path} is damaged ({what}); restore a copy of it, or import an export"
    )


def _explanation(message: str, path: Path) -> str:
    # By their words, as Python 3.10 does not tell SQLite's error codes.
    for words, line in (
        ("not a database", f"{path} is not a gallery, or damaged beyond reading"),
        ("locked", f"the gallery {path} is in use by another program; try again when it is done"),
        ("is full", f"there is no room left on the disk of the gallery {path}; nothing was stored"),
        ("readonly", f"the gallery {path} cannot be written: read-only file or folder"),
        ("unable to open", f"the gallery {path} cannot be opened; check the folder's permissions"),
        ("disk I/O error", f"the disk of the gallery {path} fails; nothing was stored"),
    ):
        if words in message:
            return line
    # All statements are tested against the schema, so it is the file that is not as it should be:
    # a page, a row or the schema itself is damaged, and SQLite has many words for that.
    return str(damage(path, message))
