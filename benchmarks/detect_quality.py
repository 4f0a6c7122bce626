"""Average precision of detectors on 128 pictures of COCO, on 299 others, and on pedestrians.

    python benchmarks/detect_quality.py --data DIR --model NAME|RUN|FILE.keras [--model ...]
        [--size 416] [--flip] [--scales 1 1.2]

DIR is the data pack with `coco/coco128`, `coco/val2017` (of which every eighth picture is taken)
and `pennfudan`. None of these pictures is trained on by `train_detector.py`.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from _measure import machine
from PIL import Image
from train_detector import as_coco, true_pictures

from cnnkit.tasks.detect.evaluate import evaluate_detect
from cnnkit.tasks.detect.metrics import CocoScores
from cnnkit.tasks.detect.settings import EvaluateSettings

GROUPS = {
    "person": range(0, 1),
    "vehicle": range(1, 9),
    "outdoor": range(9, 14),
    "animal": range(14, 24),
    "accessory": range(24, 29),
    "sports": range(29, 39),
    "kitchen": range(39, 46),
    "food": range(46, 56),
    "furniture": range(56, 62),
    "electronic": range(62, 68),
    "appliance": range(68, 73),
    "indoor": range(73, 80),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data pack")
    parser.add_argument("--model", action="append", required=True, help="see cnnkit detect")
    parser.add_argument("--size", type=int, help="long side that the network sees pictures at")
    parser.add_argument("--flip", action="store_true", help="look at mirror images too")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], help="of that side")
    arguments = parser.parse_args()
    settings = EvaluateSettings(
        size=arguments.size, flip=arguments.flip, scales=tuple(arguments.scales)
    )
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        scenes, people = Path(folder) / "scenes.json", Path(folder) / "people.json"
        people.write_text(json.dumps(pennfudan(arguments.data)))
        for model in arguments.model:
            for name, read in (("coco128", coco128), ("val2017", kept_apart)):
                scenes.write_text(json.dumps(read(arguments.data)))
                found = evaluate_detect(scenes, settings, model=model)
                print(f"{model} on {name}, {found.pictures} pictures:")
                print_scores(found.coco)
            found = evaluate_detect(people, settings, model=model)
            print(
                f"{model} on Penn-Fudan, {found.pictures} pictures: person AP50 "
                f"{found.coco.ap50:.3f}, AP {found.coco.ap:.3f}"
            )


def print_scores(scores: CocoScores) -> None:
    print(
        f"  AP {scores.ap:.3f}, AP50 {scores.ap50:.3f}, AP75 {scores.ap75:.3f}, "
        f"AR100 {scores.ar100:.3f}"
    )
    for name, ids in GROUPS.items():
        known = [scores.class_ap50[i] for i in ids if scores.objects[i]]
        objects = int(sum(scores.objects[i] for i in ids))
        if known:
            mean = sum(known) / len(known)
            print(f"  {name:10} {mean:.3f} AP50 of {len(known)} classes, {objects} objects")


def kept_apart(data: Path) -> dict:
    """The pictures of val2017 that are kept apart, and their boxes, as a COCO file."""
    return as_coco(true_pictures(data.resolve())[0])


def coco128(data: Path) -> dict:
    """The 128 pictures and their boxes as one COCO file."""
    names = (data / "coco" / "classes.txt").read_text().splitlines()
    names = [name.split(maxsplit=1)[1] for name in names if name.strip()]
    images, annotations = [], []
    folder = data / "coco" / "coco128"
    for path in sorted((folder / "images").glob("*.jpg")):
        with Image.open(path) as image:
            width, height = image.size
        key = len(images) + 1
        images.append(
            {"id": key, "file_name": str(path.resolve()), "width": width, "height": height}
        )
        notes = folder / "boxes" / f"{path.stem}.txt"
        for line in notes.read_text().splitlines() if notes.exists() else ():
            class_id, x, y, wide, high = map(float, line.split())
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": key,
                    "category_id": int(class_id),
                    "bbox": [
                        (x - wide / 2) * width,
                        (y - high / 2) * height,
                        wide * width,
                        high * height,
                    ],
                }
            )
    categories = [{"id": index, "name": name} for index, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def pennfudan(data: Path, places: Sequence[int] | None = None) -> dict:
    """The pedestrians as one COCO file; only of pictures at these places in the order of names."""
    known = json.loads((data / "pennfudan" / "boxes_xyxy_normalized.json").read_text())
    images, annotations = [], []
    for place, (name, boxes) in enumerate(sorted(known.items())):
        if places is not None and place not in places:
            continue
        path = (data / "pennfudan" / name).resolve()
        with Image.open(path) as image:
            width, height = image.size
        key = len(images) + 1
        images.append({"id": key, "file_name": str(path), "width": width, "height": height})
        for left, top, right, bottom in boxes:
            box = [left * width, top * height, (right - left) * width, (bottom - top) * height]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": key, "category_id": 0, "bbox": box}
            )
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 0, "name": "person"}],
    }


if __name__ == "__main__":
    main()
