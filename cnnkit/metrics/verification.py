"""Same person or not: how well a distance tells, on labelled pairs.

Everything is computed in float64. A pair is called the same when its distance is below the
threshold. A pair in which no face was found has no distance: it is marked missed, counts as wrong
wherever accuracy is stated "with missed", and is left out of what is computed from distances.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Two-sided 95 % of the normal distribution.
Z_95 = 1.959963984540054


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Receiver operating characteristic over all thresholds.

    Attributes:
        thresholds: float64 `(T,)`, rising, from 0 (nobody accepted) to infinity (everybody). A pair
            is accepted when its distance is below the threshold.
        false_accepts: float64 `(T,)` in [0, 1], share of the different pairs that are accepted.
        true_accepts: float64 `(T,)` in [0, 1], share of the same pairs that are accepted.
        positives: number of same pairs.
        negatives: number of different pairs.
    """

    thresholds: np.ndarray
    false_accepts: np.ndarray
    true_accepts: np.ndarray
    positives: int
    negatives: int


@dataclass(frozen=True)
class Validation:
    """The validation rate (VAL) at a false accept rate.

    Attributes:
        rate: share of the same pairs accepted, in [0, 1].
        threshold: the largest that keeps the false accept rate.
        false_accept_rate: that it has on these pairs, at most the one asked for.
        note: "" or why the figure means little, for people.
    """

    rate: float
    threshold: float
    false_accept_rate: float
    note: str


@dataclass(frozen=True)
class Accuracy:
    """Accuracy at a threshold, with and without the missed pairs.

    Attributes:
        threshold: a pair is the same when its distance is below it.
        value: share right of all pairs, missed ones counted as wrong.
        interval: 95 % confidence interval of `value` (Wilson).
        without_missed: share right of the pairs that have a distance; NaN when there are none.
        right: number of pairs told right.
        pairs: number of pairs.
        missed: number of pairs without a distance.
    """

    threshold: float
    value: float
    interval: tuple[float, float]
    without_missed: float
    right: int
    pairs: int
    missed: int


@dataclass(frozen=True)
class FoldedAccuracy:
    """Accuracy of k folds, each with the threshold that was best on the others.

    Attributes:
        folds: one `Accuracy` per fold.
        mean: of the folds' accuracies, missed pairs counted as wrong.
        standard_error: of that mean, sqrt(variance / folds); NaN for one fold.
        interval: 95 % confidence interval (Wilson) of all pairs together.
        mean_without_missed: of the folds' accuracies without missed pairs.
        missed: number of pairs without a distance.
    """

    folds: tuple[Accuracy, ...]
    mean: float
    standard_error: float
    interval: tuple[float, float]
    mean_without_missed: float
    missed: int


@dataclass(frozen=True)
class Calibration:
    """A distance as a probability, `p(same | d) = 1 / (1 + exp(slope * d + intercept))`.

    It holds for one of two equally likely cases; with other odds, give `prior` to `probability`.

    Attributes:
        slope: per unit of distance, not negative.
        intercept: of the same line.
    """

    slope: float
    intercept: float

    def probability(self, distance: float | np.ndarray, prior: float = 0.5) -> np.ndarray:
        """The probability in [0, 1] that a pair at this distance is of one person.

        Args:
            distance: float or array of them.
            prior: probability before looking, in (0, 1).

        Example:

        >>> Calibration(slope=20.0, intercept=-12.0).probability(0.6).tolist()
        0.5
        """
        if not 0 < prior < 1:
            raise ValueError(f"expected a prior in (0, 1). Received: {prior}")
        line = self.slope * np.asarray(distance, dtype=np.float64) + self.intercept
        return _sigmoid(math.log(prior / (1 - prior)) - line)


def roc_curve(distances: np.ndarray, same: np.ndarray) -> RocCurve:
    """The ROC of distances. Pairs of equal distance are accepted together.

    Args:
        distances: `(N,)`, NaN for missed pairs, which are left out.
        same: `(N,)` booleans.

    Returns:
        One point per distinct distance and the two ends. Thresholds lie halfway between
        neighbouring distances.

    Raises:
        ValueError: shapes differ, or there is no same or no different pair with a distance.

    Example:

    >>> curve = roc_curve(np.array([0.2, 0.4, 0.6]), np.array([True, False, True]))
    >>> curve.true_accepts.tolist(), curve.false_accepts.tolist()
    ([0.0, 0.5, 0.5, 1.0], [0.0, 0.0, 1.0, 1.0])
    """
    distances, same = _measured(distances, same)
    _require_both(same)
    values, accepted_same, accepted_different = _cumulated(distances, same)
    positives, negatives = int(accepted_same[-1]), int(accepted_different[-1])
    thresholds = np.concatenate([[0.0], _between(values[:-1], values[1:]), [np.inf]])
    return RocCurve(
        thresholds,
        np.concatenate([[0.0], accepted_different / negatives]),
        np.concatenate([[0.0], accepted_same / positives]),
        positives,
        negatives,
    )


