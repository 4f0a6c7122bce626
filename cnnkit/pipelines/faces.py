"""Known people: enrol them from one picture each, recognise them, group the unknown."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.data.gallery import Enrolment, FaceRow, Gallery
from cnnkit.errors import UsageError
from cnnkit.ops.alignment import extract_chip
from cnnkit.options import FaceOptions
from cnnkit.pipelines._face_analysis import assess_quality
from cnnkit.pipelines._face_recognition import (
    FacePicture,
    FaceRecognizer,
    no_face,
    read_face_picture,
)
from cnnkit.results import Face, IdentifiedFace, PersonMatch

# The people nearest by embedding that a learned distance is asked about.
_SHORTLIST = 10
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class GroupedFace:
    """One face of `group_faces`.

    Attributes:
        source: name of the picture.
        face: where it is, with its embedding.
        group: number of the person, from 0 for the one with most faces.
    """

    source: str
    face: Face
    group: int


class FaceBook:
    """A gallery of people, and the networks that look into it.

    Args:
        gallery: where the people are.
        options: see `FaceOptions`.
        on_note: takes a line of text that the user may want to know.
    """

    def __init__(
        self,
        gallery: Gallery,
        options: FaceOptions | None = None,
        on_note: Callable[[str], None] | None = None,
    ):
        self.gallery = gallery
        self.recognizer = FaceRecognizer(options, on_note)

    def enroll(
        self, name: str, pictures: Iterable[Any], *, face: int | None = None
    ) -> tuple[Enrolment, list[Face]]:
        """Stores a person with one face of each picture, all or none.

        Args:
            name: of the person, new or known.
            pictures: paths, `PIL.Image`s or arrays `(height, width, 3)` of uint8.
            face: which face of each picture, 1 for the largest; None for the largest, with a note
                where there are more.

        Returns:
            What was stored, and the faces.

        Raises:
            NoFaceError: a picture without a face.
            GalleryError: the gallery cannot be written, or knows a face under another name.
        """
        chosen, rows = [], []
        for picture in map(_as_face_picture, pictures):
            faces, known = self.find(picture)
            one = self.recognizer.pick(picture, faces, face)
            chosen.append(one)
            index = next(i for i, other in enumerate(faces) if other is one)
            rows.append(known[index])
        return self.gallery.enroll(name, rows), chosen

    def find(self, picture: FacePicture) -> tuple[list[Face], list[FaceRow]]:
        """All faces of a picture, from the gallery's memory or encoded and kept there.

        Returns:
            The faces, the largest first, and the same as rows for the gallery.
        """
        recognizer, gallery = self.recognizer, self.gallery
        encoder, settings = recognizer.similarity.encoder_hash, recognizer.analyzer.settings
        rows = gallery.known_picture(picture.sha256, encoder, settings)
        if rows is not None:
            return [_to_face(picture, row) for row in rows], rows
        [faces] = recognizer.faces([picture])
        rows = [
            FaceRow(
                face.embedding,
                encoder,
                picture.sha256,
                face.box_xyxy,
                picture.source,
                settings,
                face.confidence,
                face.quality.sharpness,
                face.landmarks_xy,
            )
            for face in faces
        ]
        # Only what is enrolled is kept: a search must not leave strangers in the gallery.
        if not gallery.read_only:
            gallery.remember_picture(
                picture.sha256, encoder, rows, settings=settings, source=picture.source
            )
        return faces, rows

    def identify(self, picture: Any, *, matches: int = 2) -> list[IdentifiedFace]:
        """Says who is in a picture.

        Args:
            picture: a path, a `PIL.Image`, or an array `(height, width, 3)` of uint8.
            matches: number of people to name for each face, at least 1.

        Returns:
            Its faces, the largest first.

        Raises:
            ImageError: the picture cannot be read.
            GalleryError: the gallery cannot be read, or is of another model.
        """
        if matches < 1:
            raise UsageError(f"matches must be at least 1, not {matches}")
        picture = _as_face_picture(picture)
        recognizer = self.recognizer
        encoder, settings = recognizer.similarity.encoder_hash, recognizer.analyzer.settings
        rows = self.gallery.known_picture(picture.sha256, encoder, settings)
        if rows is None:
            [faces] = recognizer.faces([picture])
        else:
            faces = [_to_face(picture, row) for row in rows]
        if not faces:
            return []
        found = self._search(np.stack([face.embedding for face in faces]), matches)
        identified = []
        for face, near in zip(faces, found, strict=True):
            best = near[0].distance if near else np.inf
            identified.append(
                IdentifiedFace(
                    face,
                    near[0].name if best < recognizer.threshold else None,
                    near,
                    recognizer.calibration.probability(best) if near else 0.0,
                )
            )
        return identified

    def _search(self, embeddings: np.ndarray, count: int) -> list[tuple[PersonMatch, ...]]:
        similarity = self.recognizer.similarity
        wanted = count if similarity.is_euclidean else max(count, _SHORTLIST)
        found = self.gallery.search(embeddings, similarity.encoder_hash, wanted)
        results = []
        for embedding, near in zip(embeddings, found, strict=True):
            people = [PersonMatch(match.name, match.distance, match.source) for match in near]
            if not similarity.is_euclidean:
                people = sorted(
                    (self._measure(embedding, match.name) for match in near),
                    key=lambda match: match.distance,
                )
            results.append(tuple(people[:count]))
        return results

    def _measure(self, embedding: np.ndarray, name: str) -> PersonMatch:
        """The learned distance to the nearest of a person's faces."""
        encoder = self.recognizer.similarity.encoder_hash
        rows = [row for row in self.gallery.faces(name) if row.model_hash == encoder]
        stored = np.stack([row.embedding for row in rows])
        distances = self.recognizer.distance(np.broadcast_to(embedding, stored.shape), stored)
        nearest = int(np.argmin(distances))
        return PersonMatch(name, float(distances[nearest]), rows[nearest].source)


