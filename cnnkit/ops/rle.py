"""Masks as runs of equal pixels, as COCO's annotations have them."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def encode_rle(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of a mask, column by column, beginning with those of False.

    Args:
        mask: bool `(height, width)`.

    Returns:
        Counts; the first is 0 where the first pixel is True.

    Example:

    >>> encode_rle(np.array([[False, True], [True, True]]))
    [1, 3]
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    if not flat.size:
        return [0]
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(ends).tolist()
    return [0, *counts] if flat[0] else counts


def decode_rle(counts: Sequence[int] | str, height: int, width: int) -> np.ndarray:
    """The mask of runs that `encode_rle` or `compress_rle` made.

    Args:
        counts: of runs, or these as COCO's text.
        height: of the mask.
        width: of the mask.

    Returns:
        bool `(height, width)`.

    Raises:
        ValueError: the runs are not as long as the mask is large.

    Example:

    >>> decode_rle([1, 3], 2, 2).tolist()
    [[False, True], [True, True]]
    """
    if isinstance(counts, str):
        counts = _decompress(counts)
    if sum(counts) != height * width:
        raise ValueError(f"counts must add up to {height * width}. Received: {sum(counts)}")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")


def compress_rle(counts: Sequence[int]) -> str:
    """Runs as the text of COCO's files.

    From the third on each count is a difference to the one before the last; numbers are written
    in groups of five bits, lowest first, with a sixth bit where more follow, from the letter 0 on.

    Example:

    >>> compress_rle([1, 3])
    '13'
    """
    text = []
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            bits = value & 31
            value >>= 5
            is_last = value == (-1 if bits & 16 else 0)
            text.append(chr(48 + bits + (0 if is_last else 32)))
            if is_last:
                break
    return "".join(text)


def _decompress(text: str) -> list[int]:
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def coco_rle(mask: np.ndarray, *, compressed: bool = True) -> dict[str, Any]:
    """A mask as COCO's tools take it.

    Args:
        mask: bool `(height, width)`.
        compressed: write the counts as text.

    Example:

    >>> coco_rle(np.array([[False, True], [True, True]]), compressed=False)
    {'size': [2, 2], 'counts': [1, 3]}
    """
    counts = encode_rle(mask)
    return {"size": list(mask.shape), "counts": compress_rle(counts) if compressed else counts}
