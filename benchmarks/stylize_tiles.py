"""A large photograph at `standard`, as a whole and in tiles: time, memory, final loss.

The pictures differ by what rounding grows to in as many steps, as they do with another number of
threads; the losses should not.

python benchmarks/stylize_tiles.py [--size 3000] [--tiles 1024 512] [--only-tiles] [--output DIR]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from _measure import cnnkit, machine, run_process, sample
from stylize_draft import enlarged

from cnnkit.images import Picture, read_image, write_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=3000, help="long side of the photograph")
    parser.add_argument("--tiles", type=int, nargs="+", default=[1024, 512])
    parser.add_argument("--only-tiles", action="store_true", help="where the whole does not fit")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    arguments = parser.parse_args()
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    content, style = folder / "large.png", folder / "style.png"
    height = round(arguments.size / 3 * 2)
    write_image(content, Picture(enlarged("coffee", height, arguments.size)))
    write_image(style, Picture(sample("waves")))
    print(machine())
    print("| tiles | seconds | peak memory, GB | loss | mean difference, of 255 |")
    print("| --- | --- | --- | --- | --- |")
    whole: np.ndarray | None = None
    for side in (*(() if arguments.only_tiles else (None,)), *arguments.tiles):
        output = folder / f"large-{side or 'whole'}.png"
        command = cnnkit("stylize", str(content), str(style), "-o", str(output), "--overwrite")
        command += ["--size", "original", "--sidecar", "-q"]
        seconds, peak = run_process([*command, *(("--tile", str(side)) if side else ())])
        loss = json.loads(Path(f"{output}.json").read_text())["losses"]["loss"]
        pixels = read_image(output).pixels
        difference = "" if whole is None else f"{255 * np.abs(pixels - whole).mean():.1f}"
        whole = pixels if whole is None else whole
        print(
            f"| {side or 'none'} | {seconds:.1f} | {peak / 1e9:.2f} | {loss:.4f} | {difference} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
