"""Batches of labelled files, read and changed at random while the network computes."""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from cnnkit.data.augmentation import augment, mixup
from cnnkit.data.labelled import (
    ARRAY_SUFFIX,
    LabelledFiles,
    read_example,
    to_channels,
)
from cnnkit.engine.dataset import BatchesAhead
from cnnkit.engine.settings import AugmentSettings
from cnnkit.errors import DataError, ImageError
from cnnkit.images import read_pixels
from cnnkit.runtime import reader_count

_Batch = tuple[Any, ...]


class LabelledBatches(BatchesAhead):
    """Batches of `(x, y)`, or `(x, y, weights)`, from files, the same with any number of workers.

    `x` is float32 `(B, *shape)` and `y` one-hot float32 `(B, classes)`. The order is a permutation
    drawn from the seed and the epoch; each example is changed by draws from the seed, the epoch
    and its place in that order. A run that is resumed with `epoch=k` sees what it would have seen.
    No more than a few batches are in memory, whatever the number of files.

    Pictures are read by threads of its own a little ahead of what is asked for, across the end of
    an epoch too, on every backend. Give it to `fit(..., shuffle=False)`: Keras would shuffle the
    batches once more, by draws that nobody can repeat.

    Args:
        files: and their labels.
        classes: how many there are.
        shape: of the network's input, `(height, width, channels)` for pictures.
        batch_size: of all processes together.
        augment: random changes of pictures, and mixup of these or of arrays.
        shuffle: draw an order for each epoch. All batches are full then: the last one is filled
            with the first of the order. Otherwise the last one is short.
        seed: of all draws.
        epoch: to begin with.
        shard: `(rank, count)` of this process among those that share each batch; it reads only its
            own part. Of a short last batch the parts may differ by one example.
        workers: threads that read; one for each core, at most 8, by default.
        class_weights: `(classes,)`, the weight of each class in the loss; of examples that are
            mixed, the mixture.

    Raises:
        ValueError: `batch_size` cannot be shared out, or there is no such shard.
    """

    def __init__(
        self,
        files: LabelledFiles,
        classes: int,
        shape: tuple[int, ...],
        batch_size: int,
        *,
        augment: AugmentSettings | None = None,
        shuffle: bool,
        seed: int = 0,
        epoch: int = 0,
        shard: tuple[int, int] = (0, 1),
        workers: int | None = None,
        class_weights: np.ndarray | None = None,
    ):
        super().__init__(epoch)
        rank, count = shard
        if not 0 <= rank < count:
            raise ValueError(f"shard must be (rank, count) with rank < count. Received: {shard}")
        if batch_size < 1 or batch_size % count:
            raise ValueError(
                f"batch_size must be a multiple of the {count} processes. Received: {batch_size}"
            )
        self._files, self._classes, self._shape = files, classes, tuple(shape)
        self._batch_size, self._shard = batch_size, shard
        self._augment, self._shuffle = augment, shuffle
        self._seed = seed
        self._class_weights = class_weights
        self._workers_here = workers or reader_count()
        self._pool: ThreadPoolExecutor | None = None
        self._orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return math.ceil(len(self._files) / self._batch_size)

    def _order(self, epoch: int) -> np.ndarray:
        """Rows of the files, in the order of an epoch."""
        if epoch not in self._orders:
            self._orders = {one: kept for one, kept in self._orders.items() if one >= self.epoch}
            rows = np.arange(len(self._files))
            if self._shuffle:
                rows = np.random.default_rng([self._seed, epoch]).permutation(rows)
            self._orders[epoch] = rows
        return self._orders[epoch]

    def _places(self, index: int) -> np.ndarray:
        """Places in the order of this process' part of a batch."""
        begin = index * self._batch_size
        end = begin + self._batch_size
        if not self._shuffle:
            end = min(end, len(self._files))
        rank, count = self._shard
        return np.array_split(np.arange(begin, end), count)[rank]

    def _begin(self, epoch: int, index: int) -> tuple[_Batch, list[Future[Any]]]:
        """Has the threads fill a batch, each a part of it."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers_here, "cnnkit-batches")
        places = self._places(index)
        order = self._order(epoch)
        rows = order[places % len(order)]
        x = np.empty((len(rows), *self._shape), np.float32)
        y = np.zeros((len(rows), self._classes), np.float32)
        y[np.arange(len(rows)), self._files.labels[rows]] = 1.0
        futures = [
            self._pool.submit(self._fill, x, rows, places, epoch, part)
            for part in np.array_split(np.arange(len(rows)), self._workers_here)
        ]
        return (x, y), futures

    def _fill(
        self, x: np.ndarray, rows: np.ndarray, places: np.ndarray, epoch: int, part: np.ndarray
    ) -> None:
        for i in part.tolist():
            random = np.random.default_rng([self._seed, epoch, int(places[i])])
            x[i] = self._read(self._files.paths[rows[i]], random)

    def _read(self, path: str, random: np.random.Generator) -> np.ndarray:
        options = self._augment
        try:
            if options is None or path.lower().endswith(ARRAY_SUFFIX):
                return read_example(path, self._shape)
            height, width, channels = self._shape
            # So large that the smallest crop has the pixels that are wanted.
            least = max(height, width) / math.sqrt(1.0 - options.crop)
            pixels = augment(read_pixels(path, math.ceil(least)), (height, width), options, random)
            return to_channels(pixels, channels)
        except (ImageError, DataError) as error:
            raise DataError(f"{error}, or leave it out with --skip-bad") from None

    def _finish(self, batch: Any, made: list[Any], epoch: int, index: int) -> _Batch:
        x, y = batch
        alpha = self._augment.mixup if self._augment is not None else 0.0
        if alpha:
            places = self._places(index)
            # In pairs, which lie in one part however many processes share a batch.
            for begin in range(0, len(x) - 1, 2):
                pair = slice(begin, begin + 2)
                random = np.random.default_rng([self._seed, epoch, int(places[begin]), 1])
                x[pair], y[pair] = mixup(x[pair], y[pair], alpha, random)
        if self._class_weights is None:
            return x, y
        return x, y, y @ np.asarray(self._class_weights, np.float32)
