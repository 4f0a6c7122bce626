"""The gallery of known people: names, embeddings, and the pictures that they came from.

One SQLite file holds everything and is the truth. Many programs may read it while one writes; what
was reported as stored outlives a killed program and a power cut.
"""

import contextlib
import difflib
import os
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.data import _gallery_index as index
from cnnkit.data._gallery_exchange import read_export, write_export
from cnnkit.data._gallery_file import connect, damage, default_path, explained
from cnnkit.data._gallery_rows import (
    Enrolment,
    FaceRow,
    GalleryStatistics,
    Import,
    Match,
    Person,
    Removal,
)
from cnnkit.errors import GalleryError

__all__ = [
    "Enrolment",
    "FaceRow",
    "Gallery",
    "GalleryStatistics",
    "Import",
    "Match",
    "Person",
    "Removal",
    "default_path",
    "normalized_name",
]

MAX_NAME_LENGTH = 200
# What a face is called that is nobody's.
UNKNOWN = "unknown"

# Rows fetched from the database at a time: 2 MB of embeddings.
_FETCHED_AT_ONCE = 4_096

_FACE_COLUMNS = """
    faces.embedding, models.hash, pictures.sha256, faces.x1, faces.y1, faces.x2, faces.y2,
    pictures.source, pictures.settings, faces.confidence, faces.quality, faces.landmarks,
    people.name, faces.added
    FROM faces JOIN models ON models.id = faces.model JOIN pictures ON pictures.id = faces.picture
    LEFT JOIN people ON people.id = faces.person
"""


@dataclass
class _Loaded:
    """What a process holds of one model: the mapped file and the rows stored since."""

    epoch: int
    last: int
    mapped: index.Rows | None
    fetched: index.Rows | None

    def parts(self) -> list[index.Rows]:
        return [part for part in (self.mapped, self.fetched) if part is not None]


