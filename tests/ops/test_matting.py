"""Alpha and the foreground's colours, where the truth is known."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from cnnkit.ops.matting import closed_form_alpha, enlarge_alpha, estimate_foreground


def blend(height: int = 24, width: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a slanted soft edge between two colours, and its alpha."""
    y, x = np.mgrid[:height, :width]
    alpha = np.clip((x + 0.3 * y - width / 2) / 6.0, 0.0, 1.0)
    fore, back = np.array([0.9, 0.3, 0.1]), np.array([0.1, 0.4, 0.7])
    return alpha[..., None] * fore + (1.0 - alpha[..., None]) * back, alpha


def laplacian_by_hand(pixels: np.ndarray, epsilon: float) -> np.ndarray:
    """The matrix of the paper, window by window."""
    height, width = pixels.shape[:2]
    matrix = np.zeros((height * width,) * 2)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            index = np.array([(y + dy) * width + x + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
            colors = pixels.reshape(-1, 3)[index]
            inverse = np.linalg.inv(np.cov(colors.T, bias=True) + epsilon / 9 * np.eye(3))
            centred = colors - colors.mean(axis=0)
            matrix[np.ix_(index, index)] += np.eye(9) - (1 + centred @ inverse @ centred.T) / 9
    return matrix


@pytest.mark.parametrize("trust", [0.0, 0.05])
def test_alpha_solves_the_equations_of_the_paper(trust):
    random = np.random.default_rng(3)
    pixels = random.random((7, 8, 3))
    guess = random.random((7, 8))
    is_unknown = np.zeros((7, 8), bool)
    is_unknown[1:6, 2:6] = True
    guess[~is_unknown] = guess[~is_unknown] > 0.5
    found = closed_form_alpha(pixels, guess, is_unknown, epsilon=0.1, trust=trust)
    matrix = laplacian_by_hand(pixels, 0.1)
    free, flat = is_unknown.ravel(), guess.ravel()
    left = matrix[free][:, free] + trust * np.eye(free.sum())
    right = trust * flat[free] - matrix[free][:, ~free] @ flat[~free]
    wanted = np.clip(spsolve(sparse.csc_matrix(left), right), 0.0, 1.0)
    np.testing.assert_allclose(found[is_unknown], wanted, atol=0.01)
    np.testing.assert_array_equal(found[~is_unknown], guess[~is_unknown].astype(np.float32))


def test_a_soft_edge_between_two_colours_is_found_again():
    pixels, alpha = blend()
    is_unknown = np.zeros(alpha.shape, bool)
    is_unknown[:, 4:-4] = True
    guess = np.where(is_unknown, 0.5, alpha.round())
    found = closed_form_alpha(pixels, guess, is_unknown, epsilon=1e-7)
    assert np.abs(found - alpha)[2:-2].mean() < 0.02


def test_nothing_unknown_leaves_alpha_as_it_is():
    alpha = np.eye(5, dtype=np.float32)
    found = closed_form_alpha(np.zeros((5, 5, 3)), alpha, np.zeros((5, 5), bool))
    np.testing.assert_array_equal(found, alpha)


def test_an_enlarged_alpha_has_the_edges_of_the_large_picture():
    large, alpha = blend(96, 128)
    small = large.reshape(24, 4, 32, 4, 3).mean(axis=(1, 3))
    coarse = alpha.reshape(24, 4, 32, 4).mean(axis=(1, 3))
    found = enlarge_alpha(coarse, small, large, epsilon=1e-6)
    assert np.abs(found - alpha).mean() < 0.005


def test_a_background_shines_through_the_foreground_s_colours_no_more():
    pixels, alpha = blend(40, 60)
    found = estimate_foreground(pixels, alpha, 20)
    is_mixed = (alpha > 0.2) & (alpha < 1.0)
    wrong = np.abs(found - [0.9, 0.3, 0.1]).max(axis=-1)
    assert wrong[is_mixed].mean() < 0.05
    assert np.abs(pixels - [0.9, 0.3, 0.1]).max(axis=-1)[is_mixed].mean() > 0.2
    np.testing.assert_allclose(found[alpha == 1.0], pixels[alpha == 1.0], atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_picture_all_of_one_side_has_colours_too(value):
    pixels = np.random.default_rng(0).random((9, 7, 3)).astype(np.float32)
    found = estimate_foreground(pixels, np.full((9, 7), value, np.float32), 40)
    assert np.isfinite(found).all()
    assert found.min() >= 0.0
    assert found.max() <= 1.0
