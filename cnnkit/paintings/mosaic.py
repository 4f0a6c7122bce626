"""A mosaic floor: a peacock before its fan, over water and roses, on a ground of gold."""

import numpy as np
from scipy import ndimage

from cnnkit.paintings import _canvas as canvas

_FINE = 2
_TILE = 0.0165  # side of a tessera, as a share of the picture

_EYE = canvas.pigments("#1a1f78", "#14a8c8", "#f0a52a", "#3f9a3a")
_BARBS = canvas.pigments("#0f6a63", "#1f9a58", "#86c24a", "#d9dc62")
_BODY = canvas.pigments("#37c8d8", "#1a7fd0", "#1a44b8", "#2a2590")
_BREAST = canvas.pigments("#2a2590", "#0f6f9a", "#17a39a")
_GOLD = canvas.pigments("#dba437", "#f6d474", "#fff0bd", "#d08a34")
_WATER = canvas.pigments("#0f2f6e", "#1f6cb0", "#56b9cf", "#c9efe6")
_ROSE = canvas.pigments("#fbe3c8", "#f29a84", "#d8433c", "#8e1630")
_LEAF = canvas.pigments("#8fbf4a", "#3c8f3e", "#15573a")
_IVORY = canvas.pigments("#f7efdc", "#efe2c4")
_GROUT = np.float32([0.13, 0.115, 0.12])

# Middle (y, x) and reach of each rose.
_ROSES = (
    (0.925, 0.115, 0.078), (0.945, 0.885, 0.070), (0.870, 0.300, 0.050),
    (0.880, 0.725, 0.054), (0.965, 0.425, 0.046), (0.960, 0.615, 0.044),
)  # fmt: skip


def paint_mosaic(size: int = 640, seed: int = 8) -> np.ndarray:
    """Paints a mosaic of small stone and glass tiles.

    Every part of the composition has its own ruled coordinates (rings around each eye of the fan,
    rows along the neck, ripples of the water); tiles are cut along them, so that their rows follow
    the forms. A tile has one colour, a bevel and a slight tilt, with dark grout between.

    Args:
        size: side of the square picture, in pixels.
        seed: of all randomness; the same seed gives the same picture.

    Returns:
        float32 array `(size, size, 3)`, sRGB in [0, 1].

    Raises:
        ValueError: the canvas is too small to paint on.

    Example:

    >>> paint_mosaic(size=32).shape
    (32, 32, 3)
    """
    rng = np.random.default_rng(seed)
    tiles, design = _lay_tiles(rng, size * _FINE)
    distance = canvas.distance_to_border(tiles) / (_FINE * size)
    colours = canvas.piece_means(tiles, design)
    colours = canvas.vary(rng, colours, light=0.13, tint=0.028)
    fine = size * _FINE
    chips = canvas.noise(rng, fine, 0.008, 3)
    gap = 0.0009 + 0.0003 * chips
    cover = canvas.smoothstep(0.0, 0.0012, distance - gap)

    # Each tile lies at its own angle to the light; the gold ones flash.
    count = len(colours)
    tilt = rng.normal(0, 0.11, count).astype(np.float32)
    flash = rng.uniform(0, 1, count) < 0.06
    bevel = canvas.raking_light(
        ndimage.gaussian_filter(np.minimum(distance, 0.0042) * fine, 0.0012 * fine), 0.9
    )
    light = 1.12 + tilt[tiles] + 0.30 * bevel + 0.045 * chips
    stone = colours[tiles] * light[..., None]
    stone += (0.16 * flash[tiles] * np.maximum(0.4 + bevel, 0))[..., None]
    sand = _GROUT * (1 + 0.25 * canvas.noise(rng, fine, 0.004, 2))[..., None]
    return canvas.finish(canvas.shrink(canvas.mix(sand, np.clip(stone, 0, 1), cover), _FINE))


def _rings(radius: np.ndarray, turn: np.ndarray, tile: float) -> tuple[np.ndarray, np.ndarray]:
    """Tiles in rings about a point: number of the ring, and of the tile in it."""
    ring = np.floor(radius / tile)
    per_ring = np.maximum(np.round(2 * np.pi * (ring + 0.5) * 0.92), 1)
    return ring, np.floor((turn + 0.618 * ring) % 1 * per_ring)


