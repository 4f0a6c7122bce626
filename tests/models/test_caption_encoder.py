import keras
import numpy as np
import pytest

from cnnkit.data.imagenet import imagenet_names, name_seen, with_article
from cnnkit.data.text import END, NAME, START, Vocabulary
from cnnkit.models.caption_encoder import (
    build_lite0_encoder,
    lite0_tensors,
    names_seen,
    seen_parts,
    seen_tensors,
)
from cnnkit.tasks.caption.data import split_caption

SIDE = 64


@pytest.fixture(scope="module")
def seen():
    """Two pictures, what the encoder says of them, and its parts one by one."""
    pictures = np.random.default_rng(0).random((2, SIDE, SIDE, 3)).astype(np.float32)
    encoder = build_lite0_encoder(SIDE)
    whole = keras.Model(*(lambda picture, *parts: (picture, parts))(*lite0_tensors(SIDE)))
    return encoder.predict(pictures, verbose=0), whole.predict(pictures, verbose=0), encoder


def test_the_encoder_says_the_whole_and_the_places_as_one_vector(seen):
    vectors, (whole, grid), encoder = seen
    assert vectors.shape == (2, seen_parts(SIDE).size) == (2, 1280 + 1000 + 5 + 2 * 2 * 320)
    np.testing.assert_allclose(vectors[:, :2285], whole, atol=1e-5)
    np.testing.assert_allclose(vectors[:, 2285:].reshape(2, 2, 2, 320), grid, atol=1e-4)
    np.testing.assert_allclose(seen_parts(SIDE).names_of(vectors).sum(axis=1), 1.0, atol=1e-5)
    surest = np.sort(seen_parts(SIDE).names_of(vectors), axis=1)[:, :-6:-1]
    np.testing.assert_allclose(vectors[:, 2280:2285], surest, atol=1e-6)
    assert not encoder.trainable_variables


def test_a_decoder_without_encoder_takes_the_vector_apart_again(seen):
    vectors, (whole, grid), _ = seen
    taken, *parts = seen_tensors(SIDE)
    found = keras.Model(taken, parts).predict(vectors, verbose=0)
    np.testing.assert_allclose(found[0], whole, atol=1e-5)
    np.testing.assert_allclose(found[1], grid, atol=1e-4)


def probabilities(**values):
    found = np.full(1000, 1e-5)
    for name, value in values.items():
        found[imagenet_names().index(name.replace("_", " "))] = value
    return found


@pytest.mark.parametrize(
    ("values", "phrase", "probability"),
    [
        ({"tabby cat": 0.7, "tiger cat": 0.2}, "a tabby cat", 0.7),
        # None of the cats is sure, and all are cats.
        ({"tabby cat": 0.3, "tiger cat": 0.2, "Egyptian cat": 0.1}, "a cat", 0.6),
        # Neither the class nor a group is sure.
        ({"abacus": 0.3, "tabby cat": 0.2}, "an abacus", 0.3),
        ({"espresso": 0.9}, "a cup of coffee", 0.9),
        ({"sunglasses": 0.9}, "sunglasses", 0.9),
        ({"unicycle": 0.9}, "a unicycle", 0.9),
    ],
)
def test_a_thing_is_named_as_precisely_as_the_classifier_is_sure(values, phrase, probability):
    found = name_seen(probabilities(**values))
    assert found.phrase == phrase
    assert found.probability == pytest.approx(probability, abs=1e-3)


def test_every_class_has_a_phrase_that_ends_a_sentence_well():
    for name in imagenet_names():
        phrase = with_article(name)
        assert phrase == phrase.strip()
        assert not phrase.startswith(("a a", "a e", "a i", "a o", "an u", "a an ")) or (
            phrase in ("a one-piece swimsuit", "an umbrella", "an upright piano")
        )


def test_names_are_looked_for_by_captioners_that_say_them_alone():
    parts = seen_parts(SIDE)
    vectors = np.zeros((1, parts.size), np.float32)
    vectors[0, parts.pooled + imagenet_names().index("tabby cat")] = 0.9
    settings = {"backbone": "efficientnet-lite0", "side": SIDE}
    vocabulary = Vocabulary.build([["a", NAME]], special=(START, END))
    [found] = names_seen(vectors, settings, vocabulary)
    assert (found.phrase, found.probability) == ("a tabby cat", pytest.approx(0.9))
    other = Vocabulary.build([["a", "cat"]], special=(START, END))
    assert names_seen(vectors, settings, other)[0].phrase == ""
    assert names_seen(vectors, {"backbone": "compact"}, vocabulary)[0].phrase == ""


def test_the_name_is_a_word_of_its_own_wherever_it_stands():
    assert split_caption(f"{NAME} (and {NAME}), A Dog") == [NAME, "and", NAME, "a", "dog"]
    assert split_caption("a name") == ["a", "name"]
