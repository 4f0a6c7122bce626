"""The recipe of the shipped segmenter, an FCN-8s for the 21 classes of Pascal VOC, and another one.

    python benchmarks/train_segmenter.py --data DIR [-- --time-budget 3600 ...]

DIR holds `images/` (caltech101, imagenet, bsds) and `labels/voc21/`, masks of all of them that a
larger network made, with `labels/voc21_stats.csv.gz`, which says how sure it was; and `coco/` and
`pennfudan/` with true masks. What the report of `segment_quality.py` is about is not trained on:
Caltech's test pictures, BSDS' val, every eighth picture of ImageNet, and PennPed. What comes after
"--" goes to `cnnkit train segment`. The run folder gets `voc21.keras` too: the same model with its
weights rounded and packed.

The time is that of two cores whose processor multiplies 16 bits (AMX), other programs beside it.
What is shipped goes on from that:

    cnnkit weights fetch deeplab
    python benchmarks/train_segmenter.py --data DIR --output runs/distilled \\
        --teacher deeplab --before runs/segment/voc21.keras

The larger network sees each picture there, those without a mask to trust too; its scores and what
it makes them of are imitated. The weights are three parts those of the last epoch and one part
those of before (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
"""

import argparse
import csv
import gzip
import io
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from _measure import cnnkit
from PIL import Image

from cnnkit.data._class_names import VOC_CLASSES
from cnnkit.models import fcn
from cnnkit.options import IGNORE
from cnnkit.weights.keras_file import (
    CLASSES_FILE,
    SETTINGS_FILE,
    load_keras_file,
    write_keras_file,
)

# Masks that the larger network was less sure of are left out: of what is measured, and of what is
# trained on.
LEAST_SURE, LEAST_SURE_TO_TRAIN = 0.85, 0.75
# How often a picture of a folder is in an epoch: scenes are rarer here than single things.
TIMES = {"caltech101": 1, "imagenet": 2, "bsds": 2, "coco": 4, "pennfudan": 4}
# Of the pictures to train on, every such one is for validation.
VALIDATED = 40
# Of the detector its stages train. What is before them, the first layers of the compact network,
# sees textures and edges, which are the same here.
STAGE_CONVOLUTIONS = 23
# Binary digits of the weights in kernels: the file has to be small.
KEPT_DIGITS = 7
# Loading a segmenter needs its layers to be registered.
LAYERS = (fcn.PadToStride, fcn.CropToPicture, fcn.EnlargeBilinearly)
# Of what a training with a teacher comes to, when it is mixed with what was before.
KEPT = 0.75

# COCO's numbers of VOC's classes; trucks are neither car nor background.
COCO_TO_VOC = {
    **{1: 15, 2: 2, 3: 7, 4: 14, 5: 1, 6: 6, 7: 19, 8: 255, 9: 4, 16: 3, 17: 8, 18: 12},
    **{19: 13, 20: 17, 21: 10, 44: 5, 62: 9, 63: 18, 64: 16, 67: 11, 72: 20, 0: 255},
}


def held_out(data: Path) -> set[str]:
    """Pictures below DIR that are not trained on."""
    images = data / "images"
    names = [f"images/caltech101/{name}" for name in (images / "caltech101/test.txt").open()]
    names += [f"images/bsds/{name}" for name in (images / "bsds/val.txt").open()]
    names = [name.strip() for name in names]
    imagenet = sorted(path.name for path in (images / "imagenet").glob("*.jpg"))
    return {*names, *(f"images/imagenet/{name}" for name in imagenet[::8])}


