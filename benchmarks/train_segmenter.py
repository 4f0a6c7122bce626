"""The recipe of the shipped segmenter, a feature pyramid on EfficientNet-Lite0.

    python benchmarks/train_segmenter.py --data DIR [-- --time-budget 3600 ...]

DIR is the data pack. Pictures of `coco/val2017` have masks that were derived from true boxes, those
of `coco/masks21/train`, of `coco/coco128` and of Penn-Fudan's FudanPed half true ones. They show
people, most of them; animals, vehicles and things without people come from `images/` (caltech101,
imagenet, bsds), with masks in `labels/voc21/` that DeepLab made, and `labels/voc21_stats.csv.gz`,
which says how sure it was. What the report of `segment_quality.py` is about is not trained on:
`coco/masks21/test`, Caltech's test pictures, BSDS' val, every eighth picture of ImageNet, and
PennPed; every sixteenth picture of val2017 is for validation.

The backbone sees two crops of each picture once, which are nearly whole, and the pyramid is trained
on what is kept of that, which on two cores is ten times as fast as with the backbone. What comes
after "--" goes to that `cnnkit train segment`. The run folder gets `voc21.keras` too: the same
model with its weights rounded and packed.
"""

import argparse
import csv
import gzip
import io
import subprocess
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
from _measure import cnnkit
from PIL import Image, ImageFilter, ImageOps
from scipy import ndimage

from cnnkit.data._class_names import IGNORE, VOC_CLASSES

# Masks that the larger network was less sure of are left out of what is measured and trained on.
LEAST_SURE = 0.85
# How often a picture of a folder is in an epoch: masks that people drew more often than those of
# networks.
TIMES = {
    "val2017": 1,
    "masks21": 3,
    "coco": 3,
    "pennfudan": 2,
    "imagenet": 1,
    "bsds": 1,
    "caltech101": 0.1,
}
# Classes of things that stand by themselves, pictures with such things pasted into them, the shares
# of a picture that these take up where they come from, and how much of that is in one piece.
STANDING = (
    *("aeroplane", "bicycle", "bird", "boat", "bus", "car", "cat", "cow", "dog", "horse"),
    *("motorbike", "sheep", "train"),
)
PASTED, LEAST_OBJECT, MOST_OBJECT, LEAST_PIECE = 1200, 0.02, 0.6, 0.85
# Sides of such objects, as parts of the picture that they are pasted into.
PASTED_SIDES = 0.25, 0.8
# Folders of Caltech-101 that show one of the 21 classes; of others the larger network knows only
# the nearest class.
CALTECH = (
    *("airplanes", "Motorbikes", "car_side", "dalmatian", "Faces", "chair", "windsor_chair"),
    *("ferry", "ketch", "schooner", "ibis", "flamingo", "emu", "pigeon", "rooster", "bonsai"),
)
# Of val2017, every such one is for validation.
VALIDATED = 16
# Binary digits of the weights in kernels: the file has to be small.
KEPT_DIGITS = 7

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
    """The same of pictures with true masks, or with masks derived from true boxes."""
    for name, part in (("val2017", "val2017"), ("masks21", "masks21/train")):
        for mask in sorted((data / "coco" / part / "masks21").glob("*.png")):
            yield f"{name}/{mask.stem}", data / "coco" / part / "images" / f"{mask.stem}.webp", mask
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


def write_pairs(data: Path, folder: Path) -> None:
    """Links to the pairs, as `cnnkit train segment` takes them."""
    kept_out = held_out(data)
    pairs = [
        pair
        for pair in sure_pairs(data)
        if pair[0] not in kept_out
        and ("caltech101" not in pair[0] or pair[0].split("/")[2] in CALTECH)
    ]
    true = list(true_pairs(data, folder / "masks"))
    is_scene = [pair[0].startswith("val2017") for pair in true]
    kept = dict.fromkeys(np.flatnonzero(is_scene)[::VALIDATED].tolist(), "val")
    pairs = [(pair, "train") for pair in pairs]
    pairs += [(pair, kept.get(number, "train")) for number, pair in enumerate(true)]
    sources = [pair for pair, part in pairs if part == "train"]
    pairs += [(pair, "train") for pair in pasted_pairs(sources, folder / "pasted")]
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
    for index, ((name, picture, mask), part) in enumerate(pairs):
        parts = name.removeprefix("images/").split("/")
        stem = "-".join([*parts[:-1], Path(parts[-1]).stem])
        share = TIMES.get(parts[0], 1)
        is_chosen = share >= 1 or int((index + 1) * share) > int(index * share)
        for time in range(max(1, int(share)) * is_chosen if part == "train" else 1):
            for kind, path in (("images", picture), ("labels", mask)):
                link = folder / part / kind / f"{stem}-{time}{path.suffix}"
                link.unlink(missing_ok=True)
                link.symlink_to(path.resolve())
    names = "".join(f"{name}\n" for name in VOC_CLASSES)
    (folder / "classes.txt").write_text(names)


