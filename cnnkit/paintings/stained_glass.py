"""A leaded window: a flaming sun, rays of coloured sky, hills, a river and two rose windows."""

import numpy as np
from scipy import ndimage

from cnnkit.paintings import _canvas as canvas

# Lines are cut at twice the size of the picture and shrunk: that antialiases them.
_FINE = 2

_SKY = canvas.pigments(
    "#fff0a0", "#ffc832", "#ff8a1e", "#e8402c", "#c01d55",
    "#7a1f8c", "#3a2aa0", "#1638a8", "#0b2a7c",
)  # fmt: skip
_FLAME = canvas.pigments("#fffbd8", "#ffe14a", "#ffae12", "#f4661a")
_HILLS = (
    canvas.pigments("#2f8f9c", "#3fb09a", "#1f6f88"),
    canvas.pigments("#1d8a4e", "#63b03a", "#0f6b4a"),
    canvas.pigments("#0e5a36", "#2f9448", "#8fae22"),
)
_RIVER = canvas.pigments("#c4f0ee", "#5cc7e0", "#1f86d0", "#1550b0")
_ROSE = canvas.pigments("#ffe27a", "#f26a8c", "#d0214f", "#8e0f3c")
_BLUE_ROSE = canvas.pigments("#e8f4ff", "#7fb2f2", "#4a55d0", "#33209a")
_FRAME = canvas.pigments("#a3142a", "#e09a1a", "#163c94", "#0f6f5a")


def paint_stained_glass(size: int = 640, seed: int = 12) -> np.ndarray:
    """Paints a stained-glass window.

    The picture is first cut into panes by ruled curves (rays and rings around the sun, bands along
    hills and river); a pane takes the mean colour of the composition below it, its own streaks and
    tilt; the seams become round lead cames with light on their shoulders.

    Args:
        size: side of the square picture, in pixels.
        seed: of all randomness; the same seed gives the same picture.

    Returns:
        float32 array `(size, size, 3)`, sRGB in [0, 1].

    Raises:
        ValueError: the canvas is too small to paint on.

    Example:

    >>> paint_stained_glass(size=32).shape
    (32, 32, 3)
    """
    rng = np.random.default_rng(seed)
    fine = size * _FINE
    cartoon = _cut_panes(rng, fine)
    panes = cartoon.pieces
    came, shoulder = _lead(rng, cartoon.subject, panes)
    panes = panes[::_FINE, ::_FINE]
    glass = _glass(rng, size, panes, canvas.shrink(cartoon.design, _FINE))
    # Patina: glass is darker close to the lead.
    rim = ndimage.gaussian_filter(came, size * 0.006)
    glass *= (1.06 - 0.75 * rim * (1 - came))[..., None]
    # Light that spills from bright panes over the lead.
    glow = ndimage.gaussian_filter(glass, (size * 0.012, size * 0.012, 0))
    lead = np.float32([0.075, 0.07, 0.085]) + shoulder[..., None] * 0.30 + glow * 0.10
    picture = canvas.mix(glass, lead, came)
    return canvas.finish(picture + 0.10 * glow**2)


def _cut_panes(rng: np.random.Generator, size: int) -> canvas.Cartoon:
    """The window in panes, with the colours of the composition."""
    cartoon = canvas.Cartoon(size)
    y, x = canvas.coordinates(size)
    # A hand never cuts a straight line.
    y = y + 0.0045 * canvas.noise(rng, size, 0.12, 2)
    x = x + 0.0045 * canvas.noise(rng, size, 0.12, 2)
    _draw_sky(rng, cartoon, y, x)
    _draw_land(rng, cartoon, y, x)
    _draw_sun(cartoon, y, x)
    _draw_roses(cartoon, y, x)
    _draw_frame(cartoon, y, x)
    return cartoon


