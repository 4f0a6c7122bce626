"""Losses of face recognition: triplets with three ways to choose them, and comparisons of pairs.

A triplet is an anchor, a positive (the same person) and a negative (somebody else). Its loss is
zero when the negative is farther than the positive by a margin:
`max(0, d(a, p) - d(a, n) + margin)` (Schroff, Kalenichenko & Philbin 2015). Distances are Euclidean
and not squared as there: Hermans, Beyer & Leibe (2017) find that squares collapse more easily, and
these are what faces are later told apart by.
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from cnnkit.options import FACE_FORMS, MININGS

Tensor = Any

# Below what float32 can tell of the sum of two features that lie in 0..1.
_EPSILON = 1e-6


class TripletLoss(NamedTuple):
    """The mean loss of the chosen triplets, and the share of them whose loss is not zero."""

    loss: Tensor
    active: Tensor


class Spread(NamedTuple):
    """How far embeddings lie apart: mean distance of two, mean squared distance to their mean."""

    distance: Tensor
    variance: Tensor


def pairwise_squared_distances(embeddings: Tensor) -> Tensor:
    """`||x_i - x_j||^2` of all pairs.

    Taken from the differences: `|x|^2 + |y|^2 - 2 x.y` would lose all digits of embeddings that
    nearly coincide, just when a collapse has to be seen.

    Args:
        embeddings: `(N, D)`.

    Returns:
        `(N, N)`, symmetric, exactly zero on the diagonal.

    Example:

    >>> points = np.array([[0.0, 0.0], [3.0, 4.0]], "float32")
    >>> keras.ops.convert_to_numpy(pairwise_squared_distances(points)).tolist()
    [[0.0, 25.0], [25.0, 0.0]]
    """
    ops = keras.ops
    embeddings = ops.convert_to_tensor(embeddings)
    return ops.sum(ops.square(embeddings[:, None] - embeddings[None]), axis=-1)


def pairwise_distances(embeddings: Tensor) -> Tensor:
    """`||x_i - x_j||` of all pairs; the gradient where two coincide is zero, not infinite.

    Args:
        embeddings: `(N, D)`.

    Returns:
        `(N, N)`.

    Example:

    >>> points = np.array([[0.0, 0.0], [3.0, 4.0]], "float32")
    >>> keras.ops.convert_to_numpy(pairwise_distances(points)).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    ops = keras.ops
    squared = pairwise_squared_distances(embeddings)
    apart = squared > 0.0
    # The inner `where` keeps the root from zero: its infinite slope times zero would be NaN.
    return ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)


def triplet_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 0.2,
    mining: str = "semi-hard",
    seed: Any = None,
) -> TripletLoss:
    """Mean of `max(0, d(a, p) - d(a, n) + margin)` over triplets chosen from the batch.

    - "random": each anchor and positive with a random negative.
    - "semi-hard": each anchor and positive with the nearest negative that is farther than the
      positive (Schroff et al. 2015); where there is none, with the farthest of all negatives.
    - "batch-hard": each anchor with its farthest positive and its nearest negative (Hermans, Beyer
      & Leibe 2017).

    A label that comes once is a negative of all others and never an anchor. Triplets without loss
    count in the mean.

    Args:
        embeddings: `(N, D)`.
        labels: `(N,)` integers, one for each person.
        margin: distance by which the negative should be farther.
        mining: see above.
        seed: an integer or a `keras.random.SeedGenerator`, for random mining.

    Returns:
        Loss and active share; both are zero where the batch has no triplet.

    Raises:
        ValueError: another mining.

    Example: 0.5 - 0.6 + 0.2, the anchor being the first or the second.

    >>> line = np.array([[0.0], [0.5], [1.1]], "float32")
    >>> loss, active = triplet_loss(line, np.array([0, 0, 1]), 0.2, "batch-hard")
    >>> round(float(loss), 4), float(active)  # and 0.5 - 1.1 + 0.2 < 0
    (0.05, 0.5)
    """
    if mining not in MININGS:
        raise ValueError(f"mining must be one of {', '.join(MININGS)}. Received: {mining!r}")
    ops = keras.ops
    labels = ops.convert_to_tensor(labels)
    distances = pairwise_distances(embeddings)
    is_same = labels[:, None] == labels[None]
    different = ops.logical_not(is_same)
    positive = ops.logical_and(is_same, ops.logical_not(_eye(distances)))
    has_negative = ops.any(different, axis=1, keepdims=True)
    # What to choose by is no part of the gradient.
    fixed = ops.stop_gradient(distances)
    if mining == "batch-hard":
        farthest = ops.argmax(ops.where(positive, fixed, -1.0), axis=1)[:, None]
        nearest = _nearest(fixed, different)[:, None]
        near = ops.take_along_axis(distances, farthest, axis=1)
        far = ops.take_along_axis(distances, nearest, axis=1)
        valid = ops.logical_and(ops.any(positive, axis=1, keepdims=True), has_negative)
    else:
        near = distances
        far = ops.take_along_axis(distances, _negatives(fixed, different, mining, seed), axis=1)
        valid = ops.logical_and(positive, has_negative)
    valid = ops.cast(valid, distances.dtype)
    losses = valid * ops.relu(near - far + margin)
    count = ops.maximum(ops.sum(valid), 1.0)
    active = ops.sum(ops.cast(losses > 0.0, distances.dtype))
    return TripletLoss(ops.sum(losses) / count, active / count)


