"""The embeddings of one model as one matrix, exact search in it, and its file beside the gallery.

The file is derived from the database and never trusted over it: it names the gallery, the model,
the state it was made from and its own checksum, and whatever is wrong with it, it is left aside and
made again. It exists so that a new process need not fetch every row: the matrix is mapped into
memory as it lies on the disk.

Approximate indexes (graphs and cells of neighbours) were measured and left out: of 1,000,000
embeddings they took minutes to build, again after every removal, and missed many nearest faces,
while the exact scan takes about as long as the network takes for one face.
See `benchmarks/gallery.py --approximate`.
"""

import contextlib
import hashlib
import os
import struct
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

# Rows that a process fetches from the database at every start at most; more go into the file.
FETCHED_ROWS = 5_000
# A file is made again when the rows stored since are more than this share of it.
FETCHED_SHARE = 0.05

# Distances held at a time: 64 MB as float32.
_BLOCK = 16_000_000

_MAGIC = b"cnnkit-index-1\r\n"
# magic; gallery; SHA-256 of the model's hash; epoch; last face; rows; D; checksum of the body
_HEADER = struct.Struct("<16s16s32sqqqqQ")
_HEADER_BYTES = 128


@dataclass(frozen=True)
class State:
    """Which embeddings a matrix holds: all of one model and gallery, up to a face number.

    Attributes:
        gallery: 16 random bytes that name the gallery.
        model: hash of the model.
        epoch: of the gallery; it rises when rows are removed or change hands.
        last: number of the last face.
    """

    gallery: bytes
    model: str
    epoch: int
    last: int


@dataclass(frozen=True, eq=False)
class Rows:
    """Embeddings with their faces and people, in the order of the faces.

    Attributes:
        embeddings: float32 `(rows, D)`.
        squares: float32 `(rows,)`, squared norms.
        faces: int64 `(rows,)`.
        people: int64 `(rows,)`.
    """

    embeddings: np.ndarray
    squares: np.ndarray
    faces: np.ndarray
    people: np.ndarray

    def __len__(self) -> int:
        return len(self.faces)


def make_rows(faces: Iterable[int], people: Iterable[int], embeddings: np.ndarray) -> Rows:
    """Rows of an embedding matrix `(rows, D)`; the squared norms are computed."""
    embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
    squares = np.einsum("ij,ij->i", embeddings, embeddings)
    return Rows(embeddings, squares, np.asarray(faces, np.int64), np.asarray(people, np.int64))


