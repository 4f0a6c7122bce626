"""A page for the browser: what units respond to, with the pictures that the patches are from.

Plain HTML and CSS, no script, and nothing from elsewhere: the folder can be opened offline, moved
and sent.
"""

import html
import io
import math
import re
from collections.abc import Sequence

import numpy as np

from cnnkit.tasks.visualize.results import UnitsResult
from cnnkit.tasks.visualize.unit_responses import LayerResponses, UnitPatch, UnitResponse

# Smaller patches are shown with their pixels.
_PIXELS_SHOWN = 16

_STYLE = """
:root { --ink: #30343b; --soft: #6b717b; --paper: #fff; --card: #f4f5f7; --line: #d5d8dd;
  --bar: #0072b2; --mark: #d55e00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ec; --soft: #9aa1ac; --paper: #17191d; --card: #22252b; --line: #3a3f48;
    --bar: #56b4e9; --mark: #e8963e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 2rem 1.25rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0; }
h2 { font-size: 1.25rem; margin: 3rem 0 0.5rem; }
h3 { font-size: 1.05rem; margin: 0; }
p { margin: 0.3rem 0; }
.soft { color: var(--soft); }
.overview { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr));
  margin: 1rem 0 2rem; }
.overview a { color: inherit; text-decoration: none; }
.nine { display: grid; grid-template-columns: repeat(3, 1fr); border-radius: 6px;
  overflow: hidden; background: var(--card); }
.nine img { width: 100%; aspect-ratio: 1; object-fit: contain; display: block; }
.overview a:hover .nine { outline: 3px solid var(--bar); }
section.unit { border-top: 1px solid var(--line); padding: 1.5rem 0; scroll-margin-top: 1rem; }
.head { display: flex; flex-wrap: wrap; gap: 1rem 2rem; justify-content: space-between;
  align-items: end; margin-bottom: 1rem; }
.head svg { width: 340px; max-width: 100%; height: auto; }
.cards { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); }
figure { margin: 0; background: var(--card); border-radius: 8px; padding: 0.6rem; }
.row { display: flex; gap: 0.4rem; align-items: flex-start; }
.row > img { width: 96px; height: 96px; object-fit: contain; flex: none; }
img.pixels { image-rendering: pixelated; }
.picture { position: relative; overflow: hidden; flex: 1 1 0; min-width: 0; border-radius: 3px; }
.picture img { display: block; width: 100%; }
.picture span { position: absolute; border: 2px solid var(--mark);
  box-shadow: 0 0 0 2000px rgb(0 0 0 / 40%); }
figcaption { font-size: 0.82rem; margin-top: 0.4rem; overflow-wrap: anywhere; }
figcaption b { font-variant-numeric: tabular-nums; }
"""


def units_page(result: UnitsResult) -> dict[str, bytes]:
    """Makes the page of a result and all that it shows.

    Args:
        result: what units respond to.

    Returns:
        Name of a file relative to the page's folder -> its bytes; the page is "index.html".

    Example:

    >>> result = UnitsResult("compact", "", (), 256, 0, 0, (), {}, {})
    >>> list(units_page(result))
    ['index.html']
    """
    files: dict[str, bytes] = {}
    pictures = {}
    for number, (source, pixels) in enumerate(result.thumbnails.items()):
        pictures[source] = f"pictures/{number:04d}.jpg"
        files[pictures[source]] = _encode(pixels, "JPEG")
    body = []
    for layer in result.layers:
        body.append(_layer_head(layer))
        overview, sections = [], []
        for unit in layer.units:
            names = _patch_files(layer, unit, files)
            overview.append(_tile(layer, unit, names))
            sections.append(_section(layer, unit, names, pictures, result))
        body += ['<div class="overview">', *overview, "</div>", *sections]
    layers = ", ".join(layer.layer for layer in result.layers)
    title = f"{result.model}: {layers}"
    unread = f", {result.failed:,} could not be read" if result.failed else ""
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>What units of {html.escape(result.model)} respond to</h1>",
        f'<p class="soft">{result.pictures:,} pictures{unread}. For each unit the nine patches '
        "that drive it most, best first; a patch is all that the unit sees, and what is pale in it "
        "lies outside of the picture.</p>",
        *body,
        "</body></html>",
    ]
    files["index.html"] = "\n".join(lines).encode("utf-8", "replace")
    return files


def _layer_head(layer: LayerResponses) -> str:
    sees = "the whole picture"
    if layer.receptive_field is not None:
        sees = f"{layer.receptive_field[1]} × {layer.receptive_field[0]} pixels"
    silent = len(layer.silent_units)
    more = f", {silent} of them respond to no picture" if silent else ""
    return (
        f"<h2>{html.escape(layer.layer)}</h2>"
        f'<p class="soft">{layer.total_units:,} units{more}. Each sees {sees}.</p>'
    )


def _anchor(layer: LayerResponses, unit: UnitResponse) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", f"{layer.layer}-{unit.unit}")