def _eye(distances: Tensor) -> Tensor:
    index = keras.ops.arange(keras.ops.shape(distances)[0])
    return index[:, None] == index[None]


def _nearest(distances: Tensor, mask: Tensor) -> Tensor:
    """Index along the last axis of the least distance in the mask."""
    return keras.ops.argmin(keras.ops.where(mask, distances, np.inf), axis=-1)


def _negatives(distances: Tensor, different: Tensor, mining: str, seed: Any) -> Tensor:
    """Index of the negative for each anchor (row) and positive (column)."""
    ops = keras.ops
    count = ops.shape(distances)[0]
    if mining == "random":
        noise = keras.random.uniform((count, count, count), seed=seed)
        return ops.argmax(ops.where(different[:, None], noise, -1.0), axis=-1)
    farther = ops.logical_and(different[:, None], distances[:, None] > distances[:, :, None])
    semi_hard = _nearest(ops.broadcast_to(distances[:, None], (count, count, count)), farther)
    farthest = ops.argmax(ops.where(different, distances, -1.0), axis=-1)
    return ops.where(ops.any(farther, axis=-1), semi_hard, farthest[:, None])


def embedding_spread(embeddings: Tensor) -> Spread:
    """How far the embeddings of a batch lie apart; both numbers are zero when all are one point.

    Args:
        embeddings: `(N, D)`, N at least 2.

    Returns:
        Mean distance of two different ones, and the mean of `||x - mean||^2`. On the unit sphere
        these are at most about 1.41 and 1.

    Example: distances 2, 2 and 0; variance (4/9 + 4/9 + 16/9) / 3.

    >>> spread = embedding_spread(np.array([[0.0], [0.0], [2.0]], "float32"))
    >>> round(float(spread.distance), 4), round(float(spread.variance), 4)
    (1.3333, 0.8889)
    """
    ops = keras.ops
    embeddings = ops.convert_to_tensor(embeddings)
    distances = pairwise_distances(embeddings)
    count = ops.cast(ops.shape(embeddings)[0], distances.dtype)
    centred = embeddings - ops.mean(embeddings, axis=0)
    return Spread(
        ops.sum(distances) / ops.maximum(count * (count - 1.0), 1.0),
        ops.mean(ops.sum(ops.square(centred), axis=-1)),
    )


def pair_features(first: Tensor, second: Tensor, form: str) -> Tensor:
    """How far two embeddings differ in each dimension, for a logistic regression to weigh.

    - "absolute": `|f - g|`.
    - "chi-square": `(f - g)^2 / (f + g)` (Taigman et al. 2014), of embeddings that are not
      negative.
    - "squared": `(f - g)^2`, with equal weights the square of the Euclidean distance.

    All are symmetric, and zero for equal embeddings.

    Args:
        first: `(..., D)`.
        second: `(..., D)`, to be broadcast against the first.
        form: see above.

    Returns:
        `(..., D)`, not negative.

    Raises:
        ValueError: another form.

    Example: (3 - 1)^2 / (3 + 1) and 4^2 / 4.

    >>> features = pair_features(np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]]), "chi-square")
    >>> keras.ops.convert_to_numpy(features).round(4).tolist()
    [[1.0, 4.0]]
    """
    if form not in FACE_FORMS:
        raise ValueError(f"form must be one of {', '.join(FACE_FORMS)}. Received: {form!r}")
    ops = keras.ops
    first, second = ops.convert_to_tensor(first), ops.convert_to_tensor(second)
    if form == "absolute":
        return ops.abs(first - second)
    squared = ops.square(first - second)
    return squared if form == "squared" else squared / (first + second + _EPSILON)
