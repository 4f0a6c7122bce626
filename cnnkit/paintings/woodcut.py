"""A woodcut in four inks: chrysanthemums and leaves, cut in lines that follow their forms."""

import numpy as np

from cnnkit.paintings import _canvas as canvas

_FINE = 2

_PAPER = canvas.pigments("#efe3c6")[0]
_KEY = canvas.pigments("#161a2b")[0]
_INKS = canvas.pigments("#c8341f", "#e0a22c", "#2c7a78")  # vermilion, ochre, teal
_RED, _OCHRE, _TEAL = range(3)

# Middle (y, x), reach, petals in the outer ring, rings, and the inks of outer and inner petals.
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

    Raises:
        ValueError: the canvas is too small to paint on.

    Example:

    >>> paint_woodcut(size=32).shape
    (32, 32, 3)
    """
    rng = np.random.default_rng(seed)
    fine = size * _FINE
    key, colours = _cut_blocks(rng, fine)
    picture = _PAPER * (
        1
        + 0.035 * canvas.noise(rng, size, 0.006, 2)[..., None]
        + 0.030 * canvas.noise(rng, size, 0.3, 3)[..., None]
    )
    for block, pigment in zip(np.moveaxis(colours, -1, 0), _INKS, strict=True):
        down, right = np.round(rng.normal(0, 0.0022, 2) * fine).astype(int)
        slipped = np.roll(block, (down, right), axis=(0, 1))
        ink = _print(rng, canvas.shrink(slipped, _FINE), wear=0.55)
        # Printing ink is transparent: it multiplies the paper.
        picture = picture * (1 - ink[..., None] * (1 - pigment))
    ink = _print(rng, canvas.shrink(key, _FINE), wear=0.25)
    return canvas.finish(canvas.mix(picture, _KEY, 0.97 * ink))


def _print(rng: np.random.Generator, block: np.ndarray, wear: float) -> np.ndarray:
    """How much ink a block leaves: less along its grain, none in specks that did not touch."""
    size = len(block)
    grain = canvas.noise(rng, size, 0.004, 2, stretch=40) + 0.5 * canvas.noise(rng, size, 0.12, 3)
    specks = canvas.smoothstep(1.9, 2.5, canvas.noise(rng, size, 0.008, 2) + 0.5 * grain)
    return np.clip(block * (1 - 0.10 * wear * (1.2 + grain)) * (1 - wear * specks), 0, 1)


def _cut_blocks(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The key block `(size, size)` and the colour blocks `(size, size, inks)`; 1 prints."""
    key, colours = _cut_ground(rng, size)
    for y, x, reach, *_ in _FLOWERS:
        for turn in np.array([0.4, 1.5, 2.7, 3.7, 4.7, 5.7]) + rng.normal(0, 0.25, 6):
            foot = (y + 0.8 * reach * np.sin(turn), x + 0.8 * reach * np.cos(turn))
            _cut_leaf(rng, key, colours, foot, turn, reach * rng.uniform(0.55, 0.72))
    for y, x, reach, petals, rings, inks in _FLOWERS:
        for ring in range(rings):
            inner = ring / rings
            length = reach * (1 - 0.80 * inner)
            count = max(6, round(petals * (1 - 0.45 * inner)))
            width = 1.25 * np.pi * length / count * (0.85 + 0.25 * inner)
            start = rng.uniform(0, 2 * np.pi)
            for number in rng.permutation(count):
                turn = start + 2 * np.pi * (number + rng.normal(0, 0.10)) / count
                size_of_petal = (length * rng.uniform(0.92, 1.06), width)
                ink = inks[0] if inner < 0.5 else inks[1]
                _cut_petal(rng, key, colours, (y, x), turn, size_of_petal, ink)
        _cut_heart(key, colours, (y, x), 0.10 * reach)
    return key, colours


def _lines(phase: np.ndarray, tone: np.ndarray | float) -> np.ndarray:
    """Hatching: a line where `phase` passes a half, as broad as `tone` (0 none, 1 all)."""
    wave = np.abs(phase % 1 - 0.5) * 2
    return canvas.smoothstep(-0.13, 0.13, tone - wave)