def _about_the_sun(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    down, right = y - 0.36, x - 0.5
    return np.hypot(down, right), np.arctan2(down, right) / (2 * np.pi) + 0.5


def _draw_sky(
    rng: np.random.Generator, cartoon: canvas.Cartoon, y: np.ndarray, x: np.ndarray
) -> None:
    """Rays, each cut across at its own distances."""
    radius, turn = _about_the_sun(y, x)
    rays = 30
    bend = turn * rays + 1.6 * radius
    ray = np.floor(bend + 0.22 * np.sin(2 * np.pi * bend + 1)) % rays
    cut = np.floor((radius + canvas.lookup(rng.uniform(0, 0.09, rays), ray)) ** 0.8 / 0.078)
    shade = canvas.lookup(rng.normal(0, 0.07, rays), ray) + 0.06 * (ray % 2)
    cartoon.draw(radius >= 0, ray, cut, _SKY, (radius - 0.13) / 0.42 + shade)


def _draw_land(
    rng: np.random.Generator, cartoon: canvas.Cartoon, y: np.ndarray, x: np.ndarray
) -> None:
    """Three hills banded along their outlines, and a river from the horizon to the foot."""
    hills = ((0.60, 0.035, 1.4, 0.4), (0.68, 0.05, 1.0, 2.2), (0.80, 0.045, 1.3, 4.4))
    for number, (base, swing, waves, phase) in enumerate(hills):
        depth = y - base - swing * np.sin(2 * np.pi * waves * x + phase)
        band = np.floor(depth / (0.042 + 0.008 * number))
        slant = (x + depth * (0.6 - 0.8 * (band % 2))) * (11 - 2 * number)
        along = np.floor(slant + canvas.lookup(rng.uniform(0, 1, 16), band))
        cartoon.draw(depth > 0, band, along, _HILLS[number], (along * 0.37 + band * 0.21) % 1.0)

    depth = np.clip((y - 0.605) / 0.395, 0, 1)
    middle = 0.5 + 0.13 * np.sin(5.2 * depth**0.8) * (0.35 + depth)
    half = 0.014 + 0.105 * depth**1.2
    across = (x - middle) / half
    lane = np.where(depth < 0.12, 0, np.floor(across * 2 + 0.5 * np.sin(9 * depth)))
    along = np.floor(7.5 * depth**0.7 + canvas.lookup([0.1, 0.6, 0.3, 0.85], lane) + 0.25 * across)
    tone = 0.5 + 0.32 * np.sin(2.4 * lane + 1.9 * along)
    cartoon.draw((np.abs(across) < 1) & (y > 0.605), lane, along, _RIVER, tone)


def _draw_sun(cartoon: canvas.Cartoon, y: np.ndarray, x: np.ndarray) -> None:
    """A disc in a ring of flames."""
    radius, turn = _about_the_sun(y, x)
    lick = turn * 14 + 0.35 * np.sin(40 * radius)
    tip = 0.120 + 0.055 * (1 - 2 * np.abs(lick % 1 - 0.5)) ** 0.8
    cartoon.draw(radius < tip, np.floor(lick) % 14, 0, _FLAME[1:], radius / 0.16)
    petal = np.where(radius < 0.042, 0, 1 + np.floor(turn * 7 + 0.2) % 7)
    cartoon.draw(radius < 0.100, petal, 0, _FLAME, radius / 0.14)


def _draw_roses(cartoon: canvas.Cartoon, y: np.ndarray, x: np.ndarray) -> None:
    """Rose windows: red ones in the lower corners, blue ones above."""
    for number, (cy, cx, reach, palette) in enumerate(
        (
            (0.845, 0.175, 0.118, _ROSE),
            (0.835, 0.845, 0.108, _ROSE),
            (0.155, 0.165, 0.078, _BLUE_ROSE),
            (0.150, 0.835, 0.078, _BLUE_ROSE),
        )
    ):
        radius = np.hypot(y - cy, x - cx) / reach
        turn = np.arctan2(y - cy, x - cx) / (2 * np.pi) + 0.03 * number
        ring = np.digitize(radius, [0.26, 0.62])
        petal = np.floor(turn * 8 + 0.5 * (ring == 1)) % 8
        tone = 0.05 + 0.42 * ring + 0.10 * (petal % 2)
        scallop = 0.88 + 0.12 * np.abs(np.sin(8 * np.pi * turn))
        cartoon.draw(radius < scallop, ring, np.where(ring == 0, 0, petal), palette, tone)


def _draw_frame(cartoon: canvas.Cartoon, y: np.ndarray, x: np.ndarray) -> None:
    """Bars of four colours between square corners."""
    near_y, near_x = np.minimum(y, 1 - y), np.minimum(x, 1 - x)
    lying = near_y < near_x
    bar = np.floor((np.where(lying, x, y) - 0.062) / 0.876 * 9)
    side = 2 * lying + np.where(lying, y > 0.5, x > 0.5)
    corner = np.maximum(near_y, near_x) < 0.062
    place = np.where(corner, 100 + 2 * (y > 0.5) + (x > 0.5), bar + 10 * side)
    tone = np.where(corner, 1, (bar + side) % 4) / 3
    cartoon.draw(np.minimum(near_y, near_x) < 0.055, place, 0, _FRAME, tone)


def _lead(
    rng: np.random.Generator, subject: np.ndarray, panes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much of each pixel is lead, and the light on it."""
    size = len(panes)
    distance = canvas.distance_to_border(panes)
    outline = canvas.distance_to_border(subject)
    unevenness = 1 + 0.16 * canvas.noise(rng, size, 0.05, 2)
    thin, thick = 0.0034 * size * unevenness, 0.0058 * size * unevenness
    depth = np.maximum(thin - distance, thick - outline)
    came = np.clip(depth + 0.5, 0, 1)
    hammered = 0.25 * canvas.noise(rng, size, 0.006, 2)
    round_back = np.sqrt(np.maximum(depth, 0)) + hammered
    shoulder = canvas.raking_light(ndimage.gaussian_filter(round_back, size * 0.0011), 1.6)
    return canvas.shrink(came, _FINE), canvas.shrink(np.maximum(shoulder, 0) * came, _FINE)


def _glass(
    rng: np.random.Generator, size: int, panes: np.ndarray, design: np.ndarray
) -> np.ndarray:
    """The colour of the glass: one per pane, streaked, bubbled and unevenly thick."""
    colours = canvas.vary(rng, canvas.piece_means(panes, design), light=0.16, tint=0.035)
    count = len(colours)
    glass = colours[panes]
    # Streaks run another way in each pane: one of four sheets of glass.
    sheet = canvas.noise(rng, size, 0.035, 4, stretch=7)
    crossed = canvas.noise(rng, size, 0.05, 4, stretch=4)
    sheets = np.stack([sheet, sheet.T, crossed[::-1], crossed.T[:, ::-1]])
    choice = rng.integers(0, 4, count)[panes]
    streak = np.take_along_axis(sheets, choice[None], axis=0)[0]
    # Tilt: each pane is brighter towards one of its sides.
    y, x = canvas.coordinates(size)
    centre = canvas.piece_means(panes, np.stack([y, x], axis=-1))
    direction = rng.uniform(0, 2 * np.pi, count)
    tilt = (y - centre[panes, 0]) * np.sin(direction)[panes]
    tilt += (x - centre[panes, 1]) * np.cos(direction)[panes]
    ripple = canvas.raking_light(canvas.noise(rng, size, 0.02, 3), 1.1 * size / 640)
    light = 1.04 + 0.13 * streak + 4.2 * tilt + 0.10 * ripple
    glass = glass * light[..., None]
    # Where glass is thin it is paler, where thick deeper.
    thin = canvas.smoothstep(0.7, 2.4, streak + 0.6 * canvas.noise(rng, size, 0.1, 2))
    return np.clip(canvas.mix(glass, 0.45 * glass + 0.55, 0.55 * thin), 0, 1.1)
