"""Vectors of many dimensions, such as learned embeddings: which are near, and how they lie."""

from collections.abc import Sequence

import numpy as np


def cosine_similarities(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Cosines of the angles between vectors and one more: 1 for the same direction, -1 opposite.

    Args:
        vectors: `(N, D)`.
        vector: `(D,)`.

    Returns:
        float64 `(N,)`; 0 for a vector of zeros.

    Example:

    >>> cosine_similarities(np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]), np.array([1.0, 0.0]))
    array([ 1.,  0., -1.])
    """
    vectors, vector = np.asarray(vectors, np.float64), np.asarray(vector, np.float64)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector)
    products = vectors @ vector
    return np.divide(products, lengths, out=np.zeros(len(vectors)), where=lengths > 0)


def nearest_vectors(
    vectors: np.ndarray,
    index: int,
    count: int,
    candidates: Sequence[int] | np.ndarray | None = None,
) -> list[tuple[int, float]]:
    """The vectors with the smallest angles to one of them.

    Args:
        vectors: `(N, D)`.
        index: of the one.
        count: of the others, at most.
        candidates: their indices; all by default.

    Returns:
        Indices and cosines, the nearest first; of equal ones the first.

    Example:

    >>> vectors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> [at for at, _ in nearest_vectors(vectors, 0, 2)]
    [2, 1]
    """
    chosen = np.arange(len(vectors)) if candidates is None else np.asarray(candidates, np.int64)
    chosen = chosen[chosen != index]
    cosines = cosine_similarities(np.asarray(vectors)[chosen], vectors[index])
    order = np.argsort(-cosines, kind="stable")[:count]
    return [(int(chosen[at]), float(cosines[at])) for at in order]


def principal_plane(vectors: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Where vectors lie in the plane in which they differ the most (PCA, Pearson 1901).

    Their mean is taken off, and the singular value decomposition `X = U S V'` has the two main
    axes in V. The sign of each axis is such that its largest number is positive.

    Args:
        vectors: `(N, D)`.

    Returns:
        float64 `(N, 2)`, and the shares of the variance along both axes.

    Example:

    >>> points, shares = principal_plane(np.array([[0.0, 0, 5], [0, 4, 5], [0, 8, 5]]))
    >>> points[:, 0].round(6).tolist(), shares
    ([-4.0, 0.0, 4.0], (1.0, 0.0))
    """
    vectors = np.asarray(vectors, np.float64)
    centred = vectors - vectors.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    # Vectors of one dimension, or one vector, have no second axis.
    axes = np.pad(axes, [(0, max(0, 2 - len(axes))), (0, 0)])[:2]
    variances = np.pad(values**2, (0, 2))
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    total = variances.sum() or 1.0
    points = centred @ (axes * np.where(signs == 0, 1.0, signs)[:, None]).T
    return points, (float(variances[0] / total), float(variances[1] / total))
