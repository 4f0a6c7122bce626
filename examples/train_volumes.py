"""A 3-D network that tells spheres, cubes and tubes apart in noisy volumes."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from cnnkit.tasks.classify.settings import TrainSettings
from cnnkit.tasks.classify.train import train_classifier

KINDS = ("cube", "sphere", "tube")


def draw_volume(kind: str, random: np.random.Generator, side: int = 20) -> np.ndarray:
    """A shape of any size at any place, a tube along any axis, with noise."""
    radius = random.uniform(3.0, 5.0)
    centre = random.uniform(radius + 1, side - radius - 1, 3)
    away = np.abs(np.indices((side,) * 3) - centre[:, None, None, None])
    if kind == "cube":
        inside = (away < radius).all(axis=0)
    elif kind == "sphere":
        inside = (away**2).sum(axis=0) < (1.2 * radius) ** 2
    else:
        across = np.delete(away, random.integers(3), axis=0)
        inside = (across**2).sum(axis=0) < (0.6 * radius) ** 2
    return inside + random.normal(0, 0.3, inside.shape)


def main(output: str = "runs/volumes", size: int = 300) -> None:
    """Trains on so many volumes of each kind, and on fewer epochs where there are few."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as data:
        for kind in KINDS:
            folder = Path(data) / kind
            folder.mkdir()
            for number in range(size):
                np.save(folder / f"{number:04}.npy", draw_volume(kind, random))
        options = TrainSettings(
            model="convnet3d", epochs=max(1, size // 20), learning_rate=0.003, seed=1
        )
        result = train_classifier(data, output, options)
    print(f"{result.model}: {result.scores['val']['accuracy']:.1%} right")


if __name__ == "__main__":
    main(*sys.argv[1:2])
