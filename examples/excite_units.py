"""What does a network look for? Pictures that excite four units of its last layer."""

import sys

from cnnkit.tasks.visualize.maximize import visualize_maximize
from cnnkit.tasks.visualize.settings import MaximizeSettings

UNITS = (2, 9, 17, 64)


def main(output: str = "excited.png", size: int = 256) -> None:
    """Makes the pictures from noise and writes them as one sheet."""
    settings = MaximizeSettings(size=size, steps=100 if size > 100 else 4)
    found = visualize_maximize("layer5", UNITS, settings)
    for one in found.units:
        print(f"unit {one.unit}: mean {one.mean:.1f}, of noise {one.noise_mean:.1f}")
    found.save(output)


if __name__ == "__main__":
    main(*sys.argv[1:2])
