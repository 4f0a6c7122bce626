"""How well are faces told apart on LFW's View 1: dlib's own way, and ours?

The threshold is that of even odds on pairsDevTrain, tested on pairsDevTest, whose people are
others. In pictures of several people the main face counts, large and near to the middle, or the
largest.

    python benchmarks/faces_accuracy.py --data DIR
"""

import argparse
from pathlib import Path

from _measure import machine

from cnnkit.data.pairs import read_pairs
from cnnkit.metrics.verification import accuracy_at
from cnnkit.pipelines._face_analysis import FaceAnalyzer
from cnnkit.pipelines.evaluate_faces import FaceJudge


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
    print("| way | face | threshold | accuracy | at 0.6 | VAL at FAR 0.001 | AUC | EER | missed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for choose in ("main", "largest"):
        for name, options in ways.items():
            if choose == "largest" and options:
                continue
            judge = FaceJudge(choose=choose)
            judge.recognizer.analyzer = FaceAnalyzer(**options)
            result = judge.evaluate(test, train)
            fixed = accuracy_at(result.distances, result.same, 0.6)
            print(
                f"| {name} | {choose} | {result.threshold:.4f} | {result.accuracy.value:.2%} "
                f"| {fixed.value:.2%} | {result.validation.rate:.2%} "
                f"| {result.area_under_curve:.5f} | {result.equal_error_rate:.2%} "
                f"| {result.missed} of {result.pictures} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
