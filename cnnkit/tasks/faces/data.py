"""Faces for training: found once, in batches of people, and in pairs to validate with."""

import contextlib
import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
from PIL import Image

from cnnkit.data.pairs import Pair
from cnnkit.errors import DataError, ImageError
from cnnkit.images import read_image, to_uint8, write_bytes
from cnnkit.models.face_siamese import CROP, TRUNK_SIZE
from cnnkit.tasks.faces.settings import TrainSettings

# A calibration is fitted to this many pairs of each kind at least.
_LEAST_PAIRS = 10
_MOST_PAIRS = 3000
_MOST_STRANGERS = 200_000
_CHUNK = 64


class FaceSource(Protocol):
    """Finds the main face of a picture; `tasks.faces.chips.MainFaces` is one."""

    settings: str

    def cut(self, pixels: np.ndarray) -> np.ndarray | None:
        """The chip `(150, 150, 3)` of the main face of uint8 `(height, width, 3)`, or None."""

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """dlib's embeddings `(N, 128)` of chips."""


def prepare_faces(
    paths: Sequence[Path],
    source: FaceSource,
    cache: Path,
    embed: bool,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[Path, tuple[str, np.ndarray | None]]:
    """The main face of each picture as a chip or an embedding, found once.

    Args:
        paths: pictures.
        source: finds them.
        cache: `.npz` file of what was found before, by the SHA-256 of the picture's file; it is
            written again with what is new, however this ends.
        embed: dlib's embeddings instead of chips.
        on_progress: called with the number of pictures done, and of all.

    Returns:
        path -> its hash, and uint8 `(150, 150, 3)` or float32 `(128,)`, or None where there is no
        face or the picture cannot be read.
    """
    key = f"1 {'embeddings' if embed else 'chips'} {source.settings}"
    known = _read_cache(cache, key)
    digests = {path: _digest(path) for path in paths}
    missing = list({digests[path]: path for path in paths if digests[path] not in known}.values())
    done = len(paths) - len(missing)
    try:
        for begin in range(0, len(missing), _CHUNK):
            chunk = missing[begin : begin + _CHUNK]
            chips = [_cut(path, source) for path in chunk]
            values = [chip for chip in chips if chip is not None]
            if embed and values:
                values = list(source.embed(np.stack(values)))
            found = iter(values)
            for path, chip in zip(chunk, chips, strict=True):
                known[digests[path]] = None if chip is None else next(found)
            done += len(chunk)
            if on_progress:
                on_progress(done, len(paths))
    finally:
        if missing:
            _write_cache(cache, key, known)
    return {path: (digests[path], known.get(digests[path])) for path in paths}


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _cut(path: Path, source: FaceSource) -> np.ndarray | None:
    try:
        return source.cut(to_uint8(read_image(path).pixels[..., :3]))
    except ImageError:
        return None


def _read_cache(cache: Path, key: str) -> dict[str, np.ndarray | None]:
    # A damaged one, or one of other settings, is made again.
    damage = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
    # Opened here: of a damaged file np.load would leave the handle open.
    with (
        contextlib.suppress(*damage),
        cache.open("rb") as opened,
        np.load(opened, allow_pickle=False) as file,
    ):
        if str(file["key"]) == key:
            known: dict[str, np.ndarray | None] = dict.fromkeys(file["missed"].tolist())
            known.update(zip(file["found"].tolist(), file["values"], strict=True))
            return known
    return {}


def _write_cache(cache: Path, key: str, known: Mapping[str, np.ndarray | None]) -> None:
    found = {digest: value for digest, value in known.items() if value is not None}
    buffer = io.BytesIO()
    np.savez(
        buffer,
        key=key,
        missed=np.array([digest for digest in known if digest not in found], "U64"),
        found=np.array(list(found), "U64"),
        values=np.stack(list(found.values())) if found else np.zeros(0, np.float32),
    )
    write_bytes(cache, buffer.getvalue())


@dataclass(frozen=True, eq=False)
class LabelledFaces:
    """Chips or embeddings `(N, ...)` and the number of each one's person `(N,)`."""

    values: np.ndarray
    people: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


def label_faces(
    people: Mapping[str, Sequence[Path]], faces: Mapping[Path, tuple[str, np.ndarray | None]]
) -> LabelledFaces:
    """Each picture of a person once: a copy of a file is no other picture."""
    values, owners = [], []
    for number, pictures in enumerate(people.values()):
        unique = {faces[path][0]: faces[path][1] for path in pictures}
        for value in unique.values():
            if value is not None:
                values.append(value)
                owners.append(number)
    return LabelledFaces(np.array(values), np.array(owners, np.int32))


def augment_chip(chip: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A chip as the trunk sees it, mirrored, shifted, scaled and recoloured at random.

    Args:
        chip: uint8 `(150, 150, 3)`.
        random: draws the changes.

    Returns:
        float32 `(64, 64, 3)` in 0..255.
    """
    size = chip.shape[0]
    middle = size - 2 * CROP
    side = random.uniform(0.88, 1.14) * middle
    slack = size - side
    left, top = np.clip(slack / 2 + random.normal(0.0, 0.04 * middle, 2), 0.0, slack)
    box = (left, top, left + side, top + side)
    shape = (TRUNK_SIZE, TRUNK_SIZE)
    small = Image.fromarray(chip).resize(shape, Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(small, np.float32) / 255.0
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    gain = random.uniform(0.8, 1.2, 3).astype(np.float32)
    gamma = np.float32(math.exp(random.uniform(-0.3, 0.3)))
    pixels = np.clip(pixels * gain, 0.0, 1.0) ** gamma
    if random.random() < 0.3:
        pixels = np.repeat(pixels.mean(axis=-1, keepdims=True), 3, axis=-1)
    if random.random() < 0.3:
        # Something before the face: no single feature should be needed.
        height, width = random.integers(8, 24, 2)
        top, left = random.integers(0, TRUNK_SIZE - 8, 2)
        pixels = pixels.copy()
        pixels[top : top + height, left : left + width] = random.random()
    return np.ascontiguousarray(255.0 * pixels, np.float32)


class PeopleBatches(keras.utils.PyDataset):
    """Batches of P people with K pictures each; batch `i` is the same in every run of one seed.

    A person with fewer than K gives all there are. The batch is filled up to P x K with people
    whose one picture is a negative of all others.

    Args:
        faces: chips or embeddings.
        settings: see `TrainSettings`.
        epoch: to begin with.
        augment: changes a chip at random; None takes the values as they are.
    """

    def __init__(
        self,
        faces: LabelledFaces,
        settings: TrainSettings,
        epoch: int = 0,
        augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
    ):
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self._faces, self._settings, self._epoch, self._augment = faces, settings, epoch, augment
        owned: dict[int, list[int]] = {}
        for index, person in enumerate(faces.people.tolist()):
            owned.setdefault(person, []).append(index)
        self._several = [owned[person] for person in owned if len(owned[person]) > 1]
        self._single = [owned[person][0] for person in owned if len(owned[person]) == 1]

    def __len__(self) -> int:
        return self._settings.epoch_steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        settings = self._settings
        step = self._epoch * settings.epoch_steps + index
        random = np.random.default_rng([settings.seed, step])
        order = random.permutation(len(self._several)).tolist()
        chosen: list[int] = []
        for person in order[: settings.people]:
            pictures = self._several[person]
            picked = random.permutation(len(pictures))[: settings.pictures]
            chosen += [pictures[i] for i in picked]
        wanted = settings.people * settings.pictures - len(chosen)
        chosen += [self._single[i] for i in random.permutation(len(self._single))[:wanted]]
        # Still short: one picture each of people who have more.
        wanted = settings.people * settings.pictures - len(chosen)
        others = order[settings.people :][:wanted]
        chosen += [self._several[person][0] for person in others]
        values = self._faces.values[chosen]
        if self._augment is not None:
            values = np.stack([self._augment(value, random) for value in values])
        return values, self._faces.people[chosen]

    def on_epoch_end(self) -> None:
        self._epoch += 1


@dataclass(frozen=True, eq=False)
class ValidationPairs:
    """Labelled pairs of rows of faces, and pairs of strangers to count false accepts with.

    Attributes:
        faces: all faces of validation.
        first: `(N,)` rows.
        second: `(N,)` rows.
        same: `(N,)` booleans.
        strangers: `(M, 2)` rows.
    """

    faces: LabelledFaces
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    strangers: np.ndarray


def draw_pairs(faces: LabelledFaces, seed: int = 0) -> ValidationPairs:
    """All same pairs of some faces, at most 3,000, as many different ones, and more strangers.

    Args:
        faces: of validation.
        seed: of the draw.

    Raises:
        DataError: fewer than 10 pairs of either kind, too few for a threshold.
    """
    random = np.random.default_rng(seed)
    rows = np.stack(np.triu_indices(len(faces), 1), axis=1)
    is_same = faces.people[rows[:, 0]] == faces.people[rows[:, 1]]
    same, strangers = rows[is_same], rows[~is_same]
    same = same[random.permutation(len(same))[:_MOST_PAIRS]]
    strangers = strangers[random.permutation(len(strangers))[:_MOST_STRANGERS]]
    return _validation_pairs(faces, same, strangers[: len(same)], strangers)


def given_pairs(
    pairs: Sequence[Pair], faces: Mapping[Path, tuple[str, np.ndarray | None]], seed: int
) -> ValidationPairs:
    """Pairs of a list; those with a missed face are left out."""
    used = [p for p in pairs if all(faces[path][1] is not None for path in (p.first, p.second))]
    paths = list(dict.fromkeys(path for pair in used for path in (pair.first, pair.second)))
    names = {name: number for number, name in enumerate({path.parent.name for path in paths})}
    labelled = LabelledFaces(
        np.array([faces[path][1] for path in paths]),
        np.array([names[path.parent.name] for path in paths], np.int32),
    )
    row = {path: number for number, path in enumerate(paths)}
    rows: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for pair in used:
        rows[pair.same].append((row[pair.first], row[pair.second]))
    same, other = (np.array(rows[kind], int).reshape(-1, 2) for kind in (True, False))
    strangers = other
    if len(rows[False]) >= _LEAST_PAIRS and len(rows[True]) >= _LEAST_PAIRS:
        with contextlib.suppress(DataError):
            strangers = draw_pairs(labelled, seed).strangers
    return _validation_pairs(labelled, same, other, strangers)


def _validation_pairs(
    faces: LabelledFaces, same: np.ndarray, other: np.ndarray, strangers: np.ndarray
) -> ValidationPairs:
    if min(len(same), len(other)) < _LEAST_PAIRS:
        raise DataError(
            f"{len(same)} pairs of one person and {len(other)} of different people with faces are "
            f"too few for validation, which needs {_LEAST_PAIRS} of each; "
            "give more people for it, or more pictures of them"
        )
    rows = np.concatenate([same, other])
    is_same = np.arange(len(rows)) < len(same)
    return ValidationPairs(faces, rows[:, 0], rows[:, 1], is_same, strangers)