def standing_objects(
    pairs: Sequence[tuple[str, Path, Path]],
) -> dict[int, list[tuple[Path, Path]]]:
    """Class -> pictures and masks of one thing of it, as far as the mask shows large and whole.

    Masks that were derived from boxes are left out: their edges are often those of boxes.
    """
    found = defaultdict(list)
    for name, picture, path in pairs:
        if name.startswith("val2017"):
            continue
        mask = np.asarray(Image.open(path))
        for class_id in set(np.unique(mask)) & {VOC_CLASSES.index(name) for name in STANDING}:
            inside = mask == class_id
            if not LEAST_OBJECT < inside.mean() < MOST_OBJECT:
                continue
            pieces, _ = ndimage.label(inside)
            is_one = np.bincount(pieces[inside]).max() > LEAST_PIECE * inside.sum()
            # What is cut off by the edge of a picture would be cut off in the middle of another.
            sides = inside[0], inside[-1], inside[:, 0], inside[:, -1]
            if is_one and sum(side.mean() for side in sides) < 0.05:
                found[int(class_id)].append((picture, path))
    return dict(found)


def paste(
    scene: tuple[Path, Path], thing: tuple[Path, Path], class_id: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its mask with what another one shows of a class pasted into them.

    Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method" (2021), with edges that
    are smoothed over some pixels, which count as none of the classes.
    """
    pixels = np.asarray(Image.open(scene[0]).convert("RGB"), np.float32)
    mask = np.array(Image.open(scene[1]))
    inside = np.asarray(Image.open(thing[1])) == class_id
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    cut = (
        Image.open(thing[0])
        .convert("RGB")
        .crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    )
    shape = Image.fromarray(np.uint8(255 * inside[part]))
    height, width = mask.shape
    factor = random.uniform(*PASTED_SIDES) * min(height / cut.height, width / cut.width)
    size = max(8, round(cut.width * factor)), max(8, round(cut.height * factor))
    cut, shape = cut.resize(size), shape.resize(size).filter(ImageFilter.GaussianBlur(1.0))
    if random.random() < 0.5:
        cut, shape = ImageOps.mirror(cut), ImageOps.mirror(shape)
    left = int(random.integers(0, width - size[0] + 1))
    top = int(random.integers(0, height - size[1] + 1))
    place = slice(top, top + size[1]), slice(left, left + size[0])
    alpha = np.asarray(shape, np.float32)[..., None] / 255.0
    pixels[place] += alpha * (np.asarray(cut, np.float32) - pixels[place])
    alpha = alpha[..., 0]
    mask[place] = np.where(alpha > 0.8, class_id, np.where(alpha > 0.2, IGNORE, mask[place]))
    return np.uint8(pixels + 0.5), mask


def pasted_pairs(
    pairs: Sequence[tuple[str, Path, Path]], folder: Path, count: int = PASTED
) -> Iterator[tuple[str, Path, Path]]:
    """Writes scenes of COCO with objects of the other pictures in them, of each class as many."""
    folder.mkdir(parents=True, exist_ok=True)
    things = standing_objects(pairs)
    scenes = [pair[1:] for pair in pairs if pair[0].startswith(("val2017", "masks21"))]
    for number in range(count):
        random = np.random.default_rng([0, number])
        class_id = sorted(things)[number % len(things)]
        scene = scenes[random.integers(len(scenes))]
        thing = things[class_id][random.integers(len(things[class_id]))]
        pixels, mask = paste(scene, thing, class_id, random)
        picture, path = folder / f"{number:04d}.jpg", folder / f"{number:04d}.png"
        Image.fromarray(pixels).save(picture, quality=92)
        Image.fromarray(mask).save(path)
        yield f"pasted/{number:04d}", picture, path


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    parser.add_argument("--output", type=Path, default=Path("runs/segment"))
    parser.add_argument("options", nargs="*", help="for cnnkit train segment")
    arguments = parser.parse_args()
    pairs = arguments.output.with_name(f"{arguments.output.name}-data")
    write_pairs(arguments.data, pairs)
    recipe = ["--backbone", "efficientnet-lite0", "--variant", "pyramid-8s", "--views", "2"]
    recipe += ["--crop", "384", "--scale", "0.8,1.35", "--balance", "0.06", "--color", "0.25"]
    recipe += ["--learning-rate", "0.002", "--weight-decay", "0.02", "--ema", "0.994"]
    recipe += ["--batch", "16", "--epochs", "8", "--val-size", "384", "--mixed-precision", "off"]
    command = cnnkit("train", "segment", str(pairs), "-o", str(arguments.output))
    subprocess.run([*command, *recipe, *arguments.options], check=True)
    pack(arguments.output / "model.keras", arguments.output / "voc21.keras", KEPT_DIGITS)


if __name__ == "__main__":
    main()
