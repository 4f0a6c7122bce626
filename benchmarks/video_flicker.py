"""How steady painted videos are: warping error on clips whose motion is known, and drift.

The warping error (Lai, Huang, Wang, Shechtman, Yumer & Yang 2018, "Learning blind video temporal
consistency") is the mean squared difference, summed over the colours from 0 to 1, of each frame
from the one before, moved by the true motion, where that is to be seen. Frame by frame is each
frame painted as a picture alone. The style's distance is the mean Wasserstein-2 distance of
VGG-16's activations, which no draft is made with, in parts of the energy; smaller is nearer.

The constants of cnnkit/video/motion.py and cnnkit/tasks/stylize/frame_memory.py were chosen on the
photograph and the styles of `CHOSEN_ON`; by default others are measured.

python benchmarks/video_flicker.py [--frames 16] [--data DIR] [--csv FILE] [--drift 200]
"""

import argparse
import csv
import statistics
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from _measure import machine
from _moving_pictures import KINDS, Moved, moving_pictures

from cnnkit import Stylizer, StylizeSettings
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import READABLE_SUFFIXES, read_image, to_uint8
from cnnkit.ops.gaussians import matrix_square_root
from cnnkit.tasks.stylize.frame_memory import FrameMemory
from cnnkit.tasks.stylize.loss import wasserstein_style_loss

CHOSEN_ON = {"photographs": ("rocket",), "styles": ("waves", "impasto")}
PHOTOGRAPHS, STYLES = ("coffee", "astronaut", "chelsea"), ("stained-glass", "ink-wash", "woodcut")
# Of a covariance, in parts of its mean variance.
_RIDGE = 1e-3


def warping_error(frames: list[np.ndarray], motion: list[Moved]) -> float:
    """See above."""
    errors = []
    for last, frame, moved in zip(frames, frames[1:], motion[1:], strict=False):
        ys, xs = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
        x, y = xs + moved.flow[..., 0], ys + moved.flow[..., 1]
        before = cv2.remap(last / np.float32(255), x, y, cv2.INTER_LINEAR)
        error = np.sum((frame / np.float32(255) - before) ** 2, axis=-1)
        errors.append(error[moved.seen].mean())
    return float(np.mean(errors))


def style_distance(judge: Stylizer, frames: list[np.ndarray]) -> float:
    """Mean distance of frames from the judge's style."""
    wanted = judge.style.style_statistics(max(frames[0].shape[:2]), frames[0] / np.float32(255))
    found = []
    for frame in frames:
        seen = judge.style.statistics_of(
            judge.style.activations(frame.astype(np.float32) / 255), None
        )
        for layer, own in seen.items():
            style = wanted[layer]
            energy = float(np.trace(style.gram))
            ridge = _RIDGE * energy / len(style.mean) * np.eye(len(style.mean))
            target = style.covariance + ridge
            parts = own.mean, own.covariance + ridge, style.mean, target, matrix_square_root(target)
            loss = wasserstein_style_loss(*(one.astype(np.float32) for one in parts))
            found.append(float(loss) / energy)
    return float(np.mean(found))


def read_photographs(names: list[str], data: Path | None) -> dict[str, np.ndarray]:
    """scikit-image's by name, and those of a folder; all that are uint8 `(height, width, 3)`."""
    found = {name: getattr(skimage.data, name)() for name in names}
    if data is not None:
        paths = sorted(one for one in data.iterdir() if one.suffix.lower() in READABLE_SUFFIXES)
        found |= {path.stem: to_uint8(read_image(path).pixels) for path in paths}
    return found


