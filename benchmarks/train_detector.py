"""The recipe of the shipped detector of 80 classes, on EfficientNet-Lite0.

    cnnkit weights fetch yolo-fastest-xl
    python benchmarks/train_detector.py --data DIR [--output runs/detector]

DIR is the data pack. Pictures of `coco/val2017` have true boxes; every eighth of them, in the
order of names, is kept apart for `detect_quality.py`. All of them show people, so that animals and
other things without people come from `images/` (ImageNet, BSDS500, some folders of Caltech-101),
where `labels/coco80.jsonl.gz` has what YOLOX-nano found. `yolo-fastest-xl` is asked about these
too: an object that both find counts whole, one that a single network finds by half of its score.
Pictures of `coco/tiny_coco` and `coco/masks21/train` have what `yolo-fastest-xl` found. Pictures
of rare classes come several times in an epoch.

The backbone's blocks up to stride 8, and the teacher, see each scene once; what they make of it is
kept in files (400 to 700 KB each). On these first all but the backbone is trained, then its blocks
behind stride 8 too, which on two cores is several times as fast as with fresh scenes.

OUTPUT gets `coco80.keras` too: the model with its weights rounded and packed.
"""

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from train_segmenter import pack

from cnnkit.data._class_names import COCO_CLASSES
from cnnkit.engine.array_files import create_array_file
from cnnkit.engine.trainer import build_optimizer, cosine_decay
from cnnkit.models.darknet import build_darknet
from cnnkit.models.detector import PREDICTIONS, STAGES, STRIDES
from cnnkit.models.distillation import DetectionDistillation, detection_heads
from cnnkit.models.yolo_fastest import ANCHORS, yolo_fastest_sections
from cnnkit.ops.boxes import intersection_over_union
from cnnkit.ops.inference import compile_inference
from cnnkit.tasks.detect.batches import SceneBatches
from cnnkit.tasks.detect.data import BoxedPictures, read_boxed
from cnnkit.tasks.detect.predict import detect
from cnnkit.tasks.detect.settings import DetectSettings, TrainSettings
from cnnkit.tasks.detect.trainable import build_trainable
from cnnkit.weights import locate
from cnnkit.weights.darknet_format import DarknetWeights
from cnnkit.weights.keras_file import (
    CLASSES_FILE,
    DETECTOR_KIND,
    SETTINGS_FILE,
    write_keras_file,
)

# Of the pictures with true boxes, in the order of names: every such one is kept apart, and of those
# that are left every such one is for validation.
KEPT_APART, VALIDATED = 8, 40
# Folders of Caltech-101 that show what is one of the 80 classes.
CALTECH = (
    *("airplanes", "Motorbikes", "car_side", "dalmatian", "elephant", "chair", "windsor_chair"),
    *("laptop", "stop_sign", "cellphone", "cup", "ferry", "ketch", "schooner", "umbrella"),
    *("scissors", "pizza", "soccer_ball", "ibis", "flamingo", "emu", "pigeon", "rooster", "bonsai"),
)
# Pictures of such a folder, at most.
MOST = 60
# Least score of an object that a network found, as in the pack.
SURE = 0.25
# Of two networks' objects that are the same.
SAME = 0.5
# Share of the pictures from which on a class is not rare, and how often a picture comes at most.
COMMON, MOST_TIMES = 0.04, 5
TEACHER = "yolo-fastest-xl"
# Weight of the labels beside the teacher's answers, and scenes in a batch.
LABELS, BATCH = 0.5, 16
# Learning rate of the backbone's last blocks, as a share of that of the rest.
BLOCKS_RATE = 0.25
# Binary digits of the weights in kernels: the file has to be small.
KEPT_DIGITS = 8


@dataclass(frozen=True)
class Scenes:
    """Scenes whose maps are kept.

    Attributes:
        side: of a scene, in pixels.
        mosaic: share of the scenes that are put together from several pictures.
        count: of them.
        begin: batches of the sequence of all scenes that are passed over.
    """

    side: int
    mosaic: float
    count: int
    begin: int = 0


