import math

import numpy as np
import pytest

from cnnkit.metrics.verification import (
    Calibration,
    accuracy_at,
    area_under_curve,
    best_threshold,
    equal_error_rate,
    even_odds_threshold,
    false_accept_rate,
    fit_calibration,
    folded_accuracy,
    roc_curve,
    validation_rate,
    wilson_interval,
)

NAN = math.nan

# same: 0.1 0.2 0.4 0.6; different: 0.4 0.5 0.8 0.9
DISTANCES = np.array([0.1, 0.2, 0.4, 0.6, 0.4, 0.5, 0.8, 0.9])
SAME = np.array([True] * 4 + [False] * 4)


def made_pairs(seed, count=300, digits=2):
    """Overlapping distances, rounded so that many are equal, and a few missed."""
    rng = np.random.default_rng(seed)
    same = rng.random(count) < 0.4
    distances = np.where(same, rng.normal(0.45, 0.1, count), rng.normal(0.7, 0.1, count))
    distances = np.round(np.abs(distances), digits)
    distances[rng.random(count) < 0.03] = NAN
    return distances, same


def test_roc_by_hand():
    curve = roc_curve(DISTANCES, SAME)
    # Distinct: 0.1 0.2 0.4 0.5 0.6 0.8 0.9; at 0.4 one same and one different pair go together.
    assert curve.true_accepts.tolist() == [0, 0.25, 0.5, 0.75, 0.75, 1, 1, 1]
    assert curve.false_accepts.tolist() == [0, 0, 0, 0.25, 0.5, 0.5, 0.75, 1]
    np.testing.assert_allclose(curve.thresholds, [0, 0.15, 0.3, 0.45, 0.55, 0.7, 0.85, np.inf])
    assert (curve.positives, curve.negatives) == (4, 4)


@pytest.mark.parametrize("seed", range(3))
def test_roc_equals_counting_at_each_threshold(seed):
    distances, same = made_pairs(seed)
    curve = roc_curve(distances, same)
    for threshold, false, true in zip(
        curve.thresholds, curve.false_accepts, curve.true_accepts, strict=True
    ):
        below = distances < threshold
        assert true == (below & same).sum() / (same & ~np.isnan(distances)).sum()
        assert false == (below & ~same).sum() / (~same & ~np.isnan(distances)).sum()


def test_auc_by_hand():
    # Of 16 couples: 0.1 and 0.2 beat all 4 each; 0.4 ties one and beats 3; 0.6 beats 2.
    assert area_under_curve(DISTANCES, SAME) == (4 + 4 + 3.5 + 2) / 16


@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_counting_all_couples(seed):
    distances, same = made_pairs(seed, digits=1 + seed % 3)
    near = distances[same & ~np.isnan(distances)]
    far = distances[~same & ~np.isnan(distances)]
    wins = (near[:, None] < far[None]).sum() + 0.5 * (near[:, None] == far[None]).sum()
    assert area_under_curve(distances, same) == wins / (near.size * far.size)
    # The area under the curve's straight lines is the same number.
    curve = roc_curve(distances, same)
    widths = np.diff(curve.false_accepts)
    area = np.sum(widths * (curve.true_accepts[1:] + curve.true_accepts[:-1]) / 2)
    assert area == pytest.approx(area_under_curve(distances, same), abs=1e-12)


def test_perfect_and_useless_distances():
    apart = np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False])
    assert area_under_curve(*apart) == 1.0
    assert equal_error_rate(*apart) == (0.0, 0.5)
    flat = np.full(6, 0.5), np.array([True, False] * 3)
    assert area_under_curve(*flat) == 0.5
    assert equal_error_rate(*flat)[0] == 0.5


def test_eer_by_hand():
    # At 0.45 (false 0.25, refused 0.25) both are equal: that is the rate.
    rate, threshold = equal_error_rate(DISTANCES, SAME)
    assert rate == 0.25
    assert threshold == pytest.approx(0.45)