def nearest_people(
    queries: np.ndarray, parts: Iterable[Rows], k: int
) -> list[list[tuple[int, int]]]:
    """The faces among which the nearest face of each of the k nearest people surely is.

    Squared distances are expanded, `|q - x|^2 = |q|^2 - 2 q.x + |x|^2`, in float32. What that
    rounds away is bounded, and every face that may matter within the bound is returned, so that
    measuring the few again in float64 gives the exact answer.

    Args:
        queries: float32 `(N, D)`.
        parts: the embeddings; a face is in one part only.
        k: number of people wanted.

    Returns:
        For each query, pairs (person, face). Fewer than k people where there are no more.

    Example:

    >>> rows = make_rows([1, 2, 3], [7, 7, 8], np.array([[0.0, 0], [5, 5], [3, 4]]))
    >>> nearest_people(np.array([[0.0, 1]], np.float32), [rows], k=2)
    [[(7, 1), (8, 3)]]
    """
    parts = [part for part in parts if len(part)]
    if not parts:
        return [[] for _ in queries]
    largest = max(float(np.sqrt(part.squares.max())) for part in parts)
    people = 1 + max(int(part.people.max()) for part in parts)
    step = max(1, _BLOCK // sum(map(len, parts)))
    found = []
    for begin in range(0, len(queries), step):
        block = queries[begin : begin + step]
        # (block, rows) each: every matrix is read once for all queries of the block.
        distances = [
            np.ascontiguousarray((part.squares[:, None] - 2 * (part.embeddings @ block.T)).T)
            for part in parts
        ]
        for i, query in enumerate(block):
            # Twice the rounding error of the float32 expression, a dot product of D terms.
            norm = float(np.linalg.norm(query))
            slack = 2 * (query.size + 8) * 2.0**-24 * (norm + largest) ** 2
            best = np.full(people, np.inf, np.float32)
            for part, of_part in zip(parts, distances, strict=True):
                np.minimum.at(best, part.people, of_part[i])
            wanted = min(k, people) - 1
            bound = np.partition(best, wanted)[wanted] + slack
            found.append([])
            for part, of_part in zip(parts, distances, strict=True):
                near = np.flatnonzero(of_part[i] <= bound + slack)
                limit = best[part.people[near]]
                near = near[(limit <= bound) & (of_part[i][near] <= limit + slack)]
                pairs = zip(part.people[near].tolist(), part.faces[near].tolist(), strict=True)
                found[-1].extend(pairs)
    return found


def index_path(gallery: Path, model: str) -> Path:
    """Where the matrix of a model lies: beside the gallery."""
    return Path(f"{gallery}-index-{_model_digest(model).hex()[:12]}")


def index_files(gallery: Path) -> list[Path]:
    """All matrix files of a gallery, half-written ones too."""
    # No glob: the gallery's own name may have wildcards in it.
    beginning = f"{gallery.name}-index-"
    with contextlib.suppress(OSError):
        return sorted(p for p in gallery.parent.iterdir() if p.name.startswith(beginning))
    return []


def read_index(path: Path, wanted: State, dimensions: int) -> tuple[Rows, int] | None:
    """The matrix in a file and the number of its last face.

    Args:
        path: of the file.
        wanted: the gallery's state; a file with fewer faces is good as far as it goes.
        dimensions: D.

    Returns:
        Rows that are mapped, not read; None when the file is missing, damaged, cut off, of another
        gallery or model, or older than a removal.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            if len(header) != _HEADER_BYTES:
                return None
            magic, gallery, model, epoch, last, rows, width, checksum = _HEADER.unpack_from(header)
            named = (magic, gallery, model, epoch, width)
            digest = _model_digest(wanted.model)
            if named != (_MAGIC, wanted.gallery, digest, wanted.epoch, dimensions):
                return None
            size = _places(rows, width)[-1]
            if rows < 1 or last > wanted.last or path.stat().st_size != _HEADER_BYTES + size:
                return None
            body = _map_body(file, size)
    except (OSError, ValueError):
        return None
    if _checksum(body) != checksum:
        return None
    places = _places(rows, width)
    embeddings = body[: 4 * rows * width].view("<f4").reshape(rows, width)
    squares = body[places[0] : places[0] + 4 * rows].view("<f4")
    faces = body[places[1] : places[2]].view("<i8")
    people = body[places[2] : places[3]].view("<i8")
    return Rows(embeddings, squares, faces, people), last


def write_index(path: Path, state: State, parts: Iterable[Rows]) -> bool:
    """Writes a matrix file atomically, one part after the other.

    Args:
        path: of the file.
        state: what the rows are.
        parts: the rows, in the order of the faces; at least one.

    Returns:
        False when the place does not take it; that costs time at the next start and nothing else.
    """
    temporary = None
    try:
        # mkstemp makes files that only the owner can read.
        descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w+b") as file:
            file.write(bytes(_HEADER_BYTES))
            small, width = [], 0
            for part in parts:
                file.write(np.ascontiguousarray(part.embeddings, "<f4").data)
                small.append((part.squares, part.faces, part.people))
                width = part.embeddings.shape[1]
            columns = [np.concatenate(column) for column in zip(*small, strict=True)]
            rows = columns[0].size
            kinds = ("<f4", "<i8", "<i8")
            for column, kind, place in zip(columns, kinds, _places(rows, width), strict=False):
                file.write(bytes(_HEADER_BYTES + place - file.tell()))
                file.write(column.astype(kind).data)
            file.flush()
            size = _places(rows, width)[-1]
            checksum = _checksum(_map_body(file, size))
            header = (state.gallery, _model_digest(state.model), state.epoch, state.last)
            file.seek(0)
            file.write(_HEADER.pack(_MAGIC, *header, rows, width, checksum))
        Path(temporary).replace(path)
        temporary = None
        _sweep(path)
    except OSError:
        return False
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
    return True


def _sweep(path: Path) -> None:
    """Deletes what programs that were killed while writing this file have left."""
    for left in index_files(path.parent / path.name.rpartition("-index-")[0]):
        if left.name.startswith(f"{path.name}.") and left.stat().st_mtime < time.time() - 3600:
            left.unlink()


def _places(rows: int, width: int) -> tuple[int, int, int, int]:
    """Where squares, faces and people begin and where the people end, each on a multiple of 8."""
    squares = _to_words(4 * rows * width)
    faces = squares + _to_words(4 * rows)
    return squares, faces, faces + 8 * rows, faces + 16 * rows


def _to_words(size: int) -> int:
    return -(-size // 8) * 8


def _map_body(file: BinaryIO, size: int) -> np.ndarray:
    return np.asarray(np.memmap(file, np.uint8, "r", _HEADER_BYTES, size))


def _checksum(data: np.ndarray) -> int:
    """XOR of all 64-bit words: as fast as the memory, and no one piece of damage escapes it."""
    return int(np.bitwise_xor.reduce(data.view(np.uint64)))


def _model_digest(model: str) -> bytes:
    return hashlib.sha256(model.encode()).digest()
