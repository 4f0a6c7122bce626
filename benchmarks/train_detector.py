"""Trains the shipped detector of 80 classes on labels that another detector gave.

    python benchmarks/train_detector.py --data DIR [-- --time-budget 2400 ...]

DIR is the data pack: `images/` and `labels/coco80.jsonl.gz`, one JSON object a line: a picture, its
boxes as parts of it, their classes and scores. The scores are taken as weights. What comes after
"--" goes to `cnnkit train detect`; with `--resume` a run goes on.
"""

import argparse
import gzip
import json
import subprocess
from pathlib import Path

from _measure import cnnkit
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data pack")
    parser.add_argument("--output", type=Path, default=Path("runs/detector"))
    parser.add_argument("options", nargs="*", help="for cnnkit train detect")
    arguments = parser.parse_args()
    notes = arguments.output.with_suffix(".json")
    if not notes.exists():
        notes.parent.mkdir(parents=True, exist_ok=True)
        notes.write_text(json.dumps(as_coco(arguments.data)))
    command = cnnkit("train", "detect", str(notes), "-o", str(arguments.output))
    subprocess.run([*command, *arguments.options], check=True)


def as_coco(data: Path) -> dict:
    """The labels as one COCO file, with scores."""
    names = (data / "labels" / "coco80_classes.txt").read_text().splitlines()
    # Numbered in some packs: "0 person".
    names = [name.strip().lstrip("0123456789").strip() for name in names if name.strip()]
    images, annotations = [], []
    with gzip.open(data / "labels" / "coco80.jsonl.gz", "rt") as file:
        for line in file:
            one = json.loads(line)
            path = (data / one["image"]).resolve()
            with Image.open(path) as image:
                width, height = image.size
            key = len(images) + 1
            images.append({"id": key, "file_name": str(path), "width": width, "height": height})
            for box, class_id, score in zip(
                one["boxes_xyxy_normalized"], one["classes"], one["scores"], strict=True
            ):
                left, top, right, bottom = (
                    min(max(edge, 0.0), 1.0) * side
                    for edge, side in zip(box, (width, height) * 2, strict=True)
                )
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": key,
                        "category_id": class_id,
                        "bbox": [left, top, right - left, bottom - top],
                        "score": score,
                    }
                )
    categories = [{"id": index, "name": name} for index, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}


if __name__ == "__main__":
    main()
