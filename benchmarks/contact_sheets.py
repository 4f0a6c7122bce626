"""Contact sheets to look at: contents x styles, strengths, colour modes, what is found.

python benchmarks/contact_sheets.py [--size 512] [--quality standard] [--output DIR]
    [--only styles strength color found said]
"""

import argparse
import json
import subprocess
import tempfile
import textwrap
from pathlib import Path

import numpy as np
from _measure import CONTENTS, STYLES, cnnkit, sample, write_sheet
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from cnnkit import Stylizer, StylizeSettings
from cnnkit.images import Picture, fit_size, read_pixels, resize, write_image
from cnnkit.tasks.stylize.settings import COLORS

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Photographs of scikit-image to find something in, and the long side that they are drawn at.
FOUND, FOUND_SIDE = ("astronaut", "motorcycle_left", "chelsea", "coffee"), 300
# The same to say what they show, of a width and with lines of text below.
SAID = (
    *("chelsea.png", "coffee.png", "motorcycle_left.png", "astronaut.png"),
    *("rocket.jpg", "camera.png", "horse.png", "hubble_deep_field.jpg"),
    *("coins.png", "clock_motion.png", "page.png", "brick.png"),
)
SAID_WIDTH, SAID_HEIGHT, SAID_LINES, SAID_LETTERS = 240, 160, 4, 38
SHEETS = ("styles", "strength", "color", "found", "said")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--quality", default="standard")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--only", nargs="+", default=SHEETS)
    arguments = parser.parse_args()
    common = {"size": arguments.size, "quality": arguments.quality}

    def paint(content: str, style: str, **settings):
        return Stylizer(sample(style), StylizeSettings(**common, **settings)).run(sample(content))

    if "styles" in arguments.only:
        rows = [[sample(style) for style in STYLES], *([] for _ in CONTENTS)]
        for style in STYLES:
            stylizer = Stylizer(sample(style), StylizeSettings(**common))
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
    if "said" in arguments.only:
        tiles = say()
        rows = [tiles[first : first + 4] for first in range(0, len(tiles), 4)]
        write_sheet(arguments.output / "said.jpg", rows, cell=SAID_WIDTH + 6)


def say() -> list[np.ndarray]:
    """Photographs with what `classify` and `caption` say of them below."""
    paths = [str(Path(data.__file__).parent / name) for name in SAID]
    said = []
    for job in ("classify", "caption"):
        done = subprocess.run(
            cnnkit(job, *paths, "--jsonl"), check=True, capture_output=True, text=True
        )
        said.append([json.loads(line) for line in done.stdout.splitlines()])
    font = ImageFont.load_default(13)
    tiles = []
    for path, named, sentence in zip(paths, *said, strict=True):
        tile = Image.new("RGB", (SAID_WIDTH, SAID_HEIGHT + 17 * SAID_LINES + 4), (250, 250, 250))
        picture = Image.fromarray(read_pixels(path))
        height, width = fit_size(picture.height, picture.width, SAID_WIDTH)
        if height > SAID_HEIGHT:
            height, width = SAID_HEIGHT, round(width * SAID_HEIGHT / height)
        tile.paste(
            picture.resize((width, height), Image.Resampling.LANCZOS),
            ((SAID_WIDTH - width) // 2, SAID_HEIGHT - height),
        )
        [best], [best_sentence] = named["items"][:1], sentence["items"][:1]
        texts = [(f"{best['label']} {best['score']:.0%}", named["sure"])]
        texts.append((best_sentence["sentence"], best_sentence["sure"]))
        lines = []
        for text, is_sure in texts:
            lines += textwrap.wrap(text if is_sure else f"not sure: {text}?", SAID_LETTERS)
        draw = ImageDraw.Draw(tile)
        for number, line in enumerate(lines[:SAID_LINES]):
            place = (2, SAID_HEIGHT + 4 + 17 * number)
            draw.text(place, line, (30, 30, 30), font)
        tiles.append(np.asarray(tile))
    return tiles


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
