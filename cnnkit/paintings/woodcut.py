"""A woodcut in four inks: chrysanthemums and leaves, cut in lines that follow their forms."""

import numpy as np
from scipy import ndimage

from cnnkit.paintings import _canvas as canvas

_FINE = 2

_PAPER = canvas.pigments("#efe3c6")[0]
_KEY = canvas.pigments("#161a2b")[0]
_INKS = canvas.pigments("#c8341f", "#e0a22c", "#2c7a78")  # vermilion, ochre, teal
_RED, _OCHRE, _TEAL = range(3)

# Middle (y, x), reach, petals a ring, rings, and which inks: outer, inner.
_FLOWERS = (
    (0.16, 0.20, 0.235, 15, 5, (_OCHRE, _RED)),
    (0.20, 0.86, 0.200, 14, 5, (_TEAL, _OCHRE)),
    (0.86, 0.14, 0.215, 14, 5, (_TEAL, _OCHRE)),
    (0.90, 0.84, 0.240, 15, 5, (_OCHRE, _RED)),
    (0.50, 0.53, 0.340, 19, 7, (_RED, _RED)),
)


def paint_woodcut(size: int = 640, seed: int = 3) -> np.ndarray:
    """Paints a coloured woodcut.

    Four blocks are cut and printed one over the other on paper: three colours, each a little out
    of register and worn by the grain of its wood, and the dark key block, whose hatching follows
    petals and leaves and swells where they are in shadow.

    Args:
        size: side of the square picture, in pixels.
        seed: of all randomness; the same seed gives the same picture.

    Returns:
        float32 array `(size, size, 3)`, sRGB in [0, 1].

    Example:

    >>> paint_woodcut(size=32).shape
    (32, 32, 3)
    """
    rng = np.random.default_rng(seed)
    fine = size * _FINE
    blocks, key = _cut_blocks(rng, fine)
    paper = _PAPER * (1 + 0.035 * canvas.noise(rng, size, 0.006, 2))[..., None]
    paper = paper * (1 + 0.03 * canvas.noise(rng, size, 0.3, 3))[..., None]
    picture = paper
    for number in range(len(_INKS)):
        slip = rng.normal(0, 0.0022, 2) * fine
        block = ndimage.shift(blocks[number], slip, order=1, mode="nearest")
        ink = _print(rng, canvas.shrink(block, _FINE), wear=0.55)
        # Printing ink is transparent: it multiplies the paper.
        picture = picture * (1 - ink[..., None] * (1 - _INKS[number]))
    ink = _print(rng, canvas.shrink(key, _FINE), wear=0.25)
    return canvas.finish(canvas.mix(picture, np.broadcast_to(_KEY, picture.shape), 0.97 * ink))


def _print(rng: np.random.Generator, block: np.ndarray, wear: float) -> np.ndarray:
    """How much ink a block leaves: less along its grain, none in specks that did not touch."""
    size = len(block)
    grain = canvas.noise(rng, size, 0.004, 2, stretch=40) + 0.5 * canvas.noise(rng, size, 0.12, 3)
    specks = canvas.smoothstep(1.9, 2.5, canvas.noise(rng, size, 0.008, 2) + 0.5 * grain)
    return np.clip(block * (1 - 0.10 * wear * (1.2 + grain)) * (1 - wear * specks), 0, 1)