def measure(
    stylizer: Stylizer, judge: Stylizer, motion: list[Moved]
) -> tuple[dict[str, float], list[np.ndarray]]:
    """Errors, distances and seconds of a clip, and its steady frames."""
    memory = FrameMemory()
    begin = time.monotonic()
    steady = [stylizer.paint_frame(one.pixels, memory) for one in motion]
    seconds = (time.monotonic() - begin) / len(motion)
    single = [stylizer.paint_frame(one.pixels, FrameMemory()) for one in motion]
    errors = warping_error(single, motion), warping_error(steady, motion)
    late = slice(len(motion) // 2, None, 4)
    near = style_distance(judge, single[late]), style_distance(judge, steady[late])
    return {
        "frame_by_frame": errors[0],
        "steady": errors[1],
        "ratio": errors[1] / errors[0],
        "distance": near[1] / near[0] - 1,
        "seconds": seconds,
    }, steady


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--styles", nargs="+", default=list(STYLES))
    parser.add_argument("--photographs", nargs="*", default=list(PHOTOGRAPHS))
    parser.add_argument("--data", type=Path, help="folder of more photographs")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--quality", default="draft", choices=("draft", "standard"))
    parser.add_argument("--size", type=int, nargs=2, default=[144, 256], metavar=("H", "W"))
    parser.add_argument(
        "--drift",
        type=int,
        default=0,
        help="frames of a still scene to drift in, of the first photograph",
    )
    parser.add_argument("--csv", type=Path, help="file for a row of each clip")
    parser.add_argument("--strips", type=Path, help="folder for the steady frames of each clip")
    arguments = parser.parse_args()
    size = tuple(arguments.size)
    photographs = read_photographs(arguments.photographs, arguments.data)
    print(machine())
    print(f"{arguments.quality}, {size[1]}x{size[0]}, {arguments.frames} frames")
    print("styles:", *arguments.styles, "photographs:", *photographs)
    rows = []
    for name in arguments.styles:
        style = load_sample(find_sample(name))
        stylizer = Stylizer(style, StylizeSettings(quality=arguments.quality, size=max(size)))
        judge = Stylizer(style, StylizeSettings(backbone="vgg16", size=max(size)))
        for photograph, pixels in photographs.items():
            for kind in arguments.kinds:
                motion = list(moving_pictures(pixels, kind, arguments.frames, size))
                found, steady = measure(stylizer, judge, motion)
                rows.append({"style": name, "photograph": photograph, "motion": kind, **found})
                print(name, photograph, kind, *(f"{one:.4f}" for one in found.values()), flush=True)
                if arguments.strips is not None:
                    strip = np.concatenate(steady[:: max(1, len(steady) // 4)], axis=1)
                    path = arguments.strips / f"{name}-{photograph}-{kind}.png"
                    cv2.imwrite(str(path), strip[..., ::-1])
        if arguments.drift:
            drift(stylizer, name, next(iter(photographs.values())), arguments.drift, size)
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    print_table(rows)


def print_table(rows: list[dict]) -> None:
    """Means and worst by motion."""
    by_kind = defaultdict(list)
    for row in rows:
        by_kind[row["motion"]].append(row)
    print("| motion | frame by frame | steady | ratio, mean (largest) | distance, mean (largest) |")
    print("|---|---|---|---|---|")
    for kind, some in by_kind.items():
        single, steady, ratio, distance = (
            [row[key] for row in some] for key in ("frame_by_frame", "steady", "ratio", "distance")
        )
        print(
            f"| {kind} | {statistics.mean(single):.4f} | {statistics.mean(steady):.4f} | "
            f"{statistics.mean(ratio):.2f} ({max(ratio):.2f}) | "
            f"{statistics.mean(distance):+.1%} ({max(distance):+.1%}) |"
        )


def drift(
    stylizer: Stylizer, name: str, photograph: np.ndarray, count: int, size: tuple[int, int]
) -> None:
    """How far a background that stands still changes, alone and while a thing passes before it."""
    for kind in ("still", "foreground"):
        memory, free, kept = FrameMemory(), np.ones(size, bool), {}
        for number, moved in enumerate(moving_pictures(photograph, kind, count, size)):
            frame = stylizer.paint_frame(moved.pixels, memory)
            if number:
                free &= ~np.any(moved.flow != 0.0, axis=-1) & moved.seen
            if number in (10, count - 1):
                alone = stylizer.paint_frame(moved.pixels, FrameMemory())
                kept[number] = frame.astype(float), alone.astype(float)
        (first, first_alone), (last, last_alone) = kept.values()
        print(
            f"{name}, {kind}: from frame 10 to {count} the background changes by "
            f"{np.abs(last - first)[free].mean():.1f} of 255, painted frame by frame by "
            f"{np.abs(last_alone - first_alone)[free].mean():.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
