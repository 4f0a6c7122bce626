"""Are faces recognised whose pictures lie on a side or upside down, and are others made up?

Pictures of LFW's test people are turned and compared with what they were; with `--empty`, pictures
of a folder that shows no faces are searched with and without turning.

    python benchmarks/faces_turned.py --data DIR [--pictures 200] [--empty FOLDER]
"""

import argparse
from pathlib import Path

import numpy as np
from _measure import machine
from PIL import Image

from cnnkit.data.face_pictures import read_face_picture
from cnnkit.data.pairs import read_pairs
from cnnkit.tasks.faces.analysis import FaceAnalyzer, main_face
from cnnkit.tasks.faces.calibration import shipped_calibration

_ANGLES = (0, 30, 45, 60, 75, 90, 120, 150, 180, 225, 270, 315)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with lfw/")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--empty", type=Path, help="folder of pictures without faces")
    arguments = parser.parse_args()
    root = arguments.data / "lfw"
    pairs = read_pairs(root / "pairsDevTest.txt", root)
    paths = sorted({path for pair in pairs for path in (pair.first, pair.second)})
    chosen = np.random.default_rng(0).permutation(len(paths))[: arguments.pictures]
    pictures = [read_face_picture(paths[i]).pixels for i in chosen]
    ways = {"upright points (dlib's way)": FaceAnalyzer(turn=False), "shipped": FaceAnalyzer()}
    threshold = shipped_calibration().threshold
    upright = [_embedding(ways["shipped"], picture) for picture in pictures]
    print(machine())
    print(f"{len(pictures)} pictures; one person below {threshold:.4f}")
    print(f"| turned by | {' | '.join(ways)} | median distance, shipped |")
    print("| --- | --- | --- | --- |")
    for angle in _ANGLES:
        cells, distances = [], []
        for analyzer in ways.values():
            distances = []
            for picture, before in zip(pictures, upright, strict=True):
                turned = Image.fromarray(picture)
                turned = turned.rotate(-angle, Image.Resampling.BICUBIC, expand=True)
                after = _embedding(analyzer, np.asarray(turned))
                is_known = before is not None and after is not None
                distances.append(np.linalg.norm(after - before) if is_known else np.inf)
            cells.append(f"{np.mean(np.array(distances) < threshold):.1%}")
        print(f"| {angle} | {' | '.join(cells)} | {np.median(distances):.3f} |", flush=True)
    if arguments.empty is not None:
        files = sorted(arguments.empty.rglob("*.jpg"))
        for name, analyzer in ways.items():
            count = sum(bool(analyzer.detect(read_face_picture(one).pixels)) for one in files)
            print(f"{name}: a face in {count} of {len(files)} pictures of {arguments.empty.name}")


def _embedding(analyzer: FaceAnalyzer, picture: np.ndarray) -> np.ndarray | None:
    faces = analyzer.analyze([picture])[0]
    return main_face(faces, *picture.shape[:2]).embedding if faces else None


if __name__ == "__main__":
    main()
