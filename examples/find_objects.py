"""What is where in a photograph: objects with their scores, and boxes drawn into it."""

import sys
from pathlib import Path

import numpy as np

import cnnkit
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import Picture, fit_size, resize, to_uint8, write_image
from cnnkit.plots import draw_detections


def main(output: str = "objects.png", size: int = 512) -> None:
    """Looks for objects in a portrait, and writes it with their boxes."""
    pixels = load_sample(find_sample("astronaut")).pixels
    pixels = np.clip(resize(pixels, *fit_size(*pixels.shape[:2], size)), 0.0, 1.0)
    [found] = cnnkit.detect(pixels)
    for one in found.objects:
        left, top, right, bottom = one.box_xyxy
        print(f"{one.score:.0%} {one.label}: {right - left:.0f} x {bottom - top:.0f} pixels")
    drawn = draw_detections(
        to_uint8(pixels),
        np.array([one.box_xyxy for one in found.objects]).reshape(-1, 4),
        [one.label for one in found.objects],
        np.array([one.score for one in found.objects]),
        np.array([one.class_id for one in found.objects], int),
    )
    write_image(Path(output), Picture(drawn.astype(np.float32) / 255.0))


if __name__ == "__main__":
    main(*sys.argv[1:2])
