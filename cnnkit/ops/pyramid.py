"""A picture as the sum of levels of halving size (Burt & Adelson 1983)."""

from collections.abc import Sequence
from typing import Any

import keras

Tensor = Any


def pyramid_shapes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """`(height, width)` of each level, finest first; no level is smaller than 4 pixels.

    >>> pyramid_shapes(32, 48, levels=9)
    [(32, 48), (16, 24), (8, 12), (4, 6)]
    """
    shapes = [(height, width)]
    while len(shapes) < levels and min(shapes[-1]) >= 8:
        shapes.append((shapes[-1][0] // 2, shapes[-1][1] // 2))
    return shapes


def collapse_pyramid(levels: Sequence[Tensor]) -> Tensor:
    """Adds up the levels, each enlarged bilinearly to the next finer one.

    Args:
        levels: `(height_k, width_k, channels)`, finest first.

    Returns:
        `(height_0, width_0, channels)`.
    """
    # JAX's own functions take tensors but no Keras variables.
    levels = [keras.ops.convert_to_tensor(level) for level in levels]
    image = levels[-1]
    for level in reversed(levels[:-1]):
        size = (level.shape[0], level.shape[1])
        image = keras.ops.image.resize(image, size, interpolation="bilinear") + level
    return image
