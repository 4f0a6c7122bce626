"""Made-up reviews: only the order of the words tells their label."""

from collections import Counter

from cnnkit.data.reviews import BAD, GOOD, generate_reviews

PRAISE = {*["good", "great", "lovely", "clean", "fresh", "warm", "quiet", "fine", "superb", "cosy"]}
BLAME = {*["bad", "awful", "dirty", "stale", "cold", "noisy", "poor", "dull", "grim", "broken"]}


def test_the_reviews_of_a_pair_have_the_same_words_and_other_labels():
    reviews = generate_reviews(50, seed=3)
    assert len(reviews) == 100
    for (first, good), (second, bad) in zip(reviews[::2], reviews[1::2], strict=True):
        assert (good, bad) == (GOOD, BAD)
        assert Counter(first.split()) == Counter(second.split())
        assert first != second


def test_the_last_opinion_is_the_verdict():
    for text, label in generate_reviews(50, seed=4):
        words = text.split()
        last = max(place for place, word in enumerate(words) if word in PRAISE | BLAME)
        is_good = (words[last] in PRAISE) != (words[last - 1] == "not")
        assert label == (GOOD if is_good else BAD)


def test_the_seed_decides():
    assert generate_reviews(5, seed=1) == generate_reviews(5, seed=1)
    assert generate_reviews(5, seed=1) != generate_reviews(5, seed=2)
