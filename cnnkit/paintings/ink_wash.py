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

# Ranges from far to near: foot of the range, height of its peaks, their width, ink, and colours
# of the wash at the ridge and lower down.
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
    y, x = canvas.coordinates(size)
    tooth = canvas.noise(rng, size, 0.006, 3)
    absorbed = np.zeros((size, size, 3), np.float32)
    _sky(rng, absorbed, y, x, tooth)
    for number, hills in enumerate(_RANGES):
        _range(rng, absorbed, y, x, tooth, hills, number)
    _bamboo(rng, absorbed, size, tooth)
    _plum(rng, absorbed, size, tooth)
    fibres = canvas.noise(rng, size, 0.008, 3, stretch=5) + canvas.noise(rng, size, 0.01, 3).T
    paper = _PAPER * (1 + 0.018 * fibres + 0.03 * canvas.noise(rng, size, 0.35, 3))[..., None]
    return canvas.finish(paper * np.exp(-absorbed))


def _soak(absorbed: np.ndarray, density: np.ndarray, colour: np.ndarray) -> None:
    """Lays a wash: `density` 1 lets the colour itself through."""
    absorbed += density[..., None] * -np.log(np.maximum(colour / _PAPER, 0.02))


def _wet_edge(distance: np.ndarray, width: float) -> np.ndarray:
    """The dark line where pigment gathers, at the inner side of a wash's edge."""
    return np.exp(-np.abs(distance) / width) * (distance > 0)


def _sky(rng, absorbed, y, x, tooth):
    """Clouds of wet-in-wet wash with blooms, and the sun."""
    size = len(y)
    cloud = canvas.noise(rng, size, 0.30, 5, stretch=2.0)
    thin = canvas.smoothstep(-0.8, 1.8, cloud) * canvas.smoothstep(0.60, 0.05, y)
    _soak(absorbed, thin * (0.80 + 0.07 * tooth), _INDIGO)
    # Where a drop of water pushed the pigment back, it dries in a fringed line: dark, then pale.
    fringed = cloud + 0.10 * canvas.noise(rng, size, 0.03, 3)
    for level in (-1.2, -0.6, -0.1, 0.4, 0.9, 1.4):
        past = fringed - level
        line = np.exp(-np.abs(past) / 0.035) + 0.45 * canvas.smoothstep(0.40, 0.0, past) * (
            past > 0
        )
        _soak(absorbed, 0.20 * line * canvas.smoothstep(0.55, 0.20, y), _INK)
    _soak(absorbed, 0.22 * canvas.smoothstep(0.22, 0.62, y) * (1 + 0.25 * cloud), _OCHRE)
    rough = 0.0022 * canvas.noise(rng, size, 0.04, 3)
    inside = 0.088 - np.hypot(y - 0.175, x - 0.315) + rough
    disc = canvas.smoothstep(-0.002, 0.004, inside)
    absorbed *= (1 - 0.85 * disc)[..., None]
    wash = disc * (0.72 + 0.18 * tooth * 0.4 + 0.8 * (y - 0.175)) + 0.5 * _wet_edge(inside, 0.004)
    _soak(absorbed, np.clip(wash, 0, 2), _VERMILION)


