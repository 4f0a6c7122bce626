import math

import numpy as np
import pytest

from cnnkit.tasks.caption.metrics import cider_d, corpus_bleu, has_collapsed, sentence_variety


def independent_bleu(candidates, references, order):
    """BLEU once more, run by run, with lists alone."""
    precisions = []
    for n in range(1, order + 1):
        hits = runs = 0
        for candidate, known in zip(candidates, references, strict=True):
            found = [tuple(candidate[i : i + n]) for i in range(len(candidate) - n + 1)]
            runs += len(found)
            for run in set(found):
                allowed = max(
                    [tuple(one[i : i + n]) for i in range(len(one) - n + 1)].count(run)
                    for one in known
                )
                hits += min(found.count(run), allowed)
        precisions.append(hits / runs if runs else 0.0)
    c = sum(map(len, candidates))
    r = 0
    for candidate, known in zip(candidates, references, strict=True):
        lengths = sorted(len(one) for one in known)
        r += min(lengths, key=lambda length: abs(length - len(candidate)))
    brevity = 1.0 if c >= r else math.exp(1 - r / c)
    return [brevity * math.prod(precisions[:n]) ** (1 / n) for n in range(1, order + 1)]


def test_the_papers_example_of_clipped_counts():
    # "the the the the the the the", "the cat is on the mat", "there is a cat on the mat", a letter
    # for each word: "the" occurs twice in one reference at most, which is 2/7 of the seven.
    candidate = ["a"] * 7
    references = [list("abcdae"), list("fcgbdae")]
    # Lengths 6 and 7: the nearest is 7, so that nothing is taken off.
    assert corpus_bleu([candidate], [references]) == (pytest.approx(2 / 7), 0.0, 0.0, 0.0)


def test_a_short_sentence_is_punished_by_its_length():
    # Three of three words, both pairs; the reference has 6 words: exp(1 - 6/3).
    scores = corpus_bleu([list("def")], [[list("abcdef")]], order=2)
    assert scores == (pytest.approx(math.exp(-1)), pytest.approx(math.exp(-1)))


def test_the_shorter_of_two_nearest_references_counts():
    # Lengths 3 and 5 are as near to 4: with 3 nothing is taken off.
    assert corpus_bleu([list("abcd")], [[list("abc"), list("abcde")]], order=1) == (1.0,)


def test_counts_are_of_the_whole_set():
    # 1 of 2 words and 3 of 3 words: 4/5, not the mean of 1/2 and 1.
    scores = corpus_bleu([list("ab"), list("xyz")], [[list("ac")], [list("xyz")]], order=1)
    assert scores == (pytest.approx(0.8),)


def test_bleu_agrees_with_an_independent_version():
    random = np.random.default_rng(0)

    def sentence():
        return [str(word) for word in random.integers(0, 4, random.integers(4, 12))]

    candidates = [sentence() for _ in range(30)]
    references = [[sentence() for _ in range(random.integers(1, 5))] for _ in range(30)]
    expected = independent_bleu(candidates, references, 4)
    assert min(expected) > 0.0
    assert corpus_bleu(candidates, references) == pytest.approx(expected)


def test_a_perfect_set_has_bleu_1_and_one_without_common_runs_0():
    same = [list("abcde"), list("vwxyz")]
    assert corpus_bleu(same, [[one] for one in same]) == pytest.approx((1.0,) * 4)
    assert corpus_bleu([list("ab")], [[list("ba")]]) == (1.0, 0.0, 0.0, 0.0)
    assert corpus_bleu([[]], [[list("ba")]], order=1) == (0.0,)


@pytest.mark.parametrize(("candidates", "references"), [([], []), ([["a"]], []), ([["a"]], [[]])])
def test_sentences_without_references_are_refused(candidates, references):
    with pytest.raises(ValueError, match="Received"):
        corpus_bleu(candidates, references)


def test_a_network_that_always_says_the_same_is_told():
    different = sentence_variety(["a", "b", "c", "d", "e"])
    assert has_collapsed(sentence_variety(["a"] * 4 + ["b"]), different)
    assert not has_collapsed(sentence_variety(["a"] * 3 + ["b"] * 2), different)
    # Where people say the same of all pictures too, that is right.
    assert not has_collapsed(sentence_variety(["a"] * 5), sentence_variety(["b"] * 5))


def independent_cider_d(candidates, references, order):
    """CIDEr-D once more, with dense NumPy vectors over all runs."""
    scores = []
    for n in range(1, order + 1):

        def runs(words, n=n):
            return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]

        known = sorted({run for group in references for one in group for run in runs(one)}
                       | {run for one in candidates for run in runs(one)})  # fmt: skip
        pictures = np.array(
            [[any(run in runs(one) for one in group) for run in known] for group in references]
        ).sum(axis=0)
        rarity = np.log(len(references)) - np.log(np.maximum(1, pictures))

        def vector(words, known=known, rarity=rarity, runs=runs):
            return np.array([runs(words).count(run) for run in known], float) * rarity

        of_pictures = []
        for candidate, group in zip(candidates, references, strict=True):
            c = vector(candidate)
            values = []
            for one in group:
                r = vector(one)
                norm = np.linalg.norm(c) * np.linalg.norm(r)
                match = np.minimum(c, r) @ r / norm if norm else 0.0
                values.append(match * np.exp(-((len(candidate) - len(one)) ** 2) / 72))
            of_pictures.append(np.mean(values))
        scores.append(10 * np.mean(of_pictures))
    return np.mean(scores)


def random_sentences(random, count):
    return [list(random.choice(list("abcdefg"), random.integers(1, 12))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_cider_d_agrees_with_an_independent_version(seed):
    random = np.random.default_rng(seed)
    candidates = random_sentences(random, 6)
    references = [random_sentences(random, random.integers(1, 5)) for _ in range(6)]
    # Something in common, up to runs of four.
    references[0].append([*candidates[0], "a"])
    expected = independent_cider_d(candidates, references, 4)
    assert expected > 0.1
    assert cider_d(candidates, references) == pytest.approx(expected, rel=1e-9)


def test_a_sentence_that_is_its_own_reference_has_all_of_cider_d():
    sentences = [list("abcdefgh"), list("ijklmnop")]
    assert cider_d(sentences, [[one] for one in sentences]) == pytest.approx(10)


def test_cider_d_gives_nothing_for_repeating_a_word():
    references = [[list("ab")], [list("cd")]]
    once = cider_d([list("ab"), list("xy")], references, order=1)
    # Four times as many, and two words longer: less, by the Gauss curve alone and by the norm.
    many = cider_d([list("aabb"), list("xy")], references, order=1)
    # min(g(c), g(r)) is g(r) with both; |g(c)| is twice as long; two words apart.
    assert many == pytest.approx(once / 2 * math.exp(-4 / 72))


def test_what_is_said_of_every_picture_counts_nothing_for_cider_d():
    references = [[["the", "cat"]], [["the", "dog"]]]
    assert cider_d([["the"], ["the"]], references, order=1) == 0.0
    with pytest.raises(ValueError, match="expected as many references as candidates"):
        cider_d([["the"]], references)
    with pytest.raises(ValueError, match="expected a reference at least"):
        cider_d([["the"]], [[]])
