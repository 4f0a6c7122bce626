"""How fast a detector is: warm at a size, as a cold process, and its memory over many pictures.

python benchmarks/detect_speed.py --model NAME|RUN|FILE.keras [--size 416] [--count 1000]
"""

import argparse
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from _measure import cnnkit, machine, sample_folder

from cnnkit.images import read_pixels
from cnnkit.options import DetectOptions
from cnnkit.pipelines._detector import Detector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="see cnnkit detect")
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--count", type=int, default=1000, help="pictures for the memory")
    arguments = parser.parse_args()
    print(machine())
    folder = sample_folder()
    paths = sorted(str(path) for path in folder.glob("*.png"))
    detector = Detector(arguments.model, DetectOptions(size=arguments.size))
    pictures = [read_pixels(path) for path in paths]
    for pixels in pictures:
        detector.detect_pixels([pixels])
    times = []
    for _ in range(5):
        for pixels in pictures:
            begin = time.perf_counter()
            detector.detect_pixels([pixels])
            times.append(1e3 * (time.perf_counter() - begin))
    print(
        f"{arguments.size} px, one picture at a time: median {statistics.median(times):.1f} ms, "
        f"fastest {min(times):.1f} ms"
    )
    peaks = []
    for number, _ in enumerate(
        detector.detect(paths[i % len(paths)] for i in range(arguments.count)), 1
    ):
        if number in (100, arguments.count):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(
        f"peak memory after 100 and {arguments.count} pictures: {peaks[0]:.0f}, {peaks[-1]:.0f} MB"
    )
    with tempfile.TemporaryDirectory() as place:
        for _ in range(3):
            begin = time.perf_counter()
            subprocess.run(
                cnnkit("detect", paths[0], "--model", arguments.model, "--json"),
                check=True,
                stdout=subprocess.DEVNULL,
                cwd=Path(place),
            )
            print(f"cold process: {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
