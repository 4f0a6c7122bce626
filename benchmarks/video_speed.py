"""Time and memory of whole processes on generated videos.

python benchmarks/video_speed.py [--seconds 20] [--minutes 10]
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import psutil
import skimage.data
from _measure import machine
from _moving_pictures import moving_pictures

RATE = 25
# Of the long clip, which is to be long and not large.
LONG_RATE, LONG_SIZE = 10, (96, 160)


def write_clip(
    path: Path, seconds: float, size: tuple[int, int] = (288, 512), rate: int = RATE
) -> Path:
    """A photograph that is panned, as H.264; the same ten seconds over and over."""
    frames = [
        one.pixels
        for one in moving_pictures(
            skimage.data.chelsea(), "pan", max(1, min(10, round(seconds))) * rate, size
        )
    ]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for number in range(round(seconds * rate)):
            frame = av.VideoFrame.from_ndarray(frames[number % len(frames)], "rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def run(*arguments: str) -> tuple[float, list[float]]:
    """Wall seconds, and megabytes of memory every half second."""
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnkit", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    watched, memory = psutil.Process(process.pid), []
    while process.poll() is None:
        try:
            memory.append(watched.memory_info().rss / 1e6)
        except psutil.Error:
            break
        time.sleep(0.5)
    if process.wait():
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return time.monotonic() - begin, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=20, help="of the clips that are timed; 0 for none"
    )
    parser.add_argument(
        "--minutes", type=float, default=10, help="of the one for memory; 0 for none"
    )
    parser.add_argument(
        "--commands", nargs="+", default=["detect", "stylize"], help="that memory is measured of"
    )
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        if arguments.seconds:
            time_commands(room, arguments.seconds)
        if arguments.minutes:
            clip = write_clip(room / "long.mp4", 60 * arguments.minutes, LONG_SIZE, LONG_RATE)
            for command in arguments.commands:
                watch_memory(clip, command, arguments.minutes)


def time_commands(room: Path, seconds: float) -> None:
    """Frames a second of whole processes, start-up included."""
    clip = str(write_clip(room / "clip.mp4", seconds))
    few = str(write_clip(room / "few.mp4", max(1.0, seconds / 10)))
    for name, source, command in (
        ("detect at 320", clip, ("detect", clip, "--size", "320")),
        ("detect --track at 320", clip, ("detect", clip, "--size", "320", "--track")),
        ("draft at 512x288", few, ("stylize", few, "waves")),
    ):
        with av.open(source) as container:
            count = container.streams.video[0].frames
        taken, memory = run(*command, "-o", str(room / "out.mp4"), "--overwrite")
        print(
            f"{name}: {count} frames in {taken:.1f} s, {count / taken:.1f} a second, "
            f"{max(memory):.0f} MB",
            flush=True,
        )


def watch_memory(clip: Path, command: str, minutes: float) -> None:
    """The most memory in each tenth of a run on a long clip."""
    options = ["waves"] if command == "stylize" else ["--size", "320"]
    output = clip.with_name("out.mp4")
    taken, memory = run(command, str(clip), *options, "-o", str(output), "--overwrite")
    bounds = [len(memory) * part // 10 for part in range(11)]
    tenths = [max(memory[a:b]) for a, b in itertools.pairwise(bounds)]
    shown = " ".join(f"{one:.0f}" for one in tenths)
    print(
        f"{command}: {minutes:g} minutes of {LONG_SIZE[1]}x{LONG_SIZE[0]} at {LONG_RATE} frames a "
        f"second in {taken:.0f} s; most MB in each tenth: {shown}",
        flush=True,
    )


if __name__ == "__main__":
    main()
