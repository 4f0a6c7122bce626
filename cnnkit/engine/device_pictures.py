"""Pictures in the memory of the device that trains, where examples of them are put together."""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from cnnkit.data._class_names import IGNORE
from cnnkit.data.augmentation import ColorChange
from cnnkit.errors import DataError
from cnnkit.ops.color import LUMA
from cnnkit.ops.inference import compile_on_device
from cnnkit.ops.sampling import (
    PLACEMENT,
    PackedPictures,
    sample_nearest,
    sample_placements,
)
from cnnkit.runtime import reader_count

# Halvings are kept to an eighth of a picture's size.
_LEVELS = 4
# Of the numbers of a change of colours: the matrix, the contrast and the shift.
_NUMBERS = 13


class DevicePictures:
    """Pictures, or pictures and masks, of which squares are composed where the network trains.

    A graphics card composes thousands of examples a second, processors hundreds. The pictures lie
    in its memory as bytes, each also at a half, a quarter and an eighth of its size.

    Args:
        paths: of the pictures, or what else names them; one that is there several times lies there
            once.
        read: path -> uint8 `(H, W, 3)`, or `(H, W, 4)` with the class of each pixel.
        side: of the squares, in pixels.
        grey: of them where no picture lies, of 255.
        step: of masks, pixels from one that is wanted to the next.
        on_progress: called with the number of pictures read, and of all.

    Attributes:
        numbers: int64 `(N,)`: which picture each path has.
        sizes: int64 `(N, 2)`: height and width of each path's picture.

    Raises:
        DataError: pictures cannot be read, or are too many.
    """

    def __init__(
        self,
        paths: Sequence[Hashable],
        read: Callable[[Any], np.ndarray],
        side: int,
        grey: int,
        step: int = 1,
        on_progress: Callable[[int, int], None] | None = None,
    ):
        unique = list(dict.fromkeys(paths))
        pictures = []
        with ThreadPoolExecutor(reader_count()) as pool:
            for picture in pool.map(read, unique):
                pictures.append(picture)
                if on_progress is not None:
                    on_progress(len(pictures), len(unique))
        try:
            packed = PackedPictures.pack((one[..., :3] for one in pictures), _LEVELS)
        except ValueError:
            raise DataError(
                f"{len(unique):,} pictures have too many pixels to lie on the device; leave out "
                "--on-device"
            ) from None
        places = {path: number for number, path in enumerate(unique)}
        self.numbers = np.array([places[path] for path in paths])
        self.sizes = packed.table[self.numbers, 0, 1:].astype(np.int64)
        self._packed = [packed.values, packed.table]
        has_masks = pictures[0].shape[-1] == 4
        if has_masks:
            masks = PackedPictures.pack((one[..., 3:] for one in pictures), 1)
            self._packed += [masks.values, masks.table]
        self._packed = [keras.ops.convert_to_tensor(one) for one in self._packed]

        def compose(placements: Any, changes: Any, values: Any, table: Any, *masks: Any) -> Any:
            x = sample_placements(values, table, placements, side, grey) / 255.0
            x = _change_colors(x, changes)
            if not masks:
                return x
            labels, label_table = masks
            return x, sample_nearest(labels, label_table, placements, side, IGNORE, step)

        self._compose = compile_on_device(compose)

    def compose(self, placements: np.ndarray, changes: np.ndarray) -> Any:
        """Squares of pictures.

        Args:
            placements: `(B, K, 10)`, see `ops.sampling.sample_placements`.
            changes: `(B, 13)`, see `change_numbers`.

        Returns:
            What `fit` takes: float32 `(B, side, side, 3)` in [0, 1], and with masks also uint8
            `(B, side / step, side / step)`.
        """
        return self._compose(
            np.asarray(placements, np.float32), np.asarray(changes, np.float32), *self._packed
        )


def change_numbers(change: ColorChange) -> np.ndarray:
    """A change of colours as `DevicePictures` takes it, `(13,)`."""
    return np.concatenate([change.matrix.reshape(-1), [change.contrast], change.shift])


def empty_placements(count: int, most: int) -> np.ndarray:
    """Places for `count` squares of at most so many pictures, `(count, most, 10)`."""
    return np.zeros((count, most, PLACEMENT), np.float32)


def empty_changes(count: int) -> np.ndarray:
    """Places for the changes of colours of `count` squares, `(count, 13)`."""
    return np.zeros((count, _NUMBERS), np.float32)


def _change_colors(pixels: Any, changes: Any) -> Any:
    """Changes the colours of each picture in [0, 1] by a map of its own, as `augment` does."""
    ops = keras.ops
    matrices, contrasts, shifts = (
        ops.reshape(changes[:, :9], (-1, 3, 3)),
        changes[:, 9],
        changes[:, 10:],
    )
    mean = ops.einsum("c,bcd,bd->b", LUMA, matrices, ops.mean(pixels, axis=(1, 2)))
    shifts = shifts + ((1.0 - contrasts) * mean)[:, None]
    matrices = contrasts[:, None, None] * matrices
    changed = ops.einsum("bhwd,bcd->bhwc", pixels, matrices) + shifts[:, None, None]
    return ops.clip(changed, 0.0, 1.0)
