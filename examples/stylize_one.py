"""Paint one picture in the style of another: arrays in, an array out."""

import sys

from PIL import Image
from skimage import data

from cnnkit import StylizeSettings, stylize
from cnnkit.paintings.waves import paint_waves


def main(output: str = "chelsea-waves.png", size: int = 256) -> None:
    """Paints scikit-image's cat as a wave, for a few seconds."""
    result = stylize(data.chelsea(), paint_waves(), StylizeSettings(size=size), on_note=print)
    Image.fromarray(result.image).save(output)
    print(f"{output}: loss {result.losses['loss']:.4f} after {result.seconds:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:2])
