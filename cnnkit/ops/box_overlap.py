"""Overlaps of boxes with a gradient."""

from typing import Any

import keras

OVERLAPS = ("iou", "giou", "diou")
_EPSILON = 1e-7


def box_overlaps(first_xyxy: Any, second_xyxy: Any, kind: str = "iou") -> Any:
    r"""Overlap of each box with the one at the same place of the other tensor.

    With the union U, the smallest box C that holds both, the distance d of their centres and the
    diagonal c of C:

    .. math:: \mathrm{IoU} = \frac{|A \cap B|}{|U|}, \quad
        \mathrm{GIoU} = \mathrm{IoU} - \frac{|C| - |U|}{|C|}, \quad
        \mathrm{DIoU} = \mathrm{IoU} - \frac{d^2}{c^2}

    Args:
        first_xyxy: `(..., 4)`, `(left, top, right, bottom)`.
        second_xyxy: `(..., 4)`, of a shape that it broadcasts with.
        kind: "iou" in [0, 1]; "giou" or "diou" in [-1, 1], which have a gradient where boxes do
            not meet.

    Returns:
        `(...)`.

    Raises:
        ValueError: an unknown kind.

    Example:

    >>> import numpy as np
    >>> one, other = np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2]])
    >>> [round(float(box_overlaps(one, other, kind)[0]), 3) for kind in OVERLAPS]
    [0.333, 0.333, 0.256]

    Rezatofighi et al., "Generalized Intersection over Union" (2019); Zheng et al., "Distance-IoU
    Loss" (2020).
    """
    if kind not in OVERLAPS:
        raise ValueError(f"kind must be one of {OVERLAPS}. Received: {kind!r}")
    ops = keras.ops
    left_1, top_1, right_1, bottom_1 = ops.unstack(ops.convert_to_tensor(first_xyxy), 4, axis=-1)
    left_2, top_2, right_2, bottom_2 = ops.unstack(ops.convert_to_tensor(second_xyxy), 4, axis=-1)

    def area(left: Any, top: Any, right: Any, bottom: Any) -> Any:
        return ops.maximum(right - left, 0.0) * ops.maximum(bottom - top, 0.0)

    shared = area(
        ops.maximum(left_1, left_2),
        ops.maximum(top_1, top_2),
        ops.minimum(right_1, right_2),
        ops.minimum(bottom_1, bottom_2),
    )
    union = area(left_1, top_1, right_1, bottom_1) + area(left_2, top_2, right_2, bottom_2) - shared
    overlap = shared / (union + _EPSILON)
    if kind == "iou":
        return overlap
    wide = ops.maximum(right_1, right_2) - ops.minimum(left_1, left_2)
    high = ops.maximum(bottom_1, bottom_2) - ops.minimum(top_1, top_2)
    if kind == "giou":
        around = wide * high
        return overlap - (around - union) / (around + _EPSILON)
    across = (left_1 + right_1 - left_2 - right_2) / 2
    down = (top_1 + bottom_1 - top_2 - bottom_2) / 2
    return overlap - (across**2 + down**2) / (wide**2 + high**2 + _EPSILON)