def area_under_curve(distances: np.ndarray, same: np.ndarray) -> float:
    """AUC: the probability that a same pair is nearer than a different pair; a tie counts half.

    Args:
        distances: `(N,)`, NaN for missed pairs, which are left out.
        same: `(N,)` booleans.

    Returns:
        A number in [0, 1]; exact, ties included (the Mann-Whitney U of the two groups).

    Raises:
        ValueError: as `roc_curve`.

    Example:

    >>> area_under_curve(np.array([0.2, 0.4, 0.4]), np.array([True, True, False]))
    0.75
    """
    distances, same = _measured(distances, same)
    _require_both(same)
    near, far = np.sort(distances[same]), distances[~same]
    below = np.searchsorted(near, far, side="left")
    not_above = np.searchsorted(near, far, side="right")
    # Integers: no rounding before the one division.
    return int(below.sum() + not_above.sum()) / (2 * near.size * far.size)


def equal_error_rate(distances: np.ndarray, same: np.ndarray) -> tuple[float, float]:
    """EER: the error rate where as many same pairs are refused as different ones accepted.

    Between two points of the ROC both rates are interpolated on a straight line.

    Args:
        distances: `(N,)`, NaN for missed pairs, which are left out.
        same: `(N,)` booleans.

    Returns:
        The rate in [0, 1] and the threshold there.

    Raises:
        ValueError: as `roc_curve`.
    """
    curve = roc_curve(distances, same)
    # From -1 (all same pairs refused) rising to 1 (all different pairs accepted).
    gap = curve.false_accepts - (1 - curve.true_accepts)
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = gap[before] / (gap[before] - gap[after])
    steps = curve.false_accepts[after] - curve.false_accepts[before]
    rate = curve.false_accepts[before] + share * steps
    ends = curve.thresholds[[before, after]]
    if not np.isfinite(ends[1]):
        ends[1] = np.nanmax(np.asarray(distances, np.float64))
    return float(rate), float(ends[0] + share * (ends[1] - ends[0]))


def validation_rate(
    distances: np.ndarray, same: np.ndarray, false_accept_rate: float = 1e-3
) -> Validation:
    """VAL@FAR: the share of same pairs accepted where at most that share of others is.

    Args:
        distances: `(N,)`, NaN for missed pairs, which are left out.
        same: `(N,)` booleans.
        false_accept_rate: in [0, 1].

    Returns:
        The rate, and a note when there are too few different pairs to see such a rate: fewer than
        10 of them would be accepted at it, so it rests on a handful of pairs, or on none.

    Raises:
        ValueError: as `roc_curve`.
    """
    if not 0 <= false_accept_rate <= 1:
        raise ValueError(f"expected a rate in [0, 1]. Received: {false_accept_rate}")
    curve = roc_curve(distances, same)
    # The rates are quotients of integers: compare counts, so that 3 of 1000 is within 3e-3.
    allowed = math.floor(false_accept_rate * curve.negatives * (1 + 1e-12))
    accepted = np.rint(curve.false_accepts * curve.negatives)
    at = int(np.flatnonzero(accepted <= allowed)[-1])
    note = ""
    if false_accept_rate * curve.negatives < 1:
        note = (
            f"{curve.negatives} different pairs cannot show a false accept rate of "
            f"{false_accept_rate:g}: this is the rate with none accepted"
        )
    elif false_accept_rate * curve.negatives < 10:
        note = (
            f"rests on {allowed} of {curve.negatives} different pairs: at a false accept rate of "
            f"{false_accept_rate:g} more pairs are needed for a steady figure"
        )
    return Validation(
        float(curve.true_accepts[at]),
        float(curve.thresholds[at]),
        float(curve.false_accepts[at]),
        note,
    )


def accuracy_at(distances: np.ndarray, same: np.ndarray, threshold: float) -> Accuracy:
    """Accuracy when pairs below a threshold are called the same.

    Args:
        distances: `(N,)`, NaN for missed pairs.
        same: `(N,)` booleans.
        threshold: a pair at exactly this distance is called different.

    Raises:
        ValueError: shapes differ, or there is no pair.

    Example:

    >>> accuracy_at(np.array([0.5, 0.7, np.nan]), np.array([True, True, True]), 0.6).value
    0.3333333333333333
    """
    distances, same = _pairs(distances, same)
    if not distances.size:
        raise ValueError("expected at least one pair. Received: none")
    found = ~np.isnan(distances)
    right = int(np.count_nonzero(found & ((distances < threshold) == same)))
    count, measured = distances.size, int(np.count_nonzero(found))
    return Accuracy(
        float(threshold),
        right / count,
        wilson_interval(right, count),
        right / measured if measured else math.nan,
        right,
        count,
        count - measured,
    )


