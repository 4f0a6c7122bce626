"""How steady painted videos are: warping error on clips whose motion is known, and drift.

The warping error (Lai, Huang, Wang, Shechtman, Yumer & Yang 2018, "Learning blind video temporal
consistency") is the mean squared difference, summed over the colours from 0 to 1, of each frame
from the one before, moved by the true motion, where that is to be seen. Frame by frame is each
frame painted as a picture alone. The style's distance is the mean Wasserstein-2 distance of
VGG-16's activations, which no draft is made with, in parts of the energy; smaller is nearer.

python benchmarks/video_flicker.py [--frames 24] [--styles waves impasto] [--drift 200]
"""

import argparse

import cv2
import numpy as np
import skimage.data
from _measure import machine
from _moving_pictures import KINDS, Moved, moving_pictures

from cnnkit import StylizeOptions, Stylizer
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.losses.style import wasserstein_style_loss
from cnnkit.ops.gaussians import matrix_square_root
from cnnkit.pipelines._stylize_memory import FrameMemory

PHOTOGRAPHS = {"still": "rocket", "turn": "astronaut"}
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
    wanted = judge.style_statistics(max(frames[0].shape[:2]), frames[0] / np.float32(255))
    found = []
    for frame in frames:
        seen = judge.statistics_of(judge.activations(frame.astype(np.float32) / 255), None)
        for layer, own in seen.items():
            style = wanted[layer]
            energy = float(np.trace(style.gram))
            ridge = _RIDGE * energy / len(style.mean) * np.eye(len(style.mean))
            target = style.covariance + ridge
            parts = own.mean, own.covariance + ridge, style.mean, target, matrix_square_root(target)
            loss = wasserstein_style_loss(*(one.astype(np.float32) for one in parts))
            found.append(float(loss) / energy)
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--styles", nargs="+", default=["waves", "impasto"])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--quality", default="draft", choices=("draft", "standard"))
    parser.add_argument("--size", type=int, nargs=2, default=[288, 512], metavar=("H", "W"))
    parser.add_argument("--drift", type=int, default=0, help="frames of a still scene to drift in")
    arguments = parser.parse_args()
    size = tuple(arguments.size)
    print(machine())
    print(f"{arguments.quality}, {size[1]}x{size[0]}, {arguments.frames} frames")
    print("| style | motion | warping error, frame by frame | steady | ratio | style's distance |")
    print("|---|---|---|---|---|---|")
    for name in arguments.styles:
        style = load_sample(find_sample(name))
        stylizer = Stylizer(style, StylizeOptions(quality=arguments.quality, size=max(size)))
        judge = Stylizer(style, StylizeOptions(backbone="vgg16", size=max(size)))
        for kind in arguments.kinds:
            photograph = getattr(skimage.data, PHOTOGRAPHS.get(kind, "chelsea"))()
            motion = list(moving_pictures(photograph, kind, arguments.frames, size))
            memory = FrameMemory()
            steady = [stylizer.paint_frame(one.pixels, memory) for one in motion]
            single = [stylizer.paint_frame(one.pixels, FrameMemory()) for one in motion]
            errors = warping_error(single, motion), warping_error(steady, motion)
            late = slice(len(motion) // 2, None, 4)
            near = style_distance(judge, single[late]), style_distance(judge, steady[late])
            print(
                f"| {name} | {kind} | {errors[0]:.4f} | {errors[1]:.4f} | "
                f"{errors[1] / errors[0]:.2f} | {near[1] / near[0] - 1:+.1%} |",
                flush=True,
            )
        if arguments.drift:
            drift(stylizer, name, arguments.drift, size)


def drift(stylizer: Stylizer, name: str, count: int, size: tuple[int, int]) -> None:
    """How far a background that stands still changes, alone and while a thing passes before it."""
    for kind in ("still", "foreground"):
        memory, free, kept = FrameMemory(), np.ones(size, bool), {}
        for number, moved in enumerate(moving_pictures(skimage.data.rocket(), kind, count, size)):
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
