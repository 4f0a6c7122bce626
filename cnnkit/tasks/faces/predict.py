"""Known people: enrol them from one picture each, recognise them, group the unknown."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.data.face_pictures import STDIN, FacePicture, read_face_picture
from cnnkit.data.gallery import Enrolment, FaceRow, Gallery
from cnnkit.errors import UsageError
from cnnkit.images import Picture, encode_image, read_image, to_uint8, write_bytes
from cnnkit.ops.alignment import extract_chip
from cnnkit.plots import draw_sheet
from cnnkit.tasks.faces.analysis import assess_quality
from cnnkit.tasks.faces.recognition import FaceRecognizer
from cnnkit.tasks.faces.results import Face, IdentifiedFace, PersonMatch
from cnnkit.tasks.faces.settings import FaceSettings

# The people nearest by embedding that a learned distance is asked about.
_SHORTLIST = 10
_ROWS_AT_ONCE = 1024
# Around the face, as a part of it: head and hair.
_CROP_MARGIN = 0.6
_SHEET_COLUMNS, _SHEET_ROWS = 10, 100


@dataclass(frozen=True, eq=False)
class GroupedFace:
    """One face of `FaceGroups`.

    Attributes:
        source: name of the picture.
        face: where it is, with its embedding.
        chip: the face, upright in a square, as a JPEG file.
    """

    source: str
    face: Face
    chip: bytes


class FaceBook:
    """A gallery of people, and the networks that look into it.

    Args:
        gallery: where the people are.
        settings: see `FaceSettings`.
        on_note: takes a line of text that the user may want to know.
        recognizer: one that is loaded already, instead of settings.
    """

    def __init__(
        self,
        gallery: Gallery,
        settings: FaceSettings | None = None,
        on_note: Callable[[str], None] | None = None,
        recognizer: FaceRecognizer | None = None,
    ):
        self.gallery = gallery
        self.recognizer = recognizer or FaceRecognizer(settings, on_note)

    def enroll(
        self, name: str, pictures: Iterable[Any], *, face: int | None = None
    ) -> tuple[Enrolment, list[Face]]:
        """Stores a person with one face of each picture, all or none.

        Args:
            name: of the person, new or known.
            pictures: paths, `PIL.Image`s or arrays `(height, width, 3)` of uint8.
            face: which face of each picture, 1 for the largest; None for the main one, with a note
                where there are more.

        Returns:
            What was stored, and the faces.

        Raises:
            NoFaceError: a picture without a face.
            GalleryError: the gallery cannot be written, or knows a face under another name.
        """
        read = [_as_face_picture(picture) for picture in pictures]
        picked = [
            self.pick(picture, found, face)
            for picture, found in zip(read, self.find(read), strict=True)
        ]
        enrolment = self.gallery.enroll(name, [row for _, row in picked])
        return enrolment, [one for one, _ in picked]

    def find(self, pictures: Sequence[FacePicture]) -> list[tuple[list[Face], list[FaceRow]]]:
        """All faces of pictures: from the gallery's memory, or encoded, and remembered there.

        A gallery that was opened to read only remembers nothing: a search leaves no strangers in
        it.

        Returns:
            For each picture its faces, the largest first, and the same as rows for the gallery.
        """
        recognizer, gallery = self.recognizer, self.gallery
        encoder, settings = recognizer.similarity.encoder_hash, recognizer.analyzer.settings
        known = [gallery.known_picture(picture.sha256, encoder, settings) for picture in pictures]
        new = [picture for picture, rows in zip(pictures, known, strict=True) if rows is None]
        analyzed = iter(recognizer.faces(new))
        results = []
        for picture, rows in zip(pictures, known, strict=True):
            if rows is not None:
                results.append(([_to_face(picture, row) for row in rows], rows))
                continue
            faces = next(analyzed)
            rows = [_to_row(picture, face, encoder, settings) for face in faces]
            if not gallery.read_only:
                gallery.remember_picture(
                    picture.sha256, encoder, rows, settings=settings, source=picture.source
                )
            results.append((faces, rows))
        return results

    def pick(
        self,
        picture: FacePicture,
        found: tuple[list[Face], list[FaceRow]],
        number: int | None = None,
    ) -> tuple[Face, FaceRow]:
        """The face of a picture that is meant, of what `find` gave.

        Args:
            picture: for messages.
            found: its faces, the largest first, and the same as rows for the gallery.
            number: from 1 for the largest; None for the main one, with a note if there are more.

        Raises:
            NoFaceError: there is none, or not as many.
        """
        faces, rows = found
        face = self.recognizer.pick(picture, faces, number)
        return face, rows[next(i for i, other in enumerate(faces) if other is face)]

    def identify(self, pictures: Sequence[Any], *, matches: int = 2) -> list[list[IdentifiedFace]]:
        """Says who is in pictures.

        Args:
            pictures: paths, `PIL.Image`s or arrays `(height, width, 3)` of uint8.
            matches: number of people to name for each face, at least 1.

        Returns:
            For each picture its faces, the largest first.

        Raises:
            ImageError: a picture cannot be read.
            GalleryError: the gallery cannot be read, or is of another model.
        """
        if matches < 1:
            raise UsageError(f"matches must be at least 1, not {matches}")
        read = [_as_face_picture(picture) for picture in pictures]
        found = [faces for faces, _ in self.find(read)]
        everything = [face.vector for faces in found for face in faces]
        near = iter(self._search(np.stack(everything), matches) if everything else ())
        return [[self._judge(face, next(near)) for face in faces] for faces in found]

    def _judge(self, face: Face, near: tuple[PersonMatch, ...]) -> IdentifiedFace:
        if not near:
            return IdentifiedFace(face, None, (), 0.0)
        best = near[0]
        recognizer = self.recognizer
        return IdentifiedFace(
            face,
            best.name if best.distance < recognizer.threshold else None,
            near,
            recognizer.calibration.probability(best.distance),
        )

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


class FaceGroups:
    """Finds out which faces of many pictures are of the same person.

    Of each face a small picture is kept, compressed; the pictures themselves are not.

    Args:
        settings: see `FaceSettings`; the threshold says how near is near.
        chip_size: side of the small pictures, in pixels.
        on_note: takes a line of text that the user may want to know.
    """

    def __init__(
        self,
        settings: FaceSettings | None = None,
        *,
        chip_size: int = 256,
        on_note: Callable[[str], None] | None = None,
    ):
        self.recognizer = FaceRecognizer(settings, on_note)
        self._chip_size = chip_size
        self._faces: list[GroupedFace] = []

    def add(self, pictures: Sequence[Any]) -> None:
        """Looks at some pictures, given as in `FaceBook.identify`."""
        read = [_as_face_picture(picture) for picture in pictures]
        for picture, faces in zip(read, self.recognizer.faces(read), strict=True):
            for face in faces:
                pixels = crop_face(picture, face, self._chip_size, _CROP_MARGIN)
                chip = encode_image(Picture(pixels / np.float32(255.0)), ".jpg")
                self._faces.append(GroupedFace(picture.source, face, chip))

    def people(self) -> list[list[GroupedFace]]:
        """The faces so far by person; the people with most faces first."""
        if not self._faces:
            return []
        groups = cluster_embeddings(
            np.stack([one.face.vector for one in self._faces]),
            self.recognizer.threshold,
            None if self.recognizer.similarity.is_euclidean else self.recognizer.distance,
        )
        people: list[list[GroupedFace]] = [[] for _ in range(groups.max() + 1)]
        for one, group in zip(self._faces, groups, strict=True):
            people[group].append(one)
        return people

    def write(self, folder: Path, people: Sequence[Sequence[GroupedFace]]) -> None:
        """Writes the small pictures, a folder for each person, and `sheet.png` of all people.

        Raises:
            ImageError: the folder cannot be written.
        """
        rows = []
        for number, members in enumerate(people, 1):
            name = f"person-{number:03d}"
            for index, one in enumerate(members, 1):
                stem = Path(one.source).stem if one.source != STDIN else "stdin"
                write_bytes(folder / name / f"{index:03d}-{stem}.jpg", one.chip)
            chips = [to_uint8(read_image(one.chip).pixels) for one in members[:_SHEET_COLUMNS]]
            # The sheet says how many there are, not how many it shows.
            rows.append((name, chips + [chips[0]] * (len(members) - len(chips))))
        sheet = draw_sheet(rows[:_SHEET_ROWS], columns=_SHEET_COLUMNS)
        picture = Picture(sheet / np.float32(255.0))
        write_bytes(folder / "sheet.png", encode_image(picture, ".png"))


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


def _as_face_picture(picture: Any) -> FacePicture:
    return picture if isinstance(picture, FacePicture) else read_face_picture(picture)


def _to_row(picture: FacePicture, face: Face, encoder: str, settings: str) -> FaceRow:
    return FaceRow(
        face.vector,
        encoder,
        picture.sha256,
        face.box_xyxy,
        picture.source,
        settings,
        face.confidence,
        face.quality.sharpness,
        face.landmarks_xy,
    )


def _to_face(picture: FacePicture, row: FaceRow) -> Face:
    # Rows of pictures that were looked at before have all of it.
    assert row.landmarks_xy is not None
    assert row.confidence is not None
    left, top, right, bottom = map(float, row.box_xyxy)
    chip = extract_chip(picture.pixels, row.landmarks_xy)
    return Face(
        (left, top, right, bottom),
        row.confidence,
        row.landmarks_xy,
        assess_quality(np.array([left, top, right, bottom]), row.landmarks_xy, chip),
        row.embedding,
    )
