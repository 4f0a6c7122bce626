"""Ink and mineral colour on wet paper: steep hills in mist, bamboo, plum blossom, a red sun."""

import numpy as np
from scipy import ndimage

from cnnkit.paintings import _brush as brush
from cnnkit.paintings import _canvas as canvas

_FINE = 2

_PAPER = canvas.pigments("#f1e8d2")[0]
_INK = canvas.pigments("#23242b")[0]
_INDIGO = canvas.pigments("#31507c")[0]
_AZURITE = canvas.pigments("#2f7fa6")[0]
_MALACHITE = canvas.pigments("#4f9d86")[0]
_OCHRE = canvas.pigments("#c98a48")[0]
_VERMILION = canvas.pigments("#d63a26")[0]
_ROSE = canvas.pigments("#e2577a")[0]

# Ranges from far to near: foot of the range, height of its peaks, their width, how much ink, and
# the colours of the wash at the ridge and lower down.
_RANGES = (
    (0.44, 0.24, 0.085, 0.42, _INDIGO, _AZURITE),
    (0.55, 0.30, 0.075, 0.60, _AZURITE, _OCHRE),
    (0.68, 0.30, 0.090, 0.80, _MALACHITE, _OCHRE),
    (0.83, 0.27, 0.110, 1.00, _AZURITE, _MALACHITE),
    (1.02, 0.21, 0.120, 1.00, _INDIGO, _OCHRE),
)


def paint_ink_wash(size: int = 640, seed: int = 23) -> np.ndarray:
    """Paints a landscape in ink wash.

    Washes absorb light and lie over each other: the picture is the paper times exp(-density).
    A wash is darkest at its wet edge, granulates in the tooth of the paper, and thins into mist;
    dry strokes of a split brush give the rocks their folds.

    Args:
        size: side of the square picture, in pixels.
        seed: of all randomness; the same seed gives the same picture.

    Returns:
        float32 array `(size, size, 3)`, sRGB in [0, 1].

    Raises:
        ValueError: the canvas is too small to paint on.

    Example:

    >>> paint_ink_wash(size=32).shape
    (32, 32, 3)
    """
    rng = np.random.default_rng(seed)
    sheet = _Sheet(rng, size)
    _paint_sky(rng, sheet)
    for number in range(len(_RANGES)):
        _paint_range(rng, sheet, number)
    _paint_bamboo_stalks(rng, sheet)
    _paint_bamboo_leaves(rng, sheet)
    _paint_plum(rng, sheet)
    fibres = canvas.noise(rng, size, 0.008, 3, stretch=5) + canvas.noise(rng, size, 0.01, 3).T
    paper = _PAPER * (1 + 0.018 * fibres + 0.03 * canvas.noise(rng, size, 0.35, 3))[..., None]
    return canvas.finish(paper * np.exp(-sheet.absorbed))


class _Sheet:
    """Paper with what has soaked into it.

    Attributes:
        y, x: coordinates of each pixel.
        tooth: roughness of the paper, where pigment settles.
        absorbed: optical density of all washes `(size, size, 3)`.
    """

    def __init__(self, rng: np.random.Generator, size: int):
        self.size = size
        self.y, self.x = canvas.coordinates(size)
        self.tooth = canvas.noise(rng, size, 0.006, 3)
        self.absorbed = np.zeros((size, size, 3), np.float32)

    def soak(
        self,
        density: np.ndarray,
        pigment: np.ndarray,
        window: tuple[slice, slice] = (slice(None), slice(None)),
    ) -> None:
        """Lays a wash: where `density` is 1, the paper shows the pigment itself."""
        self.absorbed[window] += density[..., None] * -np.log(np.maximum(pigment / _PAPER, 0.02))

    def blot(
        self, share: np.ndarray, window: tuple[slice, slice] = (slice(None), slice(None))
    ) -> None:
        """Takes away a share of what has soaked in, to make room for what lies before it."""
        self.absorbed[window] *= 1 - share[..., None]

    def strokes(
        self,
        rng: np.random.Generator,
        paths: np.ndarray,
        widths: np.ndarray,
        dark: np.ndarray,
        taper: float,
        pigment: np.ndarray,
    ) -> None:
        """Lays single brush strokes; paths and widths are shares of the side of the sheet."""
        fine = self.size * _FINE
        paths, widths = np.asarray(paths) * fine, np.asarray(widths) * fine
        laid = brush.lay((fine, fine), paths.astype(np.float32), widths, taper)
        hairs = brush.bristles(rng, laid, len(paths), hairs=14, length=4)
        body = np.asarray(dark, np.float32)[laid.stroke]
        body = body * (0.75 + 0.35 * laid.across**2 + 0.20 * hairs - 0.25 * laid.along)
        # Towards the end of a stroke hairs run dry and leave only a trace.
        dry = hairs > np.maximum(0.75, 1.2 * laid.along - 0.3)
        body = np.where(laid.covered, body * np.where(dry, 0.12, 1.0), 0).astype(np.float32)
        self.soak(canvas.shrink(body, _FINE) * (1 + 0.10 * self.tooth), pigment)


