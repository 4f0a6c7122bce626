"""Clips whose motion is known, made from scikit-image's photographs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

KINDS = ("still", "pan", "zoom", "turn", "foreground")


@dataclass(frozen=True)
class Moved:
    """A frame of a generated clip.

    Attributes:
        pixels: uint8 `(height, width, 3)`.
        flow: float32 `(height, width, 2)`: where each pixel was in the frame before, relative to
            where it is, to the right and down.
        seen: `(height, width)`, whether it was to be seen there.
    """

    pixels: np.ndarray
    flow: np.ndarray
    seen: np.ndarray


def moving_pictures(
    photograph: np.ndarray,
    kind: str,
    count: int,
    size: tuple[int, int] = (288, 512),
    noise: float = 2.0,
    seed: int = 0,
) -> Iterator[Moved]:
    """A photograph that is panned, zoomed or turned, or over which a part of another one moves.

    Args:
        photograph: uint8 `(height, width, 3)`.
        kind: one of `KINDS`.
        count: number of frames.
        size: height and width of the frames.
        noise: standard deviation, of 255.
        seed: of the noise.
    """
    import cv2
    import skimage.data

    random = np.random.default_rng(seed)
    height, width = size
    scale = 1.35 * max(height / photograph.shape[0], width / photograph.shape[1])
    scene = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    center = np.array([scene.shape[1], scene.shape[0]]) / 2
    coffee = cv2.resize(skimage.data.coffee()[60:340, 150:460], (width // 4, height // 3))
    rows, columns = np.mgrid[: coffee.shape[0], : coffee.shape[1]]
    middle = np.array(coffee.shape[:2]) / 2
    disc = ((rows - middle[0]) / middle[0]) ** 2 + ((columns - middle[1]) / middle[1]) ** 2 < 1
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    here = np.stack([xs, ys], axis=-1)
    before: tuple[np.ndarray, np.ndarray] | None = None
    for time in range(count):
        matrix, offset = _placing(kind, time, center, size)
        places = here @ matrix.T.astype(np.float32) + offset.astype(np.float32)
        pixels = cv2.remap(scene, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
        corner = np.array([-1, -1])
        covered = np.zeros(size, bool)
        if kind == "foreground":
            path = 0.5 + 0.4 * np.array([np.sin(time / 17), np.sin(time / 11 + 1)])
            corner = np.round(path * (np.array(size) - coffee.shape[:2])).astype(int)
            window = (
                slice(corner[0], corner[0] + coffee.shape[0]),
                slice(corner[1], corner[1] + coffee.shape[1]),
            )
            covered[window] = disc
            pixels[window][disc] = coffee[disc]
        noisy = pixels + random.normal(0.0, noise, pixels.shape)
        flow, seen = np.zeros((*size, 2), np.float32), np.zeros(size, bool)
        if before is not None:
            last_matrix, last_offset, last_corner, last_covered = before
            source = (places - last_offset) @ np.linalg.inv(last_matrix).T
            flow = (source - here).astype(np.float32)
            flow[covered] = (last_corner - corner)[::-1]
            x, y = (here + flow)[..., 0], (here + flow)[..., 1]
            seen = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
            hidden = cv2.remap(last_covered.astype(np.float32), x, y, cv2.INTER_LINEAR) > 0
            seen &= covered | ~hidden
        before = matrix, offset, corner, covered
        yield Moved(np.clip(noisy + 0.5, 0, 255).astype(np.uint8), flow, seen)


def _placing(
    kind: str, time: int, center: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of a frame lie in the scene: `place = matrix @ pixel + offset`."""
    half = np.array([size[1], size[0]]) / 2
    angle, factor, shift = 0.0, 1.0, np.zeros(2)
    if kind == "pan":
        shift = 0.12 * size[1] * np.array([np.sin(time / 20), 0.4 * np.sin(time / 13)])
    elif kind == "zoom":
        factor = 1.0 + 0.25 * np.sin(time / 25)
    elif kind == "turn":
        angle = 0.25 * np.sin(time / 22)
    matrix = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return matrix, center + shift - matrix @ half
