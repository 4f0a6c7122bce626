"""The losses of face recognition by hand, against NumPy, and by finite differences."""

import itertools

import keras
import numpy as np
import pytest

from cnnkit.losses.faces import (
    embedding_spread,
    pair_features,
    pairwise_distances,
    pairwise_squared_distances,
    triplet_loss,
)
from cnnkit.ops.gradients import value_and_gradient
from cnnkit.options import FACE_FORMS, MININGS

LABELS = np.array([0, 0, 0, 1, 1, 2, 3, 3])


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def distances_by_numpy(embeddings):
    return np.array([[np.linalg.norm(a - b) for b in embeddings] for a in embeddings])


def triplets_by_numpy(embeddings, labels, mining):
    """All `(anchor, positive, negative)` that the mining chooses, one by one."""
    d = distances_by_numpy(embeddings.astype(np.float64))
    chosen = []
    for a in range(len(labels)):
        positives = [i for i in range(len(labels)) if labels[i] == labels[a] and i != a]
        negatives = [i for i in range(len(labels)) if labels[i] != labels[a]]
        if not positives or not negatives:
            continue
        if mining == "batch-hard":
            hardest = max(positives, key=lambda i: d[a, i])
            chosen.append((a, hardest, min(negatives, key=lambda i: d[a, i])))
            continue
        for p in positives:
            farther = [n for n in negatives if d[a, n] > d[a, p]]
            if farther:
                chosen.append((a, p, min(farther, key=lambda i: d[a, i])))
            else:
                chosen.append((a, p, max(negatives, key=lambda i: d[a, i])))
    return chosen


def loss_by_numpy(embeddings, triplets, margin):
    d = distances_by_numpy(embeddings.astype(np.float64))
    losses = np.array([max(0.0, d[a, p] - d[a, n] + margin) for a, p, n in triplets])
    return losses.mean(), (losses > 0).mean()


# Distances -----------------------------------------------------------------------------------


def test_distances_are_those_of_numpy():
    embeddings = random(0, 7, 5)
    expected = distances_by_numpy(embeddings)
    np.testing.assert_allclose(to_numpy(pairwise_distances(embeddings)), expected, rtol=1e-5)
    np.testing.assert_allclose(
        to_numpy(pairwise_squared_distances(embeddings)), expected**2, rtol=1e-5
    )


def test_embeddings_that_nearly_coincide_keep_their_distance():
    # The Gram form gives 0 or noise here: 1 + 1 - 2 in float32.
    embeddings = np.array([[1.0, 0.0], [1.0, 1e-5]], "float32")
    assert to_numpy(pairwise_distances(embeddings))[0, 1] == pytest.approx(1e-5, rel=1e-4)


def test_the_gradient_of_a_distance_of_zero_is_zero():
    _, gradient = value_and_gradient(lambda x: keras.ops.sum(pairwise_distances(x)))(
        np.ones((3, 2), "float32")
    )
    np.testing.assert_array_equal(gradient, np.zeros((3, 2)))


def test_the_gradient_of_the_distances_is_that_of_finite_differences():
    evaluate = value_and_gradient(lambda x: keras.ops.sum(pairwise_distances(x)))
    point, direction = random(1, 5, 3), random(2, 5, 3)
    slope = (evaluate(point + 1e-2 * direction)[0] - evaluate(point - 1e-2 * direction)[0]) / 2e-2
    assert np.sum(evaluate(point)[1] * direction) == pytest.approx(slope, rel=1e-2)


# Triplets ------------------------------------------------------------------------------------

# One person at 0, 0.5 and 1, others at 1.2 and -2.
LINE = np.array([[0.0], [0.5], [1.0], [1.2], [-2.0]], "float32")
LINE_LABELS = np.array([0, 0, 0, 1, 2])


