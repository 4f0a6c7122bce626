"""What every benchmark needs: pictures, the machine, timed processes, contact sheets."""

import math
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import Picture, fit_size, resize, to_uint8, write_image
from cnnkit.runtime import configure

configure()

STYLES = ("stained-glass", "impasto", "ink-wash", "woodcut", "mosaic", "waves")
CONTENTS = ("astronaut", "chelsea", "coffee", "rocket")


def sample(name: str) -> np.ndarray:
    """A sample picture by name, float32 `(height, width, 3)` in [0, 1]."""
    return load_sample(find_sample(name)).pixels


def machine() -> str:
    """One line: processor, cores, versions."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        name = found[1] if found else name
    parts = ", ".join(f"{package} {version(package)}" for package in ("keras", "tensorflow"))
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, {parts}"


# Runs a command and prints its wall seconds, peak memory and status: a process counts the memory of
# the one that started it as its own, and this one is small.
_TIMER = """
import os, sys, time
silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
begin = time.monotonic()
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
_, status, usage = os.wait4(process, 0)
print(time.monotonic() - begin, usage.ru_maxrss, status)
"""


def run_process(arguments: Sequence[str]) -> tuple[float, float]:
    """Runs a command to its end: `(wall seconds, peak resident bytes of the process)`."""
    timer = [sys.executable, "-I", "-S", "-c", _TIMER, *arguments]
    ended = subprocess.run(timer, check=True, capture_output=True, text=True)
    seconds, peak, status = ended.stdout.split()
    if int(status):
        raise SystemExit(f"{' '.join(arguments)} failed with status {status}")
    return float(seconds), int(peak) * (1 if sys.platform == "darwin" else 1024)


def cnnkit(*arguments: str) -> list[str]:
    """The command line of cnnkit in this interpreter."""
    return [sys.executable, "-m", "cnnkit", *arguments]


def print_warm(label: str, run: Callable[[Any], Any], pictures: Sequence[Any]) -> None:
    """Prints how long one picture takes once all have been seen, each five times."""
    for picture in pictures:
        run(picture)
    times = []
    for _ in range(5):
        for picture in pictures:
            begin = time.perf_counter()
            run(picture)
            times.append(1e3 * (time.perf_counter() - begin))
    print(
        f"{label}, one picture at a time: median {statistics.median(times):.1f} ms, "
        f"fastest {min(times):.1f} ms",
        flush=True,
    )


def print_memory(results: Iterable[Any], count: int) -> None:
    """Prints the highest memory of this process after 100 of so many pictures and after all."""
    peaks = []
    for number, _ in enumerate(results, 1):
        if number in (100, count):
            # Linux counts in KiB.
            unit = 1 if sys.platform == "darwin" else 1024
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)
    print(
        f"peak memory after 100 and {count} pictures: {peaks[0]:.0f}, {peaks[-1]:.0f} MB",
        flush=True,
    )


def print_cold(*arguments: str) -> None:
    """Prints the seconds of a whole command, three times, in a folder of its own."""
    for _ in range(3):
        with tempfile.TemporaryDirectory() as place:
            begin = time.perf_counter()
            subprocess.run(cnnkit(*arguments), check=True, stdout=subprocess.DEVNULL, cwd=place)
            print(f"cold process: {time.perf_counter() - begin:.1f} s", flush=True)


def sample_folder() -> Path:
    """A temporary folder with the sample pictures."""
    folder = Path(tempfile.mkdtemp(prefix="cnnkit-benchmark-"))
    for name in (*CONTENTS, *STYLES):
        write_image(folder / f"{name}.png", Picture(sample(name)))
    return folder


def write_sheet(
    path: Path,
    rows: Sequence[Sequence[np.ndarray]],
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    cell: int = 256,
    quality: int = 85,
) -> None:
    """Writes pictures as a grid, each fitted into a square cell, with column and row titles."""
    font = ImageFont.load_default(14)
    top = 22 if columns else 0
    left = math.ceil(max(map(font.getlength, labels), default=-16.0)) + 16
    tiles = []
    for pictures in rows:
        tiles.append([])
        for pixels in pictures:
            pixels = pixels / 255.0 if pixels.dtype == np.uint8 else pixels
            size = fit_size(*pixels.shape[:2], cell - 6)
            tiles[-1].append(Image.fromarray(to_uint8(resize(pixels, *size))))
    heights = [max(tile.height for tile in row) + 6 for row in tiles]
    sheet = Image.new(
        "RGB", (left + cell * max(map(len, rows)), top + sum(heights)), (250, 250, 250)
    )
    draw = ImageDraw.Draw(sheet)
    for column, text in enumerate(columns):
        draw.text((left + cell * column + cell // 2, 10), text, (30, 30, 30), font, anchor="mm")
    for row, (height, pictures) in enumerate(zip(heights, tiles, strict=True)):
        y = top + sum(heights[:row])
        if labels:
            draw.text((left - 8, y + height // 2), labels[row], (30, 30, 30), font, anchor="rm")
        for column, tile in enumerate(pictures):
            x = left + cell * column + (cell - tile.width) // 2
            sheet.paste(tile, (x, y + (height - tile.height) // 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": quality} if path.suffix == ".jpg" else {}
    sheet.save(path, **options)
