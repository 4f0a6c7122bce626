"""Transfer learning on Caltech-101 with 30 pictures per class: regimes, accuracy, time.

    python benchmarks/classify_caltech.py --data DIR [--regimes head last:4 all scratch]
        [--model compact]

DIR is the folder with one folder per category. Of each category but the background 30 pictures
drawn at random are for training (three of them for choosing the epoch) and up to 50 of the rest for
the test, which nothing is chosen by.
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path

import numpy as np
from _measure import cnnkit, machine, run_process

TRAINING, VALIDATION, TEST = 27, 3, 50


def write_split(data: Path, path: Path, seed: int) -> int:
    """The list of pictures with their splits; the number of categories."""
    random = np.random.default_rng(seed)
    categories = sorted(
        folder for folder in data.iterdir() if folder.is_dir() and "BACKGROUND" not in folder.name
    )
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "split"])
        for folder in categories:
            pictures = sorted(folder.glob("*.jpg"))
            drawn = [pictures[i] for i in random.permutation(len(pictures))]
            splits = ["train"] * TRAINING + ["val"] * VALIDATION + ["test"] * TEST
            for picture, split in zip(drawn, splits, strict=False):
                writer.writerow([picture.resolve(), folder.name, split])
    return len(categories)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of Caltech-101")
    parser.add_argument("--regimes", nargs="+", default=["head", "last:4", "all", "scratch"])
    parser.add_argument("--model", default="efficientnet-lite0", help="see cnnkit train classify")
    parser.add_argument("--epochs", type=int, help="of all regimes, instead of their own")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=Path, default=Path(tempfile.mkdtemp(prefix="caltech-")))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    print(machine())
    print(
        "| regime | seed | weights that train | epochs | seconds | memory, GB | "
        "mean accuracy of the classes, % | accuracy, % |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for seed in arguments.seeds:
        split = arguments.output / f"split-{seed}.csv"
        write_split(arguments.data, split, seed)
        for regime in arguments.regimes:
            run = arguments.output / f"{regime.replace(':', '-')}-{seed}"
            command = cnnkit(
                *("train", "classify", str(split), "--transfer", regime, "-o", str(run)),
                *("--model", arguments.model),
                *("--seed", str(seed), "-q"),
                *(("--epochs", str(arguments.epochs)) if arguments.epochs else ()),
            )
            seconds, memory = run_process(command)
            report = json.loads((run / "report.json").read_text())
            scores = report["scores"]["test"]
            print(
                f"| {regime} | {seed} | {report['weights'][0]:,} | {report['epochs']} | "
                f"{seconds:.0f} | {memory / 1e9:.2f} | {scores['mean_class_accuracy']:.1%} | "
                f"{scores['accuracy']:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
