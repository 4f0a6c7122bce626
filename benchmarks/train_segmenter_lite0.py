"""A recipe of a segmenter on EfficientNet-Lite0; what is shipped is not of it.

    python benchmarks/train_segmenter_lite0.py --data DIR [-- --time-budget 3600 ...]

DIR is the data pack. Pictures of `coco/val2017` have masks that were derived from true boxes, those
of `coco/masks21/train` and of Penn-Fudan's FudanPed half true ones. They show people, most of them;
animals, vehicles and things without people come from `images/` (caltech101, imagenet, bsds), with
masks in `labels/voc21/` that DeepLab made. What the report of `segment_quality.py` is about is not
trained on.

First the backbone's coarse stages are trained with the pyramid, then the pyramid alone on what the
backbone makes of fewer crops, kept in files; what comes after "--" goes to that `cnnkit train
segment`. The run folder gets `voc21.keras` too: the same model, its weights rounded and packed.
"""

import argparse
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from _measure import cnnkit
from PIL import Image
from train_segmenter import (
    KEPT_DIGITS,
    LEAST_SURE_TO_TRAIN,
    VALIDATED,
    held_out,
    pack,
    sure_pairs,
)

from cnnkit.data._class_names import VOC_CLASSES

# How often a picture of a folder is in an epoch: scenes are rarer here than single things, and
# masks that people drew than those of networks. Then in the second training.
TIMES = {"val2017": 2, "masks21": 6, "pennfudan": 3, "imagenet": 1, "bsds": 1, "caltech101": 1}
FEWER = {
    "val2017": 1,
    "masks21": 3,
    "pennfudan": 1,
    "imagenet": 0.5,
    "bsds": 0.5,
    "caltech101": 0.2,
}
# Folders of Caltech-101 that show one of the 21 classes; of others the larger network knows only
# the nearest class.
CALTECH = (
    *("airplanes", "Motorbikes", "car_side", "dalmatian", "Faces", "chair", "windsor_chair"),
    *("ferry", "ketch", "schooner", "ibis", "flamingo", "emu", "pigeon", "rooster", "bonsai"),
)


def true_pairs(data: Path, folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, picture and mask of pictures with true masks, or with masks derived from true boxes."""
    for name, part in (("val2017", "val2017"), ("masks21", "masks21/train")):
        for mask in sorted((data / "coco" / part / "masks21").glob("*.png")):
            yield f"{name}/{mask.stem}", data / "coco" / part / "images" / f"{mask.stem}.webp", mask
    folder.mkdir(parents=True, exist_ok=True)
    for mask in sorted((data / "pennfudan/masks").glob("FudanPed*.png")):
        people = (np.asarray(Image.open(mask)) > 0) * np.uint8(VOC_CLASSES.index("person"))
        path = folder / mask.name
        Image.fromarray(people).save(path)
        yield f"pennfudan/{mask.stem}", data / f"pennfudan/images/{mask.stem}.jpg", path


def write_pairs(data: Path, folder: Path, times: Mapping[str, float]) -> None:
    """Links to the pairs, as `cnnkit train segment` takes them.

    Args:
        data: folder of the data pack.
        folder: where to.
        times: of a source, how often each of its pictures is there, or which share of them.
    """
    kept_out = held_out(data)
    pairs = [
        pair
        for pair in sure_pairs(data, LEAST_SURE_TO_TRAIN)
        if pair[0] not in kept_out
        and ("caltech101" not in pair[0] or pair[0].split("/")[2] in CALTECH)
    ]
    pairs += true_pairs(data, folder / "masks")
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
    for index, (name, picture, mask) in enumerate(pairs):
        parts = name.removeprefix("images/").split("/")
        stem = "-".join([*parts[:-1], Path(parts[-1]).stem])
        part = "val" if index % VALIDATED == 0 else "train"
        share = times[parts[0]]
        is_chosen = share >= 1 or int((index + 1) * share) > int(index * share)
        for time in range(max(1, int(share)) * is_chosen if part == "train" else 1):
            for kind, path in (("images", picture), ("labels", mask)):
                link = folder / part / kind / f"{stem}-{time}{path.suffix}"
                link.unlink(missing_ok=True)
                link.symlink_to(path.resolve())
    names = "".join(f"{name}\n" for name in VOC_CLASSES)
    (folder / "classes.txt").write_text(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    parser.add_argument("--output", type=Path, default=Path("runs/segment-lite0"))
    parser.add_argument("options", nargs="*", help="for cnnkit train segment")
    arguments = parser.parse_args()
    first = arguments.output.with_name(f"{arguments.output.name}-first")
    for folder, times in ((first, TIMES), (arguments.output, FEWER)):
        write_pairs(arguments.data, folder.with_name(f"{folder.name}-data"), times)

    def train(folder: Path, *recipe: str) -> None:
        pairs = folder.with_name(f"{folder.name}-data")
        command = cnnkit("train", "segment", str(pairs), "-o", str(folder))
        both = ["--backbone", "efficientnet-lite0", "--variant", "pyramid", "--dice", "0.5"]
        both += ["--scale", "0.6,1.6", "--crop", "288", "--learning-rate", "0.0015"]
        both += ["--weight-decay", "0.02", "--val-size", "384", "--mixed-precision", "off"]
        subprocess.run([*command, *both, "--epochs", "100", *recipe], check=True)

    train(
        first,
        *("--transfer", "last:33", "--pretrained-rate", "0.2", "--balance", "0.05"),
        *("--mosaic", "0.2", "--batch", "16", "--time-budget", "2100"),
    )
    train(
        arguments.output,
        *("--start", str(first / "model.keras"), "--transfer", "head", "--views", "1"),
        *("--balance", "0.1", "--mosaic", "0.15", "--batch", "8", "--ema", "0.99"),
        *("--time-budget", "1440", *arguments.options),
    )
    pack(arguments.output / "model.keras", arguments.output / "voc21.keras", KEPT_DIGITS)


if __name__ == "__main__":
    main()
