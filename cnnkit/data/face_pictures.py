"""Pictures to look for faces in, known by their content."""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.images import as_picture, read_image, to_uint8

STDIN = "-"


@dataclass(frozen=True, eq=False)
class FacePicture:
    """A picture to look for faces in.

    Attributes:
        source: what it is called in messages.
        pixels: uint8 `(height, width, 3)`, upright RGB.
        sha256: of the file, or of the pixels where there is no file.
    """

    source: str
    pixels: np.ndarray
    sha256: str


def read_face_picture(source: Any) -> FacePicture:
    """Reads a picture for faces.

    Args:
        source: a path, "-" for stdin, or what `as_picture` takes.

    Raises:
        ImageError: it cannot be read.
        ValueError: an array of another kind.
    """
    if isinstance(source, (str, Path)):
        if str(source) == STDIN:
            data, name = sys.stdin.buffer.read(), "the picture on stdin"
        else:
            name = str(source)
            try:
                data = Path(source).read_bytes()
            except (OSError, ValueError):
                # Its message is the better one.
                data = None
        picture = read_image(source if data is None else data, name)
        digest = hashlib.sha256(data or b"").hexdigest()
        return FacePicture(name, to_uint8(picture.pixels), digest)
    picture = as_picture(source, "the picture")
    pixels, name = to_uint8(picture.pixels), picture.source or "the picture"
    digest = hashlib.sha256(str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    return FacePicture(name, pixels, digest.hexdigest())
