"""What does a network look for? Pictures that excite four units of its last layer."""

import sys
from pathlib import Path

import numpy as np

from cnnkit.images import Picture, encode_image, to_uint8
from cnnkit.options import MaximizeOptions
from cnnkit.pipelines.visualize_maximize import visualize_maximize
from cnnkit.plots import draw_tiles

UNITS = (2, 9, 17, 64)


def main(output: str = "excited.png", size: int = 256) -> None:
    """Makes the pictures from noise and writes them as one sheet."""
    options = MaximizeOptions(size=size, steps=100 if size > 100 else 4)
    layer, found = visualize_maximize("layer5", UNITS, options)
    for one in found:
        print(f"unit {one.unit}: mean {one.mean:.1f}, of noise {one.noise_mean:.1f}")
    sheet = draw_tiles(
        [to_uint8(one.image) for one in found],
        [f"unit {one.unit}" for one in found],
        title=f"What excites {layer}",
        side=size,
        smooth=True,
    )
    Path(output).write_bytes(encode_image(Picture(sheet.astype(np.float32) / 255), ".png"))


if __name__ == "__main__":
    main(*sys.argv[1:2])
