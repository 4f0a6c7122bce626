"""Thick oil paint: a turning sun and clouds over olive trees, wheat and poppies."""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from cnnkit.paintings import _brush as brush
from cnnkit.paintings import _canvas as canvas

_FINE = 2

_SKY = canvas.pigments(
    "#142468", "#1d3f9c", "#2b66c2", "#4f97cf", "#86c4cc", "#c9dfc0", "#f2d9a0"
)  # fmt: skip
_SUN = canvas.pigments("#f08a24", "#f7b52a", "#fbd94a", "#fdf0a0", "#fffce6")
_CLOUD = canvas.pigments("#7a86c8", "#d99aa8", "#f4c9a8", "#fbeed2")
_HILLS = canvas.pigments("#23387e", "#2f5f96", "#3f8a90", "#7fb08a")
_WHEAT = canvas.pigments("#8a5214", "#c4821c", "#e2a828", "#f3ca48", "#f9e792")
_GRASS = canvas.pigments("#123a2c", "#2b6238", "#5f8a2c", "#a9b640")
_OLIVE = canvas.pigments("#13263c", "#1d4a4a", "#3f7550", "#86a35a", "#cfd27e")
_TRUNK = canvas.pigments("#2a1c2e", "#6a4630", "#b0814a")
_POPPY = canvas.pigments("#a31420", "#d9301e", "#f0562a")

# Where the sky turns: y, x, reach, and strength with the sense of turning.
_SUN_WHIRL = (0.235, 0.665, 0.185, 1.0)
_CLOUD_WHIRLS = (
    (0.145, 0.175, 0.115, -1.0),
    (0.335, 0.365, 0.085, 0.9),
    (0.055, 0.430, 0.075, -0.8),
    (0.400, 0.930, 0.080, -0.8),
    (0.075, 0.925, 0.080, 0.8),
)

# Olive trees: foot (y, x) and size.
_TREES = ((0.665, 0.245, 0.62), (0.790, 0.130, 1.0), (0.672, 0.905, 0.55))


def paint_impasto(size: int = 640, seed: int = 5) -> np.ndarray:
    """Paints a landscape in thick, directed brush strokes.

    A composition of colour and direction is covered with thousands of strokes, broad ones first;
    hairs of the brush furrow each stroke, and light from the upper left rakes over the relief.

    Args:
        size: side of the square picture, in pixels.
        seed: of all randomness; the same seed gives the same picture.

    Returns:
        float32 array `(size, size, 3)`, sRGB in [0, 1].

    Raises:
        ValueError: the canvas is too small to paint on.

    Example:

    >>> paint_impasto(size=32).shape
    (32, 32, 3)
    """
    rng = np.random.default_rng(seed)
    design, angle, detail = _compose(rng, size)
    paint = _Paint(0.6 * design)
    # Number of strokes, width and length as shares of the side, and how much the small ones keep
    # to where the detail is.
    for count, width, length, focus in (
        (1500, 0.0300, 0.120, 0.00),
        (3200, 0.0170, 0.080, 0.25),
        (3600, 0.0105, 0.055, 0.60),
    ):
        starts = _scatter(rng, count, detail, focus)
        row, column = (starts * size).astype(np.int32).T
        colours = canvas.vary(rng, design[row, column], light=0.13, tint=0.030)
        lengths = length * size * rng.uniform(0.6, 1.3, count) * (1.15 - 0.5 * detail[row, column])
        widths = width * rng.uniform(0.7, 1.25, count)
        paths = brush.trace(angle, starts * size, lengths) / size
        paint.strokes(rng, _turn(paths, rng.normal(0, 0.10, count)), widths, colours)
    _add_poppies(rng, paint)
    return canvas.finish(canvas.shrink(paint.lit(), _FINE))