def _cut_blocks(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The colour blocks `(inks, size, size)` and the key block: 1 where wood is left to print."""
    blocks = np.zeros((len(_INKS), size, size), np.float32)
    key = np.zeros((size, size), np.float32)
    _cut_ground(rng, blocks, key)
    for number, (y, x, reach, petals, rings, _) in enumerate(_FLOWERS):
        for turn in (0.4, 1.5, 2.7, 3.7, 4.7, 5.7):
            turn += rng.normal(0, 0.25)
            along = reach * 0.80
            foot = (y + along * np.sin(turn), x + along * np.cos(turn))
            _cut_leaf(rng, blocks, key, foot, turn, reach * rng.uniform(0.55, 0.72))
        del number, petals, rings
    for y, x, reach, petals, rings, inks in _FLOWERS:
        for ring in range(rings):
            inner = ring / rings
            length = reach * (1 - 0.80 * inner)
            count = max(6, round(petals * (1 - 0.45 * inner)))
            start = rng.uniform(0, 2 * np.pi)
            for number in rng.permutation(count):
                turn = start + 2 * np.pi * (number + rng.normal(0, 0.10)) / count
                width = 1.25 * np.pi * length / count * (0.85 + 0.25 * inner)
                ink = inks[0] if inner < 0.5 else inks[1]
                curl = rng.normal(0.0, 0.30) + 0.35
                _cut_petal(
                    rng,
                    blocks,
                    key,
                    (y, x),
                    turn,
                    length * rng.uniform(0.92, 1.06),
                    width,
                    curl,
                    ink,
                )
        _cut_heart(blocks, key, (y, x), 0.10 * reach)
    return blocks, key


def _window(size, middle, reach):
    """The part of the canvas around a point, and its coordinates from that point."""
    top, left = (max(0, int((m - reach) * size)) for m in middle)
    bottom, right = (min(size, int((m + reach) * size) + 1) for m in middle)
    if top >= bottom or left >= right:
        return None
    rows = (np.arange(top, bottom, dtype=np.float32) + 0.5) / size - middle[0]
    columns = (np.arange(left, right, dtype=np.float32) + 0.5) / size - middle[1]
    return (slice(top, bottom), slice(left, right)), rows[:, None], columns[None, :]


def _lines(phase: np.ndarray, tone: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Hatching: one line where `phase` passes a whole number, as broad as `tone` (0 to 1)."""
    wave = np.abs((phase % 1) - 0.5) * 2
    return canvas.smoothstep(-edge, edge, tone - wave)


def _cut_petal(rng, blocks, key, middle, turn, length, width, curl, ink):
    """One petal over what is there: outline, ribs, shadow at the foot and on one side."""
    size = len(key)
    place = _window(size, middle, 1.1 * length)
    if place is None:
        return
    spot, down, right = place
    along = (right * np.cos(turn) + down * np.sin(turn)) / length
    off = (down * np.cos(turn) - right * np.sin(turn)) / width
    off = off - curl * along**2 * (length / width) * 0.28
    inside_along = np.clip(along, 0, 1)
    half = 0.5 * np.sqrt(np.clip(1 - inside_along**7, 0, 1)) * (0.28 + 0.72 * inside_along**0.8)
    shape = (np.abs(off) < half) & (along > 0) & (along < 1)
    if not shape.any():
        return
    pixel = 1 / (size * width)
    rim = half - np.abs(off)
    outline = (rim < 0.0026 / width) | (along > 1 - 0.0032 / length)
    side = off / np.maximum(half, 1e-3)
    tone = 0.88 - 1.10 * inside_along + 0.45 * np.clip(side, 0, 1) ** 2 + rng.normal(0, 0.04)
    ribs = 7 * width / 0.085
    hatch = _lines(side * max(2.0, ribs) / 2 + 0.5, np.clip(tone, 0, 0.96), np.float32(0.12))
    del pixel
    cut = np.where(outline, 1.0, hatch)
    key[spot][shape] = cut[shape]
    # A white highlight is left along the lighter side.
    colour = 1 - canvas.smoothstep(0.25, 0.15, np.abs(side + 0.45)) * (
        canvas.smoothstep(0.45, 0.6, along) * canvas.smoothstep(0.97, 0.9, along)
    )
    for number in range(len(blocks)):
        blocks[number][spot][shape] = colour[shape] if number == ink else 0.0
    if ink == _TEAL:
        blocks[_TEAL][spot][shape] *= 0.75


def _cut_leaf(rng, blocks, key, middle, turn, length):
    """A serrated leaf with veins."""
    size = len(key)
    place = _window(size, middle, 1.1 * length)
    if place is None:
        return
    spot, down, right = place
    along = (right * np.cos(turn) + down * np.sin(turn)) / length
    off = (down * np.cos(turn) - right * np.sin(turn)) / length
    off = off - 0.10 * np.sin(2.2 * along + rng.uniform(0, 6))
    teeth = ((along * 7 - 2.2 * np.abs(off)) % 1) * 0.055
    body = np.clip(along, 0, 1)
    half = 0.36 * np.sin(np.pi * body**0.8) + teeth * np.sin(np.pi * body)
    shape = (np.abs(off) < half) & (along > 0) & (along < 1)
    if not shape.any():
        return
    rim = (half - np.abs(off)) * length
    spine = np.abs(off) * length
    veins = along * 9 - 5.5 * np.abs(off)
    tone = 0.52 + 0.30 * np.sign(off) - 0.25 * body
    hatch = _lines(veins * 2.6 + 0.2 * (off > 0), np.clip(tone, 0.08, 0.9), np.float32(0.15))
    bare = (np.abs((veins % 1.0) - 0.5) < 0.10) | (spine < 0.0022)
    cut = np.where(rim < 0.0030, 1.0, np.where(bare, 0.0, hatch))
    key[spot][shape] = cut[shape]
    teal = np.where(bare, 0.0, 1.0)
    ochre = np.where(off < 0, 0.75, 0.15)
    blocks[_TEAL][spot][shape] = teal[shape]
    blocks[_OCHRE][spot][shape] = ochre[shape]
    blocks[_RED][spot][shape] = 0.0


def _cut_heart(blocks, key, middle, reach):
    """The dotted heart of a flower."""
    size = len(key)
    spot, down, right = _window(size, middle, reach)
    r = np.hypot(down, right) / reach
    turn = np.arctan2(down, right) / (2 * np.pi)
    ring = np.floor(r * 4)
    dots = np.abs((turn * (3 + 6 * ring) + 0.5 * ring) % 1 - 0.5) + np.abs(r * 4 % 1 - 0.5)
    shape = r < 1
    cut = ((dots > 0.52) | (r > 0.90)).astype(np.float32)
    key[spot][shape] = cut[shape]
    for number in range(len(blocks)):
        blocks[number][spot][shape] = 1.0 if number == _OCHRE else 0.0


def _cut_ground(rng, blocks, key):
    """Dark ground behind the flowers, cleared with a gouge in swirling flecks."""
    size = len(key)
    y, x = canvas.coordinates(size)
    swirl = canvas.noise(rng, size, 0.30, 2)
    flow = 58 * (0.75 * x + y) + 5.0 * swirl
    fleck = canvas.noise(rng, size, 0.02, 2)
    key[:] = _lines(flow, 0.74 + 0.10 * fleck, np.float32(0.12))
    blocks[_TEAL][:] = 0.85
    blocks[_OCHRE][:] = 0.25 * canvas.smoothstep(-0.3, 0.6, swirl)
