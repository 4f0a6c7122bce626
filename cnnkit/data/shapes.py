"""Drawn pictures of squares, discs and triangles with their boxes, to try detectors out on."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = ("square", "disc", "triangle")


def draw_shapes(
    random: np.random.Generator, side: int = 128
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two shapes of any colours beside each other on dark noise.

    Args:
        random: where all draws come from.
        side: of the picture in pixels.

    Returns:
        uint8 `(side, side, 3)`, boxes `(2, 4)` in pixels, `(left, top, right, bottom)`, and the
        places of their classes in `SHAPES`.

    Example:

    >>> pixels, boxes_xyxy, class_ids = draw_shapes(np.random.default_rng(0), 64)
    >>> pixels.shape, boxes_xyxy.shape, len(class_ids)
    ((64, 64, 3), (2, 4), 2)
    """
    pixels = random.integers(0, 60, (side, side, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:side, :side]
    boxes, class_ids = [], []
    # One in each half, so that they hide nothing of each other.
    for half in range(2):
        size = int(random.integers(side // 5, side * 7 // 16))
        left = int(random.integers(half * side // 2, (half + 1) * side // 2 - size + 1))
        top = int(random.integers(0, side - size + 1))
        x, y = columns - left, rows - top
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        shape = int(random.integers(len(SHAPES)))
        middle = size / 2 - 0.5
        if SHAPES[shape] == "disc":
            inside = (x - middle) ** 2 + (y - middle) ** 2 <= (size / 2) ** 2
        elif SHAPES[shape] == "triangle":
            inside &= 2 * np.abs(x - middle) <= y + 1
        pixels[inside] = random.integers(120, 256, 3)
        boxes.append([left, top, left + size, top + size])
        class_ids.append(shape)
    return pixels, np.array(boxes, float), np.array(class_ids)


def write_shapes(folder: Path, split: str, count: int, seed: int, side: int = 128) -> None:
    """Writes pictures of `draw_shapes` and, as COCO has it, a file of their boxes.

    Args:
        folder: gets `images/` and `<split>.json`.
        split: "train", "val" or "test".
        count: pictures.
        seed: of the draws.
        side: of the pictures in pixels.
    """
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, notes = [], []
    for key in range(1, count + 1):
        pixels, boxes, class_ids = draw_shapes(random, side)
        name = f"{split}{key}.png"
        Image.fromarray(pixels).save(folder / "images" / name)
        images.append({"id": key, "file_name": name, "width": side, "height": side})
        for (left, top, right, bottom), class_id in zip(boxes, class_ids, strict=True):
            notes.append(
                {
                    "id": len(notes) + 1,
                    "image_id": key,
                    "category_id": int(class_id),
                    "bbox": [left, top, right - left, bottom - top],
                }
            )
    values = {
        "images": images,
        "annotations": notes,
        "categories": [{"id": index, "name": name} for index, name in enumerate(SHAPES)],
    }
    (folder / f"{split}.json").write_text(json.dumps(values))
