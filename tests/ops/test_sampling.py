import numpy as np
import pytest

from cnnkit.ops.sampling import (
    PackedPictures,
    sample_nearest,
    sample_placements,
)


@pytest.fixture
def packed():
    """A ramp to the right and downwards, and a smaller one of one colour."""
    ramp = np.stack(
        [
            *np.meshgrid(np.arange(0, 240, 10), np.arange(0, 160, 10)),
            np.full((16, 24), 7),
        ],
        axis=-1,
    ).astype(np.uint8)
    return PackedPictures.pack([ramp, np.full((5, 3, 3), 200, np.uint8)], levels=3)


def sample(packed, placements, side=8, grey=114.0):
    placements = np.array([placements], np.float32)
    return np.asarray(sample_placements(packed.values, packed.table, placements, side, grey))[0]


def test_pictures_lie_one_after_the_other_with_their_halves(packed):
    assert packed.table[:, :, 1:].tolist() == [
        [[16, 24], [8, 12], [4, 6]],
        [[5, 3], [2, 1], [1, 1]],
    ]
    begin, height, width = packed.table[0, 1]
    half = packed.values[begin : begin + height * width].reshape(height, width, 3)
    # Means of 0 and 10, 20 and 30, ...
    assert half[0, :, 0].tolist() == list(range(5, 240, 20))
    assert half[:, 0, 1].tolist() == list(range(5, 160, 20))


def test_no_and_too_many_pixels_are_refused():
    with pytest.raises(ValueError, match="need at least one array"):
        PackedPictures.pack([], levels=1)
    with pytest.raises(ValueError, match=r"there must be less than 2\^31 pixels"):
        PackedPictures.pack([np.broadcast_to(np.uint8(0), (2**15, 2**16, 3))], levels=1)


def test_a_picture_at_its_own_size_is_itself(packed):
    # Its columns 3 to 10 and rows 5 to 12.
    found = sample(packed, [[0, 0, 0, 0, 8, 8, -3, -5, 24, 16]])
    np.testing.assert_allclose(found[0, :, 0], np.arange(30, 110, 10), atol=1e-4)
    np.testing.assert_allclose(found[:, 0, 1], np.arange(50, 130, 10), atol=1e-4)
    mirrored = sample(packed, [[0, 1, 0, 0, 8, 8, -3, -5, 24, 16]])
    np.testing.assert_allclose(mirrored[0, :, 0], np.arange(200, 120, -10), atol=1e-4)


def test_what_is_smaller_comes_from_a_level_below(packed):
    found = sample(packed, [[0, 0, 0, 0, 6, 4, 0, 0, 6, 4]])
    # Means of four columns, and of four rows.
    np.testing.assert_allclose(found[0, :6, 0], np.arange(15, 240, 40), atol=0.6)
    np.testing.assert_allclose(found[:4, 0, 1], np.arange(15, 160, 40), atol=0.6)
    assert (found[4:] == 114).all()
    assert (found[:, 6:] == 114).all()


def test_what_is_larger_is_between_its_pixels(packed):
    found = sample(packed, [[0, 0, 0, 0, 8, 8, -8, -8, 48, 32]])
    np.testing.assert_allclose(found[0, :, 0], np.arange(37.5, 77.5, 5), atol=1e-4)


def test_pictures_lie_beside_each_other(packed):
    found = sample(
        packed,
        [
            [1, 0, 0, 0, 3, 8, 0, 0, 3, 8],
            [0, 0, 3, 0, 8, 8, 3, 0, 24, 16],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ],
    )
    np.testing.assert_allclose(found[:, :3], 200.0)
    np.testing.assert_allclose(found[0, 3:, 0], np.arange(0, 50, 10), atol=1e-4)


def test_classes_are_not_mixed():
    classes = np.repeat(np.arange(8, dtype=np.uint8), 8).reshape(1, 8, 8).transpose(0, 2, 1)
    packed = PackedPictures.pack(classes[..., None], levels=1)
    placements = np.array([[[0, 0, 0, 0, 12, 16, 0, 0, 16, 16]]], np.float32)
    found = sample_nearest(packed.values, packed.table, placements, 16, 255)
    assert np.asarray(found)[0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, *[255] * 4]
    every = sample_nearest(packed.values, packed.table, placements, 16, 255, step=4)
    assert np.asarray(every)[0, 1].tolist() == [1, 3, 5, 255]
