"""`--quality fine` by L-BFGS and by Adam: time, loss, and the pictures side by side.

    python benchmarks/stylize_fine.py [--pairs 3] [--only RUN ...] [--output DIR]

Both begin with the same draft at 128 pixels and minimise the same loss; `standard` stands beside
them. Seconds are of runs in one process, whose first one has the imports behind it.
"""

import argparse
from pathlib import Path

from _measure import machine, sample, write_sheet

from cnnkit import StylizeSettings, stylize

PAIRS = (("astronaut", "stained-glass"), ("rocket", "waves"), ("chelsea", "impasto"))
RUNS = {
    "standard": {},
    "fine, Adam": {"quality": "fine", "optimizer": "adam"},
    "fine, L-BFGS": {"quality": "fine"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=len(PAIRS))
    parser.add_argument("--only", nargs="+", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    arguments = parser.parse_args()
    print(machine())
    print("| pair | run | steps | seconds | loss |")
    print("| --- | --- | --- | --- | --- |")
    rows = []
    for names in PAIRS[: arguments.pairs]:
        content, style = map(sample, names)
        pictures = [content, style]
        for label in arguments.only:
            options = StylizeSettings(backbone="compact", **RUNS[label])
            result = stylize(content, style, options)
            steps = "/".join(str(scale.steps) for scale in result.scales)
            print(
                f"| {' x '.join(names)} | {label} | {steps} | {result.seconds:.1f} "
                f"| {result.losses['loss']:.4f} |",
                flush=True,
            )
            pictures.append(result.image)
        rows.append(pictures)
    write_sheet(
        arguments.output / "fine.png", rows, ["content", "style", *arguments.only], cell=400
    )


if __name__ == "__main__":
    main()
