"""FCN-32s, 16s and 8s on CamVid: one run in three stages, and a table of what each reached.

    python benchmarks/segment_camvid.py --data DIR [--output runs/camvid] [-- --epochs 60 ...]

DIR is CamVid with train/, val/ and classes.txt. What comes after "--" goes to `cnnkit train
segment`. Each stage starts from the one before it and is validated on all of val/ at the pictures'
own size, 480 x 360; the numbers are those of its best epoch.
"""

import argparse
import json
import subprocess
from pathlib import Path

from _measure import cnnkit, machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of CamVid")
    parser.add_argument("--output", type=Path, default=Path("runs/camvid"))
    parser.add_argument("options", nargs="*", help="for cnnkit train segment")
    arguments = parser.parse_args()
    command = cnnkit("train", "segment", str(arguments.data), "-o", str(arguments.output))
    recipe = ["--epochs", "48", "--views", "8", "--crop", "256", "--scale", "0.6,1.4"]
    recipe += ["--dice", "0.5", "--mixed-precision", "on", "--batch", "8"]
    subprocess.run([*command, *recipe, *arguments.options], check=True)
    report = json.loads((arguments.output / "report.json").read_text())
    print(machine())
    print("| network | mean IoU | pixels right | seconds, with all before |")
    print("|---|---|---|---|")
    seconds = 0.0
    for variant, scores in report["stages"].items():
        seconds += scores["seconds"]
        print(
            f"| FCN-{variant} | {scores['mean_iou']:.1%} | {scores['pixel_accuracy']:.1%} | "
            f"{seconds:.0f} |"
        )
    for name, iou in report["iou"].items():
        print(f"{name:12} {'-' if iou is None else f'{iou:.1%}'}")


if __name__ == "__main__":
    main()
