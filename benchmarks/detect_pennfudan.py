"""Trains a detector of pedestrians on a small set, and measures it on pictures kept apart.

    python benchmarks/detect_pennfudan.py --data DIR [-- --model runs/detector --epochs 40 ...]

DIR is the data pack with `pennfudan`: every seventeen pictures, in the order of their names, twelve
are trained on and five are for the test (120 and 50). What comes after "--" goes to `cnnkit train
detect`.
"""

import argparse
import json
import subprocess
from pathlib import Path

from _measure import cnnkit, machine
from detect_quality import pennfudan

_CYCLE, _TRAINED = 17, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data pack")
    parser.add_argument("--output", type=Path, default=Path("runs/pennfudan"))
    parser.add_argument("options", nargs="*", help="for cnnkit train detect")
    arguments = parser.parse_args()
    print(machine())
    folder = arguments.output.with_name(f"{arguments.output.name}-data")
    folder.mkdir(parents=True, exist_ok=True)
    trained = [place for place in range(170) if place % _CYCLE < _TRAINED]
    kept = [place for place in range(170) if place % _CYCLE >= _TRAINED]
    for split, places in (("train", trained), ("test", kept)):
        notes = folder / f"{split}.json"
        notes.write_text(json.dumps(pennfudan(arguments.data, places)))
    output = str(arguments.output)
    command = cnnkit("train", "detect", str(folder), "-o", output, *arguments.options)
    subprocess.run(command, check=True)
    subprocess.run(cnnkit("evaluate", "detect", str(folder), "--model", output), check=True)


if __name__ == "__main__":
    main()
