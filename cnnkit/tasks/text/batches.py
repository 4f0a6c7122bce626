"""Batches of texts that are numbered already."""

import math

import numpy as np

from cnnkit.engine.dataset import CountedEpochs


class TextBatches(CountedEpochs):
    """Batches of `(x, y)`, or `(x, y, weights)`, in an order drawn for each epoch.

    `x` is int32 `(B, length)`, or that and float32 `(B, D)`; `y` is one-hot float32
    `(B, classes)`. A run that is resumed with `epoch=k` sees what it would have seen.

    Args:
        tokens: int32 `(N, length)`.
        table: float32 `(N, D)` of other columns, or None.
        labels: `(N,)` indices of classes.
        classes: their number.
        batch_size: texts in a batch.
        shuffle: draw the order of every epoch, all batches full: the last one is filled with the
            first of the order. Else the order is that of `tokens`.
        seed: of the draws.
        epoch: to begin with.
        class_weights: `(classes,)`; batches then have weights of texts too.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        table: np.ndarray | None,
        labels: np.ndarray,
        classes: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        epoch: int = 0,
        class_weights: np.ndarray | None = None,
    ):
        super().__init__(epoch)
        self._tokens, self._table, self._labels = tokens, table, labels
        self._targets = np.eye(classes, dtype=np.float32)
        self._batch_size, self._shuffle, self._seed = batch_size, shuffle, seed
        self._class_weights = class_weights

    def __len__(self) -> int:
        return math.ceil(len(self._labels) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[object, ...]:
        rows = self._order()[index * self._batch_size : (index + 1) * self._batch_size]
        labels = self._labels[rows]
        x = self._tokens[rows]
        if self._table is not None:
            x = x, self._table[rows]
        self._took(index)
        if self._class_weights is None:
            return x, self._targets[labels]
        return x, self._targets[labels], self._class_weights[labels]

    def _order(self) -> np.ndarray:
        count = len(self._labels)
        if not self._shuffle:
            return np.arange(count)
        order = np.random.default_rng([self._seed, self.epoch]).permutation(count)
        return np.resize(order, len(self) * self._batch_size)
