"""Drafts: time of one, warm and as a whole process, of a folder, and of a 24-megapixel photograph.

python benchmarks/stylize_draft.py [--parts warm cold folder large]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from _measure import CONTENTS, cnnkit, machine, run_process, sample

from cnnkit import Stylizer, StylizeSettings
from cnnkit.images import Picture, resize, write_image

PARTS = ("warm", "cold", "folder", "large")


def enlarged(name: str, height: int, width: int) -> np.ndarray:
    """A sample picture at another size, float32."""
    return np.clip(resize(sample(name), height, width), 0.0, 1.0).astype(np.float32)


def measure_warm(runs: int) -> None:
    print("| size | transform | seconds, median | min-max | target |")
    print("| --- | --- | --- | --- | --- |")
    cases = ((512, 512, "wct", "1.5"), (512, 512, "adain", ""), (768, 1024, "wct", "4"))
    for height, width, transform, target in cases:
        options = StylizeSettings(size="original", quality="draft", transform=transform)
        stylizer = Stylizer(sample("stained-glass"), options)
        content = enlarged("astronaut", height, width)
        stylizer.run(content)
        times = []
        for _ in range(runs):
            begin = time.monotonic()
            stylizer.run(content)
            times.append(time.monotonic() - begin)
        print(
            f"| {width}x{height} | {transform} | {statistics.median(times):.2f} "
            f"| {min(times):.2f}-{max(times):.2f} | {target} |",
            flush=True,
        )


def measure_processes(folder: Path, runs: int, parts: list[str]) -> None:
    style = folder / "style.png"
    write_image(style, Picture(sample("stained-glass")))
    draft = ("--quality", "draft", "--overwrite", "-q")
    print("| case | seconds, median | min-max | target | peak memory, GB | target |")
    print("| --- | --- | --- | --- | --- | --- |")
    cases = []
    if "cold" in parts:
        source = folder / "content.png"
        write_image(source, Picture(enlarged("astronaut", 512, 512)))
        cases.append(("512x512, whole process", source, "512", folder / "a.png", runs, "9", ""))
    for count in (20, 100) if "folder" in parts else ():
        many = folder / f"many{count}"
        many.mkdir()
        for index in range(count):
            # Of different shapes, as photographs are.
            height, width = ((384, 512), (512, 384), (512, 512), (341, 512))[index % 4]
            pixels = enlarged(CONTENTS[index % len(CONTENTS)], height, width)
            write_image(many / f"{index:03d}.jpg", Picture(pixels))
        target = f"{1.5 * count:.0f}"
        name = f"a folder of {count} at 512"
        cases.append((name, many, "512", folder / f"out{count}", 1, target, "flat"))
    if "large" in parts:
        source = folder / "large.jpg"
        write_image(source, Picture(enlarged("rocket", 4000, 6000)))
        cases.append(("6000x4000", source, "original", folder / "large-out.jpg", 1, "240", "4"))
    for name, source, size, output, repeats, target, memory in cases:
        command = cnnkit("stylize", str(source), str(style), "-o", str(output), "--size", size)
        found = [run_process([*command, *draft]) for _ in range(repeats)]
        times = [seconds for seconds, _ in found]
        print(
            f"| {name} | {statistics.median(times):.1f} | {min(times):.1f}-{max(times):.1f} "
            f"| {target} | {max(peak for _, peak in found) / 1e9:.2f} | {memory} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    rest = [part for part in arguments.parts if part != "warm"]
    if rest:
        # First, while this process is small: Linux counts its memory as a child's own.
        measure_processes(Path(tempfile.mkdtemp(prefix="drafts-")), arguments.runs, rest)
    if "warm" in arguments.parts:
        measure_warm(arguments.runs)


if __name__ == "__main__":
    main()