class Gallery:
    """A gallery of known people in one file.

    Use it as a context manager. Each call that stores something is one transaction: it is stored
    wholly before the call returns, or not at all. Group calls with `transaction`.

    The distance between an embedding and a person is the Euclidean distance to the nearest of the
    person's faces. Search is exact. Beside a gallery of thousands of faces lies an index file, made
    from the database wherever the folder takes it, and made again whenever it does not fit.

    A gallery belongs to the thread that opened it. Several may be open at once, in one program or
    in many.

    Args:
        path: of the gallery; None for `default_path()`.
        create: make the gallery, and its folder, when there is none.
        read_only: never change the gallery. Works where nothing can be written, too.
        timeout: seconds to wait for another program that is writing.

    Raises:
        GalleryError: there is no gallery (and it is not to be made), or the file is damaged, of
            another program, of a newer cnnkit, locked, or in a place that cannot be read or
            written. All methods raise it for what goes wrong with the file.

    Example:

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> jane = FaceRow(np.array([0.1, 0.2], np.float32), "model-1", "ab" * 32, (0, 0, 9, 9))
    >>> with Gallery(Path(folder.name) / "gallery.sqlite") as gallery:
    ...     gallery.enroll("Jane", [jane])
    ...     [[match]] = gallery.search(np.array([[0.1, 0.5]]), "model-1")
    ...     print(match.name, round(match.distance, 3))
    Enrolment(name='Jane', added=1, known=0, is_new=True)
    Jane 0.3
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike | None = None,
        *,
        create: bool = True,
        read_only: bool = False,
        timeout: float = 10.0,
    ) -> None:
        self.path = default_path() if path is None else Path(path)
        self.read_only = read_only
        self._loaded: dict[str, _Loaded] = {}
        self._is_writing = False
        self._connection = connect(self.path, create, read_only, timeout)
        try:
            with explained(self.path):
                if not read_only and self._one("SELECT erasing FROM state")[0]:
                    self._erase()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; what an open transaction did is undone."""
        self._loaded.clear()
        with explained(self.path):
            self._connection.close()

    # Storing

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Groups calls: all that they stored stays when the block ends, or none if it raises.

        One large transaction is also faster than many small ones, as the disk is waited for once.
        """
        is_outer = not self._connection.in_transaction
        begin, end, undo = "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"
        if not is_outer:
            begin, end, undo = "SAVEPOINT step", "RELEASE step", "ROLLBACK TO step"
        # Only what SQLite says is explained here: the block's own errors are its own.
        with explained(self.path):
            self._run(begin)
        self._is_writing = True
        try:
            yield
            with explained(self.path):
                self._run(end)
        except BaseException:
            # When the disk was full SQLite itself has undone all.
            if self._connection.in_transaction:
                self._run(undo)
                if not is_outer:
                    self._run(end)
            raise
        finally:
            self._is_writing = not is_outer

    def enroll(self, name: str, faces: Iterable[FaceRow]) -> Enrolment:
        """Stores faces of a person, all or none.

        A face is there already when the person has a face of the same picture and model at the same
        place; it is left as it is. So enrolling a folder again adds only what is new.

        Args:
            name: of the person, new or known; see `normalized_name`.
            faces: at least one.

        Returns:
            How many were new.

        Raises:
            ValueError: no face, or a face that cannot be: embedding not `(D,)` and finite, of
                another D than the model's others, picture hash not of 64 hexadecimal digits.
            GalleryError: a face belongs to somebody else in the gallery, or the name is none, or
                "unknown".
        """
        name = normalized_name(name)
        faces = list(faces)
        if not faces:
            raise ValueError("expected at least one face. Received: none")
        with explained(self.path), self.transaction():
            person, is_new = self._person(name, int(_now().timestamp()))
            added = 0
            for face in faces:
                owner = self._store(person, face)
                if owner not in (None, name):
                    raise GalleryError(
                        f"{face.source or face.picture_sha256[:12]}: this face is enrolled as "
                        f"{owner}; to enroll it as {name}, remove, rename or merge {owner} first"
                    )
                added += owner is None
        return Enrolment(name, added, len(faces) - added, is_new)

    def remember_picture(
        self,
        picture_sha256: str,
        model_hash: str,
        faces: Sequence[FaceRow] = (),
        *,
        settings: str = "",
        source: str = "",
    ) -> None:
        """Keeps all faces of a picture, so that it need not be encoded again.

        The faces belong to nobody until they are enrolled. Enroll these very rows, or those that
        `known_picture` gives: no embedding is stored twice. `remove` forgets all faces that belong
        to nobody.

        Args:
            picture_sha256: of the picture's file.
            model_hash: of the model that would make the embeddings.
            faces: all faces of the picture; none is remembered too.
            settings: of the detection. The faces' own values of these first four are not looked at.
            source: path of the picture.

        Raises:
            ValueError: as `enroll`.
        """
        if faces:
            dimensions = np.asarray(faces[0].embedding).size
        with explained(self.path), self.transaction():
            if not faces:
                row = self._one("SELECT dimensions FROM models WHERE hash = ?", model_hash)
                dimensions = row[0] if row else 0
            model = self._model(model_hash, dimensions)
            picture = self._picture(picture_sha256, model, settings, source)
            for place, face in enumerate(faces):
                face = replace(face, picture_sha256=picture_sha256, model_hash=model_hash)
                values = _face_values(face, dimensions)
                stored = self._rows_of_picture(picture_sha256, model, picture)
                if not any(_is_same_face(face, values["embedding"], row) for row in stored):
                    self._insert_face(None, model, picture, place, values)
            self._run("UPDATE pictures SET whole = 1 WHERE id = ?", picture)

    def rename(self, name: str, new_name: str) -> None:
        """Gives a person another name; the old one is erased as `remove` does.

        Raises:
            GalleryError: nobody has the name, or somebody has the new one, or it is "unknown".
        """
        self._refuse_transaction("rename")
        new_name = normalized_name(new_name)
        _refuse_reserved(new_name)
        with explained(self.path), self.transaction():
            person = self._known_person(name)
            if self._one("SELECT 1 FROM people WHERE name = ? AND id != ?", new_name, person):
                raise GalleryError(f"{new_name} is in the gallery already; merge the two instead")
            self._run("UPDATE people SET name = ? WHERE id = ?", new_name, person)
            self._run("UPDATE state SET erasing = 1")
        self._erase()

    def merge(self, name: str, into: str) -> None:
        """Gives all faces of one person to another; the first name is erased as `remove` does.

        Raises:
            GalleryError: nobody has one of the names, or they are the same.
        """
        self._refuse_transaction("merge")
        with explained(self.path), self.transaction():
            person, target = self._known_person(name), self._known_person(into)
            if person == target:
                raise GalleryError(f"{name} and {into} are the same person already")
            self._run("UPDATE faces SET person = ? WHERE person = ?", target, person)
            self._run("DELETE FROM people WHERE id = ?", person)
            self._run("UPDATE state SET erasing = 1, epoch = epoch + 1")
        self._erase()

    def remove(self, *names: str) -> Removal:
        """Removes people: their names, faces and embeddings, from the gallery and from its files.

        Remembered faces that belong to nobody go too, as the person may be among them, and so do
        pictures that show none of the people who remain. The files are rewritten, so this takes a
        second for each hundred thousand faces that stay; remove many people in one call.

        Args:
            names: of people in the gallery. All are removed, or none.

        Returns:
            What was removed, and whether no byte is left of it.

        Raises:
            GalleryError: nobody has one of the names; the message has the nearest one.
        """
        self._refuse_transaction("remove")
        if not names:
            raise ValueError("expected at least one name. Received: none")
        with explained(self.path), self.transaction():
            people = {self._known_person(name): normalized_name(name) for name in names}
            marks = ", ".join("?" * len(people))
            gone = f"person IN ({marks}) OR person IS NULL"
            [faces] = self._one(f"SELECT count(*) FROM faces WHERE person IN ({marks})", *people)
            self._run(
                "UPDATE pictures SET whole = 0 "
                f"WHERE id IN (SELECT picture FROM faces WHERE {gone})",
                *people,
            )
            self._run(f"DELETE FROM faces WHERE {gone}", *people)
            self._run(
                "DELETE FROM pictures "
                "WHERE NOT EXISTS (SELECT 1 FROM faces WHERE faces.picture = pictures.id)"
            )
            self._run(f"DELETE FROM people WHERE id IN ({marks})", *people)
            self._run("UPDATE state SET erasing = 1, epoch = epoch + 1")
        return Removal(tuple(people.values()), faces, self._erase())

    # Asking

    def people(self, model_hash: str | None = None) -> list[Person]:
        """Everybody in the gallery, sorted by name.

        Args:
            model_hash: count only faces of this model, and leave out people without any.
        """
        with self._reading():
            rows = self._all(
                "SELECT people.name, count(*), people.added FROM faces "
                "JOIN people ON people.id = faces.person JOIN models ON models.id = faces.model "
                "WHERE ? IS NULL OR models.hash = ? GROUP BY people.id ORDER BY people.name",
                model_hash,
                model_hash,
            )
        try:
            return [Person(name, faces, _to_datetime(added)) for name, faces, added in rows]
        except (ValueError, TypeError, OverflowError, OSError) as error:
            raise damage(self.path, f"a person: {error}") from None

    def faces(self, name: str) -> list[FaceRow]:
        """All faces of a person, in the order of storing.

        Raises:
            GalleryError: nobody has the name.
        """
        with self._reading():
            person = self._known_person(name)
            where = "WHERE faces.person = ? ORDER BY faces.id"
            return [
                self._to_face(row) for row in self._all(f"SELECT {_FACE_COLUMNS} {where}", person)
            ]

    def known_picture(
        self, picture_sha256: str, model_hash: str, settings: str = ""
    ) -> list[FaceRow] | None:
        """All faces of a remembered picture, or None when the picture must be encoded.

        Returns:
            Faces in the order they were remembered in; an empty list for a picture without faces.
        """
        picture = _picture_digest(picture_sha256)
        with self._reading():
            row = self._one(
                "SELECT pictures.id FROM pictures JOIN models ON models.id = pictures.model "
                "WHERE sha256 = ? AND hash = ? AND settings = ? AND whole",
                picture,
                model_hash,
                settings,
            )
            if row is None:
                return None
            where = "WHERE faces.picture = ? ORDER BY faces.place"
            return [
                self._to_face(row) for row in self._all(f"SELECT {_FACE_COLUMNS} {where}", *row)
            ]

    def search(self, embeddings: np.ndarray, model_hash: str, k: int = 2) -> list[list[Match]]:
        """The people nearest to embeddings, exactly.

        Candidates are found in float32 and measured again in float64 on the stored rows.

        Args:
            embeddings: `(N, D)` floats.
            model_hash: of the model that made them; faces of other models are not compared.
            k: number of people wanted, at least 1. The second is the best other person.

        Returns:
            For each embedding up to k people, the nearest first; equal ones by name. Empty lists
            when the gallery is empty.

        Raises:
            ValueError: embeddings that are not `(N, D)` and finite.
            GalleryError: the gallery has faces, but none of this model.
        """
        queries = np.asarray(embeddings, dtype=np.float32)
        if queries.ndim != 2 or not np.isfinite(queries).all() or k < 1:
            raise ValueError(
                f"expected finite embeddings (N, D) and k >= 1. Received: {queries.shape}, k={k}"
            )
        with self._reading():
            row = self._one("SELECT id, dimensions FROM models WHERE hash = ?", model_hash)
            parts = self._parts(model_hash, *row) if row else []
            if not parts:
                if self._one("SELECT 1 FROM faces WHERE person IS NOT NULL LIMIT 1"):
                    raise GalleryError(
                        f"the faces in the gallery {self.path} were encoded by another model than "
                        f"{model_hash[:12]}; enroll the people again with this one"
                    )
                return [[] for _ in queries]
            if row[1] != queries.shape[1]:
                raise ValueError(
                    f"expected embeddings (N, {row[1]}) of this model. Received: {queries.shape}"
                )
            found = index.nearest_people(queries, parts, k)
            return [
                self._measure(query, [face for _, face in near])[:k]
                for query, near in zip(queries, found, strict=True)
            ]

    def statistics(self) -> GalleryStatistics:
        """Counts of people, faces and pictures, and the size on the disk."""
        with self._reading():
            models = self._all(
                "SELECT models.hash, count(*) FROM faces JOIN models ON models.id = faces.model "
                "WHERE person IS NOT NULL GROUP BY model ORDER BY models.id"
            )
            counts = [
                self._one(f"SELECT count(*) FROM {rows}")[0]
                for rows in ("people", "pictures", "faces WHERE person IS NULL")
            ]
        beside = [Path(f"{self.path}{suffix}") for suffix in ("", "-wal", "-shm")]
        size = 0
        for path in (*beside, *index.index_files(self.path)):
            with contextlib.suppress(OSError):
                size += path.stat().st_size
        people, pictures, unnamed = counts
        faces = sum(number for _, number in models)
        return GalleryStatistics(self.path, people, faces, dict(models), pictures, unnamed, size)

    def check(self) -> None:
        """Reads the whole gallery and verifies it.

        Raises:
            GalleryError: something is damaged.
        """
        with self._reading():
            problems = [row[0] for row in self._all("PRAGMA integrity_check") if row[0] != "ok"]
            if self._one("PRAGMA foreign_key_check"):
                problems.append("a row without its other half")
            if self._one(
                "SELECT 1 FROM people WHERE NOT EXISTS "
                "(SELECT 1 FROM faces WHERE faces.person = people.id)"
            ):
                problems.append("a person without faces")
            for number, dimensions in self._all("SELECT id, dimensions FROM models"):
                for _ in self._fetch(number, dimensions, 0):
                    pass
        if problems:
            raise damage(self.path, problems[0])

    # Exchange

    def export(self, path: str | os.PathLike, *, overwrite: bool = False) -> int:
        """Writes all people and their faces to one file of JSON lines.

        The first line names the format; each other line is a face with the name of its person and
        its embedding as the base64 of little-endian float32; the last has the SHA-256 of the lines
        before. Remembered faces that belong to nobody stay behind.

        Returns:
            Number of faces written.

        Raises:
            GalleryError: the file exists, or cannot be written.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise GalleryError(f"{path} exists already; name another file")
        with self._reading():
            [people] = self._one("SELECT count(*) FROM people")
            [faces] = self._one("SELECT count(*) FROM faces WHERE person IS NOT NULL")
            rows = self._connection.execute(
                f"SELECT {_FACE_COLUMNS} WHERE faces.person IS NOT NULL ORDER BY faces.id"
            )
            write_export(path, people, faces, map(self._to_face, rows))
        return faces

    def import_(self, path: str | os.PathLike) -> Import:
        """Adds the people and faces of an export, all or none.

        People of the same name are taken for the same person. Faces that are there already are
        left as they are; faces that are here under another name are left out and reported.

        Raises:
            GalleryError: the file cannot be read, is no export, is of a newer version, cut off or
                changed since; nothing is imported.
        """
        path = Path(path)
        people = added = known = 0
        elsewhere = []
        with explained(self.path), self.transaction():
            for number, face in enumerate(read_export(path), 2):
                try:
                    name = normalized_name(face.name)
                    person, is_new = self._person(name, int(face.added.timestamp()))
                    owner = self._store(person, face)
                except ValueError as error:
                    raise GalleryError(f"{path}, line {number}: {error}") from None
                if owner not in (None, name):
                    elsewhere.append((name, owner, face.source))
                    if is_new:
                        self._run("DELETE FROM people WHERE id = ?", person)
                    continue
                people += is_new
                added += owner is None
                known += owner == name
        return Import(people, added, known, tuple(elsewhere))

    # Rows

    def _run(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def _one(self, statement: str, *values: Any) -> tuple | None:
        return self._run(statement, *values).fetchone()

    def _all(self, statement: str, *values: Any) -> list[tuple]:
        return self._run(statement, *values).fetchall()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """All that is asked within sees one state of the gallery."""
        with explained(self.path):
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _refuse_transaction(self, call: str) -> None:
        if self._connection.in_transaction:
            raise ValueError(f"expected {call} outside a transaction, as it rewrites the file")

    def _person(self, name: str, added: int) -> tuple[int, bool]:
        """A person's number, and whether the person was stored just now."""
        if row := self._one("SELECT id FROM people WHERE name = ?", name):
            return row[0], False
        _refuse_reserved(name)
        return self._run(
            "INSERT INTO people (name, added) VALUES (?, ?)", name, added
        ).lastrowid, True

    def _known_person(self, name: str) -> int:
        name = normalized_name(name)
        if row := self._one("SELECT id FROM people WHERE name = ?", name):
            return row[0]
        known_names = self._all("SELECT name FROM people WHERE typeof(name) = 'text'")
        names = {known.casefold(): known for (known,) in known_names}
        near = difflib.get_close_matches(name.casefold(), names, n=1)
        hint = f"; did you mean {names[near[0]]}?" if near else ""
        raise GalleryError(f"nobody called {name} is in the gallery {self.path}{hint}")

    def _model(self, model_hash: str, dimensions: int) -> int:
        if not model_hash:
            raise ValueError("expected the hash of a model. Received: an empty one")
        row = self._one("SELECT id, dimensions FROM models WHERE hash = ?", model_hash)
        if row is None:
            statement = "INSERT INTO models (hash, dimensions) VALUES (?, ?)"
            return self._run(statement, model_hash, dimensions).lastrowid
        if row[1] == 0:
            # Only pictures without faces were remembered so far.
            self._run("UPDATE models SET dimensions = ? WHERE id = ?", dimensions, row[0])
        elif row[1] != dimensions:
            raise ValueError(
                f"expected embeddings ({row[1]},) of this model. Received: ({dimensions},)"
            )
        return row[0]

    def _picture(self, sha256: str, model: int, settings: str, source: str) -> int:
        digest = _picture_digest(sha256)
        self._run(
            "INSERT OR IGNORE INTO pictures (sha256, model, settings, source, whole, added) "
            "VALUES (?, ?, ?, ?, 0, ?)",
            *(digest, model, settings, source, int(_now().timestamp())),
        )
        return self._one(
            "SELECT id FROM pictures WHERE sha256 = ? AND model = ? AND settings = ?",
            *(digest, model, settings),
        )[0]

    def _rows_of_picture(self, sha256: str, model: int, picture: int | None = None) -> list[tuple]:
        """Stored faces of a picture, found with any settings or in one remembered picture."""
        return self._all(
            "SELECT faces.id, people.name, picture, place, embedding, x1, y1, x2, y2 FROM pictures "
            "JOIN faces ON faces.picture = pictures.id "
            "LEFT JOIN people ON people.id = faces.person "
            "WHERE sha256 = ? AND pictures.model = ? AND (? IS NULL OR pictures.id = ?) "
            "ORDER BY people.name IS NULL",
            *(_picture_digest(sha256), model, picture, picture),
        )

    def _store(self, person: int, face: FaceRow) -> str | None:
        """Stores a face; the name of its owner when it was there already, else None."""
        dimensions = np.asarray(face.embedding).size
        values = _face_values(face, dimensions)
        model = self._model(face.model_hash, dimensions)
        picture = self._picture(face.picture_sha256, model, face.settings, face.source)
        place = None
        for row in self._rows_of_picture(face.picture_sha256, model):
            if not _is_same_face(face, values["embedding"], row):
                continue
            number, owner, in_picture, in_place = row[:4]
            if owner is not None:
                return owner
            if in_picture == picture:
                # A new number for a remembered face: it counts as stored now, see `_Loaded.last`.
                self._run("DELETE FROM faces WHERE id = ?", number)
                place = in_place
                break
        if place is None:
            [place] = self._one("SELECT count(*) FROM faces WHERE picture = ?", picture)
        self._insert_face(person, model, picture, place, values)
        return None

    def _insert_face(
        self, person: int | None, model: int, picture: int, place: int, values: dict[str, Any]
    ) -> None:
        row = {"person": person, "model": model, "picture": picture, "place": place, **values}
        marks = ", ".join("?" * len(row))
        self._run(f"INSERT INTO faces ({', '.join(row)}) VALUES ({marks})", *row.values())

    def _to_face(self, row: tuple) -> FaceRow:
        embedding, model, picture, x1, y1, x2, y2, source, settings, *numbers, name, added = row
        *numbers, landmarks = numbers
        try:
            if landmarks is not None:
                landmarks = np.frombuffer(landmarks, "<f4").reshape(-1, 2)
            if not all(isinstance(text, str) for text in (model, source, settings, name or "")):
                raise TypeError("a text is none")
            box = tuple(map(float, (x1, y1, x2, y2)))
            confidence, quality = (None if x is None else float(x) for x in numbers)
            return FaceRow(
                np.frombuffer(embedding, "<f4"),
                *(model, picture.hex(), box, source, settings, confidence, quality),
                *(landmarks, name, _to_datetime(added)),
            )
        except (ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
            # SQLite holds any type in any column: a damaged row may have others than were stored.
            raise damage(self.path, f"a face of {source}: {error}") from None

    # Searching and erasing

    def _parts(self, model_hash: str, model: int, dimensions: int) -> list[index.Rows]:
        """The embeddings of a model as they stand: mapped from the index file, and fetched."""
        gallery, epoch = self._one("SELECT gallery, epoch FROM state")
        last = self._one("SELECT max(id) FROM faces")[0] or 0
        state = index.State(gallery, model_hash, epoch, last)
        loaded = self._loaded.get(model_hash)
        if loaded is not None and (loaded.epoch, loaded.last) == (epoch, last):
            return loaded.parts()
        path = index.index_path(self.path, model_hash)
        mapped, fetched, after = None, [], 0
        if loaded is not None and loaded.epoch == epoch and loaded.last < last:
            mapped, after = loaded.mapped, loaded.last
            fetched = [loaded.fetched] if loaded.fetched is not None else []
        else:
            found = index.read_index(path, state, dimensions)
            if found is not None and self._is_mine(found[0]):
                mapped, after = found
        limit = max(index.FETCHED_ROWS, index.FETCHED_SHARE * len(mapped or ()))
        chunks = self._fetch(model, dimensions, after)
        while sum(map(len, fetched)) <= limit and (chunk := next(chunks, None)) is not None:
            fetched.append(chunk)
        if sum(map(len, fetched)) > limit:
            # Windows replaces no file that is mapped: let go of it first.
            self._loaded.pop(model_hash, None)
            mapped = loaded = found = None
            chunks = self._fetch(model, dimensions, 0)
            if not self._is_writing and index.write_index(path, state, chunks):
                found = index.read_index(path, state, dimensions)
                mapped = found and found[0]
            fetched = list(self._fetch(model, dimensions, 0)) if mapped is None else []
        loaded = _Loaded(epoch, last, mapped, _joined(fetched))
        # The rows of a transaction that is still open may yet be undone.
        if not self._is_writing:
            self._loaded[model_hash] = loaded
        return loaded.parts()

    def _is_mine(self, mapped: index.Rows) -> bool:
        """Whether a matrix ends with the face that the database has there.

        It does not when an older copy of the gallery was put back and more was stored since.
        """
        row = self._one("SELECT person, embedding FROM faces WHERE id = ?", int(mapped.faces[-1]))
        return row == (int(mapped.people[-1]), mapped.embeddings[-1].tobytes())

    def _fetch(self, model: int, dimensions: int, after: int) -> Iterator[index.Rows]:
        cursor = self._run(
            "SELECT id, person, embedding FROM faces NOT INDEXED "
            "WHERE id > ? AND model = ? AND person IS NOT NULL ORDER BY id",
            after,
            model,
        )
        last_person = self._one("SELECT max(id) FROM people")[0] or 0
        while rows := cursor.fetchmany(_FETCHED_AT_ONCE):
            faces, people, blobs = zip(*rows, strict=True)
            try:
                data = np.frombuffer(b"".join(blobs), "<f4").reshape(len(rows), dimensions)
                part = index.make_rows(faces, people, data)
            except (ValueError, TypeError, OverflowError):
                part = None
            if (
                part is None
                or any(len(blob) != 4 * dimensions for blob in blobs)
                or not np.isfinite(part.squares).all()
                or not 0 < part.people.min() <= part.people.max() <= last_person
            ):
                raise damage(self.path, f"embeddings {faces[0]} to {faces[-1]}")
            yield part

    def _measure(self, query: np.ndarray, faces: list[int]) -> list[Match]:
        """The people of some faces with their distances, from the stored embeddings in float64."""
        nearest: dict[str, Match] = {}
        for face in faces:
            row = self._one(
                "SELECT people.name, pictures.source, embedding FROM faces "
                "JOIN people ON people.id = faces.person "
                "JOIN pictures ON pictures.id = faces.picture WHERE faces.id = ?",
                face,
            )
            if row is None or not isinstance(row[0], str):
                raise damage(self.path, f"face {face}")
            name, source, embedding = row
            stored = np.frombuffer(embedding, "<f4").astype(np.float64)
            distance = float(np.linalg.norm(query.astype(np.float64) - stored))
            if name not in nearest or distance < nearest[name].distance:
                nearest[name] = Match(name, distance, face, source)
        return sorted(nearest.values(), key=lambda match: (match.distance, match.name))

    def _erase(self) -> bool:
        """Rewrites the files without what was removed; whether no byte of it is left."""
        self._loaded.clear()
        try:
            with explained(self.path):
                _unlink(index.index_files(self.path))
                # Deleted content is overwritten (secure_delete), but pages that were rearranged
                # may hold copies; only a file written anew surely does not.
                self._run("VACUUM")
                if self._one("PRAGMA wal_checkpoint(TRUNCATE)")[0]:
                    return False
                # Again: no reader of the old state is left now that could have made one since.
                _unlink(index.index_files(self.path))
                self._run("UPDATE state SET erasing = 0")
            return True
        except (GalleryError, OSError):
            # In use, or no room for the copy: the next `Gallery` for writing tries again. What is
            # damaged shows elsewhere.
            return False


def normalized_name(name: str) -> str:
    """A person's name as the gallery keeps it.

    Unicode's composed form (NFC), without blanks around it; upper and lower case stay and matter.

    Raises:
        GalleryError: the name is empty, longer than 200 characters, or has control characters,
            such as line breaks, in it.

    Example:

    >>> normalized_name(" Zoe\\u0308 ") == "Zo\\u00eb"
    True
    """
    if not isinstance(name, str):
        raise ValueError(f"expected a name. Received: {name!r}")
    name = unicodedata.normalize("NFC", name).strip()
    if not name:
        raise GalleryError("a person's name is empty; give one")
    if len(name) > MAX_NAME_LENGTH:
        raise GalleryError(f"the name {name[:20]}... is longer than {MAX_NAME_LENGTH} characters")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        raise GalleryError(f"the name {name!r} has control characters in it; leave them out")
    return name


def _refuse_reserved(name: str) -> None:
    if name.casefold() == UNKNOWN:
        raise GalleryError(f"nobody can be called {name!r}: faces of strangers are; give a name")


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _joined(parts: list[index.Rows]) -> index.Rows | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    columns = ("embeddings", "squares", "faces", "people")
    return index.Rows(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in columns)
    )


def _face_values(face: FaceRow, dimensions: int) -> dict[str, Any]:
    """The columns of a face, checked."""
    embedding = np.asarray(face.embedding, dtype="<f4")
    if embedding.ndim != 1 or embedding.size == 0 or embedding.size != dimensions:
        expected = f"({dimensions},)" if dimensions else "(D,)"
        raise ValueError(f"expected an embedding {expected}. Received: {embedding.shape}")
    # Of the squares, as those are what search adds up.
    if not np.isfinite(np.square(embedding).sum()):
        raise ValueError("expected a finite embedding. Received: NaN, infinite or huge numbers")
    box = [float(edge) for edge in face.box_xyxy]
    if len(box) != 4 or not np.isfinite(box).all():
        raise ValueError(f"expected a box of four numbers. Received: {face.box_xyxy}")
    landmarks = None
    if face.landmarks_xy is not None:
        landmarks = np.asarray(face.landmarks_xy, dtype="<f4")
        if landmarks.ndim != 2 or landmarks.shape[1] != 2:
            raise ValueError(f"expected landmarks (P, 2). Received: {landmarks.shape}")
        landmarks = landmarks.tobytes()
    return {
        **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
        "confidence": None if face.confidence is None else float(face.confidence),
        "quality": None if face.quality is None else float(face.quality),
        "landmarks": landmarks,
        "embedding": embedding.tobytes(),
        "added": int((face.added or _now()).timestamp()),
    }


def _is_same_face(face: FaceRow, embedding: bytes, row: tuple) -> bool:
    """Whether a stored face of the same picture is this one: the same numbers or the same place."""
    stored, (x1, y1, x2, y2) = row[4], row[5:]
    left, top, right, bottom = face.box_xyxy
    shared = max(0, min(right, x2) - max(left, x1)) * max(0, min(bottom, y2) - max(top, y1))
    whole = (right - left) * (bottom - top) + (x2 - x1) * (y2 - y1) - shared
    # A detector keeps no two boxes that overlap by half, so these are one face found twice.
    return stored == embedding or shared > 0.5 * whole


def _picture_digest(sha256: str) -> bytes:
    try:
        digest = bytes.fromhex(sha256)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ValueError(f"expected a SHA-256 of 64 hexadecimal digits. Received: {sha256!r}")
    return digest


def _to_datetime(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _now() -> datetime:
    return datetime.now(timezone.utc)
