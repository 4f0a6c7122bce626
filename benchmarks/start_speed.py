"""How long whole commands take on OpenVINO and on TensorFlow, side by side.

python benchmarks/start_speed.py [--runs 5] [--only detect verify ...]

For each command in turn: the first time, with an empty cache (three times); then the second and
later times beside TensorFlow's, in pairs.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from pathlib import Path

from _measure import cnnkit, machine, run_process, sample_folder

_ON_TENSORFLOW = ["--engine", "tensorflow"]


def commands(folder: Path) -> dict[str, list[str]]:
    """What is run, by name; each writes into the folder."""
    astronaut, cat, coffee = (
        str(folder / f"{name}.png") for name in ("astronaut", "chelsea", "coffee")
    )
    out = str(folder / "out.png")
    draft = ["--quality", "draft", "--size", "512"]
    units = ["visualize", "units", "layer3", "--images", str(folder)]
    into = ["-o", out, "--overwrite"]
    return {
        "detect": ["detect", coffee, *into],
        "verify": ["verify", astronaut, astronaut],
        "classify": ["classify", cat],
        "caption": ["caption", cat],
        "segment": ["segment", cat, *into],
        "faces": ["embed", astronaut],
        "draft at 512": ["stylize", astronaut, "waves", *draft, *into],
        "visualize units": [*units, *into],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+")
    arguments = parser.parse_args()
    print(machine())
    folder = sample_folder()
    home = Path(tempfile.mkdtemp(prefix="cnnkit-home-"))
    os.environ["CNNKIT_HOME"] = str(home)
    print(
        "| command | first time, s | later, s | TensorFlow, s | first / TF | later / TF "
        "| MB first, later, TF |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, command in commands(folder).items():
        if arguments.only and name not in arguments.only:
            continue
        # Files that other networks of dlib's and TensorFlow's have read lie in memory then.
        run_process(cnnkit(*command))
        firsts = []
        for _ in range(3):
            shutil.rmtree(home / "networks", ignore_errors=True)
            firsts.append(run_process(cnnkit(*command)))
        on_tensorflow = [*command, *_ON_TENSORFLOW]
        environment = {}
        if command[0] == "visualize":
            on_tensorflow, environment = command, {"KERAS_BACKEND": "tensorflow"}
        later, others = [], []
        for _ in range(arguments.runs):
            later.append(run_process(cnnkit(*command)))
            os.environ.update(environment)
            others.append(run_process(cnnkit(*on_tensorflow)))
            for key in environment:
                del os.environ[key]
        first, late, other = (
            statistics.median(seconds for seconds, _ in runs) for runs in (firsts, later, others)
        )
        ratios = [a[0] / b[0] for a, b in zip(later, others, strict=True)]
        peaks = [f"{max(peak for _, peak in runs) / 1e6:.0f}" for runs in (firsts, later, others)]
        seconds = [run[0] for run in later]
        print(
            f"| {name} | {first:.2f} | {late:.2f} ({min(seconds):.2f} to {max(seconds):.2f}) "
            f"| {other:.2f} | {first / other:.2f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {', '.join(peaks)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
