"""Pictures laid out on the grey canvas that a detector takes, in training as in use."""

import numpy as np
from PIL import Image

from cnnkit.ops.boxes import Letterbox

# Where no picture lies: the grey of Darknet and what came after it.
GREY = 114


def fill_canvas(pixels: np.ndarray, frame: Letterbox) -> np.ndarray:
    """A picture on its canvas, with grey around it.

    Args:
        pixels: uint8 `(H, W, 3)`.
        frame: how it lies there.

    Returns:
        uint8 `(canvas height, canvas width, 3)`.

    >>> fill_canvas(np.zeros((1, 3, 3), np.uint8), Letterbox.fit(1, 3, 3))[:, 0, 0].tolist()
    [114, 0, 114]
    """
    canvas = np.full((frame.canvas_height, frame.canvas_width, 3), GREY, np.uint8)
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (frame.scaled_width, frame.scaled_height), Image.Resampling.BILINEAR, reducing_gap=3.0
    )
    bottom, right = frame.top + frame.scaled_height, frame.left + frame.scaled_width
    canvas[frame.top : bottom, frame.left : right] = np.asarray(image)
    return canvas
