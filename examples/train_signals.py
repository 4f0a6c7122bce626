"""A 1-D network that tells chirps, whose pitch changes, from tones, in noise."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from cnnkit.tasks.classify.settings import TrainSettings
from cnnkit.tasks.classify.train import train_classifier


def draw_signal(kind: str, random: np.random.Generator, length: int = 256) -> np.ndarray:
    """A wave of one pitch, or of one that goes from the first to the second, with noise."""
    begin, end = random.uniform(0.02, 0.2, 2)
    while abs(begin - end) < 0.06:
        end = random.uniform(0.02, 0.2)
    pitch = np.linspace(begin, end, length) if kind == "chirp" else np.full(length, begin)
    wave = np.sin(2 * np.pi * (np.cumsum(pitch) + random.random()))
    return wave + random.normal(0, 0.3, length)


def main(output: str = "runs/signals", size: int = 600) -> None:
    """Trains on so many signals of each kind, and on fewer epochs where there are few."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as data:
        for kind in ("chirp", "tone"):
            folder = Path(data) / kind
            folder.mkdir()
            for number in range(size):
                np.save(folder / f"{number:04}.npy", draw_signal(kind, random))
        options = TrainSettings(
            model="convnet1d", epochs=max(1, size // 20), learning_rate=0.01, seed=1
        )
        result = train_classifier(data, output, options)
    print(f"{result.model}: {result.scores['val']['accuracy']:.1%} right")


if __name__ == "__main__":
    main(*sys.argv[1:2])
