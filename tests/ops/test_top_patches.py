import itertools

import numpy as np
import pytest

from cnnkit.ops.top_patches import TopPatches, choose_units, cut_patch, pick_places

RNG = np.random.default_rng


def rectified(pictures=200, units=5, seed=0):
    """Responses as of rectified units, with ties, silence, and one dead unit."""
    values = np.round(RNG(seed).normal(size=(pictures, units)), 1).clip(0).astype(np.float32)
    values[:, 3] = 0.0
    return values, RNG(1).integers(0, 9, (2, pictures, units))


def fill(top, values, places, steps):
    for begin, end in itertools.pairwise(steps):
        part = slice(begin, end)
        top.update(values[part], places[0, part], places[1, part], np.arange(begin, end))
    return top


def assert_same(one, other):
    for name, kept in one.state().items():
        np.testing.assert_array_equal(kept, other.state()[name], err_msg=name)


def test_the_nine_strongest_are_those_of_a_whole_sort():
    values, places = rectified()
    top = fill(TopPatches(5), values, places, [0, 1, 30, 31, 77, 200])
    for unit in range(5):
        # Python's sort keeps the order of equals: the earlier picture first.
        best = sorted(range(200), key=lambda i: -values[i, unit])[:9]
        best = [i for i in best if values[i, unit] > 0]
        n = len(best)
        assert top.pictures[unit].tolist() == best + [-1] * (9 - n)
        assert top.values[unit, :n].tolist() == values[best, unit].tolist()
        assert top.rows[unit, :n].tolist() == places[0, best, unit].tolist()
        assert top.columns[unit, :n].tolist() == places[1, best, unit].tolist()
    assert (top.pictures[3] == -1).all()


def test_a_stream_gives_the_same_as_all_at_once():
    values, places = rectified()
    at_once = fill(TopPatches(5), values, places, [0, 200])
    assert_same(at_once, fill(TopPatches(5), values, places, [0, 3, 4, 150, 200]))


def test_the_order_of_pictures_does_not_matter():
    values, places = rectified()
    there, back = TopPatches(5), TopPatches(5)
    fill(there, values, places, [0, 200])
    turned = slice(None, None, -1)
    back.update(values[turned], places[0, turned], places[1, turned], np.arange(200)[turned])
    np.testing.assert_array_equal(there.pictures, back.pictures)
    np.testing.assert_array_equal(there.histogram.counts, back.histogram.counts)


def test_a_restored_state_goes_on_as_if_nothing_had_been():
    values, places = rectified()
    first = fill(TopPatches(5), values, places, [0, 90])
    second = TopPatches(5)
    second.restore({name: np.array(kept) for name, kept in first.state().items()})
    assert_same(
        fill(TopPatches(5), values, places, [0, 200]), fill(second, values, places, [90, 200])
    )
    with pytest.raises(ValueError, match=r"values must be \(4, 9\)\. Received: \(5, 9\)"):
        TopPatches(4).restore(first.state())


def test_negative_responses_count_where_a_unit_is_not_rectified():
    top = TopPatches(1, 2)
    values = np.array([[-3.0], [-1.0], [-2.0]])
    top.update(values, np.zeros((3, 1)), np.zeros((3, 1)), np.arange(3))
    assert top.values.tolist() == [[-1.0, -2.0]]
    assert top.pictures.tolist() == [[1, 2]]


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="values must be finite"):
        TopPatches(1).update(np.array([[np.nan]]), np.zeros((1, 1)), np.zeros((1, 1)), [0])
    with pytest.raises(ValueError, match=r"must be \(pictures, 2\)\. Received: \(1, 3\)"):
        TopPatches(2).update(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((1, 3)), [0])
    with pytest.raises(ValueError, match=r"at least 1\. Received: 0, 9"):
        TopPatches(0)


