"""How good a detector is: average precision as COCO and as Pascal VOC define it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnkit.ops.boxes import areas, intersection_over_union, intersections

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
# Square pixels, from and to.
AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
_MOST = (1, 10, 100)


@dataclass(frozen=True, eq=False)
class TrueBoxes:
    """The objects of a picture.

    Attributes:
        boxes_xyxy: `(n, 4)` in pixels.
        class_ids: `(n,)`.
        ignored: bool `(n,)`: crowds and difficult objects; None for none.
        areas: `(n,)` in square pixels, by which objects are small or large; None for the boxes'.
    """

    boxes_xyxy: np.ndarray
    class_ids: np.ndarray
    ignored: np.ndarray | None = None
    areas: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """What a detector found in a picture.

    Attributes:
        boxes_xyxy: `(n, 4)` in pixels.
        class_ids: `(n,)`.
        scores: `(n,)`.
    """

    boxes_xyxy: np.ndarray
    class_ids: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class CocoScores:
    """COCO's twelve figures and what they come from; NaN where there is no object to find.

    Attributes:
        ap: mean average precision over classes and overlaps 0.50 to 0.95.
        ap50: at the overlap 0.5.
        ap75: at the overlap 0.75.
        ap_small: of objects up to 32 x 32 pixels.
        ap_medium: of objects up to 96 x 96.
        ap_large: of larger ones.
        ar1: mean recall over classes and overlaps with the best box of each picture.
        ar10: with the ten best.
        ar100: with the hundred best.
        ar_small: the same, of small objects.
        ar_medium: of medium ones.
        ar_large: of large ones.
        class_ap: `(classes,)`, AP of each.
        class_ap50: `(classes,)`.
        objects: `(classes,)`, how many there are to find.
        precision50: `(101, classes)`, precision at `RECALLS` and the overlap 0.5.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    class_ap: np.ndarray
    class_ap50: np.ndarray
    objects: np.ndarray
    precision50: np.ndarray


def coco_scores(
    truth: Sequence[TrueBoxes],
    found: Sequence[FoundBoxes],
    classes: int,
    sizes: Sequence[str] = tuple(AREAS),
) -> CocoScores:
    """COCO's figures, as pycocotools counts them.

    In each picture and class the boxes, best first, take the free object that they overlap most,
    where they overlap it enough; a crowd can be taken by many. Boxes that take an ignored object,
    and boxes of another size that take none, count neither way. Precision is made to fall with
    recall, and is read at 101 recalls.

    Args:
        truth: of each picture.
        found: of each picture; of each class the hundred best count.
        classes: how many there are.
        sizes: of `AREAS`, with "all" first; figures of others are NaN.

    Returns:
        The `CocoScores`.

    Raises:
        ValueError: not as many pictures of both.

    Example:

    >>> box = np.array([[0, 0, 40, 40]])
    >>> one = TrueBoxes(box, np.array([0]))
    >>> round(coco_scores([one], [FoundBoxes(box, np.array([0]), np.array([0.9]))], 1).ap, 6)
    1.0

    pycocotools/cocoeval.py; Lin et al., "Microsoft COCO: Common Objects in Context" (2014).
    """
    if len(truth) != len(found):
        raise ValueError(
            f"expected as many results as pictures. Received: {len(found)} and {len(truth)}"
        )
    shape = len(THRESHOLDS), classes
    precision = {size: np.full((len(RECALLS), *shape), np.nan) for size in AREAS}
    recall = {(size, most): np.full(shape, np.nan) for size in AREAS for most in _MOST}
    objects = np.zeros(classes, np.int64)
    for class_id, pictures in enumerate(_by_class(truth, found, classes)):
        overlaps = [_overlaps(one) for one in pictures]
        for size in sizes:
            parts = [
                _match(one, overlap, AREAS[size])
                for one, overlap in zip(pictures, overlaps, strict=True)
            ]
            count = sum(part.objects for part in parts)
            if size == "all":
                objects[class_id] = count
            if not count:
                continue
            for most in _MOST if size == "all" else _MOST[-1:]:
                curves, reached = _accumulate(parts, most, count)
                recall[size, most][:, class_id] = reached
                if most == _MOST[-1]:
                    precision[size][:, :, class_id] = curves
    whole = precision["all"]
    at_50, at_75 = (int(np.argmin(abs(THRESHOLDS - value))) for value in (0.5, 0.75))
    largest = _MOST[-1]
    return CocoScores(
        ap=_mean(whole),
        ap50=_mean(whole[:, at_50]),
        ap75=_mean(whole[:, at_75]),
        ap_small=_mean(precision["small"]),
        ap_medium=_mean(precision["medium"]),
        ap_large=_mean(precision["large"]),
        ar1=_mean(recall["all", 1]),
        ar10=_mean(recall["all", 10]),
        ar100=_mean(recall["all", largest]),
        ar_small=_mean(recall["small", largest]),
        ar_medium=_mean(recall["medium", largest]),
        ar_large=_mean(recall["large", largest]),
        class_ap=whole.mean(axis=(0, 1)),
        class_ap50=whole[:, at_50].mean(axis=0),
        objects=objects,
        precision50=whole[:, at_50],
    )