def test_eer_is_interpolated_between_points():
    # same 1 3, different 2: points (F, T) (0, .5) (1, .5) (1, 1); on the middle stretch T = 0.5,
    # so refused = 0.5 = F halfway.
    rate, threshold = equal_error_rate(np.array([1.0, 3.0, 2.0]), np.array([True, True, False]))
    assert rate == 0.5
    # Halfway between the thresholds 1.5 and 2.5.
    assert threshold == pytest.approx(2.0)


@pytest.mark.parametrize("seed", range(3))
def test_eer_lies_on_both_curves(seed):
    distances, same = made_pairs(seed, count=2000, digits=6)
    rate, threshold = equal_error_rate(distances, same)
    false, _ = false_accept_rate(distances, same, threshold)
    refused = 1 - accuracy_at(distances[same], same[same], threshold).without_missed
    # One pair of either kind is the most that interpolation moves.
    assert false == pytest.approx(rate, abs=2e-3)
    assert refused == pytest.approx(rate, abs=2e-3)


def test_val_at_far_by_hand():
    same = np.array([True] * 4 + [False] * 1000)
    distances = np.concatenate([[0.1, 0.2, 0.4, 0.6], np.linspace(0.35, 1.0, 1000)])
    # One of a thousand is allowed, the one at 0.35; the next lies just above.
    result = validation_rate(distances, same, 1e-3)
    assert (result.rate, result.false_accept_rate) == (0.5, 0.001)
    assert 0.35 < result.threshold < 0.3507
    assert "rests on 1 of 1000 different pairs" in result.note
    none = validation_rate(distances, same, 1e-4)
    assert (none.rate, none.false_accept_rate) == (0.5, 0.0)
    assert "1000 different pairs cannot show a false accept rate of 0.0001" in none.note
    assert validation_rate(distances, same, 0.05).note == ""
    assert validation_rate(distances, same, 1.0).rate == 1.0


def test_val_counts_rather_than_rounds():
    # 3 of 1000 is 3e-3 although 3e-3 * 1000 is 3.0000000000000004 or 2.9999... elsewhere.
    for count in (1, 3, 7, 9):
        distances = np.concatenate([[0.9], np.arange(1, 1001) / 1000])
        same = np.array([True] + [False] * 1000)
        assert validation_rate(distances, same, count / 1000).false_accept_rate == count / 1000


def test_missed_pairs_are_wrong_in_accuracy_and_stated():
    distances = np.array([0.5, 0.7, NAN, 0.9, NAN])
    same = np.array([True, True, True, False, False])
    result = accuracy_at(distances, same, 0.6)
    # Right: the first and the fourth.
    assert (result.right, result.pairs, result.missed) == (2, 5, 2)
    assert result.value == 2 / 5
    assert result.without_missed == 2 / 3
    assert math.isnan(accuracy_at(np.array([NAN]), np.array([True]), 0.6).without_missed)
    with pytest.raises(ValueError, match="at least one pair"):
        accuracy_at(np.array([]), np.array([]), 0.6)


def test_a_pair_at_the_threshold_is_different():
    assert accuracy_at(np.array([0.6]), np.array([False]), 0.6).value == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_beats_all_others(seed):
    distances, same = made_pairs(seed)
    threshold = best_threshold(distances, same)
    best = accuracy_at(distances, same, threshold).value
    every = np.unique(distances[~np.isnan(distances)])
    middles = np.concatenate([[0], (every[1:] + every[:-1]) / 2, [9]])
    assert best == max(accuracy_at(distances, same, other).value for other in middles)
    assert np.abs(middles - threshold).min() < 1e-12


def test_the_best_threshold_lies_halfway_and_in_the_middle():
    # Right at 0.3: 0.1 0.2 same, all 4 different = 6; at 0.45: 3 + 3 = 6; at 0.7: 4 + 2 = 6.
    assert best_threshold(DISTANCES, SAME) == pytest.approx(0.45)
    # Nobody accepted is best, or everybody.
    assert best_threshold(np.array([0.8, 0.4]), np.array([True, False])) == pytest.approx(0.2)
    all_same = np.array([0.4, 0.5, 0.6, 0.3]), np.array([True, True, True, False])
    assert accuracy_at(*all_same, best_threshold(*all_same)).value == 0.75


