import numpy as np
import pytest

from cnnkit.ops.cover import cover


@pytest.mark.parametrize(("side", "overlap"), [(16, 0), (16, 16), (32, 16), (48, 32)])
def test_cores_fill_a_canvas_once_and_see_their_surroundings(side, overlap):
    height, width = 80, 112
    count = np.zeros((height, width), int)
    for tile in cover(height, width, side, overlap):
        count[tile.core] += 1
        whole = np.zeros((height, width), int)
        whole[tile.whole] = 1
        # Everything within the overlap of the core, as far as there is canvas.
        rows, columns = tile.core
        around = (
            slice(max(0, rows.start - overlap), min(height, rows.stop + overlap)),
            slice(max(0, columns.start - overlap), min(width, columns.stop + overlap)),
        )
        assert whole[around].all()
        assert max(part.stop - part.start for part in tile.whole) <= side + 2 * overlap
    assert (count == 1).all()


@pytest.mark.parametrize("size", [(80, 112), (97, 203), (64, 900)])
def test_all_tiles_are_of_one_shape(size):
    shapes = {tuple(part.stop - part.start for part in tile.whole) for tile in cover(*size, 32, 16)}
    assert len(shapes) == 1


def test_the_core_is_found_within_the_whole_at_any_step():
    canvas = np.arange(80 * 112).reshape(80, 112)
    for tile in cover(80, 112, 32, 16):
        np.testing.assert_array_equal(canvas[tile.whole][tile.inner()], canvas[tile.core])
        small = canvas[::16, ::16]
        there = tuple(slice(part.start // 16, part.stop // 16) for part in tile.whole)
        core = tuple(slice(part.start // 16, part.stop // 16) for part in tile.core)
        np.testing.assert_array_equal(small[there][tile.inner(16)], small[core])


def test_a_canvas_that_a_tile_can_see_is_one_tile():
    [tile] = cover(64, 48, 32, 16)
    assert tile.core == tile.whole == (slice(0, 64), slice(0, 48))
