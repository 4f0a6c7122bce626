"""Time and memory of whole `cnnkit stylize` processes, start-up included.

python benchmarks/stylize_speed.py [--runs 3] [--large]
"""

import argparse
import statistics

from _measure import cnnkit, machine, run_process, sample_folder

CASES = (
    ("draft, 256", ("--size", "256", "--quality", "draft"), 12, ""),
    ("standard, 512", (), 20, 2.6),
    ("standard, 512, on the compact network", ("--backbone", "compact"), 20, 2),
    ("standard, 512, --budget 20s", ("--budget", "20s"), 20, 2.6),
    ("sheet of six styles", ("--sheet",), 12, 2),
)
# None of the samples is this large, so the content is an enlarged one.
LARGE = (
    ("fine, 512", ("--quality", "fine"), 90, 2.6),
    ("standard, 1024", ("--size", "1024"), 100, 4),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="fine and 1024x1024 too")
    arguments = parser.parse_args()
    folder = sample_folder()
    content, style, output = (
        str(folder / name) for name in ("astronaut.png", "stained-glass.png", "result.png")
    )
    if arguments.large:
        import numpy as np

        from cnnkit.images import Picture, read_image, resize, write_image

        large = np.clip(resize(read_image(content).pixels, 1024, 1024), 0, 1)
        write_image(folder / "large.png", Picture(large))
    print(machine())
    print("| case | seconds, median | min-max | target | peak memory, GB | target |")
    print("| --- | --- | --- | --- | --- | --- |")
    times = [run_process(cnnkit("--help"))[0] for _ in range(5)]
    print(
        f"| cnnkit --help | {statistics.median(times):.2f} | {min(times):.2f}-{max(times):.2f} "
        "| 0.5 | | |"
    )
    for name, options, seconds, memory in CASES + (LARGE if arguments.large else ()):
        source = str(folder / "large.png") if "1024" in name else content
        pictures = (source,) if "--sheet" in options else (source, style)
        command = cnnkit("stylize", *pictures, "-o", output, "--overwrite", "-q", *options)
        runs = [run_process(command) for _ in range(arguments.runs)]
        times = [wall for wall, _ in runs]
        print(
            f"| {name} | {statistics.median(times):.1f} | {min(times):.1f}-{max(times):.1f} "
            f"| {seconds} | {max(peak for _, peak in runs) / 1e9:.2f} | {memory} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
