"""What a program pays that calls the library again and again: time of a call, and memory.

    python benchmarks/library_calls.py [--calls 12]

Each function in a process of its own, on a photograph that is in memory. `stylize` paints 96 pixels
in two steps: it is the rest that is measured. Memory is the resident size after a third of the
calls and after the last one.
"""

import argparse
import gc
import subprocess
import sys
import time

import psutil
from _measure import machine, sample

import cnnkit
from cnnkit.images import to_uint8
from cnnkit.tasks.stylize.settings import StylizeSettings

SMALL = {"size": 96, "backbone": "compact", "scale_steps": (2,), "smallest_scale": 96}
CALLS = {
    "detect": lambda picture: cnnkit.detect(picture),
    "segment": lambda picture: cnnkit.segment(picture),
    "caption": lambda picture: cnnkit.caption(picture),
    "classify": lambda picture: cnnkit.classify(picture),
    "verify": lambda picture: cnnkit.verify(picture, picture),
    "stylize": lambda picture: cnnkit.stylize(picture, picture[::-1], StylizeSettings(**SMALL)),
    "stylize, adam": lambda picture: cnnkit.stylize(
        picture, picture[::-1], StylizeSettings(**SMALL, optimizer="adam")
    ),
    "stylize, draft": lambda picture: cnnkit.stylize(
        picture, picture[::-1], StylizeSettings(size=96, quality="draft")
    ),
}


def measure(name: str, calls: int) -> str:
    """A row of the table."""
    picture = to_uint8(sample("astronaut"))
    process = psutil.Process()
    seconds, sizes = [], []
    for _ in range(calls):
        begin = time.perf_counter()
        CALLS[name](picture)
        seconds.append(time.perf_counter() - begin)
        gc.collect()
        sizes.append(process.memory_info().rss / 1e6)
    third = calls // 3
    grown = (sizes[-1] - sizes[third]) / (calls - 1 - third)
    later = sorted(seconds[1:])[(calls - 1) // 2]
    return f"| {name} | {seconds[0]:.2f} | {later:.2f} | {sizes[-1]:.0f} | {grown:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=12)
    parser.add_argument("--only", choices=CALLS, help="one function, in this process")
    arguments = parser.parse_args()
    if arguments.only:
        print(measure(arguments.only, arguments.calls))
        return
    print(machine())
    print("| function | first call, s | later, median, s | MB | MB more with a call |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    for name in CALLS:
        command = [sys.executable, __file__, "--calls", str(arguments.calls), "--only", name]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