def test_the_histogram_counts_every_response_once():
    values = (RNG(0).normal(size=(500, 3)) * [1e-3, 1.0, 1e4]).astype(np.float32)
    values[::7, 1] = 0.0
    top = TopPatches(3)
    zeros = np.zeros(values.shape)
    for begin in range(0, 500, 13):
        part = slice(begin, begin + 13)
        top.update(values[part], zeros[part], zeros[part], np.arange(500)[part])
    histogram = top.histogram
    np.testing.assert_array_equal(histogram.silent, [0, 72, 0])
    np.testing.assert_allclose(histogram.total, values.astype(np.float64).sum(axis=0))
    for unit in range(3):
        edges, counts = histogram.of(unit)
        heard = values[:, unit][values[:, unit] != 0.0]
        np.testing.assert_array_equal(counts, np.histogram(heard, edges)[0])
        # Twice as fine would not have held the largest.
        assert np.abs(heard).max() >= 32 * histogram.width[unit]
        assert len(counts) > 32


def test_places_picked_from_a_map_lie_apart():
    values = RNG(0).random((12, 15))
    values[0, 0] = 0.0
    places = pick_places(values, 9, apart=(4, 5))
    assert places[0] == np.unravel_index(values.argmax(), values.shape)
    strengths = [values[place] for place in places]
    assert strengths == sorted(strengths, reverse=True)
    for i, (row, column) in enumerate(places):
        assert all(abs(row - r) >= 4 or abs(column - c) >= 5 for r, c in places[:i])
    # Brute force: no place that is left lies apart from all and is stronger than the last.
    left = [
        values[r, c]
        for r in range(12)
        for c in range(15)
        if all(abs(r - y) >= 4 or abs(c - x) >= 5 for y, x in places)
    ]
    assert not left or len(places) == 9
    assert not left or max(left) <= strengths[-1]


def test_silence_is_no_place():
    assert pick_places(np.zeros((3, 3)), 9, apart=(1, 1)) == []
    assert pick_places(np.array([[0.0, 2.0]]), 9, apart=(1, 1)) == [(0, 1)]


def test_a_patch_beyond_the_edges_is_filled():
    pixels = RNG(0).integers(0, 256, (7, 9, 3), np.uint8)
    wide = np.pad(pixels, ((20, 20), (20, 20), (0, 0)), constant_values=5)
    for rows, columns in [
        ((2, 5), (3, 4)),
        ((-3, 4), (-1, 12)),
        ((5, 12), (8, 9)),
        ((-5, -2), (0, 3)),
        ((7, 9), (9, 11)),
    ]:
        expected = wide[20 + rows[0] : 20 + rows[1], 20 + columns[0] : 20 + columns[1]]
        np.testing.assert_array_equal(cut_patch(pixels, rows, columns, 5), expected)


def filled(values, rows=None):
    """A `TopPatches` of `(pictures, units)`, two patches for each unit."""
    values = np.array(values, np.float32)
    top = TopPatches(values.shape[1], 2)
    rows = np.arange(values.shape[1]) * 10 if rows is None else np.array(rows)
    rows = np.broadcast_to(rows, values.shape)
    top.update(values, rows, np.zeros(values.shape), np.arange(len(values)))
    return top


def test_units_that_stand_out_most_come_first():
    # Mean of the best two over the mean of all: 4 / 2, 4 / 3, 10 / 5 (no better: the later unit).
    top = filled([[4, 4, 10], [4, 4, 10], [0, 2, 0], [0, 2, 0]])
    assert choose_units(top, 2) == [0, 2]
    assert choose_units(top, 9) == [0, 2, 1]


def test_a_unit_that_says_what_another_says_comes_after_all_others():
    # The first two respond at the same places of the same pictures, the third elsewhere.
    top = filled([[9, 8, 3], [9, 8, 3], [0, 0, 2], [0, 0, 2]], rows=[4, 5, 9])
    assert choose_units(top, 3) == [0, 2, 1]


def test_units_that_hardly_respond_come_last_and_silent_ones_never():
    # The first responds to one picture only, the second to none.
    top = filled([[9, 0, 3], [0, 0, 3], [0, 0, 2], [0, 0, 2]])
    assert choose_units(top, 3) == [2, 0]


def test_units_that_respond_to_one_picture_in_a_hundred_are_nearly_dead():
    values = np.ones((300, 2), np.float32)
    values[3:, 1] = 0.0
    top = filled(values, rows=[0, 9])
    assert choose_units(top, 2) == [0, 1]
