"""Which face of a picture with several is meant: the largest, the one in the middle, or both?

LFW's pictures are named after one person and show others beside. How far from the middle a face may
be is chosen on the pairs of pairsDevTrain and measured on those of pairsDevTest, whose people are
others; the threshold is that of even odds on the training pairs.

    python benchmarks/faces_main.py --data DIR
"""

import argparse
import math
from pathlib import Path

import numpy as np
from _measure import machine

from cnnkit.data.face_pictures import read_face_picture
from cnnkit.data.pairs import read_pairs
from cnnkit.metrics.verification import accuracy_at, even_odds_threshold
from cnnkit.tasks.faces.analysis import FaceAnalyzer, main_face

# The first is the nearest to the middle, whatever its size, and the last is the largest.
_REACHES = (0.001, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0, math.inf)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with lfw/")
    root = parser.parse_args().data / "lfw"
    parts = [read_pairs(root / f"pairsDev{part}.txt", root) for part in ("Train", "Test")]
    paths = {path for pairs in parts for pair in pairs for path in (pair.first, pair.second)}
    analyzer, found = FaceAnalyzer(), {}
    for path in sorted(paths):
        picture = read_face_picture(path)
        found[path] = analyzer.analyze([picture.pixels])[0], picture.pixels.shape[:2]
    several = sum(len(faces) > 1 for faces, _ in found.values())
    print(machine())
    print(f"{several} of {len(found)} pictures show several faces")
    print("| reach, in long sides | training pairs | test pairs |")
    print("| --- | --- | --- |")
    for reach in _REACHES:
        embedding = {
            path: main_face(faces, *size, reach).embedding
            for path, (faces, size) in found.items()
            if faces
        }
        distances = [
            np.array(
                [
                    np.linalg.norm(embedding[pair.first] - embedding[pair.second])
                    if pair.first in embedding and pair.second in embedding
                    else math.nan
                    for pair in pairs
                ]
            )
            for pairs in parts
        ]
        same = [np.array([pair.same for pair in pairs]) for pairs in parts]
        threshold = even_odds_threshold(distances[0], same[0])
        cells = []
        for values, labels in zip(distances, same, strict=True):
            accuracy = accuracy_at(values, labels, threshold)
            cells.append(
                f"{accuracy.value:.2%} ({accuracy.interval[0]:.1%} to {accuracy.interval[1]:.1%})"
            )
        name = {_REACHES[0]: "the middle alone", math.inf: "the largest"}
        print(f"| {name.get(reach, f'{reach:g}')} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