@dataclass(frozen=True, eq=False)
class _Class:
    """Objects and boxes of one class in one picture, the boxes best first."""

    boxes: np.ndarray
    ignored: np.ndarray
    areas: np.ndarray
    found: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class _Matches:
    """Which boxes are right: `(thresholds, boxes)`, their scores, and the objects that count."""

    right: np.ndarray
    counted: np.ndarray
    scores: np.ndarray
    objects: int


def _by_class(
    truth: Sequence[TrueBoxes], found: Sequence[FoundBoxes], classes: int
) -> list[list[_Class]]:
    """For each class, the pictures that have an object or a box of it."""
    result: list[list[_Class]] = [[] for _ in range(classes)]
    for one, other in zip(truth, found, strict=True):
        boxes, ids = np.asarray(one.boxes_xyxy, np.float64).reshape(-1, 4), one.class_ids
        ignored = np.zeros(len(boxes), bool) if one.ignored is None else np.asarray(one.ignored)
        covered = areas(boxes) if one.areas is None else np.asarray(one.areas, np.float64)
        ids, found_ids = np.asarray(ids, int), np.asarray(other.class_ids, int)
        found_boxes = np.asarray(other.boxes_xyxy, np.float64).reshape(-1, 4)
        scores = np.asarray(other.scores, np.float64)
        for class_id in np.union1d(ids, found_ids):
            mine, its = ids == class_id, np.flatnonzero(found_ids == class_id)
            its = its[np.argsort(-scores[its], kind="stable")][: _MOST[-1]]
            result[class_id].append(
                _Class(boxes[mine], ignored[mine], covered[mine], found_boxes[its], scores[its])
            )
    return result


def _overlaps(one: _Class) -> np.ndarray:
    """`(boxes, objects)`; of an ignored object, the part of the box that lies in it."""
    found = intersection_over_union(one.found, one.boxes)
    inside = intersections(one.found, one.boxes) / np.maximum(areas(one.found), 1e-12)[:, None]
    return np.where(one.ignored[None], inside, found)


def _match(one: _Class, overlaps: np.ndarray, size: tuple[float, float]) -> _Matches:
    passed = one.ignored | (one.areas < size[0]) | (one.areas > size[1])
    rows = np.arange(len(THRESHOLDS))
    is_free = np.ones((len(rows), len(one.boxes)), bool)
    right = np.zeros((len(rows), len(one.found)), bool)
    counted = np.ones_like(right)
    found_areas = areas(one.found)
    outside = (found_areas < size[0]) | (found_areas > size[1])
    for index, overlap in enumerate(overlaps):
        can = is_free & (overlap[None] >= np.minimum(THRESHOLDS, 1 - 1e-10)[:, None])
        chosen = np.full(len(rows), -1)
        # Objects that count come before those that do not.
        for group in (passed, ~passed):
            value = np.where(can & group[None], overlap[None], -1.0)
            if value.shape[1]:
                # Of equals the last one.
                best = value.shape[1] - 1 - value[:, ::-1].argmax(axis=1)
                chosen = np.where(value[rows, best] >= 0, best, chosen)
        taken = chosen >= 0
        counted[:, index] = ~outside[index]
        counted[taken, index] = ~passed[chosen[taken]]
        right[taken, index] = True
        single = taken.copy()
        single[taken] = ~one.ignored[chosen[taken]]
        is_free[rows[single], chosen[single]] = False
    return _Matches(right, counted, one.scores, int((~passed).sum()))


