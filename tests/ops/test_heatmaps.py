import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from cnnkit.ops.convolution import ReceptiveField
from cnnkit.ops.heatmaps import spread_map, unit_centres


def test_centres_are_the_middles_of_receptive_fields():
    # Two convolutions of 3 without padding and a pooling between: 2 + 2 * 2 + ... by brute force.
    field = ReceptiveField().through(3).through(2, stride=2).through(3)
    found = unit_centres(4, 20, (field.size, field.jump, field.start))
    middles = [(first + last - 1) / 2 for first, last in map(field.places, range(4))]
    np.testing.assert_array_equal(found, middles)


def test_same_convolutions_and_even_poolings_spread_their_units_evenly():
    field = ReceptiveField()
    for _ in range(5):
        field = field.through(3, padding=1).through(2, stride=2)
    known = unit_centres(7, 224, (field.size, field.jump, field.start))
    np.testing.assert_array_equal(known, unit_centres(7, 224))


def test_what_sees_everything_lies_in_the_middle():
    assert unit_centres(1, 9, (9, 0, 0)).tolist() == [4.0]


def test_spreading_is_bilinear_and_keeps_the_edges():
    generator = np.random.default_rng(0)
    values = generator.random((3, 4))
    rows, columns = np.array([2.0, 5.5, 9.0]), np.array([1.0, 4.0, 7.0, 12.0])
    found = spread_map(values, [rows, columns], (12, 16), (24, 8))
    # A pixel of the picture lies at (p + 0.5) * (network / picture) - 0.5 of the network.
    y = np.clip((np.arange(24) + 0.5) * 12 / 24 - 0.5, 2.0, 9.0)
    x = np.clip((np.arange(8) + 0.5) * 16 / 8 - 0.5, 1.0, 12.0)
    expected = RegularGridInterpolator((rows, columns), values)(
        np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_unit_shows_where_it_looked():
    values = np.zeros((5, 5))
    values[1, 3] = 1.0
    centres = [unit_centres(5, 50), unit_centres(5, 50)]
    found = spread_map(values, centres, (50, 50), (100, 200))
    row, column = np.unravel_index(found.argmax(), found.shape)
    # Unit 1 of 5 looks at 10..20 of 50 rows, unit 3 at 30..40 of 50 columns.
    assert 20 <= row < 40
    assert 120 <= column < 160
    assert found.max() == pytest.approx(1.0, abs=0.05)