class _Paint:
    """Wet paint at twice the size of the picture: its colour, and how thick it lies.

    Args:
        ground: the primed canvas `(size, size, 3)`.
    """

    def __init__(self, ground: np.ndarray):
        self.pixels = ground.repeat(_FINE, axis=0).repeat(_FINE, axis=1)
        self.relief = np.zeros(self.pixels.shape[:2], np.float32)

    def strokes(
        self,
        rng: np.random.Generator,
        paths: np.ndarray,
        widths: np.ndarray,
        colours: np.ndarray,
    ) -> None:
        """Lays strokes over what is there; paths and widths are shares of the side."""
        fine = len(self.pixels)
        laid = brush.lay(self.relief.shape, (paths * fine).astype(np.float32), widths * fine)
        hairs = brush.bristles(rng, laid, len(paths))
        # Paint that was not stirred: some hairs carry a second colour.
        second = canvas.vary(rng, colours, light=0.18, tint=0.05)
        streak = canvas.smoothstep(0.0, 0.8, hairs)
        fresh = canvas.mix(colours[laid.stroke], second[laid.stroke], streak)
        fresh *= (1 + 0.07 * hairs)[..., None]
        # The brush pushes paint to the edges and to the end of a stroke.
        ridge = canvas.smoothstep(0.70, 0.95, np.abs(laid.across))
        ridge += canvas.smoothstep(0.90, 1.00, laid.along)
        load = (1 - 0.5 * laid.along) * (1 + 0.9 * hairs)
        body = (widths * fine).astype(np.float32)[laid.stroke] * (0.10 * load + 0.11 * ridge)
        # Towards the end some hairs run dry.
        on = laid.covered & (hairs > 1.9 * laid.along - 2.45)
        self.pixels = np.where(on[..., None], fresh, self.pixels)
        self.relief = np.where(on, 0.45 * self.relief + body, self.relief)

    def lit(self) -> np.ndarray:
        """The paint in light that rakes over it from the upper left."""
        smooth = ndimage.gaussian_filter(self.relief, len(self.relief) / 1600)
        shade = canvas.raking_light(smooth, 0.9)[..., None]
        return self.pixels * (1 + 0.30 * shade) + 0.10 * np.maximum(shade, 0) ** 2


