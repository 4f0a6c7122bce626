"""A gallery of people: one photograph of each is enough to recognise them."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from cnnkit import FaceBook, Gallery
from cnnkit.plots import draw_labels


def main(output: str = "people.png", size: int = 512) -> None:
    """Enrols scikit-image's astronaut, then names who is in a picture of two."""
    astronaut = data.astronaut()
    cameraman = np.repeat(data.camera()[..., None], 3, axis=2)
    both = np.concatenate([astronaut[:, ::-1], cameraman], axis=1)
    with tempfile.TemporaryDirectory() as folder, Gallery(Path(folder) / "people.db") as gallery:
        book = FaceBook(gallery)
        book.enroll("Eileen Collins", [astronaut])
        [faces] = book.identify([both])
    names = [one.name or "unknown" for one in faces]
    print(", ".join(names))
    boxes = [one.face.box_xyxy for one in faces]
    drawn = draw_labels(both, boxes, names, [one.name is not None for one in faces])
    Image.fromarray(drawn).resize((2 * size, size)).save(output)


if __name__ == "__main__":
    main(*sys.argv[1:2])