def _cut_ground(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Dark ground behind the flowers, cleared with a gouge in swirling lines."""
    y, x = canvas.coordinates(size)
    swirl = canvas.noise(rng, size, 0.30, 2)
    fleck = canvas.noise(rng, size, 0.02, 2)
    key = _lines(58 * (0.75 * x + y) + 5.0 * swirl, 0.72 + 0.12 * fleck)
    colours = np.zeros((size, size, len(_INKS)), np.float32)
    colours[..., _TEAL] = 0.85
    colours[..., _OCHRE] = 0.25 * canvas.smoothstep(-0.3, 0.6, swirl)
    return key, colours


def _along_and_off(
    size: int, foot: tuple[float, float], turn: float, length: float, half: float
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
    """The window that holds a petal or leaf, and how far each pixel is along and off its middle.

    Distances are shares of the side of the picture; None when the window is off the block.
    """
    tip = (foot[0] + length * np.sin(turn), foot[1] + length * np.cos(turn))
    window = []
    for start, end in zip(foot, tip, strict=True):
        low = int(np.clip((min(start, end) - half) * size, 0, size))
        high = int(np.clip((max(start, end) + half) * size + 1, 0, size))
        if low >= high:
            return None
        window.append(slice(low, high))
    rows = (np.arange(window[0].start, window[0].stop, dtype=np.float32) + 0.5) / size - foot[0]
    columns = (np.arange(window[1].start, window[1].stop, dtype=np.float32) + 0.5) / size - foot[1]
    down, right = rows[:, None], columns[None, :]
    along = right * np.float32(np.cos(turn)) + down * np.float32(np.sin(turn))
    off = down * np.float32(np.cos(turn)) - right * np.float32(np.sin(turn))
    return (window[0], window[1]), along, off


def _cut_petal(
    rng: np.random.Generator,
    key: np.ndarray,
    colours: np.ndarray,
    foot: tuple[float, float],
    turn: float,
    size_of_petal: tuple[float, float],
    ink: int,
) -> None:
    """One petal over what is there: outline, ribs, and shadow at its foot and on one side."""
    length, width = size_of_petal
    curl = rng.normal(0.35, 0.30)
    place = _along_and_off(len(key), foot, turn, length, width + 0.3 * length)
    if place is None:
        return
    window, along, off = place
    reached = along / length
    body = np.clip(reached, 0, 1)
    off = off / width - 0.28 * curl * reached**2 * (length / width)
    half = 0.5 * np.sqrt(1 - body**7) * (0.28 + 0.72 * body**0.8)
    shape = (np.abs(off) < half) & (reached > 0) & (reached < 1)
    reached, off, half = reached[shape], off[shape], half[shape]

    side = off / np.maximum(half, 1e-3)
    shadow = 0.88 - 1.10 * reached + 0.45 * np.clip(side, 0, 1) ** 2 + rng.normal(0, 0.04)
    ribs = max(1.0, 41 * width)
    hatch = _lines(side * ribs + 0.5, np.clip(shadow, 0, 0.96))
    outline = ((half - np.abs(off)) * width < 0.0026) | ((1 - reached) * length < 0.0032)
    key[window][shape] = np.where(outline, 1.0, hatch)
    # On the lighter side a sliver of paper is left white.
    white = canvas.smoothstep(0.25, 0.15, np.abs(side + 0.45))
    white *= canvas.smoothstep(0.45, 0.6, reached) * canvas.smoothstep(0.97, 0.9, reached)
    flat = np.zeros((len(reached), len(_INKS)), np.float32)
    flat[:, ink] = (1 - white) * (0.75 if ink == _TEAL else 1.0)
    colours[window][shape] = flat


def _cut_leaf(
    rng: np.random.Generator,
    key: np.ndarray,
    colours: np.ndarray,
    foot: tuple[float, float],
    turn: float,
    length: float,
) -> None:
    """A serrated leaf with veins: one half ochre over teal, the other darker."""
    place = _along_and_off(len(key), foot, turn, length, 0.5 * length)
    if place is None:
        return
    window, along, off = place
    reached = along / length
    body = np.clip(reached, 0, 1)
    off = off / length - 0.10 * np.sin(2.2 * reached + rng.uniform(0, 6))
    teeth = 0.055 * ((reached * 7 - 2.2 * np.abs(off)) % 1)
    half = 0.36 * np.sin(np.pi * body**0.8) + teeth * np.sin(np.pi * body)
    shape = (np.abs(off) < half) & (reached > 0) & (reached < 1)
    reached, off, half = reached[shape], off[shape], half[shape]

    veins = reached * 9 - 5.5 * np.abs(off)
    bare = (np.abs(veins % 1 - 0.5) < 0.10) | (np.abs(off) * length < 0.0022)
    shadow = 0.52 + 0.30 * np.sign(off) - 0.25 * reached
    hatch = _lines(veins * 2.6 + 0.2 * (off > 0), np.clip(shadow, 0.08, 0.9))
    outline = (half - np.abs(off)) * length < 0.0030
    key[window][shape] = np.where(outline, 1.0, np.where(bare, 0.0, hatch))
    flat = np.zeros((len(reached), len(_INKS)), np.float32)
    flat[:, _TEAL] = ~bare
    flat[:, _OCHRE] = np.where(off < 0, 0.75, 0.15)
    colours[window][shape] = flat


def _cut_heart(
    key: np.ndarray, colours: np.ndarray, middle: tuple[float, float], reach: float
) -> None:
    """The dotted heart of a flower."""
    place = _along_and_off(len(key), middle, 0.0, 0.0, reach)
    if place is None:
        return
    window, right, down = place
    r = np.hypot(down, right) / reach
    turn = np.arctan2(down, right) / (2 * np.pi)
    ring = np.floor(r * 4)
    dots = np.abs((turn * (3 + 6 * ring) + 0.5 * ring) % 1 - 0.5) + np.abs(r * 4 % 1 - 0.5)
    shape = r < 1
    key[window][shape] = ((dots > 0.52) | (r > 0.90))[shape]
    colours[window][shape] = np.eye(len(_INKS), dtype=np.float32)[_OCHRE]
