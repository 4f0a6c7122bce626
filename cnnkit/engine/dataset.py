"""Batches that a network is trained on: their epoch, and what went wrong in a thread."""

import contextlib
import threading
from collections.abc import Iterator

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