def group_faces(
    recognizer: FaceRecognizer, pictures: Iterable[Any], on_picture: Callable[[str], None]
) -> list[GroupedFace]:
    """Finds out which faces of many pictures are of the same person.

    Args:
        recognizer: whose threshold says how near is near.
        pictures: as in `FaceBook.identify`.
        on_picture: called with the name of each picture before it is looked at.

    Returns:
        All faces, people with most faces first.
    """
    sources, faces = [], []
    for picture in pictures:
        picture = _as_face_picture(picture)
        on_picture(picture.source)
        [found] = recognizer.faces([picture])
        sources += [picture.source] * len(found)
        faces += found
    if not faces:
        return []
    groups = cluster_embeddings(
        np.stack([face.embedding for face in faces]),
        recognizer.threshold,
        None if recognizer.similarity.is_euclidean else recognizer.distance,
    )
    grouped = [
        GroupedFace(source, face, int(group))
        for source, face, group in zip(sources, faces, groups, strict=True)
    ]
    return sorted(grouped, key=lambda item: item.group)


def cluster_embeddings(
    embeddings: np.ndarray,
    threshold: float,
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Groups embeddings by average linkage (Sokal & Michener 1958), cut at a distance.

    Two groups become one while the mean distance between their members is below the threshold. Such
    groups are always connected by pairs that are below it, so each connected component is clustered
    for itself: memory grows with the largest component, not with all faces.

    Args:
        embeddings: `(N, D)`.
        threshold: on the distance.
        distance: rows `(M, D)`, rows `(M, D)` -> `(M,)`; the Euclidean one by default.

    Returns:
        int `(N,)`: number of each one's group, from 0 for the largest.

    Example:

    >>> points = np.array([[0.0], [0.1], [5.0], [0.2]])
    >>> cluster_embeddings(points, 0.5).tolist()
    [0, 0, 1, 0]
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import cdist, squareform

    count = len(embeddings)

    def between(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        if distance is None:
            return cdist(embeddings[rows], embeddings[columns])
        first = np.repeat(embeddings[rows], len(columns), axis=0)
        second = np.tile(embeddings[columns], (len(rows), 1))
        return distance(first, second).reshape(len(rows), len(columns))

    rows, columns = [], []
    everything = np.arange(count)
    for begin in range(0, count, _ROWS_AT_ONCE):
        block = everything[begin : begin + _ROWS_AT_ONCE]
        near = np.nonzero(between(block, everything) < threshold)
        rows.append(near[0] + begin)
        columns.append(near[1])
    edges = (np.concatenate(rows), np.concatenate(columns))
    graph = coo_matrix((np.ones(len(edges[0]), bool), edges), shape=(count, count))
    components, component = connected_components(graph, directed=False)
    labels = np.zeros(count, np.int64)
    used = 0
    for number in range(components):
        members = np.flatnonzero(component == number)
        parts = np.ones(len(members), np.int64)
        if len(members) > 1:
            table = between(members, members)
            table = (table + table.T) / 2.0
            np.fill_diagonal(table, 0.0)
            # Merged while below the threshold, not at it.
            cut = np.nextafter(threshold, 0.0)
            parts = fcluster(linkage(squareform(table, checks=False), "average"), cut, "distance")
        labels[members] = parts - 1 + used
        used += int(parts.max())
    sizes = np.bincount(labels)
    first_seen = np.full(used, count)
    np.minimum.at(first_seen, labels, everything)
    rank = np.empty(used, np.int64)
    rank[np.lexsort((first_seen, -sizes))] = np.arange(used)
    return rank[labels]


def crop_face(picture: FacePicture, face: Face, size: int, margin: float) -> np.ndarray:
    """The face upright in a square, as `alignment.extract_chip` with a margin of one's own.

    Args:
        picture: where the face is.
        face: one of its faces.
        size: side of the result, in pixels.
        margin: around the face, as a part of it; the networks' own is 0.25.

    Returns:
        uint8 `(size, size, 3)`; black outside of the picture.
    """
    return extract_chip(picture.pixels, face.landmarks_xy, size, margin)


def require_faces(picture: FacePicture, faces: Sequence[Any], upsample: int) -> None:
    """Raises a `NoFaceError` for a picture without faces."""
    if not faces:
        raise no_face(picture.source, upsample)


def _as_face_picture(picture: Any) -> FacePicture:
    return picture if isinstance(picture, FacePicture) else read_face_picture(picture)


def _to_face(picture: FacePicture, row: FaceRow) -> Face:
    box = np.asarray(row.box_xyxy)
    chip = extract_chip(picture.pixels, row.landmarks_xy)
    return Face(
        tuple(map(float, row.box_xyxy)),
        float(row.confidence),
        row.landmarks_xy,
        assess_quality(box, row.landmarks_xy, chip),
        row.embedding,
    )
