"""Geometry of Gaussians by their covariances, in NumPy and float64."""

import numpy as np


def matrix_square_root(matrix: np.ndarray) -> np.ndarray:
    """Square root of a symmetric positive semi-definite matrix, in float64.

    Eigenvalues that rounding made negative count as zero.

    >>> matrix_square_root(np.diag([4.0, 9.0]))
    array([[2., 0.],
           [0., 3.]])
    """
    values, vectors = np.linalg.eigh(np.asarray(matrix, np.float64))
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def transport_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The linear map that carries one centred Gaussian to another at least cost, in float64.

    `T = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2` for covariances A and B, so that `T A T = B`. Where the
    source has no variance there is nothing to carry: those directions are left out of the inverse.

    Args:
        source: covariance A, `(C, C)`.
        target: covariance B, `(C, C)`.

    Returns:
        T, `(C, C)`, symmetric and positive semi-definite.
    """
    values, vectors = np.linalg.eigh(np.asarray(source, np.float64))
    values = np.maximum(values, 0.0)
    live = values > 1e-7 * max(values.max(initial=0.0), 1e-30)
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse = (
        vectors * np.where(live, 1.0 / np.sqrt(np.where(live, values, 1.0)), 0.0)
    ) @ vectors.T
    return inverse @ matrix_square_root(root @ np.asarray(target, np.float64) @ root) @ inverse