def _wet_edge(inside: np.ndarray, width: float) -> np.ndarray:
    """The dark line where pigment gathers, at the inner side of a wash's edge."""
    return np.exp(-np.abs(inside) / width) * (inside > 0)


def _paint_sky(rng: np.random.Generator, sheet: _Sheet) -> None:
    """Clouds of wet-in-wet wash with blooms, and the sun."""
    size, y, x = sheet.size, sheet.y, sheet.x
    cloud = canvas.noise(rng, size, 0.30, 5, stretch=2.0)
    thin = canvas.smoothstep(-0.8, 1.8, cloud) * canvas.smoothstep(0.60, 0.05, y)
    sheet.soak(thin * (0.80 + 0.07 * sheet.tooth), _INDIGO)
    # Where a drop of water pushed the pigment back, it dries in a fringed line.
    fringed = cloud + 0.10 * canvas.noise(rng, size, 0.03, 3)
    for level in (-1.2, -0.6, -0.1, 0.4, 0.9, 1.4):
        past = fringed - level
        pushed = 0.45 * canvas.smoothstep(0.40, 0.0, past) * (past > 0)
        line = np.exp(-np.abs(past) / 0.035) + pushed
        sheet.soak(0.20 * line * canvas.smoothstep(0.55, 0.20, y), _INK)
    sheet.soak(0.22 * canvas.smoothstep(0.22, 0.62, y) * (1 + 0.25 * cloud), _OCHRE)

    rough = 0.0022 * canvas.noise(rng, size, 0.04, 3)
    inside = 0.088 - np.hypot(y - 0.175, x - 0.315) + rough
    disc = canvas.smoothstep(-0.002, 0.004, inside)
    sheet.blot(0.85 * disc)
    wash = disc * (0.72 + 0.07 * sheet.tooth + 0.8 * (y - 0.175)) + 0.5 * _wet_edge(inside, 0.004)
    sheet.soak(np.clip(wash, 0, 2), _VERMILION)


