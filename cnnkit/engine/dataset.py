"""Batches that a network is trained on: their epoch, and what went wrong in a thread."""

import abc
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import keras


class CountedEpochs(keras.utils.PyDataset):
    """Knows which epoch it is in.

    Keras' `fit` looks at a batch or two, and ends that epoch, before it begins the first one.

    Args:
        epoch: to begin with.

    Attributes:
        epoch: the present one, counted from 0; it goes on when one ends that was begun and
            whose last batch was taken.
        failure: what went wrong in a thread, if anything did.
    """

    def __init__(self, epoch: int):
        # Keras' own workers would only wait for the threads of ours.
        super().__init__(workers=1, use_multiprocessing=False)
        self.epoch = epoch
        self.failure: Exception | None = None
        self._has_begun = self._is_through = False
        # With several devices TensorFlow looks at the first batches of an epoch more than once,
        # in threads of its own.
        self._lock = threading.Lock()

    def on_epoch_begin(self) -> None:
        self._has_begun, self._is_through = True, False

    def on_epoch_end(self) -> None:
        if self._is_through:
            self.epoch += 1
        self._has_begun = self._is_through = False

    def _took(self, index: int) -> None:
        """Notes which batch was given out."""
        self._is_through |= self._has_begun and index == len(self) - 1


class BatchesAhead(CountedEpochs, abc.ABC):
    """Batches that threads or processes make a little ahead of what is asked for, across the end
    of an epoch too; after a jump what is not wanted any more is given up.

    Args:
        epoch: to begin with.
        ahead: batches that are made before they are asked for: of two one is ready while the next
            is in the making.
    """

    def __init__(self, epoch: int, ahead: int = 2):
        super().__init__(epoch)
        self._ahead = ahead
        self._pending: dict[tuple[int, int], tuple[Any, list[Future[Any]]]] = {}

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches, no batch {index}")
        with self._lock:
            wanted = []
            for ahead in range(self._ahead + 1):
                further, at = divmod(index + ahead, len(self))
                wanted.append((self.epoch + further, at))
            for step in set(self._pending) - set(wanted):
                for future in self._pending.pop(step)[1]:
                    future.cancel()
            for step in wanted:
                if step not in self._pending:
                    self._pending[step] = self._begin(*step)
            batch, futures = self._pending.pop(wanted[0])
            try:
                made = [future.result() for future in futures]
            except Exception as error:
                self.failure = error
                raise
            self._took(index)
            return self._finish(batch, made, *wanted[0])

    @abc.abstractmethod
    def _begin(self, epoch: int, index: int) -> tuple[Any, list[Future[Any]]]:
        """Has a batch made: what is filled, and who makes it."""

    @abc.abstractmethod
    def _finish(self, batch: Any, made: list[Any], epoch: int, index: int) -> tuple[Any, ...]:
        """What `fit` is given, of what `_begin` gave and of what came of it."""


@contextlib.contextmanager
def reading(*batches: CountedEpochs) -> Iterator[None]:
    """Lets through what went wrong with a file while Keras trains or predicts from batches.

    TensorFlow wraps errors of Python in its own, with the whole traceback as their text.

    Args:
        batches: that are read in the block.

    Raises:
        DataError: a file could not be read.
    """
    try:
        yield
    except Exception as error:
        failures = [one.failure for one in batches if one.failure is not None]
        if not failures or error is failures[0]:
            raise
        raise failures[0] from None
