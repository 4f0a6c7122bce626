"""Contact sheets to look at: contents x styles, strengths, colour modes, sizes.

python benchmarks/contact_sheets.py [--size 512] [--quality standard] [--output DIR]
"""

import argparse
from pathlib import Path

from _measure import CONTENTS, STYLES, sample, write_sheet

from cnnkit import StylizeOptions, Stylizer
from cnnkit.options import COLORS

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--quality", default="standard")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--only", nargs="+", default=["styles", "strength", "color"])
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


if __name__ == "__main__":
    main()
