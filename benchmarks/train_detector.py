"""Trains the shipped detector of 80 classes on labels that another detector gave.

    python benchmarks/train_detector.py --data DIR [-- --time-budget 2400 ...]

DIR is the data pack: `images/` and `labels/coco80.jsonl.gz`, one JSON object a line: a picture, its
boxes as parts of it, their classes and scores. The scores are taken as weights. Street scenes
(`camvid/`) and 50 pictures of COCO (`coco/tiny_coco`), which have no such labels, get those of
`yolo-fastest-xl`; its weights are to be fetched or imported before. Scenes of several objects are
rarer than single ones and come several times in an epoch. What comes after "--" goes to `cnnkit
train detect`; with `--resume` a run goes on. The shipped detector was made in four trainings. In
the first three, of a detector without anchors, pictures of `imagenet`, `bsds` and `tiny_coco` came
3, 3 and 4 times:

    -- --model compact --teacher yolo-fastest-xl --distillation 2 --size 224 --batch 16
       --val-share 0.03 --learning-rate 0.0025 --time-budget 5700

and then, to see pictures larger,

    -- --resume --val-size 256

and from that run, on a graphics card (an H200) beside five other trainings and with 16 cores,

    -o runs/detector2 -- --model runs/detector --no-freeze --pretrained-rate 0.1
       --teacher yolo-fastest-xl --distillation 2 --size 320 --val-size 416 --batch 32
       --learning-rate 0.002 --ema 0.999 --val-share 0.02 --time-budget 435 --workers 6

and `--resume --val-size 320` once more, and from that, on an H100 beside another training, with
41,628 scenes in an epoch that the card composes itself,

    -o runs/detector3 --repeat 3 -- --model runs/detector2 --no-freeze --pretrained-rate 0.1
       --teacher yolo-fastest-xl --distillation 2 --size 320 --val-size 320 --batch 64
       --learning-rate 0.002 --ema 0.999 --time-budget 425 --epochs 500 --workers 6 --on-device

Then, with the stages of that as it was packed, on an H100 alone,

    -o runs/detector4 --repeat 2 -- --model anchors --pretrained runs/detector3/coco80.keras
       --teacher yolo-fastest-xl --labels 0.25 --size 320 --val-size 320 --batch 64
       --learning-rate 0.002 --ema 0.999 --time-budget 545 --epochs 500 --workers 6 --on-device
       --mixed-precision bfloat16

On the cards KERAS_BACKEND was jax.

The run folder gets `coco80.keras` too: the same model, its weights rounded to 16 bits and packed.
"""

import argparse
import gzip
import json
import subprocess
from pathlib import Path

from _measure import cnnkit
from PIL import Image
from train_segmenter import pack

from cnnkit.data._class_names import COCO_CLASSES
from cnnkit.data._splits import draw_key
from cnnkit.tasks.detect.predict import detect
from cnnkit.tasks.detect.settings import DetectSettings

# How often the pictures of a folder are in an epoch.
TIMES = {"imagenet": 4, "bsds": 8, "camvid": 2, "tiny_coco": 16}
# Share of the pictures that are for validation.
VALIDATED = 0.02
# Least score of a label, as in the pack.
SURE = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data pack")
    parser.add_argument("--output", type=Path, default=Path("runs/detector"))
    parser.add_argument("--repeat", type=int, default=1, help="how often a picture is in an epoch")
    parser.add_argument("options", nargs="*", help="for cnnkit train detect")
    arguments = parser.parse_args()
    notes = arguments.output.with_name(f"{arguments.output.name}-data")
    if not (notes / "train.json").exists():
        notes.mkdir(parents=True, exist_ok=True)
        for name, coco in as_coco(arguments.data, arguments.repeat).items():
            (notes / f"{name}.json").write_text(json.dumps(coco))
    command = cnnkit("train", "detect", str(notes), "-o", str(arguments.output))
    subprocess.run([*command, *arguments.options], check=True)
    pack(arguments.output / "model.keras", arguments.output / "coco80.keras")


def as_coco(data: Path, repeat: int = 1) -> dict[str, dict]:
    """The labels as COCO files "train" and "val", with scores."""
    categories = [{"id": index, "name": name} for index, name in enumerate(COCO_CLASSES)]
    files = {
        split: {"images": [], "annotations": [], "categories": categories}
        for split in ("train", "val")
    }

    def add(path: Path, boxes: list, class_ids: list[int], scores: list[float]) -> None:
        with Image.open(path) as image:
            width, height = image.size
        name = path.relative_to(data.resolve())
        draw = int.from_bytes(draw_key(0, name.as_posix())[:4], "big") / 2**32
        split = "val" if draw < VALIDATED else "train"
        images, annotations = files[split]["images"], files[split]["annotations"]
        times = repeat * max(TIMES.get(part, 1) for part in name.parts)
        for _ in range(times if split == "train" else 1):
            key = len(images) + 1
            images.append({"id": key, "file_name": str(path), "width": width, "height": height})
            for box, class_id, score in zip(boxes, class_ids, scores, strict=True):
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

    with gzip.open(data / "labels" / "coco80.jsonl.gz", "rt") as file:
        for line in file:
            one = json.loads(line)
            path = (data / one["image"]).resolve()
            add(path, one["boxes_xyxy_normalized"], one["classes"], one["scores"])
    more = sorted(data.glob("camvid/*/images/*.jpg")) + sorted(
        data.glob("coco/tiny_coco/images/*.jpg")
    )
    found = detect(more, model="yolo-fastest-xl", settings=DetectSettings(conf=SURE))
    for path, one in zip(more, found, strict=True):
        height, width = one.size
        boxes = [
            [edge / side for edge, side in zip(thing.box_xyxy, (width, height) * 2, strict=True)]
            for thing in one.objects
        ]
        add(
            path.resolve(),
            boxes,
            [thing.class_id for thing in one.objects],
            [thing.score for thing in one.objects],
        )
    return files


if __name__ == "__main__":
    main()