def _patch_files(
    layer: LayerResponses, unit: UnitResponse, files: dict[str, bytes]
) -> list[tuple[str, str | None]]:
    """Writes the patches of a unit; the names of each, and of its reconstruction."""
    names: list[tuple[str, str | None]] = []
    for rank, patch in enumerate(unit.patches, start=1):
        name = f"patches/{_anchor(layer, unit)}-{rank}.png"
        files[name] = _encode(patch.pixels, "PNG")
        drawn = None
        if patch.reconstruction is not None:
            drawn = f"reconstructions/{_anchor(layer, unit)}-{rank}.png"
            files[drawn] = _encode(patch.reconstruction, "PNG")
        names.append((name, drawn))
    return names


def _tile(
    layer: LayerResponses, unit: UnitResponse, names: Sequence[tuple[str, str | None]]
) -> str:
    images = "".join(
        f'<img src="{name}" alt=""{_pixels(patch)}>'
        for (name, _), patch in zip(names, unit.patches, strict=True)
    )
    return f'<a href="#{_anchor(layer, unit)}"><div class="nine">{images}</div>unit {unit.unit}</a>'


def _section(
    layer: LayerResponses,
    unit: UnitResponse,
    names: Sequence[tuple[str, str | None]],
    pictures: dict[str, str],
    result: UnitsResult,
) -> str:
    heard = result.pictures - unit.silent
    cards = "".join(
        _card(rank, patch, files, pictures[patch.source], result.sizes[patch.source])
        for rank, (patch, files) in enumerate(zip(unit.patches, names, strict=True), start=1)
    )
    return (
        f'<section class="unit" id="{_anchor(layer, unit)}"><div class="head"><div>'
        f"<h3>Unit {unit.unit}</h3>"
        f'<p class="soft">responds to {heard:,} of {result.pictures:,} pictures, '
        f"{unit.mean:.3g} on average</p></div>{_histogram(unit)}</div>"
        f'<div class="cards">{cards}</div></section>'
    )


def _card(
    rank: int,
    patch: UnitPatch,
    names: tuple[str, str | None],
    picture: str,
    size: tuple[int, int],
) -> str:
    name, drawn = names
    height, width = size
    left, top, right, bottom = patch.box_xyxy
    mark = (
        f"left:{100 * left / width:.2f}%;top:{100 * top / height:.2f}%;"
        f"width:{100 * (right - left) / width:.2f}%;height:{100 * (bottom - top) / height:.2f}%"
    )
    source = html.escape(patch.source)
    back = f'<img src="{drawn}" alt="its reconstruction"{_pixels(patch)}>' if drawn else ""
    return (
        f'<figure><div class="row"><img src="{name}" alt="patch {rank}"{_pixels(patch)}>{back}'
        f'<div class="picture"><img src="{picture}" alt="{source}" loading="lazy">'
        f'<span style="{mark}"></span></div></div>'
        f"<figcaption>{rank}. <b>{patch.value:.4g}</b> "
        f'<span class="soft">{source}</span></figcaption></figure>'
    )


def _pixels(patch: UnitPatch) -> str:
    return ' class="pixels"' if max(patch.pixels.shape[:2]) <= _PIXELS_SHOWN else ""


def _histogram(unit: UnitResponse, width: int = 340, height: int = 96) -> str:
    """How often the unit responds how much, with a tick for each of its patches."""
    edges, counts = unit.histogram_edges, unit.histogram_counts
    if not sum(counts):
        return ""
    low, high = edges[0], edges[-1]
    floor, most = height - 26, max(counts)

    def x(value: float) -> float:
        return 4 + (width - 8) * (value - low) / (high - low)

    def tall(count: int) -> float:
        # A single picture among a thousand is seen too.
        return max(1.5, (floor - 4) * count / most)

    bars = "".join(
        f'<rect x="{x(begin):.1f}" y="{floor - tall(count):.1f}" '
        f'width="{max(1.0, x(end) - x(begin) - 0.6):.1f}" '
        f'height="{tall(count):.1f}" fill="var(--bar)"/>'
        for begin, end, count in zip(edges[:-1], edges[1:], counts, strict=True)
        if count
    )
    ticks = "".join(
        f'<line x1="{x(patch.value):.1f}" x2="{x(patch.value):.1f}" y1="{floor + 2}" '
        f'y2="{floor + 9}" stroke="var(--mark)" stroke-width="1.5"/>'
        for patch in unit.patches
    )
    text = 'fill="var(--soft)" font-size="11" font-family="system-ui, sans-serif"'
    said = f"histogram of the strongest response to each picture, up to {most} in a bar"
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{said}">'
        f'{bars}<line x1="4" x2="{width - 4}" y1="{floor + 1}" y2="{floor + 1}" '
        f'stroke="var(--line)"/>{ticks}'
        f'<text x="4" y="{height - 4}" {text}>{_short(low)}</text>'
        f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle" {text}>'
        "strongest response to each picture</text>"
        f'<text x="{width - 4}" y="{height - 4}" text-anchor="end" {text}>{_short(high)}</text>'
        "</svg>"
    )


def _short(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "?"


def _encode(pixels: np.ndarray, kind: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    options = {"quality": 88} if kind == "JPEG" else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **options)
    return buffer.getvalue()