def best_threshold(distances: np.ndarray, same: np.ndarray) -> float:
    """The threshold with the highest accuracy, halfway between two neighbouring distances.

    Of several equally good ones it is the middle one, which is farthest from both kinds of errors;
    of an even number the lower of the two in the middle, as false accepts are the worse error.

    Args:
        distances: `(N,)`, NaN for missed pairs, which are left out.
        same: `(N,)` booleans.

    Raises:
        ValueError: as `roc_curve`.

    Example:

    >>> best_threshold(np.array([0.25, 0.5, 0.75]), np.array([True, True, False]))
    0.625
    """
    distances, same = _measured(distances, same)
    _require_both(same)
    values, accepted_same, accepted_different = _cumulated(distances, same)
    right = accepted_same + (accepted_different[-1] - accepted_different)
    # Below all distances nobody is accepted, and every different pair is right.
    right = np.concatenate([[accepted_different[-1]], right])
    best = np.flatnonzero(right == right.max())
    middle = int(best[(best.size - 1) // 2])
    # Beyond the ends there is no neighbour: half of the nearest distance, and just above the last.
    if middle == 0:
        return float(values[0] / 2)
    above = values[middle] if middle < values.size else np.nextafter(values[-1], np.inf)
    return float(_between(values[middle - 1], above))


def folded_accuracy(
    distances: np.ndarray, same: np.ndarray, folds: Sequence[int] | np.ndarray
) -> FoldedAccuracy:
    """The k-fold protocol: each fold is judged with the threshold that is best on all others.

    Args:
        distances: `(N,)`, NaN for missed pairs.
        same: `(N,)` booleans.
        folds: `(N,)` integers, the fold of each pair.

    Raises:
        ValueError: shapes differ, fewer than two folds, or the other folds of one have no same or
            no different pair with a distance.
    """
    distances, same = _pairs(distances, same)
    folds = np.asarray(folds)
    names = np.unique(folds)
    if folds.shape != distances.shape or names.size < 2:
        raise ValueError(
            f"expected a fold for each of {distances.size} pairs, and at least two folds. "
            f"Received: {folds.shape}, {names.size} folds"
        )
    results = []
    for name in names:
        inside = folds == name
        threshold = best_threshold(distances[~inside], same[~inside])
        results.append(accuracy_at(distances[inside], same[inside], threshold))
    values = np.array([result.value for result in results])
    right = sum(result.right for result in results)
    without = [result.without_missed for result in results if result.missed < result.pairs]
    return FoldedAccuracy(
        tuple(results),
        float(values.mean()),
        float(values.std(ddof=1) / math.sqrt(values.size)),
        wilson_interval(right, distances.size),
        float(np.mean(without)) if without else math.nan,
        sum(result.missed for result in results),
    )


def wilson_interval(right: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Confidence interval of a share by Wilson's score, which holds near 0 and 1 too.

    Args:
        right: number of successes.
        count: number of trials, at least 1.
        z: quantile of the normal distribution; 95 % by default.

    Returns:
        Lower and upper end, in [0, 1].

    Example:

    >>> [round(end, 4) for end in wilson_interval(10, 10)]
    [0.7225, 1.0]
    """
    if not 0 <= right <= count or count < 1:
        raise ValueError(f"expected 0 <= right <= count, count >= 1. Received: {right}, {count}")
    share = right / count
    scale = 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    lower, upper = max(0.0, middle - half), min(1.0, middle + half)
    # At the ends the formula gives 0 and 1 but for rounding.
    return (0.0 if right == 0 else lower), (1.0 if right == count else upper)


def false_accept_rate(
    distances: np.ndarray, same: np.ndarray, threshold: float
) -> tuple[float, tuple[float, float]]:
    """The share of different pairs below a threshold, with its 95 % interval (Wilson).

    With none accepted the upper end still says what the rate may be: about 3.8 / pairs.

    Args:
        distances: `(N,)`, NaN for missed pairs, which are left out.
        same: `(N,)` booleans.
        threshold: a pair at exactly this distance is refused.

    Raises:
        ValueError: there is no different pair with a distance.

    Example:

    >>> false_accept_rate(np.array([0.5, 0.7]), np.array([False, False]), 0.6)[0]
    0.5
    """
    distances, same = _measured(distances, same)
    different = distances[~same]
    if not different.size:
        raise ValueError("expected a different pair with a distance. Received: none")
    accepted = int(np.count_nonzero(different < threshold))
    return accepted / different.size, wilson_interval(accepted, different.size)


def even_odds_threshold(distances: np.ndarray, same: np.ndarray) -> float:
    """The distance at which a fitted logistic curve gives even odds.

    Accuracy is nearly flat about its best threshold, which chance then moves to and fro; the curve
    goes by all pairs. And a verdict by it never disagrees with the probability of the same curve.

    Args:
        distances: `(N,)`, NaN for missed pairs, which are left out.
        same: `(N,)` booleans.

    Returns:
        The distance; where distances tell nothing, the `best_threshold`.

    Raises:
        ValueError: as `roc_curve`.

    Example:

    >>> round(even_odds_threshold(np.array([0.3, 0.4, 0.8, 0.9]), np.array([1, 1, 0, 0], bool)), 6)
    0.6
    """
    curve = fit_calibration(distances, same)
    if curve.slope == 0.0:
        return best_threshold(distances, same)
    return -curve.intercept / curve.slope


def fit_calibration(distances: np.ndarray, same: np.ndarray) -> Calibration:
    """Fits a logistic curve to labelled pairs by maximum likelihood (Platt, 1999).

    Both classes weigh the same however many pairs they have, so the probabilities hold for even
    odds. As in Platt's paper the targets are `(n + 1) / (n + 2)` and `1 / (n + 2)` rather than 1
    and 0, which keeps the slope finite when the classes do not overlap. The slope is kept from
    being negative: a larger distance never makes "same" more likely. Newton's method with halved
    steps, as of Lin, Lin and Weng (2007).

    Args:
        distances: `(N,)`, NaN for missed pairs, which are left out.
        same: `(N,)` booleans.

    Raises:
        ValueError: as `roc_curve`.
    """
    distances, same = _measured(distances, same)
    _require_both(same)
    positives = int(np.count_nonzero(same))
    negatives = same.size - positives
    targets = np.where(same, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    weights = np.where(same, 0.5 / positives, 0.5 / negatives)
    # Centred and scaled, so that the two parameters hardly depend on each other.
    center, scale = distances.mean(), distances.std()
    if scale == 0:
        return Calibration(0.0, _even_intercept(targets, weights))
    x = (distances - center) / scale

    def loss(line: np.ndarray) -> float:
        # -log p(same) = log(1 + exp(line)), -log p(different) = log(1 + exp(-line)).
        costs = targets * np.logaddexp(0, line) + (1 - targets) * np.logaddexp(0, -line)
        return float(np.sum(weights * costs))

    parameters = np.zeros(2)
    design = np.stack([x, np.ones_like(x)], axis=1)
    value = loss(design @ parameters)
    for _ in range(100):
        probabilities = _sigmoid(-(design @ parameters))
        gradient = design.T @ (weights * (targets - probabilities))
        curvature = weights * probabilities * (1 - probabilities)
        hessian = (design * curvature[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        if np.abs(gradient).max() < 1e-10:
            break
        size = 1.0
        while size > 1e-10 and loss(design @ (parameters - size * step)) > value:
            size /= 2
        parameters -= size * step
        value = loss(design @ parameters)
    slope, intercept = float(parameters[0] / scale), float(parameters[1])
    if slope <= 0:
        return Calibration(0.0, _even_intercept(targets, weights))
    return Calibration(slope, intercept - slope * float(center))


def _even_intercept(targets: np.ndarray, weights: np.ndarray) -> float:
    """The intercept of a flat curve: distances that tell nothing."""
    share = float(np.sum(weights * targets))
    return math.log((1 - share) / share)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -values))


def _pairs(distances: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distances = np.asarray(distances, dtype=np.float64)
    same = np.asarray(same, dtype=bool)
    if distances.ndim != 1 or distances.shape != same.shape:
        raise ValueError(
            f"expected as many distances as labels. Received: {distances.shape}, {same.shape}"
        )
    if np.any(distances < 0) or np.any(np.isinf(distances)):
        raise ValueError("expected distances >= 0, finite or NaN. Received: others")
    return distances, same


def _measured(distances: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs that were not missed."""
    distances, same = _pairs(distances, same)
    found = ~np.isnan(distances)
    return distances[found], same[found]


def _require_both(same: np.ndarray) -> None:
    positives = int(np.count_nonzero(same))
    if not 0 < positives < same.size:
        raise ValueError(
            "expected same and different pairs with distances. "
            f"Received: {positives} same, {same.size - positives} different"
        )


def _between(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Halfway; never rounded down to `below`, which is to be accepted."""
    middle = below + (above - below) / 2
    return np.where(middle > below, middle, above)


def _cumulated(distances: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, ...]:
    """Distinct distances rising, and how many same and different pairs lie at or below each."""
    values, at = np.unique(distances, return_inverse=True)
    counts = np.bincount(at, same, values.size), np.bincount(at, ~same, values.size)
    return values, *(np.cumsum(count).astype(np.int64) for count in counts)
