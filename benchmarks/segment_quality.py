"""How good a segmenter is on true masks, and how far it agrees with the teacher on others.

    python benchmarks/segment_quality.py --data DIR [--model voc21] [--least 384] [--output FOLDER]

DIR is that of `train_segmenter.py`. The pictures here were not trained on: `coco/masks21/test` and
PennPed of Penn-Fudan, whose masks people drew, and Caltech's test pictures, BSDS' val and every
eighth picture of ImageNet, whose masks a larger network made (where it was sure, as in training).
What it says of those is no truth. `--least` says what small pictures would gain from being enlarged
first.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _measure import machine
from PIL import Image
from train_segmenter import LEAST_SURE, held_out, sure_pairs

from cnnkit.data._class_names import VOC_CLASSES
from cnnkit.images import Picture, fit_size, read_image, resize, to_uint8, write_image
from cnnkit.tasks.segment.metrics import SegmentationScores, pixel_confusion, segmentation_scores
from cnnkit.tasks.segment.plots import draw_segments
from cnnkit.tasks.segment.predict import Segmenter
from cnnkit.tasks.segment.settings import SegmentSettings

PERSON = VOC_CLASSES.index("person")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="voc21")
    parser.add_argument("--every", type=int, default=4, help="of the pictures with a teacher")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--least", type=int, default=0, help="long side of small ones, enlarged")
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--output", type=Path, help="folder for sheets of pictures")
    arguments = parser.parse_args()
    print(machine())
    segmenter = Segmenter(
        arguments.model, SegmentSettings(size=arguments.size, flip=arguments.flip)
    )

    def look(picture: Picture) -> np.ndarray:
        return classes_of(segmenter, picture, arguments.least)

    pairs = coco_pairs(arguments.data)
    scores, shown = agreement(look, pairs, arguments.output, "coco")
    print(
        f"COCO, {len(pairs)} pictures: mean IoU of {np.sum(scores.support > 0)} classes "
        f"{scores.mean_iou:.3f}, person {scores.iou[PERSON]:.3f}, "
        f"{scores.pixel_accuracy:.1%} of the pixels"
    )
    print_classes(scores, shown)
    for name, pattern in (("PennPed", "PennPed*"), ("FudanPed, trained on", "FudanPed*")):
        people = people_of(look, arguments.data, pattern, arguments.output)
        print(f"{name}: person IoU {people.iou[1]:.3f}, found {people.accuracy[1]:.3f}")
    pairs = quality_pairs(arguments.data, arguments.every)
    for name in ("caltech101", "imagenet", "bsds", ""):
        chosen = [pair for pair in pairs if pair[0].startswith(f"images/{name}")]
        scores, shown = agreement(look, chosen, arguments.output, name or "all")
        print(
            f"{name or 'all'}: {len(chosen)} pictures, mean IoU {scores.mean_iou:.3f}, "
            f"{scores.pixel_accuracy:.1%} of the pixels"
        )
    print_classes(scores, shown)


def print_classes(scores: SegmentationScores, shown: np.ndarray) -> None:
    rows = zip(VOC_CLASSES, scores.iou, scores.support, shown, strict=True)
    for label, iou, support, pictures in rows:
        print(f"  {label:12} {iou:.3f}  {support:>9,} pixels of {pictures} pictures")


def coco_pairs(data: Path) -> list[tuple[str, Path, Path]]:
    """Pictures of COCO with true masks, which were not trained on."""
    folder = data / "coco/masks21/test"
    return [
        (mask.stem, folder / "images" / f"{mask.stem}.webp", mask)
        for mask in sorted((folder / "masks21").glob("*.png"))
    ]


def quality_pairs(data: Path, every: int = 4) -> list[tuple[str, Path, Path]]:
    """Pictures that were not trained on with the larger network's masks; of Caltech's every such
    one."""
    kept_out = held_out(data)
    pairs = [pair for pair in sure_pairs(data, LEAST_SURE) if pair[0] in kept_out]
    caltech = [pair for pair in pairs if "caltech101" in pair[0]]
    return [pair for pair in pairs if "caltech101" not in pair[0]] + caltech[::every]


def classes_of(segmenter: Segmenter, picture: Picture, least: int) -> np.ndarray:
    """The class of each pixel of a picture that is enlarged to a long side at least."""
    height, width = picture.pixels.shape[:2]
    if max(height, width) >= least:
        return segmenter.label(picture).classes
    larger = np.clip(resize(picture.pixels, *fit_size(height, width, least)), 0.0, 1.0)
    found = Image.fromarray(segmenter.label(Picture(larger)).classes)
    return np.asarray(found.resize((width, height), Image.Resampling.NEAREST))


def people_of(
    look: Callable[[Picture], np.ndarray], data: Path, pattern: str, output: Path | None
) -> SegmentationScores:
    """Person or not, in the pictures of Penn-Fudan."""
    confusion, rows, seconds = np.zeros((2, 2), np.int64), [], []
    for path in sorted((data / "pennfudan/images").glob(f"{pattern}.jpg")):
        picture = read_image(path)
        begin = time.monotonic()
        found = look(picture)
        seconds.append(time.monotonic() - begin)
        true = np.asarray(Image.open(data / "pennfudan/masks" / f"{path.stem}.png")) > 0
        confusion += pixel_confusion(true.astype(int), (found == PERSON).astype(int), 2)
        rows.append((to_uint8(picture.pixels), (true * PERSON).astype(np.uint8), found))
    print(f"{pattern}: {1e3 * np.median(seconds):.0f} ms a picture")
    if output is not None:
        write_sheet(output / f"{pattern.rstrip('*')}.png", rows[:: max(1, len(rows) // 8)])
    return segmentation_scores(confusion)


def agreement(
    look: Callable[[Picture], np.ndarray],
    pairs: list[tuple[str, Path, Path]],
    output: Path | None,
    name: str,
) -> tuple[SegmentationScores, np.ndarray]:
    """Against masks, and how many pictures show each class by these."""
    count = len(VOC_CLASSES)
    confusion, rows, shown = np.zeros((count, count), np.int64), [], np.zeros(count, int)
    for index, (_, path, mask) in enumerate(pairs):
        picture = read_image(path)
        found = look(picture)
        true = np.asarray(Image.open(mask))
        confusion += pixel_confusion(true, found, count)
        shown[[label for label in np.unique(true) if label < count]] += 1
        if index % max(1, len(pairs) // 24) == 0:
            rows.append((to_uint8(picture.pixels), true, found))
    if output is not None:
        write_sheet(output / f"{name}.png", rows[:24])
    return segmentation_scores(confusion), shown


def write_sheet(path: Path, rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    sheet = draw_segments(rows, VOC_CLASSES)
    write_image(path, Picture(sheet.astype(np.float32) / 255.0))


if __name__ == "__main__":
    main()