def _ridge(
    rng: np.random.Generator, size: int, foot: float, height: float, width: float
) -> np.ndarray:
    """Where the ridge line runs `(size,)`: steep rounded peaks with broken outlines."""
    x = (np.arange(size) + 0.5) / size
    line = 0.10 * height * (1 + np.sin(2 * np.pi * (x / (1.7 * width) + rng.uniform())))
    middles = np.arange(-width, 1 + width, 1.15 * width)
    for middle in middles + rng.uniform(-0.5, 0.5, len(middles)) * width:
        tall = height * rng.uniform(0.25, 1.0)
        wide = width * rng.uniform(0.55, 1.0)
        line = np.maximum(line, tall * np.exp(-(np.abs((x - middle) / wide) ** 2.6)))
    rough = canvas.noise(rng, size, 0.05, 5)[size // 2]
    return (foot - line - 0.011 * rough * (0.35 + line / height)).astype(np.float32)


def _paint_range(rng: np.random.Generator, sheet: _Sheet, number: int) -> None:
    """One range of hills: two washes that thin into mist, folds of the rock, and trees."""
    foot, height, width, ink, upper, lower = _RANGES[number]
    nearest = number == len(_RANGES) - 1
    ridge = _ridge(rng, sheet.size, foot, height, width)
    slope = ndimage.gaussian_filter1d(np.gradient(ridge) * sheet.size, 0.006 * sheet.size)
    # Distance below the ridge, measured square to it; and downwards, in heights of the range.
    depth = (sheet.y - ridge) / np.sqrt(1 + np.minimum(slope, 3) ** 2)
    below = np.clip((sheet.y - ridge) / height, 0, 4)
    inside = canvas.smoothstep(-0.0010, 0.0022, depth)
    # Near hills hide most of what lies behind.
    sheet.blot(inside * (0.86 - 0.04 * number))
    pool = canvas.noise(rng, sheet.size, 0.10, 4)
    grain = 1 + 0.10 * sheet.tooth + 0.20 * pool
    wash = inside * ink * grain
    mist = np.exp(-((below / (1.1 if nearest else 0.75)) ** 2))
    sheet.soak(wash * mist * (0.62 + 0.55 * np.exp(-np.abs(depth) / 0.012)), upper)
    sheet.soak(wash * 0.50 * np.exp(-(((below - 0.62) / 0.36) ** 2)), lower)
    edge = _wet_edge(depth, 0.0022) * (0.7 + 0.5 * pool)
    sheet.soak(np.clip(edge, 0, 2) * (0.35 + 0.45 * ink), _INK)

    # Folds: dry strokes down the rock, darker on the side away from the light.
    count, fine = 900, sheet.size * _FINE
    column = rng.uniform(0, 0.9999, count)
    spot = (column * sheet.size).astype(np.int32)
    start = ridge[spot] + height * 0.62 * rng.uniform(0.0, 1.0, count) ** 1.4
    aside = 0.55 * np.arctan(0.9 * slope) * np.exp(-below)
    angle = (np.pi / 2 + aside + 0.35 * pool).astype(np.float32)
    starts = np.stack([start, column], axis=-1) * sheet.size
    lengths = height * 0.20 * sheet.size * rng.uniform(0.5, 1.3, count)
    paths = brush.trace(angle, starts, lengths, steps=8) * _FINE
    widths = 0.0075 * fine * rng.uniform(0.4, 1.2, count) * (0.7 + 0.12 * number)
    laid = brush.lay((fine, fine), paths, widths, taper=1.6)
    hairs = brush.bristles(rng, laid, count, hairs=7)
    dark = rng.uniform(0.25, 0.9, count) * np.where(slope[spot] > 0, 1.0, 0.55)
    fold = np.where(laid.covered & (hairs > laid.along - 0.75), dark[laid.stroke], 0)
    fold = canvas.shrink(fold.astype(np.float32), _FINE) * inside * np.exp(-below / 0.9)
    sheet.soak(fold * ink * 0.62 * grain, _INK)

    # Trees, too far to see on the first range: clusters of dabs.
    if number > 0:
        dots = canvas.noise(rng, sheet.size, 0.011, 2) + 0.9 * canvas.noise(
            rng, sheet.size, 0.07, 2
        )
        dots += 1.8 * np.exp(-np.abs(depth) / 0.008) - 0.6
        dab = canvas.smoothstep(0.9, 1.5, dots) * inside * np.exp(-((below / 0.55) ** 2))
        sheet.soak(dab * (0.30 + 0.35 * ink), _INK)
        sheet.soak(dab * 0.35, _MALACHITE)


# Bamboo from near to far: where a stalk leaves the sheet, its lean, thickness and darkness.
_STALKS = ((0.965, -0.10, 0.026, 1.0), (0.86, 0.05, 0.020, 0.8), (0.78, -0.16, 0.012, 0.55))
_JOINTS = 9


def _joint(stalk: int, number: int) -> tuple[float, float]:
    """Where the joint of a stalk is, as y, x; joints stand farther apart higher up."""
    foot, lean, *_ = _STALKS[stalk]
    y = 1.04 - 0.115 * number - 0.003 * number * (number - 1)
    return y, foot + lean * (1.04 - y) + 0.03 * np.sin(3 * y)


def _paint_bamboo_stalks(rng: np.random.Generator, sheet: _Sheet) -> None:
    """One stroke from joint to joint, with a gap between."""
    share = np.linspace(0.03, 0.97, 5)[:, None]
    paths, widths, dark = [], [], []
    for stalk, (_, _, thick, shade) in enumerate(_STALKS):
        for number in range(_JOINTS):
            low, high = np.array(_joint(stalk, number)), np.array(_joint(stalk, number + 1))
            paths.append(low + (high - low) * share)
            widths.append(thick * (1 - 0.03 * number))
            dark.append(shade * rng.uniform(0.8, 1.15))
    dark = np.array(dark)
    sheet.strokes(rng, paths, widths, 0.90 * dark, 16, _MALACHITE)
    sheet.strokes(rng, paths, widths, 0.42 * dark, 16, _INK)


def _paint_bamboo_leaves(rng: np.random.Generator, sheet: _Sheet) -> None:
    """Leaves hang from the joints in groups of three to five, pale ones behind dark ones."""
    joints = [_joint(stalk, 1 + number) for stalk in range(3) for number in range(_JOINTS)]
    along = np.linspace(0, 1, 9)
    paths, widths, dark = [], [], []
    for y, x in joints * 2:
        if y > 0.93:
            continue
        foot = np.array([y + rng.normal(0, 0.02), x + rng.normal(-0.03, 0.04)])
        heading = rng.uniform(1.2, 2.9)
        shade = rng.choice([0.35, 0.7, 1.15])
        for blade in range(rng.integers(3, 6)):
            turn = heading + 0.42 * (blade - 1.5) + rng.normal(0, 0.10)
            length = rng.uniform(0.085, 0.155)
            bend = turn + 0.35 * along * np.sign(np.cos(turn))
            steps = np.stack([np.sin(bend), np.cos(bend)], axis=-1) * length / 8
            paths.append(foot + np.cumsum(steps, axis=0))
            widths.append(0.15 * length * rng.uniform(0.8, 1.2))
            dark.append(shade * rng.uniform(0.85, 1.1))
    order = np.argsort(dark)
    paths, widths, dark = np.array(paths)[order], np.array(widths)[order], np.array(dark)[order]
    sheet.strokes(rng, paths, widths, dark, 1.9, _INK)


def _paint_plum(rng: np.random.Generator, sheet: _Sheet) -> None:
    """A gnarled branch from the left edge, in blossom."""
    twigs, widths, buds = [], [], []

    def grow(y, x, heading, length, thick, level):
        points = [(y, x)]
        for _ in range(6):
            heading += rng.normal(0, 0.22)
            y += np.sin(heading) * length / 6
            x += np.cos(heading) * length / 6
            points.append((y, x))
        twigs.append(points)
        widths.append(thick)
        if level > 0:
            buds.extend(points[1:])
        if level == 3:
            return
        for side in (-1, 1):
            fork = points[rng.integers(2, 6)]
            away = heading + side * rng.uniform(0.4, 0.9)
            grow(*fork, away, 0.62 * length, 0.55 * thick, level + 1)
        grow(y, x, heading + rng.normal(0, 0.3), 0.75 * length, 0.7 * thick, level + 1)

    grow(0.66, -0.03, -0.55, 0.20, 0.024, 0)
    sheet.strokes(rng, twigs, widths, rng.uniform(0.8, 1.2, len(twigs)), 12, _INK)
    for number in rng.permutation(len(buds))[:46]:
        y, x = np.array(buds[number]) + rng.normal(0, 0.008, 2)
        _paint_blossom(rng, sheet, y, x, rng.uniform(0.013, 0.023))


def _paint_blossom(
    rng: np.random.Generator, sheet: _Sheet, y: float, x: float, reach: float
) -> None:
    """Five petals, a small wash with a wet edge, and a ring of stamens."""
    size = sheet.size
    top, left = int((y - 1.3 * reach) * size), int((x - 1.3 * reach) * size)
    span = int(2.6 * reach * size) + 2
    if min(top, left) < 0 or max(top, left) + span > size:
        return
    rows = ((np.arange(top, top + span) + 0.5) / size - y)[:, None] / reach
    columns = ((np.arange(left, left + span) + 0.5) / size - x)[None, :] / reach
    radius, turn = np.hypot(rows, columns), np.arctan2(rows, columns) + rng.uniform(0, 6)
    inside = 0.62 + 0.38 * np.abs(np.cos(2.5 * turn)) ** 0.6 - radius
    disc = canvas.smoothstep(-0.03, 0.06, inside)
    stamens = (np.abs(np.cos(5 * turn)) > 0.93) & (radius > 0.18) & (radius < 0.42)
    window = (slice(top, top + span), slice(left, left + span))
    sheet.blot(0.9 * disc, window)
    petals = disc * (0.35 + 0.35 * radius) + 0.55 * _wet_edge(inside, 0.10)
    sheet.soak(petals, _ROSE if rng.uniform() < 0.6 else _VERMILION, window)
    sheet.soak(0.8 * stamens + 0.9 * (radius < 0.14), _INK, window)
