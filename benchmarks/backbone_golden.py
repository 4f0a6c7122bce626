"""Writes what a teacher sees at some places of sample pictures: the reference of a test.

`tests/models/test_compact_quality.py` compares the shipped network with these numbers, so that the
quality of the weights is pinned without the teacher or its training pictures.

    python benchmarks/backbone_golden.py --teacher FILE.npz [--output FILE.npz]
"""

import argparse
import io
from pathlib import Path

import numpy as np
from _measure import sample

from cnnkit.images import resize, write_bytes
from cnnkit.tasks.stylize.train_backbone import STUDENT_LAYERS, build_teacher

PICTURES = ("astronaut", "coffee", "rocket", "impasto", "stained-glass", "ink-wash")
LAYERS = [layer for layer in STUDENT_LAYERS if layer.endswith("_conv1")] + ["block4_conv2"]
SIZE, PLACES = 256, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("tests/models/compact_golden.npz"))
    arguments = parser.parse_args()
    teacher = build_teacher(arguments.teacher, LAYERS)
    random = np.random.default_rng(0)
    arrays = {}
    for name in PICTURES:
        picture = np.clip(resize(sample(name), SIZE, SIZE), 0, 1)
        activations = teacher.predict_on_batch(picture[None])
        for layer in LAYERS:
            maps = activations[layer][0]
            rows, columns = random.integers(0, maps.shape[0], (2, PLACES))
            arrays[f"{name}/{layer}/places"] = np.stack([rows, columns]).astype(np.uint8)
            arrays[f"{name}/{layer}/values"] = maps[rows, columns].astype(np.float16)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(arguments.output, buffer.getvalue())
    print(f"{arguments.output}: {len(arrays)} arrays, {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
