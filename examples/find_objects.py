"""What is where in a photograph: objects with their scores, and boxes drawn into it."""

import sys

import numpy as np

import cnnkit
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import fit_size, resize


def main(output: str = "objects.png", size: int = 512) -> None:
    """Looks for objects in a portrait, and writes it with their boxes."""
    pixels = load_sample(find_sample("astronaut")).pixels
    pixels = np.clip(resize(pixels, *fit_size(*pixels.shape[:2], size)), 0.0, 1.0)
    [found] = cnnkit.detect(pixels)
    for one in found.objects:
        left, top, right, bottom = one.box_xyxy
        print(f"{one.score:.0%} {one.label}: {right - left:.0f} x {bottom - top:.0f} pixels")
    found.save(output)


if __name__ == "__main__":
    main(*sys.argv[1:2])
