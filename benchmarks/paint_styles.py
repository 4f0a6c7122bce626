"""Paints the style pictures that come with cnnkit.

python benchmarks/paint_styles.py cnnkit/data/styles
"""

import sys
from pathlib import Path

from PIL import Image

from cnnkit.images import to_uint8
from cnnkit.paintings.impasto import paint_impasto
from cnnkit.paintings.ink_wash import paint_ink_wash
from cnnkit.paintings.mosaic import paint_mosaic
from cnnkit.paintings.stained_glass import paint_stained_glass
from cnnkit.paintings.waves import paint_waves
from cnnkit.paintings.woodcut import paint_woodcut

PAINTINGS = {
    "stained-glass": paint_stained_glass,
    "impasto": paint_impasto,
    "ink-wash": paint_ink_wash,
    "woodcut": paint_woodcut,
    "mosaic": paint_mosaic,
    "waves": paint_waves,
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, paint in PAINTINGS.items():
        Image.fromarray(to_uint8(paint())).save(folder / f"{name}.jpg", quality=90, subsampling=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
