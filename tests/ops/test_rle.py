"""Runs of pixels as COCO has them."""

import numpy as np
import pytest

from cnnkit.ops.rle import coco_rle, compress_rle, decode_rle, encode_rle


def test_runs_go_down_the_columns_and_begin_with_false():
    mask = np.array([[0, 1, 1], [0, 1, 0]], bool)
    # Columns 0 0, 1 1, 1 0.
    assert encode_rle(mask) == [2, 3, 1]
    assert encode_rle(~mask) == [0, 2, 3, 1]


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_comes_back(seed):
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 90, 2)
    mask = random.random((height, width)) < random.random()
    for compressed in (False, True):
        written = coco_rle(mask, compressed=compressed)
        assert written["size"] == [height, width]
        np.testing.assert_array_equal(decode_rle(written["counts"], height, width), mask)


def test_text_by_hand():
    # 5 is 00101: one group, the letter 48 + 5. 40 is 01000 00001: 8 + 32, then 1. The third as it
    # is, 7; the fourth minus the second, 38 - 40 = -2: 11110, sign and all, 48 + 30.
    assert compress_rle([5, 40, 7, 38]) == chr(53) + chr(88) + chr(49) + chr(55) + chr(78)


def test_large_counts_and_negative_differences_come_back():
    counts = [0, 100_000, 3, 31, 32, 16, 15, 100_000]
    found = decode_rle(compress_rle(counts), 1, sum(counts))
    np.testing.assert_array_equal(found, decode_rle(counts, 1, sum(counts)))


def test_runs_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"must add up to 6\. Received: 4"):
        decode_rle([1, 3], 2, 3)
