"""Boxes `(left, top, right, bottom)` in pixels: how much they overlap, and which to keep."""

from collections.abc import Callable

import numpy as np


def areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Area of each box in square pixels; a box that ends before it begins has none.

    Args:
        boxes_xyxy: `(..., 4)`; the right and bottom edges lie just outside, so that
            `right - left` is the width.

    Returns:
        `(...)`.

    >>> areas(np.array([[0, 0, 4, 3], [5, 5, 2, 9]])).tolist()
    [12, 0]
    """
    boxes_xyxy = np.asarray(boxes_xyxy)
    sides = np.maximum(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def intersections(first_xyxy: np.ndarray, second_xyxy: np.ndarray) -> np.ndarray:
    """Area in square pixels that each box of one set shares with each of another.

    Args:
        first_xyxy: `(N, 4)`.
        second_xyxy: `(M, 4)`.

    Returns:
        `(N, M)`.

    >>> intersections(np.array([[0, 0, 4, 4]]), np.array([[2, 1, 9, 9], [4, 0, 5, 5]])).tolist()
    [[6, 0]]
    """
    first, second = np.asarray(first_xyxy)[:, None], np.asarray(second_xyxy)[None]
    begin = np.maximum(first[..., :2], second[..., :2])
    end = np.minimum(first[..., 2:], second[..., 2:])
    return areas(np.concatenate([begin, end], axis=-1))


def intersection_over_union(first_xyxy: np.ndarray, second_xyxy: np.ndarray) -> np.ndarray:
    """Overlap of each box of one set with each of another: shared area over covered area.

    Args:
        first_xyxy: `(N, 4)`.
        second_xyxy: `(M, 4)`.

    Returns:
        float64 `(N, M)` in [0, 1]; 0 where both boxes are empty.

    >>> intersection_over_union(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]])).round(3)
    array([[0.333]])
    """
    shared = intersections(first_xyxy, second_xyxy)
    covered = areas(first_xyxy)[:, None] + areas(second_xyxy)[None] - shared
    return shared / np.where(covered > 0, covered, 1)


def enclosing_overlap(first_xyxy: np.ndarray, second_xyxy: np.ndarray) -> np.ndarray:
    """Overlap of each box of one set with each of another: shared area over that around both.

    This is what dlib calls intersection over union: its union is the smallest box that holds both,
    which for boxes side by side is the same, and for others is larger.

    Args:
        first_xyxy: `(N, 4)`.
        second_xyxy: `(M, 4)`.

    Returns:
        float64 `(N, M)` in [0, 1]; 0 where both boxes are empty.

    >>> enclosing_overlap(np.array([[0, 0, 2, 2]]), np.array([[1, 1, 3, 3]])).round(3)
    array([[0.111]])
    """
    first, second = np.asarray(first_xyxy)[:, None], np.asarray(second_xyxy)[None]
    begin = np.minimum(first[..., :2], second[..., :2])
    end = np.maximum(first[..., 2:], second[..., 2:])
    around = areas(np.concatenate([begin, end], axis=-1))
    return intersections(first_xyxy, second_xyxy) / np.where(around > 0, around, 1)


def non_maximum_suppression(
    boxes_xyxy: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    overlap: Callable[[np.ndarray, np.ndarray], np.ndarray] = intersection_over_union,
) -> np.ndarray:
    """Keeps the best of boxes that mean the same thing.

    Greedy: the box of the highest score is kept, all that overlap it by more than `threshold` are
    dropped, and so on with what is left. Of equal scores the earlier box wins.

    Args:
        boxes_xyxy: `(N, 4)`.
        scores: `(N,)`.
        threshold: largest overlap of two boxes that are both kept, in [0, 1].
        overlap: `(N, 4), (M, 4) -> (N, M)`.

    Returns:
        Indices of the boxes that are kept, best first.

    >>> boxes_xyxy = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]])
    >>> non_maximum_suppression(boxes_xyxy, np.array([0.5, 0.9, 0.1]), 0.5).tolist()
    [1, 2]
    """
    boxes_xyxy = np.asarray(boxes_xyxy).reshape(-1, 4)
    order = np.argsort(-np.asarray(scores), kind="stable")
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[overlap(boxes_xyxy[[best]], boxes_xyxy[order])[0] <= threshold]
    return np.array(kept, np.intp)
