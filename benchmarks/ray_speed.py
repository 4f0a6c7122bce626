"""Pictures a second of a folder command, and of the same on Ray on one machine, in turns.

    python benchmarks/ray_speed.py --data DIR [--pictures 2000] [--repeats 3] [--command detect]

DIR is the data pack; the pictures are those of `coco/val2017`. Whole processes are timed, with all
that they import and start.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from _measure import cnnkit, machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data pack")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--command", default="detect")
    arguments = parser.parse_args()
    print(machine())
    paths = sorted((arguments.data / "coco/val2017/images").glob("*.webp"))[: arguments.pictures]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        folder.mkdir()
        for path in paths:
            shutil.copy(path, folder)
        command = cnnkit(arguments.command, str(folder), "-q")
        rates: dict[str, list[float]] = {"plain": [], "ray": []}
        for repeat in range(arguments.repeats):
            results = Path(name) / f"results{repeat}"
            for kind, more in (("plain", ["--jsonl"]), ("ray", ["--ray", "--results", results])):
                begin = time.monotonic()
                subprocess.run(
                    [*command, *map(str, more)],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                rates[kind].append(len(paths) / (time.monotonic() - begin))
    for kind, some in rates.items():
        print(
            f"{kind}: {statistics.median(some):.1f} pictures/s ({min(some):.1f} to {max(some):.1f})"
        )
    ratios = [ray / plain for plain, ray in zip(rates["plain"], rates["ray"], strict=True)]
    print(f"ray / plain: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
