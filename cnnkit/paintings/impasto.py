"""Thick oil paint: a storm of light turning over a wheat field with poppies."""

import numpy as np
from scipy import ndimage

from cnnkit.paintings import _brush as brush
from cnnkit.paintings import _canvas as canvas

_FINE = 2

_SKY = canvas.pigments(
    "#0d1a4a", "#142a78", "#1c46a8", "#2b6cc4", "#4f9bcf", "#8cc7cf", "#cfe3c0"
)  # fmt: skip
_LIGHT = canvas.pigments("#f2b21c", "#f8d43a", "#fbeb86", "#fffbe0")
_HILLS = canvas.pigments("#12305e", "#1d5470", "#2c7a72", "#5d9a63")
_WHEAT = canvas.pigments("#7a4a12", "#b8781a", "#dca126", "#f0c645", "#f7e08a")
_GRASS = canvas.pigments("#123a2c", "#2b6238", "#5f8a2c", "#a3b03c")
_TREE = canvas.pigments("#0b1c22", "#12382e", "#1f5a3a", "#4a7a34")
_POPPY = canvas.pigments("#a31420", "#d9301e", "#f0562a")

# The whirls of the sky: y, x, reach, strength and sense of turning.
_WHIRLS = (
    (0.25, 0.66, 0.17, 1.0),
    (0.17, 0.20, 0.11, -0.9),
    (0.40, 0.36, 0.09, 0.8),
    (0.07, 0.47, 0.07, -0.7),
    (0.42, 0.93, 0.08, -0.7),
)


def paint_impasto(size: int = 640, seed: int = 5) -> np.ndarray:
    """Paints a landscape in thick, directed brush strokes.

    A composition of colour and direction is covered with thousands of strokes, broad ones first;
    hairs of the brush furrow each stroke, and light from the upper left rakes over the relief.

    Args:
        size: side of the square picture, in pixels.
        seed: of all randomness; the same seed gives the same picture.

    Returns:
        float32 array `(size, size, 3)`, sRGB in [0, 1].

    Example:

    >>> paint_impasto(size=32).shape
    (32, 32, 3)
    """
    rng = np.random.default_rng(seed)
    fine = size * _FINE
    design, angle, detail = _compose(rng, size)
    pixels = np.repeat(np.repeat(design, _FINE, 0), _FINE, 1) * 0.6
    relief = np.zeros((fine, fine), np.float32)
    # (strokes, width, length) as shares of the side; small strokes go where the detail is.
    layers = (
        (1500, 0.030, 0.120, 0.0),
        (3200, 0.017, 0.080, 0.25),
        (3600, 0.0105, 0.055, 0.6),
    )
    for count, width, length, focus in layers:
        starts = _scatter(rng, count, detail, focus)
        row, column = (starts * size).astype(np.int32).T
        colours = canvas.vary(rng, design[row, column], light=0.13, tint=0.030)
        lengths = length * fine * rng.uniform(0.6, 1.3, count) * (1.15 - 0.5 * detail[row, column])
        widths = width * fine * rng.uniform(0.7, 1.25, count)
        lean = rng.normal(0, 0.10, count)
        paths = brush.trace(angle, starts * size, lengths / _FINE) * _FINE
        paths += _lean(paths, lean)
        pixels, relief = _apply(rng, pixels, relief, paths, widths, colours)
    pixels, relief = _poppies(rng, pixels, relief, fine)
    shade = canvas.raking_light(ndimage.gaussian_filter(relief, 0.8 * size / 640), 0.9)
    pixels = pixels * (1 + 0.30 * shade)[..., None] + 0.10 * np.maximum(shade, 0)[..., None] ** 2
    return canvas.finish(canvas.shrink(pixels, _FINE))


