"""How fast a detector is: warm at a size, as a cold process, and its memory over many pictures.

python benchmarks/detect_speed.py --model NAME|RUN|FILE.keras [--size 416] [--count 1000]
    [--flip] [--scales 1 1.2]
"""

import argparse

from _measure import machine, print_cold, print_memory, print_warm, sample_folder

from cnnkit.engine.choice import configure_inference
from cnnkit.images import read_pixels
from cnnkit.tasks.detect.predict import Detector
from cnnkit.tasks.detect.settings import DetectSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="see cnnkit detect")
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--count", type=int, default=1000, help="pictures for the memory")
    parser.add_argument("--flip", action="store_true", help="look at mirror images too")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], help="of the size")
    parser.add_argument("--engine", default="openvino", help="openvino or tensorflow")
    arguments = parser.parse_args()
    print(machine())
    paths = sorted(str(path) for path in sample_folder().glob("*.png"))
    options = DetectSettings(
        size=arguments.size, flip=arguments.flip, scales=tuple(arguments.scales)
    )
    configure_inference(arguments.engine, note=print)
    detector = Detector(arguments.model, options)
    pictures = [read_pixels(path) for path in paths]
    print_warm(f"{arguments.size} px", detector.detect, pictures)
    many = (paths[index % len(paths)] for index in range(arguments.count))
    print_memory(detector.detect_each(many), arguments.count)
    print_cold("detect", paths[0], "--model", arguments.model, "--json")


if __name__ == "__main__":
    main()
