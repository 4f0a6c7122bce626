"""The figures of the course: what its commands make of cnnkit's own pictures, and drawings."""

import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import _drawings

# Name of the figure -> what is typed behind `cnnkit`.
FIGURES = {
    "edges.png": "visualize edges samples/coffee.png --kernel sobel",
    "lenet5.png": "visualize model lenet5 --plot",
    "detect.jpg": "detect samples/astronaut.png",
    "segment.png": "segment samples/astronaut.png",
    "verify.png": "verify samples/astronaut.png samples/camera.png --explain",
    "style.png": "stylize samples/coffee.png samples/waves.png --quality draft --size 384",
    "stride.png": "visualize edges samples/coffee.png --kernel sobel --stride 6",
    "pooling.png": "visualize edges samples/coffee.png --pool max --size 8",
    "volumes.png": "visualize filters",
    "alexnet.png": "visualize model alexnet --plot",
    "vgg.png": "visualize model vgg16 --plot",
    "residual.png": "visualize model resnet18 --plot",
    "inception.png": "visualize model inception --plot",
    "augmentation.png": "train classify animals --preview-augment",
    "siamese.png": "verify samples/astronaut.png samples/astronaut.png --explain",
    "seen.png": "visualize gradcam samples/chelsea.png",
    "embeddings.png": (
        "train text reviews.csv --network gru --embedding-size 8 --epochs 10 -o reviews && "
        "visualize words cold superb --model reviews --near 4 --plot"
    ),
}
# `verify` says with 1 that they are two people.
_ANSWERS = (0, 1)
# What the reviews for the figure of word embeddings are made of.
_WORDS = {
    "good": ("superb", "great", "warm", "clean", "cosy", "fresh", "quiet", "good"),
    "bad": ("cold", "awful", "grim", "dull", "stale", "dirty", "noisy", "broken"),
}
_THINGS = ("room", "soup", "bed", "coffee", "view", "wine", "garden", "service", "bath", "price")
# Options that the name of the figure stands behind, instead of `-o`.
_NAMED = ("--plot", "--explain", "--preview-augment")


def draw(folder: Path) -> None:
    """Makes the figures that are not there yet.

    Args:
        folder: of the figures.
    """
    # Commands run in a folder of their own.
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in _drawings.DRAWINGS:
        if not (folder / name).exists():
            _drawings.draw(name, folder / name)
    missing = {name: words for name, words in FIGURES.items() if not (folder / name).exists()}
    if not missing:
        return
    with tempfile.TemporaryDirectory() as room:
        _run(["samples", "samples"], room)
        _prepare(Path(room))
        for name, words in missing.items():
            *before, last = (line.split() for line in words.split(" && "))
            for typed in before:
                _run(typed, room)
            named = [] if last[-1] in _NAMED else ["-o"]
            _run([*last, *named, str(folder / name)], room)


def _prepare(room: Path) -> None:
    """Writes pictures in two classes, and reviews."""
    for name, photograph in (("cats", "chelsea"), ("cups", "coffee")):
        (room / "animals" / name).mkdir(parents=True)
        for number in range(2):
            copied = room / "animals" / name / f"{number}.png"
            shutil.copy(room / "samples" / f"{photograph}.png", copied)
    with (room / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *_reviews()])


def _reviews() -> Iterator[tuple[str, str]]:
    """Short ones, of which two words tell whether they are good or bad."""
    random = Random(0)
    for _ in range(350):
        for label, words in _WORDS.items():
            (thing, other), (one, two) = random.sample(_THINGS, 2), random.sample(words, 2)
            yield f"the {thing} was {one} and the {other} was {two}", label


def _run(words: list[str], room: str) -> None:
    root = str(Path(__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {root!r}); from cnnkit.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=room, capture_output=True)
    if done.returncode not in _ANSWERS:
        raise RuntimeError(f"cnnkit {' '.join(words)}: {done.stderr.decode()}")