def test_neighbouring_floats_are_told_apart():
    below, above = 0.5, np.nextafter(0.5, 1)
    distances, same = np.array([below, above]), np.array([True, False])
    assert accuracy_at(distances, same, best_threshold(distances, same)).value == 1.0
    assert roc_curve(distances, same).thresholds[1] == above


def test_each_fold_is_judged_with_the_others_threshold():
    distances = np.array([0.2, 0.4, 0.35, 0.7, 0.5, 0.9])
    same = np.array([True, False] * 3)
    folds = [0, 0, 1, 1, 2, 2]
    result = folded_accuracy(distances, same, folds)
    # Fold 0: the others have same 0.35 0.5, different 0.7 0.9 -> 0.6: 0.2 right, 0.4 wrong.
    # Fold 1: same 0.2 0.5, different 0.4 0.9: 3 of 4 right at 0.3 and at 0.7; the lower of the two:
    #         0.35 is not below 0.3 -> wrong, 0.7 right.
    # Fold 2: same 0.2 0.35, different 0.4 0.7 -> 0.375: 0.5 wrong, 0.9 right.
    assert [fold.threshold for fold in result.folds] == pytest.approx([0.6, 0.3, 0.375])
    assert [fold.value for fold in result.folds] == [0.5, 0.5, 0.5]
    assert (result.mean, result.standard_error) == (0.5, 0.0)
    assert result.interval == wilson_interval(3, 6)


def test_folds_state_missed_pairs_and_need_two():
    distances, same = made_pairs(0)
    folds = np.arange(distances.size) % 10
    result = folded_accuracy(distances, same, folds)
    assert result.missed == np.isnan(distances).sum()
    assert result.mean < result.mean_without_missed
    values = [fold.value for fold in result.folds]
    assert result.standard_error == pytest.approx(np.std(values, ddof=1) / np.sqrt(10))
    with pytest.raises(ValueError, match="at least two folds"):
        folded_accuracy(distances, same, np.zeros(distances.size))
    with pytest.raises(ValueError, match="a fold for each of 300 pairs"):
        folded_accuracy(distances, same, [0, 1])


def test_wilson_against_the_textbook():
    # n = 10, 4 right, z = 1.96: scale 1.38416; middle (0.4 + 0.19208) / 1.38416 = 0.42776;
    # half 1.96 / 1.38416 * sqrt(0.024 + 0.009604) = 0.25957.
    lower, upper = wilson_interval(4, 10, z=1.96)
    assert (lower, upper) == pytest.approx((0.16819, 0.68733), abs=2e-5)
    assert wilson_interval(0, 5)[0] == 0.0
    assert wilson_interval(5, 5)[1] == 1.0
    with pytest.raises(ValueError, match="0 <= right <= count"):
        wilson_interval(3, 2)


def test_wilson_covers_the_truth_as_often_as_it_says():
    coverages = []
    for share in (0.5, 0.8, 0.9, 0.95, 0.99):
        coverage = 0.0
        for right in range(101):
            lower, upper = wilson_interval(right, 100)
            if lower <= share <= upper:
                coverage += math.comb(100, right) * share**right * (1 - share) ** (100 - right)
        coverages.append(coverage)
    # Wilson's interval is near 95 % on average, and for no share far from it.
    assert np.mean(coverages) == pytest.approx(0.95, abs=0.01)
    assert min(coverages) > 0.92


def test_false_accepts_are_counted_with_an_interval():
    rate, (lower, upper) = false_accept_rate(DISTANCES, SAME, 0.6)
    assert rate == 0.5
    assert lower < 0.5 < upper
    rate, (lower, upper) = false_accept_rate(np.full(1000, 0.9), np.zeros(1000, bool), 0.6)
    assert (rate, lower) == (0.0, 0.0)
    # z^2 / (n + z^2) = 3.8415 / 1003.84
    assert upper == pytest.approx(0.003827, abs=1e-6)
    with pytest.raises(ValueError, match="a different pair"):
        false_accept_rate(np.array([0.1]), np.array([True]), 0.6)


