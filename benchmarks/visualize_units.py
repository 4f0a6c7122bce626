"""Time and memory of `cnnkit visualize units`.

python benchmarks/visualize_units.py --data DIR [--counts 250 1000 4000] [--names 100000]
"""

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from _measure import cnnkit, machine, run_process

from cnnkit.data.sources import stream_sources


def link_pictures(data: str, folder: Path, count: int) -> Path:
    """A folder of so many pictures: links to those of `data`, in turn."""
    folder.mkdir()
    pictures = itertools.cycle([source.path for source in stream_sources([data], True)])
    for number, picture in enumerate(itertools.islice(pictures, count)):
        link = folder / f"{number:06d}{Path(picture).suffix}"
        link.symlink_to(Path(picture).resolve())
    return folder


def listing_memory(folder: Path) -> float:
    """Bytes that going through the names of a folder adds to a process."""
    code = (
        "import resource, sys; from cnnkit.data.sources import stream_sources; "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; before = peak(); "
        "assert sum(1 for _ in stream_sources([sys.argv[1]])); print(peak() - before)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    return float(found.stdout) * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a folder of pictures")
    parser.add_argument("--counts", type=int, nargs="+", default=[250, 1000, 4000])
    parser.add_argument("--names", type=int, default=0, help="also list so many names")
    arguments = parser.parse_args()
    print(machine())
    print(f"load average {os.getloadavg()[0]:.1f} at the beginning")
    print("| layer | pictures | deconv | seconds | of all cores, % | peak memory, GB |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as home:
        folders = {
            count: link_pictures(arguments.data, Path(home) / str(count), count)
            for count in arguments.counts
        }
        middle = sorted(arguments.counts)[len(arguments.counts) // 2]
        cases = [("block3_conv4", count, False) for count in arguments.counts]
        cases += [("block5_conv1", middle, False), ("block3_conv4", middle, True)]
        cases += [("block5_conv1", middle, True), ("--all-layers", middle, True)]
        for layer, count, deconv in cases:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = ["visualize", "units", layer, "--images", str(folders[count])]
            command += ["-o", f"{home}/sheet.png", "--overwrite", "-q"]
            seconds, memory = run_process(cnnkit(*command, *(["--deconv"] if deconv else [])))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            busy = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
            share = 100 * busy / seconds / (os.cpu_count() or 1)
            print(
                f"| {layer} | {count} | {'yes' if deconv else ''} | {seconds:.1f} | {share:.0f} "
                f"| {memory / 1e9:.2f} |",
                flush=True,
            )
        if arguments.names:
            many = link_pictures(arguments.data, Path(home) / "many", arguments.names)
            added = listing_memory(many)
            print(f"going through {arguments.names} names: {added / 1e6:.1f} MB")
    print(f"load average {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
