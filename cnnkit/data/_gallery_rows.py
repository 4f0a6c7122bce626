"""What goes into a gallery and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class FaceRow:
    """One face in one picture, with its embedding.

    Attributes:
        embedding: float32 array `(D,)`, as the network gave it.
        model_hash: what made the embedding, such as the SHA-256 of the weights file; embeddings of
            different models are never compared.
        picture_sha256: SHA-256 of the picture's file, 64 hexadecimal digits.
        box_xyxy: left, top, right and bottom in pixels of the upright picture.
        source: path of the picture when the face was found; a note for people, never opened.
        settings: of the detection, such as "mmod size=1000"; the same picture may be searched with
            several.
        confidence: of the detector, or None.
        quality: of the face, or None.
        landmarks_xy: float32 array `(P, 2)` in pixels, or None.
        name: of the person, or None for a face that nobody was enrolled with. Set by the gallery.
        added: when it was stored, in UTC. Set by the gallery.
    """

    embedding: np.ndarray
    model_hash: str
    picture_sha256: str
    box_xyxy: tuple[float, float, float, float]
    source: str = ""
    settings: str = ""
    confidence: float | None = None
    quality: float | None = None
    landmarks_xy: np.ndarray | None = None
    name: str | None = None
    added: datetime | None = None


@dataclass(frozen=True)
class Person:
    """A known person: name, number of faces, and when the first of them was stored (UTC)."""

    name: str
    faces: int
    added: datetime


@dataclass(frozen=True)
class Match:
    """A person near an embedding.

    Attributes:
        name: of the person.
        distance: Euclidean, to the nearest of the person's faces.
        face: that face's number; numbers are given in the order of storing and never again.
        source: path of that face's picture when it was stored.
    """

    name: str
    distance: float
    face: int
    source: str


@dataclass(frozen=True)
class Enrolment:
    """What an enrolment did.

    Attributes:
        name: of the person, as stored.
        added: number of faces stored.
        known: number of faces that were there already.
        is_new: whether the person was not known before.
    """

    name: str
    added: int
    known: int
    is_new: bool


@dataclass(frozen=True)
class Removal:
    """What a removal did.

    Attributes:
        names: of the people removed.
        faces: number of their faces, with as many embeddings.
        is_erased: True when no byte of them is left in the gallery's files. False while another
            program reads an earlier state of the gallery: they are found by nobody any more, and
            the next `Gallery` opened for writing erases them.
    """

    names: tuple[str, ...]
    faces: int
    is_erased: bool


@dataclass(frozen=True)
class Import:
    """What an import did.

    Attributes:
        people: number of new people.
        added: number of faces stored.
        known: number of faces that were there already.
        elsewhere: faces left out because the gallery has them under another name:
            (name in the file, name in the gallery, source).
    """

    people: int
    added: int
    known: int
    elsewhere: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class GalleryStatistics:
    """How much a gallery holds.

    Attributes:
        path: of the gallery.
        people: number of people.
        faces: number of their faces.
        models: number of their faces by hash of the model.
        pictures: number of remembered pictures.
        unnamed: number of remembered faces that nobody was enrolled with.
        bytes: size of the gallery and of all files beside it that belong to it.
    """

    path: Path
    people: int
    faces: int
    models: Mapping[str, int]
    pictures: int
    unnamed: int
    bytes: int
