"""How good sentences about pictures are: BLEU, CIDEr-D, perplexity, and how different they are."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# From this share of the pictures on, a sentence that is said of them all was not looked up in them.
COLLAPSED_SHARE = 0.8
# Of the Gauss curve by which CIDEr-D compares lengths, in words.
_CIDER_SIGMA = 6.0


@dataclass(frozen=True)
class Variety:
    """How different sentences are.

    Attributes:
        count: of the sentences.
        distinct: how many of them differ from all before.
        most_common: the sentence that occurs most often.
        most_common_share: of all sentences, in [0, 1].
    """

    count: int
    distinct: int
    most_common: str
    most_common_share: float

    @property
    def distinct_share(self) -> float:
        """Of all sentences, in [0, 1]."""
        return self.distinct / self.count


def corpus_bleu(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    order: int = 4,
) -> tuple[float, ...]:
    r"""BLEU-1 to BLEU-N of sentences, each with the sentences that people wrote.

    BLEU-N = exp(min(0, 1 - r / c)) (\prod_{n=1}^N p_n)^{1/N}, where c is the number of words in all
    candidates and r that of the references that are nearest in length, the shorter of two. p_n is
    the share of the candidates' runs of n words that are in a reference; a run counts no more
    often than it occurs in any one of them. All counts are of the whole set, and nothing is
    smoothed: without a common run of n words, BLEU-n is 0.

    Papineni, Roukos, Ward & Zhu, "BLEU: a Method for Automatic Evaluation of Machine Translation"
    (2002).

    Args:
        candidates: words of each sentence.
        references: for each of these, words of one sentence or more.
        order: N, words of the longest run.

    Returns:
        N numbers in [0, 1].

    Raises:
        ValueError: no sentences, different numbers of them, one without references, or no order.

    Example:

    >>> corpus_bleu([["a", "black", "cat"]], [[["a", "cat"], ["the", "black", "cat"]]], order=2)
    (1.0, 0.7071067811865476)
    """
    _check_sentences(candidates, references, order)
    matched, total = [0] * order, [0] * order
    length = nearest = 0
    for candidate, known in zip(candidates, references, strict=True):
        length += len(candidate)
        nearest += min((abs(len(one) - len(candidate)), len(one)) for one in known)[1]
        for n in range(1, order + 1):
            most: Counter[tuple[str, ...]] = Counter()
            for one in known:
                most |= _runs(one, n)
            counts = _runs(candidate, n)
            matched[n - 1] += (counts & most).total()
            total[n - 1] += counts.total()
    scores: list[float] = []
    log_sum = 0.0
    for n in range(order):
        if not matched[n]:
            return (*scores, *[0.0] * (order - n))
        log_sum += math.log(matched[n] / total[n])
        penalty = min(0.0, 1.0 - nearest / length)
        scores.append(math.exp(penalty + log_sum / (n + 1)))
    return tuple(scores)


def _runs(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))


def cider_d(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    order: int = 4,
) -> float:
    r"""CIDEr-D of sentences, each with the sentences that people wrote.

    Runs of n words are weighted by how often they stand in the sentence, and by
    \log(N / number of pictures with a reference that has the run): what is said of every picture
    counts nothing. g(s) is the vector of a sentence's weights. For each n,

    CIDEr-D_n = 10 mean_r [\exp(-(l_c - l_r)^2 / (2 \sigma^2))
    \sum \min(g(c), g(r)) g(r) / (|g(c)| |g(r)|)]

    over the references r of a picture, with l the number of words and sigma = 6; CIDEr-D is the
    mean over n and over the pictures. The minimum keeps a candidate from winning by repeating.

    Vedantam, Zitnick & Parikh, "CIDEr: Consensus-based Image Description Evaluation" (2015). As in
    the evaluation of COCO, the documents are the pictures that are evaluated; words are not
    stemmed, which is that evaluation's way too. It says "length" of the number of pairs of words,
    one less than that of the words, which makes no difference here.

    Args:
        candidates: words of each sentence.
        references: for each of these, words of one sentence or more.
        order: N, words of the longest run.

    Returns:
        From 0 to 10; people's sentences about COCO have about 0.9 against each other.

    Raises:
        ValueError: no sentences, different numbers of them, one without references, or no order.

    Example:

    >>> said, known = [["a", "cat"], ["a", "dog"]], [[["a", "cat"]], [["the", "dog"]]]
    >>> round(cider_d(said, known, order=1), 3)
    7.5
    """
    _check_sentences(candidates, references, order)
    total = 0.0
    for n in range(1, order + 1):
        counted = [[_runs(one, n) for one in known] for known in references]
        frequency = Counter(run for known in counted for run in set().union(*known))

        def weigh(
            counts: Counter[tuple[str, ...]], frequency: Counter[tuple[str, ...]] = frequency
        ) -> dict[tuple[str, ...], float]:
            most = math.log(len(references))
            return {
                run: times * (most - math.log(max(1, frequency[run])))
                for run, times in counts.items()
            }

        for candidate, known, known_counts in zip(candidates, references, counted, strict=True):
            said = weigh(_runs(candidate, n))
            for reference, counts in zip(known, known_counts, strict=True):
                true = weigh(counts)
                norm = math.hypot(*said.values()) * math.hypot(*true.values())
                if norm > 0:
                    match = sum(min(said.get(run, 0.0), one) * one for run, one in true.items())
                    apart = len(candidate) - len(reference)
                    near = math.exp(-(apart**2) / (2 * _CIDER_SIGMA**2))
                    total += near * match / norm / len(known)
    return 10.0 * total / (order * len(candidates))


def _check_sentences(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], order: int
) -> None:
    if order < 1 or not candidates or len(candidates) != len(references):
        raise ValueError(
            "expected as many references as candidates, one at least, and an order from 1. "
            f"Received: {len(candidates)} candidates, {len(references)} references, order={order}"
        )
    if not all(references):
        raise ValueError("expected a reference at least for each candidate. Received: none")


def perplexity(negative_log_likelihood: float) -> float:
    """How many words a network wavers between, as it were: exp of the mean of -log p.

    Args:
        negative_log_likelihood: mean over all words and ends of sentences, in nats.

    Returns:
        From 1, for a network that knows every word, to infinity.

    Example:

    >>> round(perplexity(math.log(10)), 6), perplexity(1e9)
    (10.0, inf)
    """
    try:
        return math.exp(negative_log_likelihood)
    except OverflowError:
        return math.inf


def sentence_variety(sentences: Sequence[str]) -> Variety:
    """How different sentences are.

    Args:
        sentences: one at least.

    Raises:
        ValueError: there are none.

    Example:

    >>> variety = sentence_variety(["a cat", "a dog", "a cat", "a cat"])
    >>> variety.distinct, variety.most_common, variety.most_common_share
    (2, 'a cat', 0.75)
    """
    if not sentences:
        raise ValueError("expected a sentence at least. Received: none")
    counts = Counter(sentences)
    sentence, times = counts.most_common(1)[0]
    return Variety(len(sentences), len(counts), sentence, times / len(sentences))


def has_collapsed(said: Variety, true: Variety) -> bool:
    """Whether a network says one sentence of nearly all pictures, although they differ.

    That is the usual failure of captions: the network learnt how sentences go and does not look.

    Args:
        said: of the network's sentences.
        true: of those that people wrote of the same pictures.

    Example:

    >>> has_collapsed(sentence_variety(["a cat"] * 9 + ["a dog"]), sentence_variety(["x", "y"]))
    True
    """
    return said.count > 1 and said.most_common_share >= COLLAPSED_SHARE > true.most_common_share
