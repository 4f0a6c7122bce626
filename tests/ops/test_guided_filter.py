"""The guided filter, beside its formula written out for each pixel."""

import numpy as np

from cnnkit.ops.guided_filter import guided_filter


def by_pixel(image, guide, radius, epsilon):
    """The paper's sums over windows; borders repeat."""
    size = 2 * radius + 1

    def windows(plane):
        padded = np.pad(plane, radius, mode="edge")
        return np.lib.stride_tricks.sliding_window_view(padded, (size, size))

    def mean(plane):
        return windows(plane).mean(axis=(2, 3))

    slope = (mean(image * guide) - mean(image) * mean(guide)) / (
        windows(guide).var((2, 3)) + epsilon
    )
    offset = mean(image) - slope * mean(guide)
    return mean(slope) * guide + mean(offset)


def test_it_is_the_formula():
    generator = np.random.default_rng(0)
    image, guide = generator.random((14, 17, 2)), generator.random((14, 17))
    found = guided_filter(image, guide, radius=2, epsilon=0.01)
    assert (found.shape, found.dtype) == ((14, 17, 2), np.float32)
    for channel in range(2):
        expected = by_pixel(image[..., channel], guide, 2, 0.01)
        np.testing.assert_allclose(found[..., channel], expected, atol=1e-5)


def test_over_a_flat_guide_it_is_a_blur_and_at_an_edge_it_keeps_the_sides_apart():
    guide = np.repeat([0.2, 0.8], 20)[None].repeat(20, axis=0)
    # A halo: bright beside the edge, on one side.
    image = np.zeros((20, 40, 1))
    image[:, 16:20] = 1.0
    found = guided_filter(image, guide, radius=6, epsilon=1e-3)[..., 0]
    assert found[:, 20:].max() < 0.3
    assert np.abs(np.diff(found[:, :19], axis=1)).max() < 0.2
