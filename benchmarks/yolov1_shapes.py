"""Does YOLOv1 learn from scratch? Squares, discs and triangles that our own code draws.

    python benchmarks/yolov1_shapes.py [-- --epochs 40 ...]

A network of an eighth of the paper's width on pictures of 128 pixels, from random weights, in one
phase; the test pictures are drawn with another seed. What comes after "--" goes to `cnnkit train
detect`.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from _measure import cnnkit, machine

from cnnkit.data.shapes import write_shapes
from cnnkit.tasks.detect.evaluate import evaluate_detect
from cnnkit.tasks.detect.settings import EvaluateSettings

# Pictures, and the seed of each part.
PARTS = {"train": (4000, 1), "val": (100, 2), "test": (300, 3)}
RECIPE = ("--model", "yolov1", "--width", "0.125", "--size", "128", "--batch", "16")
RECIPE += ("--learning-rate", "0.002", "--mosaic", "0", "--scale", "0.15", "--epochs", "24")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("options", nargs="*", help="for cnnkit train detect")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        data, run = Path(name) / "shapes", Path(name) / "run"
        for split, (count, seed) in PARTS.items():
            write_shapes(data, split, count, seed)
        command = cnnkit("train", "detect", str(data), "-o", str(run), *RECIPE)
        subprocess.run([*command, *arguments.options], check=True)
        report = json.loads((run / "report.json").read_text())
        found = evaluate_detect(data, EvaluateSettings(split="test"), model=run)
    print(
        f"mAP50 {found.coco.ap50:.3f}, AP {found.coco.ap:.3f} of {found.pictures} test pictures, "
        f"after {report['epochs']} epochs, {report['seconds']:.0f} s, "
        f"{report['weights'][1]:,} weights"
    )


if __name__ == "__main__":
    main()