def _compose(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour, stroke direction, and where the eye wants detail."""
    y, x = canvas.coordinates(size)
    drift = canvas.noise(rng, size, 0.25, 3)
    # The sky flows along the level lines of a landscape whose peaks are the whirls.
    stream = 0.50 * y + 0.030 * np.sin(7 * x + 1.5) + 0.012 * drift
    turns = np.zeros_like(y)
    for cy, cx, reach, strength in (_SUN_WHIRL, *_CLOUD_WHIRLS):
        distance = np.hypot(y - cy, x - cx)
        near = np.exp(-((distance / reach) ** 2))
        stream += strength * 0.85 * reach * near
        spiral = distance / (0.42 * reach) - np.arctan2(y - cy, x - cx) / (2 * np.pi) * strength
        turns += near * np.sin(2 * np.pi * spiral)
    down, right = np.gradient(stream)
    angle = np.arctan2(-right, down)

    bands = np.sin(75 * stream + 0.8 * drift)
    design = canvas.gradient(_SKY, 0.30 + 0.17 * bands + 0.12 * turns + 0.65 * (y - 0.20))
    detail = np.full_like(y, 0.35)
    for cy, cx, reach, _ in _CLOUD_WHIRLS:
        near = np.exp(-((np.hypot(y - cy, x - cx) / (0.85 * reach)) ** 2))
        cloud = canvas.smoothstep(0.15, 0.75, near * (0.75 + 0.5 * turns))
        design = canvas.mix(design, canvas.gradient(_CLOUD, 0.45 + 0.5 * turns), 0.92 * cloud)
        detail += 0.35 * near
    cy, cx, reach, _ = _SUN_WHIRL
    far = np.hypot(y - cy, x - cx) / reach
    shine = canvas.smoothstep(1.05, 0.45, far + 0.12 * turns)
    design = canvas.mix(design, canvas.gradient(_SUN, 1.0 - 0.80 * far + 0.14 * turns), shine)
    detail += 0.5 * shine

    def ground(
        where: np.ndarray, colour: np.ndarray, direction: np.ndarray, fineness: float
    ) -> None:
        nonlocal design, angle, detail
        design = np.where(where[..., None], colour, design)
        angle = np.where(where, direction, angle)
        detail = np.where(where, fineness, detail)

    # Two ranges of hills, strokes along their slopes.
    for number, (base, swing, waves, phase) in enumerate(
        [(0.535, 0.040, 1.5, 0.3), (0.585, 0.030, 1.1, 2.6)]
    ):
        ridge = base + swing * np.sin(2 * np.pi * waves * x + phase)
        slope = np.arctan(swing * 2 * np.pi * waves * np.cos(2 * np.pi * waves * x + phase))
        tone = 0.25 + 0.35 * number + 0.25 * np.sin(60 * (y - ridge) + 9 * x)
        ground(y > ridge, canvas.gradient(_HILLS, tone), slope + 0.5 * np.sin(14 * x), 0.4)

    # Wheat in rows that run to a point on the horizon.
    edge = 0.635 + 0.012 * np.sin(9 * x) + 0.03 * (x - 0.4)
    spread = np.arctan2(x - 0.62, y - 0.52)
    rows = np.sin(46 * spread + 0.5 * drift)
    wind = 0.35 * np.sin(26 * y + 10 * x + drift)
    tone = 0.56 + 0.27 * rows + 0.10 * drift + 0.3 * (y - 0.8)
    wheat = canvas.gradient(_WHEAT, tone)
    grassy = canvas.smoothstep(0.55, 0.95, -rows + 0.35 * drift)
    wheat = canvas.mix(wheat, canvas.gradient(_GRASS, 0.55 + 0.25 * drift), 0.75 * grassy)
    ground(y > edge, wheat, np.pi / 2 - spread + wind, 0.65)

    # A bank of grass in the near corner.
    bank = 0.90 - 0.16 * np.exp(-(((x - 0.02) / 0.30) ** 2)) + 0.015 * np.sin(17 * x)
    tone = 0.42 + 0.20 * drift + 0.22 * np.sin(55 * (y - bank))
    upward = -np.pi / 2 + 0.8 * np.sin(11 * x + 4 * y)
    ground(y > bank, canvas.gradient(_GRASS, tone), upward, 0.75)

    for foot_y, foot_x, scale in _TREES:
        for part in _olive_tree(y, x, foot_y, foot_x, scale):
            ground(*part)
    return design.astype(np.float32), angle.astype(np.float32), detail.astype(np.float32)


def _olive_tree(
    y: np.ndarray, x: np.ndarray, foot_y: float, foot_x: float, scale: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, float]]:
    """Shadow, trunk and tufts of leaves: where, colour, direction and detail of each."""
    down, right = (y - foot_y) / scale, (x - foot_x) / scale
    shadow = np.hypot(down * 3.2, right + 0.06) < 0.125
    yield shadow, canvas.gradient(_OLIVE, 0.12 + 0.8 * np.abs(right)), 0.1 + 0 * y, 0.6
    lean = 0.035 * np.sin(16 * down)
    trunk = (np.abs(right - lean) < 0.017 + 0.03 * np.maximum(down + 0.05, 0)) & (down < 0.01)
    trunk &= down > -0.22
    tone = 0.5 - 14 * (right - lean)
    yield trunk, canvas.gradient(_TRUNK, tone), np.pi / 2 + 0.5 * np.sin(22 * down), 0.9
    for tuft_y, tuft_x, reach in (
        (-0.27, 0.085, 0.078), (-0.30, -0.090, 0.085), (-0.21, -0.125, 0.060),
        (-0.20, 0.125, 0.056), (-0.375, 0.000, 0.090), (-0.26, 0.000, 0.072),
    ):  # fmt: skip
        dy, dx = down - tuft_y, right - tuft_x
        turn = np.arctan2(dy, dx)
        rim = reach * (1 + 0.10 * np.sin(9 * turn + 40 * tuft_x))
        distance = np.hypot(dy, dx)
        # Light falls from the sun's side, upper right.
        tone = 0.46 + 4.2 * (0.8 * dx - dy) + 0.16 * np.sin(2 * np.pi * distance / 0.026)
        yield distance < rim, canvas.gradient(_OLIVE, tone), turn + 1.25, 0.85


def _scatter(rng: np.random.Generator, count: int, detail: np.ndarray, focus: float) -> np.ndarray:
    """Middles of strokes in [0, 1): evenly spread cells, thinned where there is little detail."""
    side = int(np.ceil(np.sqrt(count / (1 - 0.5 * focus))))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
    starts = np.minimum((grid + rng.uniform(0, 1, grid.shape)) / side, 0.9999)
    row, column = (starts * len(detail)).astype(np.int32).T
    keep = np.argsort(rng.uniform(0, 1, len(starts)) - focus * detail[row, column])[:count]
    return starts[rng.permutation(keep)]


def _turn(paths: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Paths turned about their middles by small angles in radians."""
    arm = paths - paths[:, paths.shape[1] // 2, None]
    return paths + np.stack([arm[..., 1], -arm[..., 0]], axis=-1) * angle[:, None, None]


def _add_poppies(rng: np.random.Generator, paint: _Paint) -> None:
    """Dabs of red in the wheat, larger towards the viewer."""
    count = 240
    near = np.sort(rng.uniform(0, 1, count) ** 0.75)
    y = 0.70 + 0.29 * near
    x = 0.5 + 0.5 * np.sin(rng.uniform(-1.4, 1.4, count) + 0.9 * np.sin(14 * y))
    reach = (0.006 + 0.013 * near)[:, None]
    turn = rng.uniform(-0.7, 0.7, count)[:, None]
    along = np.linspace(-0.5, 0.5, 5)
    paths = np.stack(
        [
            y[:, None] + reach * (along * np.sin(turn) + 1.2 * along**2),
            x[:, None] + reach * along * np.cos(turn),
        ],
        axis=-1,
    )
    colours = canvas.vary(rng, canvas.gradient(_POPPY, rng.uniform(0, 1, count)), 0.1, 0.02)
    paint.strokes(rng, paths, 0.85 * reach[:, 0], colours)
