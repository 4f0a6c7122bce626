"""How well are faces told apart on LFW's View 1: dlib's own way, and ours?

The threshold comes from pairsDevTrain, by even odds (as shipped) and by the highest accuracy, and
is tested on pairsDevTest, whose people are others. Which of the two ways is better is asked of the
training pairs alone too: threshold from the pairs of one half of the people, accuracy on those of
the other half. In pictures of several people the main face counts, large and near to the middle, or
the largest.

    python benchmarks/faces_accuracy.py --data DIR
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _measure import machine

from cnnkit.data.pairs import Pair, read_pairs
from cnnkit.metrics.verification import accuracy_at, best_threshold, even_odds_threshold
from cnnkit.tasks.faces.analysis import FaceAnalyzer
from cnnkit.tasks.faces.evaluate import FaceJudge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with lfw/")
    root = parser.parse_args().data / "lfw"
    train, test = (read_pairs(root / f"pairsDev{part}.txt", root) for part in ("Train", "Test"))
    ways = {
        "one box, no mirror image (dlib's way)": {"steady": False, "mirror": False},
        "steady points": {"mirror": False},
        "mirror image": {"steady": False},
        "both (shipped)": {},
    }
    print(machine())
    print(
        "| way | face | even odds: threshold, accuracy | highest: threshold, accuracy | at 0.6 "
        "| VAL at FAR 0.001 | AUC | EER | missed | parted: even odds, highest |"
    )
    print("| --- " * 10 + "|")
    for choose in ("main", "largest"):
        for name, options in ways.items():
            if choose == "largest" and options:
                continue
            judge = FaceJudge(choose=choose)
            judge.recognizer.analyzer = FaceAnalyzer(**options)
            result = judge.evaluate(test, train)
            known = judge.distances(train), np.array([pair.same for pair in train])
            highest = best_threshold(*known)
            parted = " ".join(f"{value:.2%}" for value in parted_accuracy(train, *known))
            print(
                f"| {name} | {choose} | {result.threshold:.4f} {result.accuracy.value:.1%} "
                f"| {highest:.4f} {accuracy_at(result.distances, result.same, highest).value:.1%} "
                f"| {accuracy_at(result.distances, result.same, 0.6).value:.1%} "
                f"| {result.validation.rate:.1%} | {result.area_under_curve:.4f} "
                f"| {result.equal_error_rate:.1%} | {result.missed} of {result.pictures} "
                f"| {parted} |",
                flush=True,
            )


def parted_accuracy(
    pairs: Sequence[Pair], distances: np.ndarray, same: np.ndarray
) -> tuple[float, float]:
    """Mean accuracy over 100 halves of the people, by even odds and by the highest accuracy."""
    people = [(pair.first.parent.name, pair.second.parent.name) for pair in pairs]
    names = sorted(set(itertools.chain.from_iterable(people)))
    random, found = np.random.default_rng(0), []
    for _ in range(50):
        half = set(random.permutation(names)[: len(names) // 2])
        inside = np.array([(a in half) + (b in half) for a, b in people])
        for known, other in ((inside == 2, inside == 0), (inside == 0, inside == 2)):
            found.append(
                [
                    accuracy_at(
                        distances[other], same[other], choose(distances[known], same[known])
                    ).value
                    for choose in (even_odds_threshold, best_threshold)
                ]
            )
    even, highest = np.mean(found, axis=0)
    return float(even), float(highest)


if __name__ == "__main__":
    main()
