"""Time and memory of whole processes on generated videos.

python benchmarks/video_speed.py [--seconds 20] [--long 600]
"""

import argparse
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


def write_clip(path: Path, seconds: float, size: tuple[int, int] = (288, 512)) -> Path:
    """A photograph that is panned, as H.264; the same ten seconds over and over."""
    frames = [
        one.pixels
        for one in moving_pictures(
            skimage.data.chelsea(), "pan", min(10, round(seconds)) * RATE, size
        )
    ]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for number in range(round(seconds * RATE)):
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
    parser.add_argument("--seconds", type=float, default=20, help="of the clips that are timed")
    parser.add_argument("--long", type=float, default=600, help="of the one for memory; 0 for none")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        clip = str(write_clip(room / "clip.mp4", arguments.seconds))
        few = str(write_clip(room / "few.mp4", max(1.0, arguments.seconds / 10)))
        for name, source, command in (
            ("detect at 320", clip, ("detect", clip, "--size", "320")),
            ("detect --track at 320", clip, ("detect", clip, "--size", "320", "--track")),
            ("draft at 512x288", few, ("stylize", few, "waves")),
        ):
            with av.open(source) as container:
                count = container.streams.video[0].frames
            seconds, memory = run(*command, "-o", str(room / "out.mp4"), "--overwrite")
            print(
                f"{name}: {count} frames in {seconds:.1f} s, {count / seconds:.1f} a second, "
                f"{max(memory):.0f} MB",
                flush=True,
            )
        if arguments.long:
            source = str(write_clip(room / "long.mp4", arguments.long))
            _, memory = run("detect", source, "-o", str(room / "out.mp4"), "--overwrite")
            tenths = [memory[len(memory) * part // 10] for part in range(1, 10)]
            shown = " ".join(f"{one:.0f}" for one in tenths)
            print(f"{arguments.long:g} s of video, detect: MB after each tenth: {shown}")


if __name__ == "__main__":
    main()
