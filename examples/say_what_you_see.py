"""What do my pictures show? A sheet of photographs with sentences, and other ways to say it."""

import sys
import tempfile
from pathlib import Path

import numpy as np

import cnnkit
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import Picture, encode_image, fit_size, resize, to_uint8, write_image
from cnnkit.plots import draw_captions

NAMES = ("astronaut", "chelsea", "coffee", "rocket")


def main(output: str = "captions.png", size: int = 416) -> None:
    """Writes the sheet; of each picture the second best sentence is printed too."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name in NAMES:
            pixels = load_sample(find_sample(name)).pixels
            pixels = np.clip(resize(pixels, *fit_size(*pixels.shape[:2], size)), 0.0, 1.0)
            paths.append(Path(folder) / f"{name}.png")
            write_image(paths[-1], Picture(pixels))
        found = cnnkit.caption(paths, candidates=2)
    for name, caption in zip(NAMES, found, strict=True):
        best, second = caption.candidates
        print(f"{name}: {best.sentence} ({best.score:.0%}), or {second.sentence}")
    sheet = draw_captions(
        [to_uint8(load_sample(find_sample(name)).pixels) for name in NAMES],
        [caption.sentence for caption in found],
        title="What the shipped captioner says",
    )
    Path(output).write_bytes(encode_image(Picture(sheet.astype(np.float32) / 255), ".png"))


if __name__ == "__main__":
    main(*sys.argv[1:2])
