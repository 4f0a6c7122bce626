"""How much a cutout's edges shimmer in a video: a person who moves before a still background.

The person is cut out of a photograph, moved by whole pixels and laid over another one, with noise,
so that both the true edge and its motion are known. Shimmer is the mean absolute difference of
opacity, from 0 to 1, between each frame and the one before moved along, in a band around the edge;
error is the difference from the true opacity there. Alone is each frame cut out as a picture.

python benchmarks/video_edges.py [--frames 12] [--data DIR] [--csv FILE] [--sheet FILE]
"""

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from _measure import machine
from PIL import Image

from cnnkit.images import READABLE_SUFFIXES, Picture, fit_size, read_image, resize, to_uint8
from cnnkit.tasks.segment.cutout import subject_alpha, subject_classes
from cnnkit.tasks.segment.predict import Segmenter
from cnnkit.tasks.segment.results import Segmentation
from cnnkit.tasks.segment.video import CutoutVideo, Trail
from cnnkit.video.reader import Frame

# Pixels around the true edge that count, and how the person moves, in pixels.
_BAND = 7
_STEP = np.array([3.0, 7.0])
_PERIODS = np.array([3.5, 5.0])
_NOISE = 2.0


class Kept(Trail):
    """Keeps the opacities that it mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.alphas: list[np.ndarray] = []

    def mix(self, pixels: np.ndarray, maps: np.ndarray) -> np.ndarray:
        self.alphas.append(super().mix(pixels, maps))
        return self.alphas[-1]


def people(found: Segmentation) -> tuple[int, ...]:
    """The class of people, where a frame shows some."""
    return subject_classes(found, "person")


def cut(segmenter: Segmenter, frames: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Opacities of frames that follow one another, and the last one before a blurred background."""
    video = CutoutVideo(segmenter, "clip", people, "blur", {})
    video._edges = kept = Kept()
    drawn = list(video.run([Frame(at, at, 1, one) for at, one in enumerate(frames)]))
    return kept.alphas, drawn[-1].draw()


def moved(array: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.roll(array, shift, axis=(0, 1))


def measure(
    segmenter: Segmenter, photograph: np.ndarray, count: int, size: int
) -> tuple[dict[str, float], np.ndarray] | None:
    """Shimmer and error with the frames before and alone, and a strip to look at."""
    height, width = fit_size(*photograph.shape[:2], size)
    person = np.clip(resize(photograph / np.float32(255), height, width), 0.0, 1.0)
    found = segmenter.label(Picture(person))
    classes = people(found)
    if not classes:
        return None
    alpha = subject_alpha(Picture(person), found, classes)
    scene = cv2.resize(skimage.data.rocket(), (width, height)) / np.float32(255)
    random, frames, truths, shifts = np.random.default_rng(0), [], [], []
    for time in range(count):
        shift = np.round(_STEP * np.sin(time / _PERIODS)).astype(int)
        truth = moved(alpha, shift)
        pixels = scene + truth[..., None] * (moved(person, shift) - scene)
        noisy = 255 * pixels + random.normal(0.0, _NOISE, pixels.shape)
        frames.append(np.clip(noisy + 0.5, 0, 255).astype(np.uint8))
        truths.append(truth)
        shifts.append(shift)
    steady, last = cut(segmenter, frames)
    alone = [cut(segmenter, [one])[0][0] for one in frames]
    result = {}
    for name, alphas in (("alone", alone), ("steady", steady)):
        shimmer, error = [], []
        for at in range(1, count):
            edge = (truths[at] > 0.05) & (truths[at] < 0.95)
            band = cv2.dilate(edge.astype(np.uint8), np.ones((_BAND, _BAND), np.uint8)) > 0
            before = moved(alphas[at - 1], shifts[at] - shifts[at - 1])
            shimmer.append(np.abs(alphas[at] - before)[band].mean())
            error.append(np.abs(alphas[at] - truths[at])[band].mean())
        result |= {f"shimmer_{name}": np.mean(shimmer), f"error_{name}": np.mean(error)}
    grey = [np.repeat(to_uint8(one)[..., None], 3, axis=-1) for one in (alone[-1], steady[-1])]
    return result, np.concatenate([frames[-1], *grey, last], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", type=int, default=320, help="long side of the frames")
    parser.add_argument("--data", type=Path, help="folder of photographs with people")
    parser.add_argument("--most", type=int, default=4, help="photographs of it")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--sheet", type=Path, help="picture of the last frames")
    arguments = parser.parse_args()
    photographs = {"astronaut": skimage.data.astronaut()}
    if arguments.data is not None:
        paths = sorted(p for p in arguments.data.iterdir() if p.suffix.lower() in READABLE_SUFFIXES)
        read = {one.stem: to_uint8(read_image(one).pixels) for one in paths[: arguments.most]}
        photographs |= read
    print(machine())
    print("| photograph | shimmer alone | steady | ratio | error alone | steady |")
    print("|---|---|---|---|---|---|")
    segmenter, rows, strips = Segmenter(), [], []
    for name, pixels in photographs.items():
        measured = measure(segmenter, pixels, arguments.frames, arguments.size)
        if measured is None:
            print(f"{name}: nobody")
            continue
        row, strip = measured
        rows.append({"photograph": name, **row})
        strips.append(strip)
        print(
            f"| {name} | {row['shimmer_alone']:.4f} | {row['shimmer_steady']:.4f} | "
            f"{row['shimmer_steady'] / row['shimmer_alone']:.2f} | {row['error_alone']:.4f} | "
            f"{row['error_steady']:.4f} |",
            flush=True,
        )
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if arguments.sheet is not None:
        width = max(one.shape[1] for one in strips)
        padded = [np.pad(one, [(0, 0), (0, width - one.shape[1]), (0, 0)]) for one in strips]
        Image.fromarray(np.concatenate(padded)).save(arguments.sheet)


if __name__ == "__main__":
    main()
