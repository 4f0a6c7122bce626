"""A woodblock print of the sea: curling waves with foam claws, rows of scales, a vermilion sun."""

import numpy as np

from cnnkit.paintings import _canvas as canvas

_FINE = 2

_SEA = canvas.pigments("#0e1f4d", "#173a7c", "#2b62a8", "#5b95c4", "#a9cbd6")
_LINE = canvas.pigments("#0b1738")[0]
_FOAM = canvas.pigments("#f6eedb", "#dfe6df")
_SKY = canvas.pigments("#173a74", "#4f86ad", "#b9cfc0", "#f0dfb4", "#f4bd84", "#ea8a5c")
_SUN = canvas.pigments("#c9281a", "#dd3b22", "#ee6a3c")
_SUN_PLACE = (0.225, 0.665, 0.118)

# Rows of waves from the horizon to the viewer: height of the trough, of the crest above it,
# length of a wave, where the first crest is, how far it curls (radians), and its filling.
_ROWS = (
    (0.385, 0.055, 0.170, 0.05, 1.3, "stripes"),
    (0.450, 0.080, 0.250, 0.17, 1.8, "scales"),
    (0.540, 0.120, 0.370, 0.02, 2.3, "stripes"),
    (0.655, 0.140, 0.480, 0.33, 2.6, "scales"),
    (0.800, 0.180, 0.620, 0.02, 2.8, "stripes"),
    (0.960, 0.155, 0.560, 0.40, 2.7, "scales"),
)