def test_batch_hard_by_hand():
    # 0: 1.0 - 1.2 + 0.3 = 0.1; 0.5: 0.5 - 0.7 + 0.3 = 0.1; 1: 1.0 - 0.2 + 0.3 = 1.1
    loss, active = triplet_loss(LINE, LINE_LABELS, 0.3, "batch-hard")
    assert float(loss) == pytest.approx(1.3 / 3, rel=1e-5)
    assert float(active) == 1.0


def test_semi_hard_by_hand():
    # 0 with 0.5, 1.2 is farther: 0.5 - 1.2 + 0.3 < 0; 0 with 1: 1.0 - 1.2 + 0.3 = 0.1
    # 0.5 with 0 and with 1: 0.5 - 0.7 + 0.3 = 0.1 each
    # 1 with 0: 1.2 is nearer than 0, so -2: 1.0 - 3.0 + 0.3 < 0; 1 with 0.5: the same < 0
    loss, active = triplet_loss(LINE, LINE_LABELS, 0.3, "semi-hard")
    assert float(loss) == pytest.approx(0.3 / 6, rel=1e-4)
    assert float(active) == pytest.approx(3 / 6)


def test_semi_hard_takes_the_farthest_negative_where_none_is_farther_than_the_positive():
    # 0 with 3: both others are nearer; 1.2 is the farther: 3.0 - 1.2 + 0.2 = 2.0
    # 3 with 0: 0 is at 3, the others at 2 and 1.8; 2 is the farther: 3.0 - 2.0 + 0.2 = 1.2
    line = np.array([[0.0], [3.0], [1.0], [1.2]], "float32")
    loss, active = triplet_loss(line, np.array([0, 0, 1, 2]), 0.2, "semi-hard")
    assert float(loss) == pytest.approx((2.0 + 1.2) / 2, rel=1e-5)
    assert float(active) == 1.0


@pytest.mark.parametrize("mining", ["semi-hard", "batch-hard"])
@pytest.mark.parametrize("margin", [0.1, 1.0])
def test_mined_triplets_are_those_of_loops(mining, margin):
    for seed in range(5):
        embeddings = random(seed, len(LABELS), 3)
        chosen = triplets_by_numpy(embeddings, LABELS, mining)
        expected = loss_by_numpy(embeddings, chosen, margin)
        found = triplet_loss(embeddings, LABELS, margin, mining)
        np.testing.assert_allclose([float(found.loss), float(found.active)], expected, rtol=1e-4)


def test_random_mining_gives_the_mean_of_all_triplets_in_the_long_run():
    embeddings = random(3, len(LABELS), 3)
    every = [
        (a, p, n)
        for a, p, n in itertools.product(range(len(LABELS)), repeat=3)
        if a != p and LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]
    ]
    # Each anchor and positive counts the same, however many negatives it has to choose from.
    d = distances_by_numpy(embeddings)
    groups = {}
    for a, p, n in every:
        groups.setdefault((a, p), []).append(max(0.0, d[a, p] - d[a, n] + 0.2))
    expected = np.mean([np.mean(group) for group in groups.values()])
    seed = keras.random.SeedGenerator(0)
    losses = [float(triplet_loss(embeddings, LABELS, 0.2, "random", seed).loss) for _ in range(300)]
    assert np.mean(losses) == pytest.approx(expected, rel=0.05)
    assert np.std(losses) > 0


@pytest.mark.parametrize("mining", MININGS)
def test_a_person_with_one_picture_is_never_an_anchor(mining):
    loss, active = triplet_loss(random(4, 4, 2), np.arange(4), 0.2, mining, seed=0)
    assert (float(loss), float(active)) == (0.0, 0.0)


@pytest.mark.parametrize("mining", MININGS)
def test_one_person_alone_has_no_triplet(mining):
    loss, active = triplet_loss(random(4, 4, 2), np.zeros(4, int), 0.2, mining, seed=0)
    assert (float(loss), float(active)) == (0.0, 0.0)


