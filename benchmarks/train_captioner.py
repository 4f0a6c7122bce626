"""The recipe of the shipped captioner: sentences put together from labels, and true ones of COCO.

    python benchmarks/train_captioner.py --data DIR [-- --epochs 30 ...]

DIR holds images/caltech101 (with train.txt and test.txt), images/imagenet, images/bsds, labels
(boxes of a detector), camvid, pennfudan, lfw and coco/tiny_coco; see `_sentences.py`. The 300
pictures that are held back are in none of the sentences. What comes after "--" goes to `cnnkit
train caption`. Writes captions.keras, with weights rounded to 16 bits, into the run folder.
"""

import argparse
import csv
import subprocess
from pathlib import Path

from _measure import cnnkit
from _sentences import collect
from train_segmenter import pack

RECIPE = (
    *("--val-share", "0.08", "--max-words", "16", "--min-count", "3"),
    *("--cell", "gru", "--units", "192", "--dropout", "0.5", "--label-smoothing", "0.1"),
    *("--learning-rate", "0.002", "--epochs", "30", "--time-budget", "960", "--patience", "0"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of all data")
    parser.add_argument("--output", type=Path, default=Path("runs/captions"))
    parser.add_argument("--table-only", action="store_true", help="write the sentences and stop")
    parser.add_argument("options", nargs="*", help="for cnnkit train caption")
    arguments = parser.parse_args()
    found = collect(arguments.data)
    table = arguments.output.with_suffix(".csv")
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "sentence"])
        for picture in found.train:
            for sentence in picture.sentences:
                writer.writerow([picture.path.resolve(), sentence])
    print(f"{table}: {len(found.train)} pictures, {len(found.held_back)} more held back")
    if not arguments.table_only:
        command = cnnkit("train", "caption", str(table), "-o", str(arguments.output))
        subprocess.run([*command, *RECIPE, *arguments.options], check=True)
        pack(arguments.output / "model.keras", arguments.output / "captions.keras")


if __name__ == "__main__":
    main()