# Mosaics show few things that fill a scene, and the later ones are of the size that pictures are
# shown at.
SMALL, LARGE = Scenes(320, 0.5, 18400), Scenes(416, 0.35, 6400, begin=1300)


@dataclass(frozen=True)
class Phase:
    """A part of the training.

    Attributes:
        scenes: that it sees.
        passes: over them.
        rate: learning rate at its highest.
        used: of the scenes, the first ones; all by default.
    """

    scenes: Scenes
    passes: int
    rate: float
    used: int | None = None


# All but the backbone; then its blocks behind stride 8 too; then the same on larger scenes.
PHASES = {
    "head": Phase(SMALL, 10, 0.002, used=8000),
    "blocks": Phase(SMALL, 2, 0.001),
    "model": Phase(LARGE, 2, 0.0007),
}


@dataclass(frozen=True, eq=False)
class Labelled:
    """A picture, its boxes as parts of it, and the class and weight of each."""

    path: Path
    boxes_xyxy: np.ndarray
    class_ids: np.ndarray
    weights: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data pack")
    parser.add_argument("--output", type=Path, default=Path("runs/detector"))
    arguments = parser.parse_args()
    notes = arguments.output
    if not (notes / "train.json").exists():
        notes.mkdir(parents=True, exist_ok=True)
        for name, pictures in split_pictures(arguments.data.resolve()).items():
            (notes / f"{name}.json").write_text(json.dumps(as_coco(pictures)))
    begin = None
    for name, phase in PHASES.items():
        path = notes / f"{name}.keras"
        if not path.exists():
            train_on_maps(notes, path, phase, begin)
        begin = path
    pack(path, notes / "coco80.keras", KEPT_DIGITS)


def split_pictures(data: Path) -> dict[str, list[Labelled]]:
    """Pictures of "train", as often as they come in an epoch, and of "val"."""
    _, true = true_pictures(data)
    val, train = true[::VALIDATED], [one for at, one in enumerate(true) if at % VALIDATED]
    train += list(found_pictures(data))
    shown = Counter(index for one in train for index in set(one.class_ids.tolist()))
    repeated = []
    for number, one in enumerate(train):
        # Gupta et al., LVIS (2019); the part of a time after the last whole one is a draw.
        rarest = min((shown[index] for index in one.class_ids.tolist()), default=len(train))
        times = min(MOST_TIMES, max(1.0, (COMMON * len(train) / rarest) ** 0.5))
        draw = np.random.default_rng([0, number]).random()
        repeated += [one] * int(times + draw)
    return {"train": repeated, "val": val}


def true_pictures(data: Path) -> tuple[list[Labelled], list[Labelled]]:
    """Pictures of COCO's val2017 with true boxes: those that are kept apart, and the others."""
    with gzip.open(data / "coco/val2017/labels.jsonl.gz", "rt") as file:
        rows = sorted(map(json.loads, file), key=lambda row: row["image"])
    pictures = [
        Labelled(
            data / "coco" / row["image"],
            np.array(row["boxes_xyxy_normalized"], float).reshape(-1, 4),
            np.array(row["classes"], int),
            np.ones(len(row["classes"])),
        )
        for row in rows
    ]
    rest = [one for at, one in enumerate(pictures) if at % KEPT_APART]
    return pictures[::KEPT_APART], rest


