"""The figures of the course: what its commands make of the pictures that come with cnnkit."""

import subprocess
import sys
import tempfile
from pathlib import Path

# Name of the figure -> what is typed behind `cnnkit`.
FIGURES = {
    "edges.png": "visualize edges samples/coffee.png --kernel sobel",
    "lenet5.png": "visualize model lenet5 --plot",
    "detect.jpg": "detect samples/astronaut.png",
    "segment.png": "segment samples/astronaut.png",
    "verify.png": "verify samples/astronaut.png samples/camera.png --explain",
    "style.png": "stylize samples/coffee.png samples/waves.png --quality draft --size 384",
}
# `verify` says with 1 that they are two people.
_ANSWERS = (0, 1)


def draw(folder: Path) -> None:
    """Makes the figures that are not there yet.

    Args:
        folder: of the figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = {name: words for name, words in FIGURES.items() if not (folder / name).exists()}
    if not missing:
        return
    with tempfile.TemporaryDirectory() as room:
        _run(["samples", "samples"], room)
        for name, words in missing.items():
            typed = words.split()
            named = [] if typed[-1] in ("--plot", "--explain") else ["-o"]
            _run([*typed, *named, str(folder / name)], room)


def _run(words: list[str], room: str) -> None:
    root = str(Path(__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {root!r}); from cnnkit.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=room, capture_output=True)
    if done.returncode not in _ANSWERS:
        raise RuntimeError(f"cnnkit {' '.join(words)}: {done.stderr.decode()}")
