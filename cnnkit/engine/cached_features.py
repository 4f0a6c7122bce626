"""What a frozen network sees of each example, computed once and kept in a file."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from cnnkit.data.labelled import LabelledFiles
from cnnkit.engine.array_files import create_array_file
from cnnkit.engine.dataset import CountedEpochs
from cnnkit.engine.distribution import Team
from cnnkit.engine.labelled_batches import LabelledBatches
from cnnkit.images import write_bytes
from cnnkit.ops.inference import compile_inference

_BATCH = 32
# Beyond this, float16 has no numbers.
_MOST = 65000.0


def cache_features(
    model: keras.Model,
    files: LabelledFiles,
    path: Path,
    *,
    mirrored: bool,
    fingerprint: str,
    team: Team | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Passes every example through a network once, twice with its mirror image.

    Args:
        model: examples -> features `(batch, ...)`: a vector, or maps.
        files: the examples.
        path: of a `.npy` file, which is used again if it is of the same files and network.
        mirrored: add what is seen of the mirror image.
        fingerprint: of the network.
        team: processes that share the work, and the folder.
        on_progress: called with the number of examples done, and of all.

    Returns:
        float16 `(N, sides, ...)`, mapped from the file: memory does not grow with N.
    """
    team = team or Team(devices=1)
    names = "\n".join([fingerprint, str(mirrored), *files.paths])
    wanted = {"hash": hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()}
    record = path.with_suffix(".json")
    if path.exists() and record.exists() and json.loads(record.read_text()) == wanted:
        return np.load(path, mmap_mode="r")

    def begin() -> None:
        # Written last: features without it are those of a run that was stopped.
        record.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)

    # Not before all have looked.
    team.meet()
    team.first(begin)
    parts = [path]
    if team.processes > 1:
        parts = [path.with_name(f"{path.stem}-{k}.npy") for k in range(team.processes)]
    rows = team.own_part(len(files))
    # The labels are not used: one class is enough.
    own = LabelledFiles(files.paths[rows], np.zeros(len(files.paths[rows]), np.int64))
    team.together(lambda: _see(model, own, parts[team.rank], mirrored, on_progress))

    def end() -> None:
        if team.processes > 1:
            _merge(parts, path, len(files))
        write_bytes(record, json.dumps(wanted).encode())

    team.first(end)
    return np.load(path, mmap_mode="r")


def _see(
    model: keras.Model,
    files: LabelledFiles,
    path: Path,
    mirrored: bool,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Writes what a network sees of some examples."""
    shape = tuple(model.inputs[0].shape[1:])
    see = compile_inference(model, dtype="float32")
    size = (len(files), 2 if mirrored else 1, *model.output.shape[1:])
    features = create_array_file(path, np.float16, size)
    batches = LabelledBatches(files, 1, shape, _BATCH, shuffle=False)
    for index in range(len(batches)):
        x = batches[index][0]
        rows = slice(index * _BATCH, index * _BATCH + len(x))
        features[rows, 0] = np.clip(see(x), -_MOST, _MOST)
        if mirrored:
            features[rows, 1] = np.clip(see(x[:, :, ::-1]), -_MOST, _MOST)
        if on_progress is not None:
            on_progress(rows.stop, len(files))
    features.flush()


def _merge(parts: Sequence[Path], path: Path, count: int) -> None:
    """One file of those that the processes wrote of every n-th example."""
    first = np.load(parts[0], mmap_mode="r")
    features = create_array_file(path, np.float16, (count, *first.shape[1:]))
    for number, part in enumerate(parts):
        features[number :: len(parts)] = np.load(part, mmap_mode="r")
        part.unlink()
    features.flush()


def feature_statistics(features: np.ndarray, most: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each feature over at most so many examples.

    Args:
        features: `(N, sides, D)`.
        most: examples to look at, evenly spread.

    Returns:
        float32 `(D,)` and `(D,)`.
    """
    step = max(1, len(features) // most)
    chosen = np.asarray(features[::step], np.float64).reshape(-1, features.shape[-1])
    return chosen.mean(axis=0).astype(np.float32), chosen.var(axis=0).astype(np.float32)


class FeatureBatches(CountedEpochs):
    """Batches of cached features, in an order drawn for each epoch; either side of a picture.

    Args:
        features: `(N, sides, D)`.
        labels: `(N,)` indices of classes.
        classes: their number.
        batch_size: examples in a batch, over all processes.
        shuffle: draw the order, and the side, of every epoch; else the order of `features`.
        seed: of the draws.
        epoch: to begin with.
        shard: number of this process, and of all: each yields its part of every batch.
        class_weights: `(classes,)`; batches then have weights of examples too.
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        classes: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        epoch: int = 0,
        shard: tuple[int, int] = (0, 1),
        class_weights: np.ndarray | None = None,
    ):
        super().__init__(epoch)
        self._features, self._labels = features, labels
        self._targets = np.eye(classes, dtype=np.float32)
        self._batch_size, self._shuffle, self._seed = batch_size, shuffle, seed
        self._shard, self._class_weights = shard, class_weights
        self._drawn: tuple[int, np.ndarray, np.ndarray] | None = None

    def _draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and sides, in the order of this epoch."""
        epoch = self.epoch
        if self._drawn is None or self._drawn[0] != epoch:
            count = len(self._labels)
            order, sides = np.arange(count), np.zeros(count, np.int64)
            if self._shuffle:
                random = np.random.default_rng([self._seed, epoch])
                # The last batch is filled with the first of the order.
                order = np.resize(random.permutation(count), len(self) * self._batch_size)
                sides = random.integers(0, self._features.shape[1], len(order))
            self._drawn = epoch, order, sides
        return self._drawn[1:]

    def __len__(self) -> int:
        return math.ceil(len(self._labels) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        rank, processes = self._shard
        with self._lock:
            order, sides = self._draw()
        places = np.arange(len(order))[index * self._batch_size : (index + 1) * self._batch_size]
        places = np.array_split(places, processes)[rank]
        chosen = order[places]
        labels = self._labels[chosen]
        x = self._features[chosen, sides[places]].astype(np.float32)
        self._took(index)
        if self._class_weights is None:
            return x, self._targets[labels]
        return x, self._targets[labels], self._class_weights[labels].astype(np.float32)
