"""Ours beside pictures that style-transfer-pytorch's optimiser made, and beside its time.

The reference folder has `runs.json` (content, style, picture and seconds of each run, on two cores)
and the pictures. Ours are whole `cnnkit stylize` processes, start-up included, with no option but
the size. Whether they are as good is for the eye: the sheet has them side by side.

    python benchmarks/stylize_golden.py --golden DIR --data DIR [--runs 3] [--output DIR]
"""

import argparse
import json
import statistics
from pathlib import Path

from _measure import cnnkit, machine, run_process, sample, write_sheet

from cnnkit.images import Picture, read_image, write_image

SHARE = 1 / 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, required=True, help="folder with runs.json")
    parser.add_argument("--data", type=Path, required=True, help="with paintings/ and contents/")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quality", default="standard")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/golden"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    print(machine())
    print("| picture | theirs, s | a twentieth | ours, s | min-max | of their time | memory, GB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for run in json.loads((arguments.golden / "runs.json").read_text())["runs"]:
        theirs = read_image(arguments.golden / run["picture"]).pixels
        content = arguments.output / "astronaut.png"
        if "astronaut" in run["content"]:
            write_image(content, Picture(sample("astronaut")))
        else:
            content = arguments.data / run["content"]
        style = arguments.data / run["style"]
        result = arguments.output / f"{Path(run['picture']).stem}.png"
        command = cnnkit(
            "stylize", str(content), str(style), "-o", str(result), "--overwrite", "-q",
            "--size", str(max(theirs.shape)), "--quality", arguments.quality,
        )  # fmt: skip
        runs = [run_process(command) for _ in range(arguments.runs)]
        times = [wall for wall, _ in runs]
        seconds = statistics.median(times)
        print(
            f"| {result.stem} | {run['seconds']:.0f} | {SHARE * run['seconds']:.1f} "
            f"| {seconds:.1f} | {min(times):.1f}-{max(times):.1f} "
            f"| 1/{run['seconds'] / seconds:.1f} | {max(peak for _, peak in runs) / 1e9:.2f} |",
            flush=True,
        )
        content_image, style_image, ours = (
            read_image(path).pixels for path in (content, style, result)
        )
        rows.append([content_image, style_image, theirs, ours])
    write_sheet(
        arguments.output / "golden.png", rows, ["content", "style", "theirs", "ours"], cell=512
    )


if __name__ == "__main__":
    main()