def sure_pairs(data: Path, least: float = LEAST_SURE) -> Iterator[tuple[str, Path, Path]]:
    """Name, picture and mask of all that the larger network was sure of."""
    with gzip.open(data / "labels/voc21_stats.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            name = row["image"]
            mask = (data / "labels/voc21" / name.removeprefix("images/")).with_suffix(".png")
            if float(row["mean_max_softmax"]) >= least and mask.is_file():
                yield name, data / name, mask


def true_pairs(data: Path, folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """The same of pictures with true masks, which are written in VOC's classes."""
    folder.mkdir(parents=True, exist_ok=True)
    table = np.zeros(256, np.uint8)
    for number, index in COCO_TO_VOC.items():
        table[number] = index
    people = np.where(np.arange(256) > 0, VOC_CLASSES.index("person"), 0).astype(np.uint8)
    sources = (
        ("coco", data / "coco/coco128/images", data / "coco/coco128/semantic", "*", table),
        ("pennfudan", data / "pennfudan/images", data / "pennfudan/masks", "FudanPed*", people),
    )
    for name, pictures, masks, pattern, values in sources:
        for mask in sorted(masks.glob(f"{pattern}.png")):
            path = folder / f"{name}-{mask.name}"
            Image.fromarray(values[np.asarray(Image.open(mask))]).save(path)
            stem = mask.stem.removesuffix("_mask")
            yield f"{name}/{stem}", pictures / f"{stem}.jpg", path


def unlabelled_pairs(data: Path, folder: Path, known: set[str]) -> Iterator[tuple[str, Path, Path]]:
    """Pictures below DIR without a mask to trust, with one in which nothing counts."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = (
        *(("images", data / "images" / name) for name in ("caltech101", "imagenet", "bsds")),
        *(("coco", data / "coco" / name / "images") for name in ("coco128", "tiny_coco")),
    )
    for kind, pictures in sources:
        for path in sorted(pictures.rglob("*.jpg")):
            name = str(path.relative_to(data)) if kind == "images" else f"coco/{path.stem}"
            if name in known:
                continue
            mask = folder / f"{name.replace('/', '-')}.png"
            with Image.open(path) as image:
                Image.new("L", image.size, IGNORE).save(mask)
            yield name, path, mask


def write_pairs(data: Path, folder: Path, repeat: int = 1, has_teacher: bool = False) -> None:
    """Links to all pairs, as `cnnkit train segment` takes them; with a teacher, of pictures without
    a mask to trust too.
    """
    kept_out = held_out(data)
    sure = sure_pairs(data, LEAST_SURE_TO_TRAIN)
    pairs = [pair for pair in sure if pair[0] not in kept_out]
    pairs += true_pairs(data, folder / "masks")
    known = kept_out | {name for name, *_ in pairs}
    unlabelled = []
    if has_teacher:
        unlabelled = list(unlabelled_pairs(data, folder / "unlabelled", known))
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
    for index, (name, picture, mask) in enumerate([*pairs, *unlabelled]):
        parts = name.removeprefix("images/").split("/")
        stem = "-".join([*parts[:-1], Path(parts[-1]).stem])
        part = "val" if index % VALIDATED == 0 and index < len(pairs) else "train"
        for time in range(repeat * TIMES[parts[0]] if part == "train" else 1):
            for kind, path in (("images", picture), ("labels", mask)):
                link = folder / part / kind / f"{stem}-{time}{path.suffix}"
                link.unlink(missing_ok=True)
                link.symlink_to(path.resolve())
    names = "".join(f"{name}\n" for name in VOC_CLASSES)
    (folder / "classes.txt").write_text(names)


def pack(model: Path, packed: Path, digits: int = 11) -> None:
    """The model with weights rounded to 16 bits, which HDF5 packs to half of their size.

    Of kernels fewer binary digits may be kept: each one less is a bit less for a weight.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(model) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
        others = {name: archive.read(name) for name in archive.namelist()}
    with h5py.File(weights) as source, h5py.File(content, "w") as target:

        def copy(name: str, one: h5py.Group | h5py.Dataset) -> None:
            if isinstance(one, h5py.Group):
                new = target.require_group(name)
            else:
                values = one[()]
                if values.dtype == np.float32:
                    if values.ndim > 1:
                        mantissa, exponent = np.frexp(values)
                        mantissa = np.round(np.ldexp(mantissa, digits))
                        values = np.ldexp(mantissa, exponent - digits)
                    values = values.astype(np.float16).astype(np.float32)
                way = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
                new = target.create_dataset(name, data=values, **(way if values.ndim else {}))
            for key, value in one.attrs.items():
                new.attrs[key] = value

        source.visititems(copy)
        for key, value in source.attrs.items():
            target.attrs[key] = value
    others["model.weights.h5"] = content.getvalue()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in others.items():
            # The same bytes whenever it is made.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def mix(before: Path, after: Path, mixed: Path) -> None:
    """A model between one and what it was trained to.

    Args:
        before: its `.keras` file.
        after: file of the weights that it has now.
        mixed: where to.
    """
    model = load_keras_file(before, "--before")
    first = model.get_weights()
    model.load_weights(after)
    last = model.get_weights()
    model.set_weights(
        [KEPT * new + (1.0 - KEPT) * old for old, new in zip(first, last, strict=True)]
    )
    with zipfile.ZipFile(before) as archive:
        files = {name: archive.read(name) for name in (CLASSES_FILE, SETTINGS_FILE)}
    write_keras_file(model, mixed, files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    parser.add_argument("--teacher", help="to be imitated, see cnnkit train segment")
    parser.add_argument("--before", type=Path, help="with a teacher: the model to go on from")
    parser.add_argument("--output", type=Path, default=Path("runs/segment"))
    parser.add_argument("--repeat", type=int, default=1, help="how often a picture is in an epoch")
    parser.add_argument("options", nargs="*", help="for cnnkit train segment")
    arguments = parser.parse_args()
    if (arguments.teacher is None) != (arguments.before is None):
        parser.error("--teacher and --before go together")
    pairs = arguments.output.with_name(f"{arguments.output.name}-data")
    write_pairs(arguments.data, pairs, arguments.repeat, arguments.teacher is not None)
    command = cnnkit("train", "segment", str(pairs), "-o", str(arguments.output))
    recipe = ["--backbone", "coco80", "--no-staged", "--transfer", f"last:{STAGE_CONVOLUTIONS}"]
    recipe += ["--dice", "0.5", "--pretrained-rate", "0.4", "--epochs", "100"]
    if arguments.teacher is None:
        recipe += ["--scale", "0.6,1.6", "--balance", "0.03", "--crop", "288", "--mosaic", "0.4"]
        recipe += ["--learning-rate", "0.0015", "--val-size", "384", "--time-budget", "2300"]
        recipe += ["--mixed-precision", "bfloat16", "--batch", "16"]
    else:
        recipe += ["--start", str(arguments.before)]
        recipe += ["--teacher", arguments.teacher, "--teacher-sees", "pictures"]
        recipe += ["--imitation", "2", "--hints", "1", "--ema", "0.998", "--weight-decay", "0.02"]
        recipe += ["--scale", "0.7,2.0", "--balance", "0.05", "--crop", "256", "--mosaic", "0.5"]
        recipe += ["--learning-rate", "0.001", "--pretrained-rate", "0.5", "--color", "0.35"]
        recipe += ["--val-size", "384", "--time-budget", "5400", "--batch", "16"]
    subprocess.run([*command, *recipe, *arguments.options], check=True)
    model = arguments.output / "model.keras"
    if arguments.before is not None:
        model = arguments.output / "mixed.keras"
        mix(arguments.before, arguments.output / "last-8s.weights.h5", model)
    pack(model, arguments.output / "voc21.keras", KEPT_DIGITS)


if __name__ == "__main__":
    main()
