"""How fast a segmenter is: warm at a size, as a cold process, and its memory over many pictures.

python benchmarks/segment_speed.py [--model voc21] [--size 512] [--count 1000]
"""

import argparse

from _measure import machine, print_cold, print_memory, print_warm, sample_folder

from cnnkit.engine.choice import configure_inference
from cnnkit.images import read_image
from cnnkit.tasks.segment.predict import Segmenter
from cnnkit.tasks.segment.settings import DEFAULT_SEGMENTER, SegmentSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_SEGMENTER, help="see cnnkit segment")
    parser.add_argument("--size", type=int, default=SegmentSettings.size)
    parser.add_argument("--count", type=int, default=1000, help="pictures for the memory")
    parser.add_argument("--engine", default="openvino", help="openvino or tensorflow")
    arguments = parser.parse_args()
    print(machine())
    paths = sorted(sample_folder().glob("*.png"))
    configure_inference(arguments.engine, note=print)
    segmenter = Segmenter(arguments.model, SegmentSettings(size=arguments.size))
    print_warm(f"{arguments.size} px", segmenter.label, [read_image(path) for path in paths])
    many = (read_image(paths[index % len(paths)]) for index in range(arguments.count))
    print_memory(map(segmenter.label, many), arguments.count)
    print_cold("segment", str(paths[0]), "--model", arguments.model, "--json")


if __name__ == "__main__":
    main()
