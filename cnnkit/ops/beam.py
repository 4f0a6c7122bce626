"""The most probable sequences of a network that writes them one token at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Hypothesis:
    """A finished sequence.

    Attributes:
        tokens: without start and end.
        log_probability: of the tokens and the end behind them, in nats.
        score: that over the number of tokens, the end included, to the power of the length penalty.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float


def beam_search(
    step: Callable[[np.ndarray, Any], tuple[np.ndarray, Any]],
    state: Sequence[np.ndarray],
    *,
    start: int,
    end: int,
    beams: int = 1,
    length: int = 20,
    length_penalty: float = 1.0,
    banned: Sequence[int] = (),
    once: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """Searches for the sequences of the highest score, for several inputs at once.

    Of each input the `beams` sequences of the highest score so far are kept; those that have not
    come to their end are continued by every token. One beam is greedy: it takes the most probable
    token each time. As many beams as there are sequences find the best of all.

    score = log P(tokens, end) / (number of tokens + 1)^length_penalty

    Without the division short sequences win, since every token costs probability; see Wu et al.,
    "Google's Neural Machine Translation System" (2016), whose divisor adds 5 to the length.

    Args:
        step: last tokens `(rows,)` int32 and the state of each row -> probabilities of the next
            token as logits `(rows, tokens)`, and the state behind it.
        state: arrays `(inputs, ...)`, of the network before the start token.
        start: the token before the first.
        end: the token that ends a sequence.
        beams: sequences that are kept.
        length: tokens of a sequence at most, without the end.
        length_penalty: 0 ranks by probability, 1 by the mean of the tokens' log-probabilities.
        banned: tokens that never occur, such as padding; the start must be among them where `once`
            is used.
        once: tokens that a sequence has once at most. Their probability goes to no others: a
            sequence that would repeat them is as improbable as before.

    Returns:
        For each input its sequences, best first: at least one, at most `beams`.

    Raises:
        ValueError: numbers that make no sense.

    Example:

    >>> def step(last, state):  # token 1 after the start 0, then the end 2
    ...     return np.log(np.array([[0.1, 0.6, 0.3], [0.1, 0.1, 0.8]])[last]), state
    >>> [[best]] = beam_search(step, [np.zeros((1, 1))], start=0, end=2, banned=[0])
    >>> best.tokens, round(float(np.exp(best.log_probability)), 2)
    ((1,), 0.59)
    """
    if beams < 1 or length < 1 or length_penalty < 0:
        raise ValueError(
            "expected beams and length from 1 and a length_penalty from 0. "
            f"Received: beams={beams}, length={length}, length_penalty={length_penalty}"
        )
    inputs = len(state[0])
    state = [np.repeat(part, beams, axis=0) for part in state]
    tokens = np.zeros((inputs, beams, 0), np.int32)
    last = np.full((inputs, beams), start, np.int32)
    # At first there is one sequence, and the others are impossible.
    known = np.full((inputs, beams), -np.inf)
    known[:, 0] = 0.0
    lengths = np.zeros((inputs, beams), np.int64)
    is_done = np.zeros((inputs, beams), bool)
    for count in range(1, length + 2):
        logits, state = step(last.reshape(-1), state)
        gains = _log_softmax(logits, banned).reshape(inputs, beams, -1)
        if count > length:
            gains[..., np.arange(gains.shape[-1]) != end] = -np.inf
        if once:
            # The start is never a next token, so that it may stand for those that may be repeated.
            used = np.where(np.isin(tokens, once), tokens, start)
            np.put_along_axis(gains, used, -np.inf, axis=2)
        # What has come to its end stays as it is.
        gains[is_done] = -np.inf
        gains[is_done, end] = 0.0
        total = known[..., None] + gains
        lengths = np.where(is_done, lengths, count)
        score = total / (lengths[..., None] ** length_penalty)
        chosen = np.argsort(-score.reshape(inputs, -1), axis=1, kind="stable")[:, :beams]
        known = np.take_along_axis(total.reshape(inputs, -1), chosen, axis=1)
        rows, last = np.divmod(chosen, total.shape[-1])
        last = last.astype(np.int32)
        lengths = np.take_along_axis(lengths, rows, axis=1)
        is_done = last == end
        tokens = np.take_along_axis(tokens, rows[..., None], axis=1)
        tokens = np.concatenate([tokens, last[..., None]], axis=2)
        if np.all(is_done | ~np.isfinite(known)):
            break
        # Rows of the state, which has no axis of its own for inputs.
        rows = (np.arange(inputs)[:, None] * beams + rows).reshape(-1)
        state = [part[rows] for part in state]
    return [
        [
            Hypothesis(
                tuple(one[: size - 1].tolist()), float(value), float(value / size**length_penalty)
            )
            for one, size, value in zip(*parts, strict=True)
            if np.isfinite(value)
        ]
        for parts in zip(tokens, lengths, known, strict=True)
    ]


def _log_softmax(logits: np.ndarray, banned: Sequence[int]) -> np.ndarray:
    """Of logits `(rows, tokens)`, where what is banned has no probability."""
    logits = np.array(logits, np.float64)
    logits[:, list(banned)] = -np.inf
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