def found_pictures(data: Path) -> Iterator[Labelled]:
    """Pictures with what one network or two found in them."""
    known, counts = [], Counter()
    with gzip.open(data / "labels/coco80.jsonl.gz", "rt") as file:
        for line in file:
            one = json.loads(line)
            parts = Path(one["image"]).parts
            if parts[1] == "caltech101":
                counts[parts[2]] += 1
                if parts[2] not in CALTECH or counts[parts[2]] > MOST:
                    continue
            known.append(one)
    paths = [data / one["image"] for one in known]
    more = sorted(data.glob("coco/tiny_coco/images/*")) + sorted(
        data.glob("coco/masks21/train/images/*")
    )
    settings = DetectSettings(conf=SURE)
    for at, found in enumerate(detect(paths + more, settings, model="yolo-fastest-xl")):
        height, width = found.size
        boxes = np.array([thing.box_xyxy for thing in found.objects]).reshape(-1, 4)
        boxes = np.clip(boxes / [width, height, width, height], 0.0, 1.0)
        class_ids = np.array([thing.class_id for thing in found.objects], int)
        scores = np.array([thing.score for thing in found.objects])
        if at < len(known):
            one = known[at]
            both = merge_found(
                (
                    np.array(one["boxes_xyxy_normalized"]).reshape(-1, 4),
                    np.array(one["classes"], int),
                    np.array(one["scores"]),
                ),
                (boxes, class_ids, scores),
            )
            yield Labelled(paths[at], *both)
        else:
            yield Labelled(more[at - len(known)], boxes, class_ids, scores)


