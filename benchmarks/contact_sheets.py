"""Contact sheets to look at: contents x styles, strengths, colour modes, what is found.

python benchmarks/contact_sheets.py [--size 512] [--quality standard] [--output DIR]
    [--only styles strength color found]
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from _measure import CONTENTS, STYLES, cnnkit, sample, write_sheet
from skimage import data

from cnnkit import StylizeOptions, Stylizer
from cnnkit.images import Picture, fit_size, read_pixels, resize, write_image
from cnnkit.options import COLORS

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Photographs of scikit-image to find something in, and the long side that they are drawn at.
FOUND, FOUND_SIDE = ("astronaut", "motorcycle_left", "chelsea", "coffee"), 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--quality", default="standard")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--only", nargs="+", default=["styles", "strength", "color", "found"])
    arguments = parser.parse_args()
    common = {"size": arguments.size, "quality": arguments.quality}

    def paint(content: str, style: str, **settings):
        return Stylizer(sample(style), StylizeOptions(**common, **settings)).run(sample(content))

    if "styles" in arguments.only:
        rows = [[sample(style) for style in STYLES], *([] for _ in CONTENTS)]
        for style in STYLES:
            stylizer = Stylizer(sample(style), StylizeOptions(**common))
            for row, content in zip(rows[1:], CONTENTS, strict=True):
                row.append(stylizer.run(sample(content)).image)
        write_sheet(arguments.output / "styles.jpg", rows, STYLES, ("style", *CONTENTS))
    if "strength" in arguments.only:
        pairs = (("astronaut", "impasto"), ("coffee", "mosaic"), ("rocket", "woodcut"))
        rows = [
            [paint(content, style, strength=strength).image for strength in STRENGTHS]
            for content, style in pairs
        ]
        titles = [f"strength {strength:g}" for strength in STRENGTHS]
        write_sheet(arguments.output / "strength.jpg", rows, titles)
    if "color" in arguments.only:
        rows = [
            [paint(content, style, preserve_color=mode).image for mode in COLORS]
            for content, style in (("astronaut", "impasto"), ("coffee", "waves"))
        ]
        write_sheet(arguments.output / "color.jpg", rows, COLORS)
    if "found" in arguments.only:
        jobs = ("detect", "segment")
        rows = [find(job) for job in jobs]
        write_sheet(arguments.output / "found.jpg", rows, (), jobs, cell=FOUND_SIDE + 8)


def find(job: str) -> list[np.ndarray]:
    """What a command draws into the photographs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for content in FOUND:
            pixels = read_pixels(Path(data.__file__).parent / f"{content}.png") / np.float32(255.0)
            pixels = resize(pixels, *fit_size(*pixels.shape[:2], FOUND_SIDE))
            write_image(folder / f"{content}.png", Picture(np.clip(pixels, 0.0, 1.0)))
        command = cnnkit(job, str(folder), "-o", str(folder / "drawn"))
        subprocess.run(command, check=True, capture_output=True)
        return [read_pixels(next((folder / "drawn").glob(f"{content}.*"))) for content in FOUND]


if __name__ == "__main__":
    main()
