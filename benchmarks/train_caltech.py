"""The recipe of the shipped classifier: the compact network and the 101 categories of Caltech-101.

    python benchmarks/train_caltech.py --data DIR [-- --transfer head ...]

DIR is the folder with one folder per category, and train.txt and test.txt beside them, which name
the pictures to train on and those for the test. What comes after "--" goes to `cnnkit train
classify`.
"""

import argparse
import csv
import subprocess
from pathlib import Path

from _measure import cnnkit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of Caltech-101")
    parser.add_argument("--output", type=Path, default=Path("runs/caltech"))
    parser.add_argument("options", nargs="*", help="for cnnkit train classify")
    arguments = parser.parse_args()
    table = arguments.output.with_suffix(".csv")
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "split"])
        for split in ("train", "test"):
            for name in (arguments.data / f"{split}.txt").read_text().split():
                category = name.split("/")[0]
                if "BACKGROUND" not in category:
                    writer.writerow([(arguments.data / name).resolve(), category, split])
    command = cnnkit(
        *("train", "classify", str(table), "--model", "compact", "-o", str(arguments.output))
    )
    subprocess.run([*command, "--val-share", "0.1", *arguments.options], check=True)


if __name__ == "__main__":
    main()
