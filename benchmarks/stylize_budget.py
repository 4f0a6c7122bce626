"""Whether `cnnkit stylize --budget` ends in time beside a busy process.

Whole processes, start-up included, while as many other processes compute as there are cores less
one. Over is by how much the longest took more than the budget. The networks of drafts are compiled
before: on the first run after an installation, that takes some seconds of a budget.

    python benchmarks/stylize_budget.py [--runs 20] [--budgets 5,10,20,60]
"""

import argparse
import os
import statistics
import subprocess
import sys

from _measure import cnnkit, machine, run_process, sample_folder

_BUSY = "while True: sum(range(10_000))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--budgets", default="5,10,20,60", help="in seconds")
    arguments = parser.parse_args()
    folder = sample_folder()
    content, style, output = (
        str(folder / name) for name in ("astronaut.png", "stained-glass.png", "result.png")
    )
    print(machine())
    command = cnnkit("stylize", content, style, "-o", output, "--overwrite", "-q")
    run_process([*command, "--quality", "draft"])
    print("| budget, s | runs | seconds, median | min-max | over | load before |")
    print("| --- | --- | --- | --- | --- | --- |")
    count = max(1, (os.cpu_count() or 2) - 1)
    busy = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        for budget in map(float, arguments.budgets.split(",")):
            load = os.getloadavg()[0]
            limited = [*command, "--budget", f"{budget:g}s"]
            times = [run_process(limited)[0] for _ in range(arguments.runs)]
            print(
                f"| {budget:g} | {len(times)} | {statistics.median(times):.1f} "
                f"| {min(times):.1f}-{max(times):.1f} | {max(times) / budget - 1:+.1%} "
                f"| {load:.1f} |",
                flush=True,
            )
    finally:
        for one in busy:
            one.kill()


if __name__ == "__main__":
    main()
