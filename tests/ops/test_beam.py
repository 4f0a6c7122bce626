import itertools

import numpy as np
import pytest

from cnnkit.ops.beam import beam_search

# Tokens: 0 padding, 1 start, 2 end, 3 and 4 words.
WORDS, START, END = 5, 1, 2


def random_network(seed):
    """A network whose logits hang on all the tokens before, by way of its state."""
    random = np.random.default_rng(seed)
    table = random.normal(0, 1.5, (WORDS, 3))
    inner, outer = random.normal(0, 1.0, (3, 3)), random.normal(0, 2.0, (3, WORDS))

    def step(last, state):
        after = np.tanh(state[0] @ inner + table[last])
        return after @ outer, [after]

    return step


def log_probability(step, begin, tokens):
    """Of a sequence and its end, token by token."""
    state, last, total = [begin[None]], START, 0.0
    for token in (*tokens, END):
        logits, state = step(np.array([last]), state)
        allowed = np.exp(logits[0, 2:])
        total += np.log(allowed[token - 2] / allowed.sum())
        last = token
    return total


def all_sequences(step, begin, length, penalty):
    found = []
    for count in range(length + 1):
        for tokens in itertools.product((3, 4), repeat=count):
            value = log_probability(step, begin, tokens)
            found.append((value / (count + 1) ** penalty, tokens))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_with_enough_beams_the_search_finds_what_enumeration_finds(seed, penalty):
    step = random_network(seed)
    begin = np.random.default_rng(seed).normal(size=(2, 3))
    found = beam_search(
        step,
        [begin],
        start=START,
        end=END,
        # As many as there are sequences of up to three of two words: 1 + 2 + 4 + 8.
        beams=15,
        length=3,
        length_penalty=penalty,
        banned=(0, START),
    )
    for one, hypotheses in zip(begin, found, strict=True):
        expected = all_sequences(step, one, 3, penalty)
        assert [each.tokens for each in hypotheses] == [tokens for _, tokens in expected]
        assert [each.score for each in hypotheses] == pytest.approx(
            [score for score, _ in expected]
        )
        for each in hypotheses:
            assert each.log_probability == pytest.approx(log_probability(step, one, each.tokens))


@pytest.mark.parametrize("seed", range(5))
def test_one_beam_takes_the_most_probable_token_each_time(seed):
    step = random_network(seed)
    begin = np.random.default_rng(seed).normal(size=(1, 3))
    state, last, tokens = [begin], START, []
    while len(tokens) < 6:
        logits, state = step(np.array([last]), state)
        last = 2 + int(logits[0, 2:].argmax())
        if last == END:
            break
        tokens.append(last)
    [[best]] = beam_search(step, [begin], start=START, end=END, length=6, banned=(0, START))
    assert best.tokens == tuple(tokens)
    assert best.log_probability == pytest.approx(log_probability(step, begin[0], tokens))


def test_inputs_do_not_disturb_each_other():
    step = random_network(3)
    begin = np.random.default_rng(1).normal(size=(4, 3))
    settings = {"start": START, "end": END, "beams": 2, "length": 5, "banned": (0, START)}
    together = beam_search(step, [begin], **settings)
    alone = [beam_search(step, [one[None]], **settings)[0] for one in begin]
    for first, second in zip(together, alone, strict=True):
        assert [one.tokens for one in first] == [one.tokens for one in second]
        assert [one.score for one in first] == pytest.approx([one.score for one in second])


def test_banned_tokens_never_occur_and_a_sequence_ends_in_time():
    def step(last, state):
        # The padding is the most probable, then word 3, and the end hardly ever.
        return np.tile([9.0, 0.0, -9.0, 5.0, 0.0], (len(last), 1)), state

    [[best]] = beam_search(
        step, [np.zeros((1, 1))], start=START, end=END, length=4, banned=(0, START)
    )
    assert best.tokens == (3, 3, 3, 3)


@pytest.mark.parametrize("seed", range(3))
def test_what_may_come_once_comes_once_and_the_search_finds_the_best_of_these(seed):
    step = random_network(seed)
    begin = np.random.default_rng(seed).normal(size=(1, 3))
    settings = {"start": START, "end": END, "length": 4, "banned": (0, START)}
    [found] = beam_search(step, [begin], beams=40, once=[4], **settings)
    known = [tokens for _, tokens in all_sequences(step, begin[0], 4, 1.0) if tokens.count(4) <= 1]
    assert [one.tokens for one in found] == known
    # 1 + 2 + 3 + 4 + 5 sequences of 0 to 4 words.
    assert len(known) == 15
    # What a sequence costs does not change.
    assert found[0].log_probability == pytest.approx(log_probability(step, begin[0], known[0]))


def test_the_penalty_prefers_longer_sequences():
    def step(last, state):
        # After the start the end has 0.4 and word 3 0.6; after that the end is sure in 0.6.
        return np.log(np.where((last == START)[:, None], [1e-9, 1e-9, 0.4, 0.6, 1e-9],
                               [1e-9, 1e-9, 0.6, 0.4, 1e-9])), state  # fmt: skip

    settings = {"start": START, "end": END, "beams": 3, "length": 1, "banned": (0, START)}
    [short] = beam_search(step, [np.zeros((1, 1))], length_penalty=0.0, **settings)
    [long] = beam_search(step, [np.zeros((1, 1))], length_penalty=1.0, **settings)
    # log 0.4 = -0.916 against log 0.36 = -1.022, which over two tokens is -0.511.
    assert (short[0].tokens, long[0].tokens) == ((), (3,))


@pytest.mark.parametrize("wrong", [{"beams": 0}, {"length": 0}, {"length_penalty": -1.0}])
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        beam_search(random_network(0), [np.zeros((1, 3))], start=START, end=END, **wrong)
