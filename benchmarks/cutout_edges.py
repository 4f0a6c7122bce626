"""How near the edges of cutouts are to true ones, beside the segmenter's own edges.

    python benchmarks/cutout_edges.py --data DIR [--model voc21] [--output FOLDER]

DIR is the data pack. The pictures were not trained on: those of `coco/masks21/test` that show
people on a fiftieth of their pixels or more, and every sixth one of PennPed, whose masks people
drew. They drew polygons: an edge is right that is at most 4 pixels away, of pictures of 480. The
F-score is of precision and recall of the edge's pixels (Martin, Fowlkes & Malik 2004), the mean
over pictures. How much of the true edge is at most 12 pixels from the segmenter's is said too: what
is further away no cutout can find. Nobody drew hairs, so look at the pictures too.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _measure import machine
from PIL import Image
from scipy import ndimage
from segment_quality import PERSON, coco_pairs

from cnnkit.images import Picture, read_image, to_uint8, write_image
from cnnkit.tasks.segment.cutout import cut_out, share_of
from cnnkit.tasks.segment.predict import Segmenter
from cnnkit.tasks.segment.regions import resize_maps

TOLERANCE, REACH = 4.0, 12.0
_LEAST_SHARE = 0.02
_GREEN = np.float32([0.1, 0.7, 0.2])


def true_people(data: Path) -> Iterator[tuple[Picture, np.ndarray, np.ndarray]]:
    """Pictures, where people are, and where the truth is known."""
    for _, path, mask in coco_pairs(data):
        true = np.asarray(Image.open(mask))
        if (true == PERSON).mean() >= _LEAST_SHARE:
            yield read_image(path), true == PERSON, true != 255
    for path in sorted((data / "pennfudan/images").glob("PennPed*.jpg"))[::6]:
        true = np.asarray(Image.open(data / "pennfudan/masks" / f"{path.stem}.png")) > 0
        yield read_image(path), true, np.ones_like(true)


def edge_of(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask that have a neighbour outside; the border of the picture is none."""
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def edge_scores(
    found: np.ndarray, true: np.ndarray, known: np.ndarray, tolerance: float = TOLERANCE
) -> tuple[float, float, float]:
    """Precision, recall and F-score of an edge.

    >>> true = np.zeros((20, 20), bool)
    >>> true[5:15, 5:15] = True
    >>> edge_scores(np.roll(true, 1, axis=0), true, np.ones_like(true), tolerance=1.0)
    (1.0, 1.0, 1.0)
    """
    ours, theirs = edge_of(found) & known, edge_of(true) & known
    if not ours.any() or not theirs.any():
        return 0.0, 0.0, 0.0
    precision = (ndimage.distance_transform_edt(~theirs)[ours] <= tolerance).mean()
    recall = (ndimage.distance_transform_edt(~ours)[theirs] <= tolerance).mean()
    both = precision + recall
    return float(precision), float(recall), float(2 * precision * recall / both) if both else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="voc21")
    parser.add_argument("--output", type=Path, help="folder for pictures side by side")
    arguments = parser.parse_args()
    print(machine())
    segmenter = Segmenter(arguments.model)
    rows: dict[str, list[tuple[float, ...]]] = {"segmenter": [], "cutout": []}
    seconds, reached, overlaps = [], [], {"segmenter": [], "cutout": []}
    for number, (picture, true, known) in enumerate(true_people(arguments.data)):
        found = segmenter.label(picture)
        height, width = true.shape
        plain = resize_maps(share_of(found.probabilities, (PERSON,)), height, width) >= 0.5
        begin = time.monotonic()
        cut = cut_out(picture, found, (PERSON,))
        seconds.append(time.monotonic() - begin)
        for name, mask in (("segmenter", plain), ("cutout", cut.alpha >= 0.5)):
            rows[name].append(edge_scores(mask, true, known))
            both = (mask & true & known).sum() / max(1, ((mask | true) & known).sum())
            overlaps[name].append(float(both))
        reached.append(edge_scores(plain, true, known, REACH)[1])
        if arguments.output is not None:
            alpha = cut.alpha[..., None]
            shown = [
                picture.pixels,
                picture.pixels * (0.35 + 0.65 * plain[..., None]),
                alpha * cut.pixels + (1.0 - alpha) * _GREEN,
                alpha.repeat(3, axis=2),
            ]
            sheet = Picture(to_uint8(np.concatenate(shown, axis=1)).astype(np.float32) / 255.0)
            write_image(arguments.output / f"{number:03d}.png", sheet)
    print(
        f"{len(reached)} pictures of people; {np.mean(reached):.1%} of the true edges are at most "
        f"{REACH:.0f} pixels from the segmenter's; {np.median(seconds):.2f} s a cutout (median)"
    )
    for name, scores in rows.items():
        precision, recall, f_score = np.mean(scores, axis=0)
        print(
            f"  {name:9}  F-score at {TOLERANCE:.0f} pixels {f_score:.3f} "
            f"(precision {precision:.3f}, recall {recall:.3f}), IoU of a picture "
            f"{np.mean(overlaps[name]):.3f}"
        )


if __name__ == "__main__":
    main()
