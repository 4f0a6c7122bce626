"""One picture at five strengths, side by side; the style is measured once per strength."""

import sys

import numpy as np
from PIL import Image
from skimage import data

from cnnkit import StylizeSettings, stylize
from cnnkit.paintings.impasto import paint_impasto


def main(output: str = "strengths.png", size: int = 256) -> None:
    """Writes a strip from the photograph (strength 0) to the painting (strength 1)."""
    style = paint_impasto()
    strip = [
        stylize(
            data.rocket(), style, StylizeSettings(size=size, quality="draft", strength=strength)
        ).image
        for strength in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    Image.fromarray(np.concatenate(strip, axis=1)).save(output)
    print(output)


if __name__ == "__main__":
    main(*sys.argv[1:2])
