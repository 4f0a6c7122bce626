"""Several drafts in one style, with progress: the style is read and measured once."""

import sys
from pathlib import Path

from PIL import Image
from skimage import data

from cnnkit import StylizeProgress, Stylizer, StylizeSettings
from cnnkit.paintings.woodcut import paint_woodcut


def show(progress: StylizeProgress) -> None:
    """Prints a line after each depth of the network that the style is carried over at."""
    print(f"  {progress.width}x{progress.height}: {progress.step} of {progress.steps}")


def main(folder: str = "woodcuts", size: int = 256) -> None:
    """Cuts three of scikit-image's photographs in wood."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    stylizer = Stylizer(paint_woodcut(), StylizeSettings(size=size, quality="draft"))
    for name in ("astronaut", "coffee", "chelsea"):
        print(name)
        result = stylizer.run(getattr(data, name)(), on_progress=show)
        Image.fromarray(result.image).save(Path(folder) / f"{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:2])