def _lay_tiles(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The tile each pixel belongs to, and the colour of the composition."""
    cartoon = canvas.Cartoon(size)
    y, x = canvas.coordinates(size)
    # A tile is never quite straight.
    y = y + 0.0022 * canvas.noise(rng, size, 0.035, 2)
    x = x + 0.0022 * canvas.noise(rng, size, 0.035, 2)
    mottle = canvas.noise(rng, size, 0.12, 3)
    _draw_fan(cartoon, y, x, mottle)
    _draw_garden(cartoon, y, x, mottle)
    _draw_bird(cartoon, y, x, mottle)
    return cartoon.pieces, cartoon.design


def _draw_fan(cartoon: canvas.Cartoon, y: np.ndarray, x: np.ndarray, mottle: np.ndarray) -> None:
    """A golden ground in arcs, barbs in rays, then eyes from the outermost row inwards."""
    root_y, root_x = 0.76, 0.5
    radius = np.hypot(y - root_y, x - root_x)
    turn = np.arctan2(x - root_x, root_y - y) / (2 * np.pi)
    ring, cell = _rings(radius, turn + 0.5, _TILE)
    ray = np.sin(2 * np.pi * 40 * turn)
    cartoon.draw(radius >= 0, ring, cell, _GOLD, 0.42 + 0.22 * ray + 0.10 * mottle)

    fan = np.abs(turn) < 0.285
    barb = np.floor(turn * 92 + 400)
    row = np.floor(radius / (1.35 * _TILE) + 0.5 * (barb % 2))
    tone = 0.42 + 0.30 * np.sin(2 * np.pi * 23 * turn) + 0.12 * mottle
    cartoon.draw(fan & (radius < 0.66), row, barb, _BARBS, tone)

    # Distance from the root, number of eyes, and whether the row stands in the gaps of the next.
    rows = ((0.655, 17, 0.0), (0.535, 16, 0.5), (0.418, 13, 0.0), (0.305, 10, 0.5), (0.205, 8, 0.0))
    for reach, eyes, offset in rows:
        step = 0.53 / eyes
        nearest = np.round(turn / step - offset) + offset
        heading = nearest * step * 2 * np.pi
        down = y - (root_y - reach * np.cos(heading))
        right = x - (root_x + reach * np.sin(heading))
        half = 0.96 * min(np.pi * step * reach, 0.066)
        # An eye is an egg, its heart towards the root of the fan.
        outward = right * np.sin(heading) - down * np.cos(heading)
        r = (np.hypot(down, right) - 0.20 * outward) / half
        shell = np.digitize(r, [0.32, 0.56, 0.78])
        around = (np.arctan2(down, right) - heading) / (2 * np.pi)
        per_shell = np.round(2 * np.pi * half / _TILE * np.array([0.16, 0.44, 0.70, 0.92]))
        cell = np.floor((around + 0.09 * shell) % 1 * per_shell[shell])
        cell += 100 * np.round(2 * nearest + 60)
        cartoon.draw(fan & (r < 1), shell, cell, _EYE, shell / 3)


def _draw_garden(cartoon: canvas.Cartoon, y: np.ndarray, x: np.ndarray, mottle: np.ndarray) -> None:
    """Water in ripples, with roses and their leaves."""
    shore = 0.825 + 0.014 * np.sin(11 * x + 0.6) + 0.06 * np.abs(x - 0.5)
    depth = y - shore + 0.010 * np.sin(2 * np.pi * 5 * x + 30 * (y - shore))
    band = np.floor(depth / (0.95 * _TILE))
    cell = np.floor(x / (1.25 * _TILE) + 0.47 * band + 0.3 * np.sin(3 * band))
    crest = np.sin(2 * np.pi * 5 * x + 1.1 * band)
    tone = 0.42 + 0.30 * crest - 0.9 * (y - 0.86) + 0.10 * mottle
    cartoon.draw(y > shore, band, cell, _WATER, tone)

    for number, (cy, cx, reach) in enumerate(_ROSES):
        down, right = y - cy, x - cx
        for side in (-1, 1):
            along = (right * side * 0.86 - down * 0.5) / (1.75 * reach)
            off = (right * side * 0.5 + down * 0.86) / reach
            leaf = np.sin(np.pi * np.clip(along, 0, 1)) * 0.42
            rib = np.floor(along * 1.75 * reach / _TILE + 0.8 * np.abs(off))
            tone = 0.45 + 0.35 * np.sign(off) + 0.1 * mottle
            cartoon.draw(np.abs(off) < leaf, rib, off > 0, _LEAF, tone)
        r, turn = np.hypot(down, right), np.arctan2(down, right) / (2 * np.pi)
        scallop = reach * (0.90 + 0.10 * np.abs(np.cos(5 * np.pi * turn + number)))
        ring, cell = _rings(r + 0.012 * np.cos(2 * np.pi * turn), turn, 0.82 * _TILE)
        tone = r / reach + 0.14 * np.sin(2 * np.pi * (turn * 5 + 0.35 * ring))
        cartoon.draw(r < scallop, ring, cell, _ROSE, tone)


def _draw_bird(cartoon: canvas.Cartoon, y: np.ndarray, x: np.ndarray, mottle: np.ndarray) -> None:
    """Breast, neck, head, crest and beak, in rows of scales along the neck."""
    low, high = 0.875, 0.425

    def neck_at(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far up the neck a height is, and half the width of the neck there."""
        rise = np.clip((low - height) / (low - high), 0, 1)
        half = 0.030 + 0.082 * np.sin(np.pi * (0.14 + 0.80 * rise)) ** 2.4
        return rise, np.maximum(half * np.sqrt(np.minimum(rise * 9, 1)), 1e-3)

    rise, half = neck_at(y)
    across = (x - 0.5 - 0.052 * np.sin(2 * np.pi * (rise * 0.95 + 0.03))) / half
    row = np.floor((y + 0.020 * across**2) / _TILE)
    # The number of scales is one for a whole row, or the scales would be torn.
    scales = np.round(neck_at((row + 0.5) * _TILE)[1] / _TILE * 1.05)
    cell = np.floor(across * scales + 0.5 * (row % 2))
    neck = (np.abs(across) < 1) & (y > high) & (y < low)
    tone = 0.45 + 0.42 * across + 0.14 * (row % 2) + 0.07 * mottle
    cartoon.draw(neck & (rise > 0.28), row, cell, _BODY, tone)
    cartoon.draw(neck & (rise <= 0.28), row, cell, _BREAST, 0.5 + 0.5 * across)

    head_y, head_x = 0.418, 0.5 + 0.052 * np.sin(2 * np.pi * 0.98)
    down, right = y - head_y, x - head_x
    # Five plumes with a drop of light at the tip of each.
    for lean in (-0.62, -0.31, 0.0, 0.31, 0.62):
        along = (right * np.sin(lean) - down * np.cos(lean)) / 0.095
        off = np.abs(down * np.sin(lean) + right * np.cos(lean))
        stem = (off < 0.0042) & (along > 0) & (along < 1)
        cartoon.draw(stem, np.floor(along * 6), 0, _EYE, 0.0)
        drop = np.hypot((along - 1) * 0.095, off)
        cartoon.draw(drop < 0.0165, drop < 0.008, 0, _EYE, np.where(drop < 0.008, 0.67, 0.33))
    turn = np.arctan2(down, right) / (2 * np.pi)
    r = np.hypot(down, 0.9 * right)
    ring, cell = _rings(r, turn, 0.8 * _TILE)
    cartoon.draw(r < 0.040, ring, cell, _BODY, 0.30 + 0.3 * np.sin(2 * np.pi * turn))
    point = -(right + 0.034) / 0.060
    fall = down - 0.008 - 0.012 * point**2
    beak = (point > 0) & (np.abs(fall) < 0.017 * (1 - point))
    cartoon.draw(beak, np.floor(point * 3), fall > 0, _GOLD, 0.35)
    patch = np.hypot((down + 0.004) * 1.5, right + 0.012)
    cartoon.draw(patch < 0.023, np.floor(turn * 6), patch < 0.012, _IVORY, 0.5)
    cartoon.draw(patch < 0.0095, 0, 0, _EYE, 0.0)