# Clouds: banks of round puffs, each y, x and reach.
_CLOUDS = (
    ((0.115, 0.04, 0.062), (0.090, 0.13, 0.078), (0.120, 0.23, 0.060), (0.128, 0.31, 0.040)),
    ((0.245, 0.20, 0.040), (0.225, 0.275, 0.054), (0.240, 0.355, 0.044), (0.252, 0.42, 0.030)),
    ((0.270, -0.01, 0.052), (0.285, 0.07, 0.036)),
    ((0.045, 0.52, 0.048), (0.030, 0.60, 0.060), (0.055, 0.68, 0.044), (0.060, 0.745, 0.030)),
    ((0.150, 0.90, 0.050), (0.125, 0.985, 0.072), (0.165, 0.835, 0.032)),
    ((0.300, 0.82, 0.036), (0.285, 0.885, 0.050), (0.290, 0.97, 0.046)),
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

    Raises:
        ValueError: the canvas is too small to paint on.

    Example:

    >>> paint_waves(size=32).shape
    (32, 32, 3)
    """
    rng = np.random.default_rng(seed)
    fine = size * _FINE
    y, x = canvas.coordinates(fine)
    # The line of a hand-cut block trembles.
    y = y + 0.0012 * canvas.noise(rng, fine, 0.05, 2)
    picture = np.full((fine, fine, 3), _SEA[0], np.float32)
    _print_sky(picture, y, x)
    for number, row in enumerate(_ROWS):
        top = max(0, int((row[0] - 2.0 * row[1]) * fine))
        # What lies well below the next row's trough is hidden by it.
        bottom = fine
        if number + 1 < len(_ROWS):
            trough, crest = _ROWS[number + 1][:2]
            bottom = min(fine, int((trough + 0.5 * crest) * fine))
        crests = _print_row(rng, picture[top:bottom], y[top:bottom], x[top:bottom], row)
        _print_spray(rng, picture, row, crests)
    picture = canvas.shrink(picture, _FINE)
    grain = canvas.noise(rng, size, 0.004, 2, stretch=50)
    rubbed = canvas.noise(rng, size, 0.08, 4)
    tooth = canvas.noise(rng, size, 0.005, 2)
    return canvas.finish(picture * (1 + 0.025 * (grain + rubbed + tooth))[..., None])


def _line(distance: np.ndarray, width: float, pixel: float) -> np.ndarray:
    """Cover of a line of that full width where `distance` is 0."""
    return canvas.smoothstep(0.5 * width + pixel, 0.5 * width - pixel, np.abs(distance))


def _print_sky(picture: np.ndarray, y: np.ndarray, x: np.ndarray) -> None:
    """A graded sky ruled with fine lines, the sun, and clouds drawn in contours."""
    fine = len(y)
    pixel = 1 / fine
    rows = slice(0, int(0.46 * fine))
    y, x = y[rows], x[rows]
    drift = 0.020 * np.sin(5 * x + 0.7) + 0.008 * np.sin(17 * x)
    sky = canvas.gradient(_SKY, (y + drift) / 0.42)
    ruled = canvas.smoothstep(0.35, 0.8, np.sin(2 * np.pi * (y + 0.5 * drift) / 0.0125))
    sky *= (1 - 0.16 * ruled)[..., None]

    sun_y, sun_x, reach = _SUN_PLACE
    inside = reach - np.hypot(y - sun_y, x - sun_x)
    disc = canvas.gradient(_SUN, (y - sun_y + reach) / (2 * reach))
    # Haze crosses the lower half of the sun in bars that grow.
    haze = np.sin(2 * np.pi * y / 0.021) + 7 * (y - sun_y) - 0.75
    disc = canvas.mix(disc, sky, 0.85 * canvas.smoothstep(-0.1, 0.1, haze))
    sky = canvas.mix(sky, disc, canvas.smoothstep(-pixel, pixel, inside))
    halo = _line(inside + 0.012, 0.0022, pixel) + _line(inside + 0.021, 0.0014, pixel)
    sky = canvas.mix(sky, _SUN[1], 0.8 * np.minimum(halo, 1))

    for puffs in _CLOUDS:
        depth = np.full(y.shape, -1, np.float32)
        for puff_y, puff_x, puff in puffs:
            np.maximum(depth, puff - np.hypot(1.35 * (y - puff_y), x - puff_x), out=depth)
        band = np.floor(depth / 0.0125)
        body = canvas.gradient(_FOAM, 0.2 + 0.5 * (band % 2))
        body = canvas.mix(body, _SEA[4], 0.55 * canvas.smoothstep(0.030, 0.0, depth) * (band % 2))
        contour = _line(depth % 0.0125 - 0.0016, 0.0020, pixel)
        body = canvas.mix(body, _SEA[2], 0.85 * contour)
        sky = canvas.mix(sky, body, canvas.smoothstep(-pixel, pixel, depth))
    picture[rows] = sky


def _curl(
    y: np.ndarray, x: np.ndarray, middle: tuple[float, float], reach: float, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates twisted by `angle` about a point, fading with the distance from it."""
    down, right = y - np.float32(middle[0]), x - np.float32(middle[1])
    near = np.float32(angle) * np.exp(-(down**2 + right**2) / np.float32(reach**2))
    sine, cosine = np.sin(near), np.cos(near)
    return middle[0] + down * cosine - right * sine, middle[1] + right * cosine + down * sine


def _print_row(
    rng: np.random.Generator, picture: np.ndarray, y: np.ndarray, x: np.ndarray, row: tuple
) -> np.ndarray:
    """Prints one row of waves on a strip of the picture; returns where its crests are."""
    trough, crest, length, first, angle, filling = row
    size = picture.shape[1]
    near = (trough - _ROWS[0][0]) / (_ROWS[-1][0] - _ROWS[0][0])
    crests = np.arange(first - 2 * length, 1 + 2 * length, length)
    crests = crests + rng.normal(0, 0.04 * length, len(crests))
    v, u = y, x
    for middle in crests[(crests > -length) & (crests < 1 + length)].tolist():
        # The eye of the curl: just in front of the crest and below its top.
        eye = (trough - 0.60 * crest, middle - 0.26 * crest)
        v, u = _curl(v, u, eye, 0.62 * crest, -angle)

    # Sharp crests between round troughs.
    side = np.full(u.shape, 9, np.float32)
    for middle in crests.tolist():
        offset = u - middle
        side = np.where(np.abs(offset) < np.abs(side), offset, side)
    away = np.abs(side)
    peak = np.exp(-away / (0.20 * length))
    depth = v - trough + 0.85 * crest * (peak + 0.35 * np.exp(-((away / (0.42 * length)) ** 2)))
    down, right = np.gradient(depth)
    # True distances on the paper, whatever the twist did to the coordinates.
    scale = np.maximum(np.hypot(down, right) * size, 0.35)

    # Foam: fingers that grab forward from the crest, and claws down into the water.
    front = canvas.smoothstep(0.10 * length, -0.04 * length, side) * np.exp(-away / (0.16 * length))
    finger = np.abs(np.sin(np.pi * u / (0.036 * length + 0.003))) ** 0.6
    knuckle = np.abs(np.sin(np.pi * u / (0.012 * length + 0.001)))
    claw = np.abs(np.sin(2 * np.pi * u / (0.085 * length + 0.008))) ** 0.7
    swell = peak**0.9
    lip = depth + crest * front * (0.26 * finger + 0.05 * knuckle)
    foam = crest * (0.05 + swell * (0.10 + 0.20 * claw + 0.06 * knuckle))

    wet, into = lip / scale, (depth - foam) / scale
    below = depth - crest * (0.05 + 0.22 * swell)
    if filling == "scales":
        sea = _scales(u, below, 0.050 + 0.045 * near)
    else:
        sea = _stripes(below, 0.085 + 0.10 * near)
    white = canvas.gradient(_FOAM, 0.5 + 0.5 * np.sin(40 * depth / crest))
    pixel = 0.7 / size
    body = canvas.mix(white, sea, canvas.smoothstep(-pixel, pixel, into))
    width = 0.0026 + 0.0024 * near
    drawn = np.maximum(_line(wet, width, pixel), _line(into, width, pixel))
    # A finer line follows inside the foam.
    echo = _line(into + 0.0055 + 0.004 * near, 0.45 * width, pixel) * (wet > 0.5 * width)
    body = canvas.mix(body, _LINE, np.maximum(drawn, 0.75 * echo))
    picture[:] = canvas.mix(picture, body, canvas.smoothstep(-width - pixel, -width + pixel, wet))
    return crests


def _stripes(depth: np.ndarray, period: float) -> np.ndarray:
    """Bands of blue that follow the wave, each shaded from its upper edge."""
    place = 4.4 * (np.maximum(depth, 0) / period) ** 0.85
    band = np.floor(place)
    within = place - band
    tone = canvas.lookup([0.05, 0.62, 0.22, 0.88, 0.12, 0.45], band)
    colour = canvas.gradient(_SEA, tone + 0.20 * within * np.where(tone > 0.5, -1, 1))
    hairs = canvas.smoothstep(0.16, 0.06, np.abs(within * 3 % 1 - 0.5)) * (tone < 0.5)
    colour = canvas.mix(colour, _SEA[3], 0.45 * hairs)
    edge = canvas.smoothstep(0.10, 0.02, np.minimum(within, 1 - within))
    return canvas.mix(colour, _LINE, 0.8 * edge)


def _scales(along: np.ndarray, depth: np.ndarray, period: float) -> np.ndarray:
    """Overlapping scales of concentric rings, after the old pattern of the blue sea."""
    down, right = depth / period, along / period
    base = np.floor(down * 4)
    ring = np.ones(depth.shape, np.float32)
    shade = np.zeros_like(ring)
    # Lower rows lie on top: the first that reaches the pixel is seen.
    for ahead in (3, 2, 1, 0):
        row = base + ahead
        shift = 0.5 * (row % 2)
        column = np.round(right - shift) + shift
        distance = 2 * np.hypot(down - row / 4, right - column)
        seen = (ring >= 1) & (distance < 1)
        ring = np.where(seen, distance, ring)
        shade = np.where(seen, ((row * 7 + column * 4) % 5) / 5, shade)
    step = np.floor(4 * ring)
    within = 4 * ring - step
    tone = canvas.lookup([0.10, 0.90, 0.30, 0.72], step) + 0.14 * (shade - 0.5)
    colour = canvas.gradient(_SEA, tone - 0.10 * np.clip(depth / 0.2, 0, 1))
    paper = canvas.smoothstep(0.80, 0.9, within) * (step < 3)
    colour = canvas.mix(colour, _FOAM[0], 0.9 * paper)
    return canvas.mix(colour, _LINE, canvas.smoothstep(0.93, 0.97, ring))


def _print_spray(
    rng: np.random.Generator, picture: np.ndarray, row: tuple, crests: np.ndarray
) -> None:
    """Drops of foam thrown off the crests."""
    trough, crest = row[:2]
    size = len(picture)
    for middle in crests:
        for _ in range(8 + int(90 * crest)):
            turn = rng.uniform(-2.9, -0.5)
            far = crest * rng.uniform(0.35, 0.85)
            y = trough - 0.95 * crest + 0.55 * far * np.sin(turn)
            x = middle - 0.40 * crest + far * np.cos(turn)
            reach = rng.uniform(0.0014, 0.0026 + 0.026 * crest)
            top, left = int((y - 2 * reach) * size), int((x - 2 * reach) * size)
            span = int(4 * reach * size) + 2
            if min(top, left) < 0 or max(top, left) + span > size:
                continue
            rows = (np.arange(top, top + span) + 0.5)[:, None] / size - y
            columns = (np.arange(left, left + span) + 0.5)[None, :] / size - x
            distance = np.hypot(rows, columns)
            patch = picture[top : top + span, left : left + span]
            patch[distance < reach + 0.0013] = _LINE
            patch[distance < reach] = _FOAM[0]