def _ridge(rng, size, foot, height, width):
    """Height of the ridge line `(size,)`: steep rounded peaks with broken outlines."""
    x = (np.arange(size) + 0.5) / size
    line = 0.10 * height * (1 + np.sin(2 * np.pi * (x / (1.7 * width) + rng.uniform())))
    middles = np.arange(-width, 1 + width, 1.15 * width)
    for middle in middles + rng.uniform(-0.5, 0.5, len(middles)) * width:
        tall = height * rng.uniform(0.25, 1.0)
        wide = width * rng.uniform(0.55, 1.0)
        line = np.maximum(line, tall * np.exp(-(np.abs((x - middle) / wide) ** 2.6)))
    rough = canvas.noise(rng, size, 0.05, 5)[size // 2]
    return foot - line - 0.011 * rough * (0.35 + line / height)


def _range(rng, absorbed, y, x, tooth, hills, number):
    """One range of hills: mist below what is farther, two washes, and the folds of the rock."""
    foot, height, width, ink, upper, lower = hills
    size = len(y)
    ridge = _ridge(rng, size, foot, height, width).astype(np.float32)
    slope = ndimage.gaussian_filter1d(np.gradient(ridge) * size, 0.006 * size)
    # Distance below the ridge, measured square to it.
    depth = (y - ridge) / np.sqrt(1 + np.minimum(slope, 3) ** 2)
    inside = canvas.smoothstep(-0.0010, 0.0022, depth)
    below = np.clip((y - ridge) / height, 0, 4)
    # Near hills are opaque enough to hide most of what lies behind.
    absorbed *= (1 - inside * (0.86 - 0.04 * number))[..., None]
    mist = np.exp(-((below / (0.75 if number < 4 else 1.1)) ** 2))
    pool = canvas.noise(rng, size, 0.10, 4)
    grain = 1 + 0.10 * tooth + 0.20 * pool
    wash = inside * ink * grain
    _soak(absorbed, wash * mist * (0.62 + 0.55 * np.exp(-np.abs(depth) / 0.012)), upper)
    warm = np.exp(-(((below - 0.62) / 0.36) ** 2))
    _soak(absorbed, wash * warm * 0.50, lower)
    edge = _wet_edge(depth, 0.0022) * (0.7 + 0.5 * pool)
    _soak(absorbed, np.clip(edge, 0, 2) * (0.35 + 0.45 * ink), _INK)

    # Folds: dry strokes down the rock, closer and darker on the side away from the light.
    count = 900
    fine = size * _FINE
    column = rng.uniform(0, 0.9999, count)
    spot = (column * size).astype(np.int32)
    start = ridge[spot] + height * 0.62 * rng.uniform(0.0, 1.0, count) ** 1.4
    angle = np.pi / 2 + np.arctan(0.9 * slope)[None, :] * 0.55 * np.exp(-below) + 0.35 * pool
    starts = np.stack([start, column], axis=-1) * size
    length = height * 0.20 * size * rng.uniform(0.5, 1.3, count)
    paths = brush.trace(angle.astype(np.float32), starts, length, 8) * _FINE
    widths = 0.0075 * fine * rng.uniform(0.4, 1.2, count) * (0.7 + 0.12 * number)
    laid = brush.lay((fine, fine), paths.astype(np.float32), widths, taper=1.6)
    hairs = brush.bristles(rng, laid, count, hairs=7)
    dark = rng.uniform(0.25, 0.9, count) * np.where(slope[spot] > 0, 1.0, 0.55)
    stroke = np.where(laid.covered & (hairs > laid.along - 0.75), dark[laid.stroke], 0)
    stroke = canvas.shrink(stroke.astype(np.float32), _FINE) * inside * np.exp(-below / 0.9)
    _soak(absorbed, stroke * ink * 0.62 * grain, _INK)

    # Trees on the slopes: clusters of dabs.
    if number >= 1:
        dots = canvas.noise(rng, size, 0.011, 2) + 0.9 * canvas.noise(rng, size, 0.07, 2)
        dots += 1.8 * np.exp(-np.abs(depth) / 0.008) - 0.6
        dab = canvas.smoothstep(0.9, 1.5, dots) * inside * np.exp(-((below / 0.55) ** 2))
        _soak(absorbed, dab * (0.30 + 0.35 * ink), _INK)
        _soak(absorbed, dab * 0.35, _MALACHITE)


def _stamp(rng, absorbed, tooth, paths, widths, dark, taper, colour, dry=0.6):
    """A layer of single brush strokes in ink."""
    size = len(tooth)
    laid = brush.lay((size * _FINE, size * _FINE), paths, widths, taper)
    hairs = brush.bristles(rng, laid, len(paths), hairs=14, length=4)
    body = dark[laid.stroke] * (0.75 + 0.35 * laid.across**2 + 0.20 * hairs - 0.25 * laid.along)
    broken = hairs > 1.2 * laid.along + 0.6 - 2.6 * (1 - dry)
    stroke = np.where(laid.covered & ~(broken & (hairs > 0.75)), body, 0.12 * laid.covered * body)
    _soak(absorbed, canvas.shrink(stroke.astype(np.float32), _FINE) * (1 + 0.10 * tooth), colour)


def _bamboo(rng, absorbed, size, tooth):
    """Stalks in joints from the lower right, with leaves in groups of three to five."""
    fine = size * _FINE
    stalks, stalk_widths, stalk_dark, nodes = [], [], [], []
    for foot, lean, thick, dark in (
        (0.965, -0.10, 0.026, 1.0), (0.86, 0.05, 0.020, 0.8), (0.78, -0.16, 0.012, 0.55),
    ):  # fmt: skip
        bottom = 1.04
        for joint in range(9):
            top = bottom - 0.115 - 0.006 * joint
            at = [foot + lean * (1.04 - h) + 0.03 * np.sin(3 * h) for h in (bottom, top)]
            stalks.append([[bottom - 0.004, at[0]], [top + 0.004, at[1]]])
            stalk_widths.append(thick * (1 - 0.03 * joint))
            stalk_dark.append(dark * rng.uniform(0.8, 1.15))
            nodes.append((top, at[1], thick))
            bottom = top
    line = np.linspace(0, 1, 5)[None, :, None]
    ends = np.array(stalks)
    paths = ((ends[:, :1] * (1 - line) + ends[:, 1:] * line) * fine).astype(np.float32)
    widths = np.array(stalk_widths) * fine
    dark = np.array(stalk_dark)
    _stamp(rng, absorbed, tooth, paths, widths, dark * 0.9, 16.0, _MALACHITE)
    _stamp(rng, absorbed, tooth, paths, widths, dark * 0.42, 16.0, _INK)

    leaves, widths, dark = [], [], []
    for y, x, _ in nodes * 2:
        if y > 0.93:
            continue
        y += rng.normal(0, 0.02)
        x += rng.normal(-0.03, 0.04)
        heading = rng.uniform(1.2, 2.9)
        shade = rng.choice([0.35, 0.7, 1.15])
        for blade in range(rng.integers(3, 6)):
            turn = heading + 0.42 * (blade - 1.5) + rng.normal(0, 0.10)
            length = rng.uniform(0.085, 0.155)
            t = np.linspace(0, 1, 9)
            bend = turn + 0.35 * t * np.sign(np.cos(turn)) * 1.0
            steps = np.stack([np.sin(bend), np.cos(bend)], -1) * length / 8
            leaves.append(np.array([y, x]) + np.cumsum(steps, axis=0))
            widths.append(0.15 * length * rng.uniform(0.8, 1.2))
            dark.append(shade * rng.uniform(0.85, 1.1))
    order = np.argsort(dark)
    paths = (np.array(leaves)[order] * fine).astype(np.float32)
    _stamp(
        rng,
        absorbed,
        tooth,
        paths,
        np.array(widths)[order] * fine,
        np.array(dark)[order],
        1.9,
        _INK,
    )


def _plum(rng, absorbed, size, tooth):
    """A gnarled branch from the upper left with blossoms and buds."""
    fine = size * _FINE
    twigs, widths, tips = [], [], []

    def grow(y, x, heading, length, thick, level):
        points = [(y, x)]
        for _ in range(6):
            heading += rng.normal(0, 0.22)
            y += np.sin(heading) * length / 6
            x += np.cos(heading) * length / 6
            points.append((y, x))
            if level >= 1:
                tips.append((y, x))
        twigs.append(points)
        widths.append(thick)
        if level < 3:
            for side in (-1, 1):
                joint = points[rng.integers(2, 6)]
                grow(
                    *joint,
                    heading + side * rng.uniform(0.4, 0.9),
                    0.62 * length,
                    0.55 * thick,
                    level + 1,
                )
            grow(y, x, heading + rng.normal(0, 0.3), 0.75 * length, 0.7 * thick, level + 1)

    grow(0.66, -0.03, -0.55, 0.20, 0.024, 0)
    paths = (np.array(twigs) * fine).astype(np.float32)
    dark = rng.uniform(0.8, 1.2, len(twigs))
    _stamp(rng, absorbed, tooth, paths, np.array(widths) * fine, dark, 12.0, _INK, dry=0.75)
    chosen = rng.permutation(len(tips))[:46]
    for number in chosen:
        y, x = np.array(tips[number]) + rng.normal(0, 0.008, 2)
        _blossom(rng, absorbed, y, x, rng.uniform(0.013, 0.023))


def _blossom(rng, absorbed, y, x, reach):
    """Five petals, each a small wash with a wet edge, and a ring of stamens."""
    size = len(absorbed)
    top, left = int((y - 1.3 * reach) * size), int((x - 1.3 * reach) * size)
    span = int(2.6 * reach * size) + 2
    if top < 0 or left < 0 or top + span > size or left + span > size:
        return
    rows = ((np.arange(top, top + span) + 0.5) / size - y)[:, None] / reach
    columns = ((np.arange(left, left + span) + 0.5) / size - x)[None, :] / reach
    r, turn = np.hypot(rows, columns), np.arctan2(rows, columns) + rng.uniform(0, 6)
    outline = 0.62 + 0.38 * np.abs(np.cos(2.5 * turn)) ** 0.6
    inside = outline - r
    disc = canvas.smoothstep(-0.03, 0.06, inside)
    patch = absorbed[top : top + span, left : left + span]
    patch *= (1 - 0.9 * disc)[..., None]
    wash = disc * (0.35 + 0.35 * r) + 0.55 * _wet_edge(inside, 0.10)
    _soak(patch, wash.astype(np.float32), _ROSE if rng.uniform() < 0.6 else _VERMILION)
    stamens = (np.abs(np.cos(5 * turn)) > 0.93) & (r > 0.18) & (r < 0.42)
    _soak(patch, (0.8 * stamens + 0.9 * (r < 0.14)).astype(np.float32), _INK)