@pytest.mark.parametrize("mining", MININGS)
def test_embeddings_that_collapsed_have_the_margin_for_a_loss(mining):
    loss, active = triplet_loss(np.ones((8, 3), "float32"), LABELS, 0.2, mining, seed=0)
    assert float(loss) == pytest.approx(0.2)
    assert float(active) == 1.0


@pytest.mark.parametrize("mining", MININGS)
def test_people_far_apart_have_no_loss(mining):
    embeddings = 10.0 * np.eye(4, dtype="float32")[LABELS]
    loss, active = triplet_loss(embeddings, LABELS, 0.2, mining, seed=0)
    assert (float(loss), float(active)) == (0.0, 0.0)


@pytest.mark.parametrize("mining", MININGS)
def test_the_gradient_of_the_loss_is_that_of_finite_differences(mining):
    # A large margin keeps every triplet active, and a small step the choice of the negatives.
    evaluate = value_and_gradient(lambda x: triplet_loss(x, LABELS, 5.0, mining, seed=1).loss)
    point = random(5, len(LABELS), 3)
    for seed in range(3):
        direction = random(10 + seed, len(LABELS), 3)
        sides = [evaluate(point + step * direction)[0] for step in (2e-3, -2e-3)]
        slope = (sides[0] - sides[1]) / 4e-3
        assert np.sum(evaluate(point)[1] * direction) == pytest.approx(slope, rel=0.02, abs=2e-3)


def test_another_mining_is_refused():
    with pytest.raises(ValueError, match="mining must be one of random, semi-hard, batch-hard"):
        triplet_loss(LINE, LINE_LABELS, 0.2, "hardest")


# Spread --------------------------------------------------------------------------------------


def test_the_spread_is_that_of_numpy():
    embeddings = random(6, 9, 4)
    spread = embedding_spread(embeddings)
    distances = distances_by_numpy(embeddings)
    assert float(spread.distance) == pytest.approx(distances.sum() / (9 * 8), rel=1e-5)
    assert float(spread.variance) == pytest.approx(embeddings.var(axis=0).sum(), rel=1e-5)


def test_one_point_has_no_spread():
    spread = embedding_spread(np.ones((4, 3), "float32"))
    assert (float(spread.distance), float(spread.variance)) == (0.0, 0.0)


# Pairs ---------------------------------------------------------------------------------------


def test_absolute_differences_by_hand():
    features = to_numpy(pair_features([[1.0, -2.0]], [[3.0, 1.0]], "absolute"))
    np.testing.assert_allclose(features, [[2.0, 3.0]])


def test_chi_square_by_hand():
    # (3 - 1)^2 / (1 + 3), 2^2 / 2, and nothing where both are zero.
    features = to_numpy(pair_features([[1.0, 2.0, 0.0]], [[3.0, 0.0, 0.0]], "chi-square"))
    np.testing.assert_allclose(features, [[1.0, 2.0, 0.0]], rtol=1e-5)


def test_squared_differences_sum_to_the_squared_distance():
    first, second = random(9, 4, 6), random(10, 4, 6)
    features = to_numpy(pair_features(first, second, "squared"))
    np.testing.assert_allclose(
        features.sum(axis=1), np.linalg.norm(first - second, axis=1) ** 2, rtol=1e-5
    )


@pytest.mark.parametrize("form", FACE_FORMS)
def test_pair_features_are_symmetric_not_negative_and_zero_for_equal_faces(form):
    first, second = abs(random(7, 5, 6)), abs(random(8, 5, 6))
    features = to_numpy(pair_features(first, second, form))
    np.testing.assert_array_equal(features, to_numpy(pair_features(second, first, form)))
    assert features.min() >= 0
    np.testing.assert_array_equal(to_numpy(pair_features(first, first, form)), 0 * features)


def test_another_form_is_refused():
    with pytest.raises(ValueError, match="form must be one of absolute, chi-square"):
        pair_features(random(7, 5, 6), random(8, 5, 6), "cosine")
