"""Time and memory of finding and describing faces.

python benchmarks/faces_speed.py [--runs 9] [--pictures 1000]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import psutil
from _measure import machine, sample
from PIL import Image

from cnnkit.images import to_uint8
from cnnkit.models.face_detector import load_face_detector_weights
from cnnkit.models.face_encoder import load_face_encoder_weights
from cnnkit.models.shape_predictor import load_shape_predictor_weights
from cnnkit.tasks.faces.analysis import FaceAnalyzer


def row(what: str, function: Callable[[], object], runs: int, target: str = "") -> None:
    """Prints median, least and most milliseconds, after one run that does not count."""
    function()
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        function()
        times.append((time.perf_counter() - begin) * 1e3)
    median = statistics.median(times)
    print(f"| {what} | {median:.0f} | {min(times):.0f}-{max(times):.0f} | {target} |")


def load_all() -> None:
    load_face_encoder_weights()
    load_face_detector_weights()
    load_shape_predictor_weights()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--pictures", type=int, default=1000)
    arguments = parser.parse_args()
    process = psutil.Process()
    print(machine())
    print(f"load average {os.getloadavg()[0]:.1f} at the beginning")

    print("| what | ms, median | min-max | target |")
    print("| --- | --- | --- | --- |")
    kept = dict(os.environ)
    with tempfile.TemporaryDirectory() as home:
        os.environ["CNNKIT_HOME"] = home
        begin = time.perf_counter()
        load_all()
        print(f"| all weights, first start | {(time.perf_counter() - begin) * 1e3:.0f} | | |")
        row("all weights, later starts", load_all, arguments.runs, "300")
    os.environ.clear()
    os.environ.update(kept)

    astronaut = to_uint8(sample("astronaut"))
    pair = [astronaut[:250, 90:340], astronaut[20:270, 100:350]]
    large = np.asarray(Image.fromarray(astronaut).resize((1000, 1000)))[:750]
    analyzer = FaceAnalyzer()
    row("two pictures of 250x250", partial(analyzer.analyze, pair), arguments.runs, "150")
    row("faces of 1000x750", partial(analyzer.detect, large), arguments.runs, "400")
    for upsample in (1, 2):
        doubled = FaceAnalyzer(upsample=upsample)
        what = f"faces of 250x250, upsample {upsample}"
        row(what, partial(doubled.detect, pair[0]), max(1, arguments.runs // 3))
    chips = np.random.default_rng(0).integers(0, 256, (64, 150, 150, 3), np.uint8)
    for size in (1, 4, 16, 32):
        analyzer.batch_size = size
        target = f"{64 / 60 * 1e3:.0f}, 60 a second"
        row(f"64 embeddings, {size} at a time", partial(analyzer.embed, chips), 3, target)

    generator = np.random.default_rng(0)

    def pictures(count: int) -> Iterator[np.ndarray]:
        """Pieces of the astronaut, hardly two of one size."""
        for _ in range(count):
            height, width = generator.integers(170, 330, 2)
            yield astronaut[:height, 90 : 90 + width]

    analyzer.batch_size = 16
    analyzer.analyze(pictures(50))
    print("| pictures since | resident memory, MB |")
    print("| --- | --- |")
    for done in range(0, arguments.pictures + 1, max(1, arguments.pictures // 5)):
        print(f"| {done} | {process.memory_info().rss / 1e6:.0f} |")
        analyzer.analyze(pictures(arguments.pictures // 5))


if __name__ == "__main__":
    main()
