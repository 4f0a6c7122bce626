"""Statistics of activations over positions: Gram matrix, mean and covariance, and their geometry.

All functions run on any Keras backend and in the dtype they are given, which should be float32 or
better: half precision loses the small eigenvalues.
"""

from collections.abc import Callable
from typing import Any

import keras

from cnnkit.ops._custom_gradients import with_custom_gradient

Tensor = Any  # a tensor of the Keras backend in use, or a NumPy array


def precise_dtype() -> str:
    """The dtype for the little that float32 is too coarse for, on the Keras backend in use.

    Returns:
        "float64" on TensorFlow, which has it on every device. JAX has it only where the process
        asked for it at its start, and PyTorch has none on Apple's graphics cards: "float32".
    """
    return "float64" if keras.backend.backend() == "tensorflow" else "float32"


def moments(activations: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """First and second moments of one picture's activations over positions, in one go.

    Their gradient for an activation vector a, `(dG + dG^T) a + dm`, is written out: one product of
    matrices, where differentiating the two of them would take another and several passes.

    Args:
        activations: `(height, width, channels)`.
        weights: `(height, width)`, non-negative constants: how much each position counts. Equal by
            default.

    Returns:
        The mean `(channels,)` and the Gram matrix `(channels, channels)`, see `gram_matrix`.
    """
    ops = keras.ops
    activations = ops.convert_to_tensor(activations)
    channels = activations.shape[-1]
    if weights is None:
        result = _moments_of_all(activations)
    else:
        share = ops.cast(weights, activations.dtype)
        result = _moments_of_some(activations, share / ops.maximum(ops.sum(share), 1e-12))
    # TensorFlow does not know the shape while it traces.
    result = ops.reshape(result, (channels + 1, channels))
    return result[-1], result[:-1]


@with_custom_gradient(2)
def _moments_of_all(activations: Tensor) -> tuple[Tensor, Callable[..., Tensor]]:
    """Gram matrix and, below it, the mean `(C + 1, C)`; and what gives the gradient.

    Keras' PyTorch has custom gradients of one output only.
    """
    ops = keras.ops
    flat = ops.reshape(activations, (-1, activations.shape[-1]))  # (H*W, C)
    count = ops.cast(ops.shape(flat)[0], flat.dtype)
    gram = ops.matmul(ops.transpose(flat), flat) / count

    def gradient(*given: Tensor, upstream: Tensor | None = None) -> Tensor:
        # TensorFlow and JAX give what comes from above by its position, PyTorch by its name.
        change = (given[0] if upstream is None else upstream) / count
        slopes = ops.matmul(flat, change[:-1] + ops.transpose(change[:-1])) + change[-1]
        return ops.reshape(slopes, ops.shape(activations))

    return ops.concatenate([gram, ops.mean(flat, axis=0)[None]], axis=0), gradient


@with_custom_gradient(2, 2)
def _moments_of_some(activations: Tensor, share: Tensor) -> tuple[Tensor, Callable[..., Any]]:
    """The same with the share that each position has, which is a constant."""
    ops = keras.ops
    flat = ops.reshape(activations, (-1, activations.shape[-1]))
    column = ops.reshape(share, (-1, 1))
    weighted = flat * column
    gram = ops.matmul(ops.transpose(weighted), flat)

    def gradient(*given: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
        change = given[0] if upstream is None else upstream
        slope = change[:-1] + ops.transpose(change[:-1])
        slopes = column * (ops.matmul(flat, slope) + change[-1])
        return ops.reshape(slopes, ops.shape(activations)), ops.zeros_like(share)

    return ops.concatenate([gram, ops.sum(weighted, axis=0)[None]], axis=0), gradient


def gram_matrix(activations: Tensor, weights: Tensor | None = None) -> Tensor:
    """Gram matrix of one picture's activations, averaged over positions.

    `G_kk' = 1 / (n_H n_W) sum_ij a_ijk a_ijk'`

    Gatys et al. (2015) sum; the mean lets pictures of different sizes be compared and gives the
    same loss where the sizes are equal (see `cnnkit.tasks.stylize.loss.gram_style_loss`).

    Args:
        activations: `(height, width, channels)`.
        weights: `(height, width)`, non-negative: how much each position counts. Equal by default.

    Returns:
        `(channels, channels)`, symmetric and positive semi-definite.

    Example:

    >>> import numpy as np
    >>> a = np.array([[[1.0, 2.0], [3.0, 4.0]]], "float32")  # two positions, two channels
    >>> print(keras.ops.convert_to_numpy(gram_matrix(a)))    # (1+9, 2+12; 2+12, 4+16) / 2
    [[ 5.  7.]
     [ 7. 10.]]
    """
    return moments(activations, weights)[1]


def mean_vector(activations: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of one picture's activations over positions: `(height, width, C)` -> `(C,)`."""
    return moments(activations, weights)[0]


def covariance_matrix(activations: Tensor, weights: Tensor | None = None) -> Tensor:
    """Covariance over positions, `E[a a^T] - E[a] E[a]^T`: `(height, width, C)` -> `(C, C)`."""
    mean, gram = moments(activations, weights)
    return gram - mean[:, None] * mean[None, :]