def _compose(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour, stroke direction, and where the eye wants detail."""
    y, x = canvas.coordinates(size)
    drift = canvas.noise(rng, size, 0.25, 3)
    # The sky flows along the level lines of a landscape whose peaks are the whirls.
    stream = 0.50 * y + 0.030 * np.sin(7 * x + 1.5) + 0.012 * drift
    glow = np.zeros_like(y)
    turns = np.zeros_like(y)
    for cy, cx, reach, strength in _WHIRLS:
        distance = np.hypot(y - cy, x - cx)
        near = np.exp(-((distance / reach) ** 2))
        stream += strength * 0.85 * reach * near
        glow = np.maximum(glow, np.exp(-((distance / (0.62 * reach)) ** 2)))
        turns += near * np.sin(2 * np.pi * distance / (0.36 * reach))
    down, right = np.gradient(stream)
    angle = np.arctan2(-right, down)

    bands = np.sin(75 * stream + 0.8 * drift)
    design = canvas.gradient(_SKY, 0.34 + 0.22 * bands + 0.16 * turns + 0.35 * (y - 0.25))
    design = canvas.mix(
        design,
        canvas.gradient(_LIGHT, glow * 1.05 + 0.12 * turns),
        canvas.smoothstep(0.10, 0.6, glow),
    )
    detail = 0.35 + 0.65 * canvas.smoothstep(0.05, 0.4, glow)

    def ground(where, colour, direction, fineness):
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

    # A dark path of grass in the foreground corner and a cypress-green flame of trees.
    bank = 0.90 - 0.16 * np.exp(-(((x - 0.02) / 0.30) ** 2)) + 0.015 * np.sin(17 * x)
    ground(
        y > bank,
        canvas.gradient(_GRASS, 0.42 + 0.20 * drift + 0.22 * np.sin(55 * (y - bank))),
        -np.pi / 2 + 0.8 * np.sin(11 * x + 4 * y),
        0.75,
    )
    for cx, foot, tip, half in ((0.115, 0.80, 0.17, 0.062), (0.215, 0.76, 0.36, 0.040)):
        height = np.clip((foot - y) / (foot - tip), 0, 1)
        sway = cx + 0.018 * np.sin(9 * y + 20 * cx)
        flame = half * np.maximum(np.sin(np.pi * height**0.62), 0) ** 0.75
        flame *= 1 + 0.14 * np.sin(48 * y + 30 * (x > sway))
        side = (x - sway) / half
        ground(
            (np.abs(x - sway) < flame) & (height > 0),
            canvas.gradient(_TREE, 0.42 + 0.30 * np.sin(7 * side + 26 * y) - 0.18 * side),
            -np.pi / 2 + 0.75 * side + 0.35 * np.sin(30 * y),
            0.8,
        )
    return design.astype(np.float32), angle.astype(np.float32), detail.astype(np.float32)


def _scatter(rng: np.random.Generator, count: int, detail: np.ndarray, focus: float) -> np.ndarray:
    """Middles of strokes in [0, 1): evenly spread cells, thinned where there is little detail."""
    side = int(np.ceil(np.sqrt(count / (1 - 0.5 * focus))))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
    starts = np.minimum((grid + rng.uniform(0, 1, grid.shape)) / side, 0.9999)
    row, column = (starts * len(detail)).astype(np.int32).T
    keep = np.argsort(rng.uniform(0, 1, len(starts)) - focus * detail[row, column])[:count]
    return starts[rng.permutation(keep)]


def _lean(paths: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """What turns each path about its middle by `angle` radians."""
    arm = paths - paths[:, paths.shape[1] // 2, None]
    return np.stack([arm[..., 1], -arm[..., 0]], axis=-1) * angle[:, None, None]


def _apply(rng, pixels, relief, paths, widths, colours):
    """One layer of strokes over the paint below: colour streaked by hairs, ridges at the edges."""
    laid = brush.lay(pixels.shape[:2], paths, widths)
    hairs = brush.bristles(rng, laid, len(paths))
    load = 1 - 0.5 * laid.along
    second = canvas.vary(rng, colours, light=0.18, tint=0.05)
    stroke = laid.stroke
    # Paint that was not stirred: some hairs carry a second colour.
    fresh = canvas.mix(colours[stroke], second[stroke], canvas.smoothstep(0.0, 0.8, hairs))
    fresh *= (1 + 0.07 * hairs)[..., None]
    ridge = canvas.smoothstep(0.70, 0.95, np.abs(laid.across)) + canvas.smoothstep(
        0.9, 1, laid.along
    )
    body = widths[stroke] * (0.10 * load * (1 + 0.9 * hairs) + 0.11 * ridge)
    on = laid.covered & (hairs > 1.9 * laid.along - 2.45)
    return (
        np.where(on[..., None], fresh, pixels),
        np.where(on, 0.45 * relief + body, relief).astype(np.float32),
    )


def _poppies(rng, pixels, relief, size):
    """Dabs of red in the wheat, larger towards the viewer."""
    count = 240
    depth = rng.uniform(0, 1, count) ** 0.75
    depth.sort()
    y = 0.70 + 0.29 * depth
    x = 0.5 + 0.5 * np.sin(rng.uniform(-1.4, 1.4, count) + 0.9 * np.sin(14 * y))
    reach = (0.006 + 0.013 * depth) * size
    turn = rng.uniform(-0.7, 0.7, count)
    line = np.linspace(-0.5, 0.5, 5)[None, :]
    paths = np.stack(
        [
            y[:, None] * size
            + line * (reach * np.sin(turn))[:, None]
            - 2.5 * line**2 * reach[:, None],
            x[:, None] * size + line * (reach * np.cos(turn))[:, None],
        ],
        axis=-1,
    ).astype(np.float32)
    colours = canvas.vary(rng, canvas.gradient(_POPPY, rng.uniform(0, 1, count)), 0.1, 0.02)
    return _apply(rng, pixels, relief, paths, 0.85 * reach, colours)