def _accumulate(
    parts: Sequence[_Matches], most: int, objects: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision `(101, thresholds)` and the recall that is reached `(thresholds,)`."""
    scores = np.concatenate([part.scores[:most] for part in parts])
    order = np.argsort(-scores, kind="stable")
    right, counted = (
        np.concatenate([getattr(part, name)[:, :most] for part in parts], axis=1)[:, order]
        for name in ("right", "counted")
    )
    true = np.cumsum(right & counted, axis=1).astype(np.float64)
    false = np.cumsum(~right & counted, axis=1).astype(np.float64)
    curves = np.zeros((len(RECALLS), len(THRESHOLDS)))
    reached = np.zeros(len(THRESHOLDS))
    for index, (tp, fp) in enumerate(zip(true, false, strict=True)):
        if not len(tp):
            continue
        recall = tp / objects
        precision = tp / (tp + fp + np.spacing(1))
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(recall, RECALLS, side="left")
        is_reached = at < len(precision)
        curves[is_reached, index] = precision[at[is_reached]]
        reached[index] = recall[-1]
    return curves, reached


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def voc_average_precision(
    truth: Sequence[TrueBoxes],
    found: Sequence[FoundBoxes],
    classes: int,
    *,
    rule: str = "all",
    threshold: float = 0.5,
) -> np.ndarray:
    """Average precision of each class as Pascal VOC defines it.

    Over all pictures, best first, a box is right where the object of its class that it overlaps
    most is overlapped by `threshold` or more and was not found before. Boxes on difficult objects
    count neither way.

    Args:
        truth: of each picture; `ignored` are the difficult ones.
        found: of each picture.
        classes: how many there are.
        rule: "all", the area below the curve of precision (VOC 2010 and later), or "11", the mean
            of its values at eleven recalls (VOC 2007).
        threshold: of the intersection over union.

    Returns:
        float64 `(classes,)`; NaN for a class without objects.

    Raises:
        ValueError: an unknown rule.

    Example:

    >>> truth = [TrueBoxes(np.array([[0, 0, 4, 4], [9, 9, 12, 12]]), np.array([0, 0]))]
    >>> found = [FoundBoxes(np.array([[0, 0, 4, 4]]), np.array([0]), np.array([0.9]))]
    >>> [voc_average_precision(truth, found, 1, rule=rule).tolist() for rule in ("all", "11")]
    [[0.5], [0.5454545454545454]]

    Everingham et al., "The Pascal Visual Object Classes Challenge" (2010). The development kit
    counts a box one pixel wider than its edges are apart; here it is not.
    """
    if rule not in ("all", "11"):
        raise ValueError(f"rule must be 'all' or '11'. Received: {rule!r}")
    result = np.full(classes, np.nan)
    for class_id in range(classes):
        objects, rows = 0, []
        for number, (one, other) in enumerate(zip(truth, found, strict=True)):
            mine = np.flatnonzero(np.asarray(one.class_ids) == class_id)
            its = np.flatnonzero(np.asarray(other.class_ids) == class_id)
            hard = np.zeros(len(mine), bool)
            if one.ignored is not None:
                hard = np.asarray(one.ignored)[mine]
            objects += int((~hard).sum())
            boxes = np.asarray(one.boxes_xyxy, np.float64).reshape(-1, 4)[mine]
            its_boxes = np.asarray(other.boxes_xyxy, np.float64).reshape(-1, 4)[its]
            overlaps = intersection_over_union(its_boxes, boxes)
            for index, row in zip(its, overlaps, strict=True):
                best = int(row.argmax()) if len(row) else -1
                is_on = best >= 0 and row[best] >= threshold
                rows.append(
                    (
                        -float(other.scores[index]),
                        number,
                        best if is_on else -1,
                        is_on and bool(hard[best]),
                    )
                )
        if not objects:
            continue
        rows.sort(key=lambda row: row[0])
        taken: set[tuple[int, int]] = set()
        right = []
        for _, number, best, is_hard in rows:
            if is_hard:
                continue
            is_right = best >= 0 and (number, best) not in taken
            if is_right:
                taken.add((number, best))
            right.append(is_right)
        true = np.cumsum(right, dtype=np.float64)
        recall = true / objects
        precision = true / np.arange(1, len(true) + 1)
        result[class_id] = _voc_area(recall, precision, rule)
    return result


def _voc_area(recall: np.ndarray, precision: np.ndarray, rule: str) -> float:
    if rule == "11":
        # Rounded: 0.1 times 3 is more than 0.3.
        points = [
            precision[recall >= np.round(point, 1) - 1e-12].max(initial=0.0)
            for point in np.linspace(0, 1, 11)
        ]
        return float(np.mean(points))
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[0.0], precision, [0.0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * precision[1:]))