def test_calibration_finds_the_curve_that_made_the_labels():
    # Distances of the classes are normal with equal spread s around m and M: then the log odds are
    # a line of slope (M - m) / s^2 = 0.3 / 0.01 = 30, even at (m + M) / 2 = 0.6.
    rng = np.random.default_rng(0)
    distances = np.concatenate([rng.normal(0.45, 0.1, 40_000), rng.normal(0.75, 0.1, 10_000)])
    same = np.arange(distances.size) < 40_000
    calibration = fit_calibration(np.abs(distances), same)
    assert calibration.slope == pytest.approx(30, rel=0.03)
    # The uneven numbers of the classes do not move it.
    assert calibration.probability(0.6) == pytest.approx(0.5, abs=0.02)
    assert calibration.probability(np.array([0.45]))[0] == pytest.approx(
        1 / (1 + math.exp(-4.5)), abs=0.01
    )


def test_calibration_is_at_the_minimum_of_its_loss():
    distances, same = made_pairs(4)
    fitted = fit_calibration(distances, same)
    found = ~np.isnan(distances)
    d, s = distances[found], same[found]
    n, m = s.sum(), (~s).sum()

    def loss(slope, intercept):
        p = 1 / (1 + np.exp(slope * d + intercept))
        target = np.where(s, (n + 1) / (n + 2), 1 / (m + 2))
        costs = -target * np.log(p) - (1 - target) * np.log(1 - p)
        return np.sum(np.where(s, 0.5 / n, 0.5 / m) * costs)

    best = loss(fitted.slope, fitted.intercept)
    for a, b in [(1e-2, 0), (-1e-2, 0), (0, 1e-2), (0, -1e-2), (1e-2, -1e-2)]:
        assert loss(fitted.slope + a, fitted.intercept + b) > best


def test_calibration_stays_finite_and_never_turns_round():
    apart = fit_calibration(np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False]))
    assert 0 < apart.slope < 1000
    assert apart.probability(0.5) == pytest.approx(0.5, abs=1e-6)
    assert apart.probability(0.1) > 0.5
    turned = fit_calibration(np.array([0.8, 0.9, 0.1, 0.2]), np.array([True, True, False, False]))
    assert turned.slope == 0.0
    assert turned.probability(0.3) == pytest.approx(0.5)
    equal = fit_calibration(np.full(4, 0.5), np.array([True, True, False, False]))
    assert equal.probability(0.5) == pytest.approx(0.5)


def test_a_prior_moves_the_probability():
    calibration = Calibration(20.0, -12.0)
    # Even at 0.6: with odds of 1 to 99 it is the prior itself.
    assert calibration.probability(0.6, prior=0.01) == pytest.approx(0.01)
    assert calibration.probability(0.0) == pytest.approx(1 / (1 + math.exp(-12)))
    assert calibration.probability(1e6) == 0.0
    with pytest.raises(ValueError, match="a prior in"):
        calibration.probability(0.6, prior=1.0)


@pytest.mark.parametrize(
    "function", [roc_curve, area_under_curve, equal_error_rate, best_threshold, fit_calibration]
)
def test_both_kinds_of_pairs_are_needed(function):
    with pytest.raises(ValueError, match="Received: 2 same, 0 different"):
        function(np.array([0.1, 0.2, NAN]), np.array([True, True, False]))
    with pytest.raises(ValueError, match="as many distances as labels"):
        function(np.array([0.1, 0.2]), np.array([True]))
    with pytest.raises(ValueError, match="distances >= 0"):
        function(np.array([0.1, -0.2]), np.array([True, False]))


def test_even_odds_are_where_the_fitted_probability_is_a_half():
    random = np.random.default_rng(0)
    same = np.arange(400) % 2 == 0
    distances = np.where(same, 0.4, 0.8) + 0.1 * random.standard_normal(400)
    threshold = even_odds_threshold(distances, same)
    assert fit_calibration(distances, same).probability(threshold) == pytest.approx(0.5)
    assert threshold == pytest.approx(0.6, abs=0.02)


def test_distances_that_tell_nothing_have_the_best_threshold():
    distances, same = np.array([0.5, 0.5]), np.array([True, False])
    assert even_odds_threshold(distances, same) == best_threshold(distances, same)