class KeptMaps(keras.utils.PyDataset):
    """Batches of what the frozen networks made of scenes, in an order drawn for each epoch.

    Args:
        folder: of the files.
        names: of the maps.
        count: of the scenes, the first ones.
    """

    def __init__(self, folder: Path, names: Sequence[str], count: int):
        super().__init__()
        self._maps = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
        self._targets = np.load(folder / "targets.npy", mmap_mode="r")[:count]
        self._random = np.random.default_rng(0)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        self._order = self._random.permutation(len(self._targets))

    def __len__(self) -> int:
        return len(self._targets) // BATCH

    def __getitem__(self, index: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        rows = np.sort(self._order[index * BATCH : (index + 1) * BATCH])
        targets = self._targets[rows]
        # Rows after the last object would cost as much as objects.
        most = max(1, int((targets[..., 5] > 0).sum(axis=1).max()))
        return tuple(one[rows].astype(np.float32) for one in self._maps), targets[:, :most]


def train_on_maps(notes: Path, output: Path, phase: Phase, begin: Path | None = None) -> None:
    """Trains on scenes that pass what is frozen, and the teacher, once, which takes most of the
    time; their maps are kept.

    Args:
        notes: folder of the pictures' files and of the maps.
        output: the trained detector.
        phase: see `Phase`.
        begin: a detector whose blocks behind stride 8 are trained too; without one, what is on the
            backbone is trained.
    """
    scenes = phase.scenes
    options = TrainSettings(
        model="efficientnet-lite0" if begin is None else str(begin),
        size=scenes.side, batch_size=BATCH, mosaic=scenes.mosaic, labels=LABELS, teacher=TEACHER,
        freeze=begin is None, pretrained_rate=BLOCKS_RATE, ema=0.998,
    )  # fmt: skip
    detector = build_trainable(options, COCO_CLASSES, COCO_CLASSES)
    own = detector.scored
    built = keras.Model(own.inputs[0], own.get_layer(PREDICTIONS).output)
    teacher = build_darknet(yolo_fastest_sections(), DarknetWeights(locate(TEACHER)), TEACHER)
    teacher.trainable = False
    wanted = detection_heads(teacher)
    maps = {name: built.get_layer(name).output for name in STAGES}
    features = {f"teacher{stride}": one.convolution.input for stride, one in wanted.items()}
    folder = notes / f"maps{scenes.side}"
    if not (folder / "targets.npy").exists():
        networks = [
            (keras.Model(built.inputs[0], maps), tuple(maps)),
            (keras.Model(teacher.inputs[0], features), tuple(features)),
        ]
        folder.mkdir(exist_ok=True)
        keep_maps(folder, read_boxed(notes).train, options, detector.encode, networks, scenes)
    if begin is not None:
        # The layer only names what the next block takes too.
        maps = {STAGES[0]: built.get_layer(STAGES[0]).input}
    told = [tensor for one in wanted.values() for tensor in one.tensors[1:]]
    answering = keras.Model(list(features.values()), told)
    given = [keras.Input(tensor.shape[1:]) for tensor in features.values()]
    answers = answering(given)
    theirs = [
        tensor
        for number, feature in enumerate(given)
        for tensor in (feature, *answers[2 * number : 2 * number + 2])
    ]
    ours = [tensor for stride in wanted for tensor in detection_heads(built)[stride].tensors]
    anchors = len(ANCHORS[STRIDES[-1]])
    end = DetectionDistillation(anchors)([built.outputs[0], *ours, *theirs])
    trainer = keras.Model([*maps.values(), *given], end)
    batches = KeptMaps(folder, (*maps, *features), phase.used or scenes.count)
    steps = phase.passes * len(batches)
    optimizer = build_optimizer(
        options,
        cosine_decay(phase.rate, steps, steps // 20),
        trainer.trainable_variables,
        [one for layer in detector.backbone for one in layer.variables],
    )
    trainer.compile(optimizer, detector.loss)
    backup = keras.callbacks.BackupAndRestore(notes / f"backup-{output.stem}", save_freq=200)
    trainer.fit(batches, epochs=phase.passes, callbacks=[backup], verbose=2)
    optimizer.finalize_variable_values(trainer.trainable_variables)
    settings = {"kind": DETECTOR_KIND, "size": scenes.side}
    classes = "".join(f"{name}\n" for name in COCO_CLASSES)
    write_keras_file(
        own, output, {CLASSES_FILE: classes.encode(), SETTINGS_FILE: json.dumps(settings).encode()}
    )


def keep_maps(
    folder: Path,
    pictures: BoxedPictures,
    options: TrainSettings,
    encode: Callable[[np.ndarray, np.ndarray], np.ndarray],
    networks: Sequence[tuple[keras.Model, tuple[str, ...]]],
    scenes: Scenes,
) -> None:
    """Writes what networks make of scenes, in 16 bits, and the objects of these."""
    batches = SceneBatches(pictures, options, encode)
    sees = [compile_inference(model, "float32") for model, _ in networks]
    kept: dict[str, np.ndarray] = {}
    targets = []
    for step in range(scenes.count // BATCH):
        batches.epoch, index = divmod(scenes.begin + step, len(batches))
        x, y = batches[index]
        targets.append(y)
        for see in sees:
            for name, values in see(x).items():
                if name not in kept:
                    shape = (scenes.count, *values.shape[1:])
                    kept[name] = create_array_file(folder / f"{name}.npy", np.float16, shape)
                kept[name][step * BATCH : (step + 1) * BATCH] = values
    for values in kept.values():
        values.flush()
    # Written last: maps without it are those of a run that was stopped.
    np.save(folder / "targets.npy", np.concatenate(targets))


Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def merge_found(first: Found, second: Found) -> Found:
    """What two networks found, with weights: 1 for what both did, else half of the score.

    Of an object that both found the first one's box is taken.
    """
    same = intersection_over_union(first[0], second[0]) >= SAME
    same &= first[1][:, None] == second[1][None, :]
    alone = ~same.any(axis=0)
    return (
        np.concatenate([first[0], second[0][alone]]),
        np.concatenate([first[1], second[1][alone]]),
        np.concatenate([np.where(same.any(axis=1), 1.0, first[2] / 2), second[2][alone] / 2]),
    )


def as_coco(pictures: Sequence[Labelled]) -> dict[str, list]:
    """The pictures as a COCO file, with weights as scores."""
    images, annotations = [], []
    for key, one in enumerate(pictures, start=1):
        with Image.open(one.path) as image:
            width, height = image.size
        images.append({"id": key, "file_name": str(one.path), "width": width, "height": height})
        for box, class_id, weight in zip(one.boxes_xyxy, one.class_ids, one.weights, strict=True):
            left, top, right, bottom = (np.clip(box, 0.0, 1.0) * ([width, height] * 2)).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": key,
                    "category_id": int(class_id),
                    "bbox": [left, top, right - left, bottom - top],
                    "score": float(weight),
                }
            )
    categories = [{"id": index, "name": name} for index, name in enumerate(COCO_CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}


if __name__ == "__main__":
    main()
