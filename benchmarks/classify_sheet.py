"""What `cnnkit classify` says of photographs, under each of them: a sheet to look at.

    python benchmarks/classify_sheet.py --data DIR [--count 40] [--group] [--output FILE.jpg]

DIR is a folder of photographs; some are taken, evenly spread.
"""

import argparse
from pathlib import Path

import numpy as np
from _measure import write_sheet
from PIL import Image, ImageDraw, ImageFont

from cnnkit.engine.classification import Classification
from cnnkit.images import READABLE_SUFFIXES, fit_size, read_pixels
from cnnkit.tasks.classify.predict import Classifier
from cnnkit.tasks.classify.settings import ClassifySettings

CELL, COLUMNS, TEXT_HEIGHT = 250, 8, 36


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--group", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/classify.jpg"))
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.data.rglob("*") if path.suffix in READABLE_SUFFIXES)
    chosen = [str(files[i]) for i in np.linspace(0, len(files) - 1, arguments.count).astype(int)]
    settings = ClassifySettings(top=2, group=arguments.group)
    found = Classifier("imagenet").classify_each(chosen, settings)
    tiles = [
        titled(read_pixels(path), result)
        for path, result in zip(chosen, found, strict=True)
        if isinstance(result, Classification)
    ]
    rows = [tiles[first : first + COLUMNS] for first in range(0, len(tiles), COLUMNS)]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_sheet(arguments.output, rows, cell=CELL + 6)


def titled(pixels: np.ndarray, result: Classification) -> np.ndarray:
    """A picture with the command's first two lines below it."""
    height, width = fit_size(*pixels.shape[:2], CELL - TEXT_HEIGHT)
    tile = Image.new("RGB", (CELL, CELL), (250, 250, 250))
    tile.paste(Image.fromarray(pixels).resize((width, height)), ((CELL - width) // 2, 0))
    draw, font = ImageDraw.Draw(tile), ImageFont.load_default(13)
    for number, line in enumerate(result.class_lines()[:2]):
        draw.text((4, CELL - TEXT_HEIGHT + 2 + 17 * number), line.strip(), (30, 30, 30), font)
    return np.asarray(tile)


if __name__ == "__main__":
    main()
