"""A woodblock print of the sea: curling waves with foam claws, rows of scales, a vermilion sun."""

import numpy as np

from cnnkit.paintings import _canvas as canvas

_FINE = 2

_SEA = canvas.pigments("#0e1f4d", "#173a7c", "#2b62a8", "#5b95c4", "#a9cbd6")
_LINE = canvas.pigments("#0b1738")[0]
_FOAM = canvas.pigments("#f6eedb", "#dfe6df")
_SKY = canvas.pigments("#24508f", "#7fa9bd", "#ecdcb4", "#f3c58c", "#ee9a6a")
_SUN = canvas.pigments("#cf2f1c", "#ea5a33")

# Rows of waves from the horizon to the viewer: height of the trough, of the crest above it,
# length of a wave, where the first crest is, how far it curls (radians), and its filling.
_ROWS = (
    (0.385, 0.050, 0.170, 0.05, 1.2, "stripes"),
    (0.450, 0.075, 0.250, 0.17, 1.6, "scales"),
    (0.540, 0.115, 0.370, 0.02, 2.2, "stripes"),
    (0.655, 0.135, 0.480, 0.33, 2.5, "scales"),
    (0.800, 0.175, 0.620, 0.02, 2.8, "stripes"),
    (0.960, 0.150, 0.560, 0.40, 2.6, "scales"),
)


def paint_waves(size: int = 640, seed: int = 21) -> np.ndarray:
    """Paints stylised waves as a colour woodblock print.

    Each row of waves is a curve with sharp crests, twisted around a point below each crest so that
    it curls over; stripes and scales are ruled in the twisted coordinates and curl with it.

    Args:
        size: side of the square picture, in pixels.
        seed: of all randomness; the same seed gives the same picture.

    Returns:
        float32 array `(size, size, 3)`, sRGB in [0, 1].

    Example:

    >>> paint_waves(size=32).shape
    (32, 32, 3)
    """
    rng = np.random.default_rng(seed)
    fine = size * _FINE
    y, x = canvas.coordinates(fine)
    y = y + 0.0012 * canvas.noise(rng, fine, 0.05, 2)
    picture = _sky(y, x)
    for number, row in enumerate(_ROWS):
        _wave_row(rng, picture, y, x, row, number / (len(_ROWS) - 1))
    picture = canvas.shrink(picture, _FINE)
    grain = canvas.noise(rng, size, 0.004, 2, stretch=50)
    rubbed = canvas.noise(rng, size, 0.08, 4)
    tooth = canvas.noise(rng, size, 0.005, 2)
    picture *= (1 + 0.022 * grain + 0.025 * rubbed + 0.022 * tooth)[..., None]
    return canvas.finish(picture)


