"""The networks that are trained on one's own faces."""

import keras
import numpy as np
import pytest

from cnnkit.models.face_siamese import (
    CROP,
    build_face_trunk,
    build_pair_head,
    build_siamese_encoder,
)

TINY = {"widths": (2, 3, 3, 4), "embedding_size": 5, "seed": 0}


@pytest.fixture(scope="module")
def trunk():
    return build_face_trunk(**TINY)


def chips(seed, count=3):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 150, 150, 3)).astype(np.float32)


def test_embeddings_have_unit_length(trunk):
    embeddings = build_siamese_encoder(trunk).predict_on_batch(chips(0))
    assert embeddings.shape == (3, 5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-5)


def test_the_encoder_shows_the_trunk_the_middle_of_the_chip_at_half_its_size(trunk):
    pictures = chips(1)
    middle = pictures[:, CROP:-CROP, CROP:-CROP]
    small = middle.reshape(3, 64, 2, 64, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(
        build_siamese_encoder(trunk).predict_on_batch(pictures),
        trunk.predict_on_batch(small),
        atol=1e-5,
    )


def test_exposure_does_not_matter(trunk):
    pictures = chips(2)[:, 43:107, 43:107]
    brighter = 0.5 * pictures + 100.0
    np.testing.assert_allclose(
        trunk.predict_on_batch(brighter), trunk.predict_on_batch(pictures), atol=1e-3
    )


def test_a_picture_of_one_colour_has_a_finite_embedding(trunk):
    flat = np.full((1, 64, 64, 3), 80.0, np.float32)
    assert np.isfinite(trunk.predict_on_batch(flat)).all()


def test_one_seed_makes_one_network():
    first, again, other = (build_face_trunk(**{**TINY, "seed": seed}) for seed in (3, 3, 4))
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    kernels = [model.get_layer("dense").get_weights()[0] for model in (first, other)]
    assert not np.array_equal(*kernels)


def test_layers_of_equal_shape_start_differently():
    model = build_face_trunk((3, 3, 3, 3), 5, seed=0)
    kernels = [model.get_layer(f"block{index}_conv").get_weights()[0] for index in (2, 3)]
    assert not np.array_equal(*kernels)


def test_a_head_weighs_features_and_never_with_a_weight_below_zero():
    head = build_pair_head(2)
    head.set_weights([np.array([[2.0], [3.0]]), np.array([-1.0])])
    # 2 * 1 + 3 * 2 - 1
    assert head.predict_on_batch(np.array([[1.0, 2.0]], "float32")).tolist() == [[7.0]]
    # Pairs that a weight below 0 would suit: the more they differ, the more they are the same.
    head.compile(keras.optimizers.SGD(1.0), keras.losses.BinaryCrossentropy(from_logits=True))
    features = np.array([[0.0, 0.0], [9.0, 9.0]], "float32")
    head.fit(features, np.array([1.0, 0.0]), epochs=20, verbose=0)
    kernel, _ = head.get_weights()
    np.testing.assert_array_equal(kernel, np.zeros((2, 1)))
