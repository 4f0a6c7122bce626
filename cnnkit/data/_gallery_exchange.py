"""The open format in which a gallery is exported and imported: lines of JSON.

The first line names format, version and numbers; then comes one line for each face; the last line
has the SHA-256 of all bytes before it. An embedding is the base64 of its float32, little-endian.
"""

import base64
import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.data._gallery_rows import FaceRow
from cnnkit.data._values import number
from cnnkit.errors import GalleryError

_FORMAT = "cnnkit-gallery"
_VERSION = 1


def write_export(path: Path, people: int, faces: int, rows: Iterable[FaceRow]) -> None:
    """Writes an export atomically, for the owner only.

    Raises:
        GalleryError: the place does not take it; an existing file is untouched.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            digest = hashlib.sha256()
            header = {"format": _FORMAT, "version": _VERSION, "people": people, "faces": faces}
            for values in (header, *map(_to_json, rows)):
                line = _line(values)
                digest.update(line)
                file.write(line)
            file.write(_line({"end": True, "sha256": digest.hexdigest()}))
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise GalleryError(
            f"{path} cannot be written: {error.strerror or error}; choose another folder or make "
            "room"
        ) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def read_export(path: Path) -> Iterator[FaceRow]:
    """The faces of an export, after all of it was verified.

    Raises:
        GalleryError: the file cannot be read, is none, is of a newer version, cut off or changed.
    """
    try:
        expected = _verify(path)
        with path.open("rb") as file:
            next(file)
            for number in range(2, 2 + expected):
                try:
                    yield _from_json(json.loads(next(file)))
                except (
                    *(ValueError, KeyError, TypeError, AttributeError),
                    *(ArithmeticError, RecursionError),
                ) as error:
                    raise GalleryError(f"{path}, line {number}: no face ({error})") from None
    except OSError as error:
        raise GalleryError(f"{path} cannot be read: {error.strerror or error}") from None


def _verify(path: Path) -> int:
    """The number of faces in an export that is whole."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        header = _parse(file.readline(1_000))
        if header.get("format") != _FORMAT or not isinstance(header.get("faces"), int):
            raise GalleryError(f"{path} is no export of a gallery")
        if header.get("version") != _VERSION:
            raise GalleryError(
                f"{path} was exported by a newer cnnkit (version {header.get('version')} of the "
                f"format; this one reads {_VERSION}); update cnnkit"
            )
        file.seek(0)
        line, lines = b"", 0
        for following in file:
            digest.update(line)
            line, lines = following, lines + 1
    end = _parse(line)
    if not end.get("end") or lines != header["faces"] + 2:
        raise GalleryError(f"{path} is cut off; export or copy it again")
    if end.get("sha256") != digest.hexdigest():
        raise GalleryError(f"{path} was changed or damaged since its export; copy it again")
    return header["faces"]


def _parse(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _to_json(face: FaceRow) -> dict[str, Any]:
    return {
        "person": face.name,
        "model": face.model_hash,
        "picture_sha256": face.picture_sha256,
        "box_xyxy": list(face.box_xyxy),
        "source": face.source,
        "settings": face.settings,
        "confidence": face.confidence,
        "quality": face.quality,
        "landmarks_xy": None if face.landmarks_xy is None else face.landmarks_xy.tolist(),
        "added": None if face.added is None else face.added.isoformat(),
        "embedding": base64.b64encode(np.asarray(face.embedding, "<f4").tobytes()).decode(),
    }


def _from_json(values: dict[str, Any]) -> FaceRow:
    for key in ("person", "model", "picture_sha256", "source", "settings"):
        if not isinstance(values[key], str):
            raise TypeError(f"{key} is no text")
    for key in ("confidence", "quality"):
        if values[key] is not None and number(values[key]) is None:
            raise TypeError(f"{key} is no number")
    landmarks = values["landmarks_xy"]
    return FaceRow(
        embedding=np.frombuffer(base64.b64decode(values["embedding"], validate=True), "<f4"),
        model_hash=values["model"],
        picture_sha256=values["picture_sha256"],
        box_xyxy=tuple(map(float, values["box_xyxy"])),
        source=values["source"],
        settings=values["settings"],
        confidence=values["confidence"],
        quality=values["quality"],
        landmarks_xy=None if landmarks is None else np.asarray(landmarks, np.float32),
        name=values["person"],
        added=datetime.fromisoformat(values["added"]).astimezone(timezone.utc),
    )
