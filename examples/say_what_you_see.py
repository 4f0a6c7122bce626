"""What do my pictures show? A sheet of photographs with sentences, and other ways to say it."""

import sys
from pathlib import Path

import numpy as np

import cnnkit
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import Picture, encode_image, fit_size, resize, to_uint8
from cnnkit.tasks.caption.plots import draw_captions

NAMES = ("astronaut", "chelsea", "coffee", "rocket")


def main(output: str = "captions.png", size: int = 416) -> None:
    """Writes the sheet; of each picture the second best sentence is printed too."""
    pictures = []
    for name in NAMES:
        pixels = load_sample(find_sample(name)).pixels
        pictures.append(np.clip(resize(pixels, *fit_size(*pixels.shape[:2], size)), 0.0, 1.0))
    found = cnnkit.caption(pictures, candidates=2)
    for name, caption in zip(NAMES, found, strict=True):
        best, second = caption.candidates
        print(f"{name}: {best.sentence} ({best.score:.0%}), or {second.sentence}")
    sheet = draw_captions(
        [to_uint8(pixels) for pixels in pictures],
        [caption.sentence for caption in found],
        title="What the shipped captioner says",
    )
    Path(output).write_bytes(encode_image(Picture(sheet.astype(np.float32) / 255), ".png"))


if __name__ == "__main__":
    main(*sys.argv[1:2])