def _sky(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A graded sky with bands of cloud, and the sun behind the waves."""
    drift = 0.02 * np.sin(5 * x + 0.7) + 0.008 * np.sin(17 * x)
    picture = canvas.gradient(_SKY, (y + drift) / 0.40)
    radius = np.hypot(y - 0.235, x - 0.70)
    # Rays as fine lines that swell and fade.
    ray = np.abs((np.arctan2(y - 0.235, x - 0.70) / (2 * np.pi) * 44) % 1 - 0.5) * 2
    beam = canvas.smoothstep(0.42, 0.50, ray) * canvas.smoothstep(0.42, 0.16, radius)
    picture = canvas.mix(picture, canvas.gradient(_SKY, 0.55 + 0 * y), 0.75 * beam)
    pixel = 1 / len(y)
    disc = canvas.smoothstep(pixel, -pixel, radius - 0.125)
    lines = canvas.smoothstep(0.75, 0.9, np.sin(2 * np.pi * y / 0.020) - 2.5 * (0.27 - y))
    sun = canvas.gradient(_SUN, (y - 0.11) / 0.22)
    picture = canvas.mix(picture, canvas.mix(sun, picture, 0.8 * lines), disc)
    # Clouds: bars with round ends, lined below.
    for cy, left, right, thick in (
        (0.060, 0.05, 0.42, 0.017), (0.094, 0.16, 0.60, 0.015), (0.128, -0.1, 0.30, 0.017),
        (0.200, 0.22, 0.50, 0.014), (0.230, 0.30, 0.64, 0.013), (0.262, 0.02, 0.40, 0.015),
        (0.170, 0.76, 1.2, 0.015), (0.203, 0.86, 1.2, 0.014), (0.055, 0.72, 0.95, 0.015),
    ):  # fmt: skip
        bar = np.hypot(y - cy, x - np.clip(x, left, right)) - thick
        cover = canvas.smoothstep(pixel, -pixel, bar)
        inner = canvas.gradient(_FOAM, 0.5 + (y - cy) / (2 * thick))
        edge = canvas.smoothstep(0.0026 + pixel, 0.0026 - pixel, -bar)
        picture = canvas.mix(picture, canvas.mix(inner, 0 * inner + _SEA[2], edge), cover)
    return picture


def _curl(y, x, middle, reach, angle):
    """Coordinates twisted by `angle` about a point, fading with the distance from it."""
    down, right = y - middle[0], x - middle[1]
    near = angle * np.exp(-(down**2 + right**2) / reach**2)
    turned_y = middle[0] + down * np.cos(near) - right * np.sin(near)
    turned_x = middle[1] + right * np.cos(near) + down * np.sin(near)
    return turned_y, turned_x


def _wave_row(rng, picture, y, x, row, closeness):
    """One row of waves over the picture so far."""
    trough, crest, length, first, angle, filling = row
    size = len(y)
    top = max(0, int((trough - 2.0 * crest) * size))
    y, x, below = y[top:], x[top:], picture[top:]
    v, u = y, x
    crests = np.arange(first - 2 * length, 1 + 2 * length, length)
    crests = crests + rng.normal(0, 0.04 * length, len(crests))
    for middle in crests:
        # Just in front of the crest and below its top.
        eye = (trough - 0.60 * crest, middle - 0.26 * crest)
        v, u = _curl(v, u, eye, 0.62 * crest, -angle)
    # Sharp crests between round troughs; the nearest crest counts.
    away = np.abs(u[..., None] - crests[None, None]).min(axis=-1) if False else _nearest(u, crests)
    hump = np.exp(-away / (0.20 * length)) + 0.35 * np.exp(-((away / (0.42 * length)) ** 2))
    depth = v - (trough - crest * hump / 1.35 * 1.15)
    slope = np.hypot(*np.gradient(depth)) * size
    scale = np.maximum(slope, 0.35)
    pixel = 0.7 / size

    # Foam: thick on the crests, with claws that reach into the water.
    claw = np.abs(np.sin(2 * np.pi * u / (0.085 * length + 0.008)))
    fine_claw = np.abs(np.sin(2 * np.pi * u / (0.031 * length + 0.004) + 1))
    on_crest = np.exp(-away / (0.23 * length))
    foam = crest * (0.05 + on_crest * (0.12 + 0.17 * claw**0.7 + 0.06 * fine_claw))
    outer = depth + 0.05 * crest * on_crest * claw
    wet = (outer - 0) / scale
    line = 0.0012 + 0.0013 * closeness
    cover = canvas.smoothstep(-pixel, pixel, wet)

    if filling == "scales":
        sea = _scales(u, depth - foam, 0.050 + 0.045 * closeness, closeness)
    else:
        sea = _stripes(u, depth - foam, 0.085 + 0.10 * closeness, closeness)
    into = (depth - foam) / scale
    white = canvas.gradient(_FOAM, 0.5 + 0.5 * np.sin(40 * depth / crest))
    body = canvas.mix(white, sea, canvas.smoothstep(-pixel, pixel, into))
    drawn = canvas.smoothstep(line + pixel, line - pixel, np.minimum(np.abs(into), np.abs(wet)))
    # A second, finer line inside the foam.
    inner = np.abs(into + 0.0055 + 0.004 * closeness)
    fine = canvas.smoothstep(0.5 * line + pixel, 0.5 * line - pixel, inner) * (into < 0)
    drawn = np.maximum(drawn, 0.75 * fine)
    body = body + (_LINE - body) * drawn[..., None]
    below[:] = canvas.mix(below, body, cover)
    _spray(rng, picture, trough, crest, crests, closeness)


def _nearest(u, crests):
    away = np.full(u.shape, np.inf, np.float32)
    for crest in crests:
        np.minimum(away, np.abs(u - np.float32(crest)), out=away)
    return away


def _stripes(u, depth, period, closeness):
    """Bands of blue that follow the wave, each shaded from its upper edge."""
    place = np.maximum(depth, 0) / period
    place = place**0.85 * 3.2
    band = np.floor(place)
    within = place - band
    tone = canvas.lookup([0.05, 0.62, 0.22, 0.88, 0.12, 0.45], band)
    colour = canvas.gradient(_SEA, tone + 0.20 * within * np.where(tone > 0.5, -1, 1))
    edge = canvas.smoothstep(0.10, 0.02, np.minimum(within, 1 - within))
    return canvas.mix(colour, 0 * colour + _LINE, 0.8 * edge)


def _scales(u, depth, period, closeness):
    """Overlapping scales of concentric rings."""
    down = depth / period
    right = u / period
    ring = np.full(depth.shape, 1.0, np.float32)
    shade = np.zeros_like(ring)
    found = np.zeros(depth.shape, bool)
    base = np.floor(down * 4)
    for ahead in (3, 2, 1, 0):
        row = base + ahead
        shift = 0.5 * (row % 2)
        column = np.round(right - shift) + shift
        distance = np.hypot(down - row / 4 - 0.0, right - column) * 2
        hit = ~found & (distance < 1)
        ring[hit] = distance[hit]
        shade[hit] = ((row * 7 + column * 4) % 5)[hit] / 5
        found |= hit
    place = ring * 4.0
    step = np.floor(place)
    within = place - step
    tone = canvas.lookup([0.10, 0.90, 0.30, 0.72], step) + 0.14 * (shade - 0.5)
    tone = tone - 0.10 * np.clip(depth / 0.2, 0, 1)
    colour = canvas.gradient(_SEA, tone)
    paper = canvas.gradient(_FOAM, 0.4 + 0 * ring)
    colour = canvas.mix(colour, paper, 0.9 * canvas.smoothstep(0.80, 0.9, within) * (step < 3))
    edge = canvas.smoothstep(0.93, 0.97, ring)
    return canvas.mix(colour, 0 * colour + _LINE, edge)


def _spray(rng, picture, trough, crest, crests, closeness):
    """Drops of foam thrown off the crests."""
    size = len(picture)
    for middle in crests:
        count = 9 + int(16 * closeness)
        for _ in range(count):
            turn = rng.uniform(-2.9, -0.5)
            far = crest * rng.uniform(0.35, 0.85)
            cy = trough - 0.95 * crest + 0.55 * far * np.sin(turn)
            cx = middle - 0.40 * crest + far * np.cos(turn)
            reach = rng.uniform(0.0016, 0.0030 + 0.0040 * closeness)
            top, left = int((cy - 2 * reach) * size), int((cx - 2 * reach) * size)
            span = int(4 * reach * size) + 2
            if top < 0 or left < 0 or top + span > size or left + span > size:
                continue
            rows = (np.arange(top, top + span) + 0.5)[:, None] / size - cy
            columns = (np.arange(left, left + span) + 0.5)[None, :] / size - cx
            r = np.hypot(rows, columns)
            patch = picture[top : top + span, left : left + span]
            patch[r < reach + 0.0013] = _LINE
            patch[r < reach] = _FOAM[0]
