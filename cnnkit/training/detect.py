"""Trains a detector: pictures with boxes in, a run folder with a `.keras` file out.

Scenes are put together from several pictures; a network that was trained before sees them, and the
blocks on top of it learn where things are and what they are.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np

from cnnkit import __version__
from cnnkit.data.letterbox import GREY
from cnnkit.engine.callbacks import best_row, seconds_of
from cnnkit.engine.dataset import reading
from cnnkit.engine.device_pictures import DevicePictures
from cnnkit.engine.run import (
    BEST_WEIGHTS,
    STATE,
    finished_epochs,
    open_run,
    read_results,
    read_run,
    require_mostly_good,
)
from cnnkit.engine.trainer import conclude, fit_epochs, reason_of, training_policy
from cnnkit.errors import DataError, DivergenceError
from cnnkit.images import Picture, write_bytes, write_image
from cnnkit.options import DetectTrainOptions
from cnnkit.plots import draw_tiles, encode_figure, plot_training
from cnnkit.tasks.detect.data import BoxedData, check_boxed, read_boxed, without_unreadable
from cnnkit.tasks.detect.metrics import FoundBoxes
from cnnkit.tasks.detect.plots import draw_detections, plot_precision_recall
from cnnkit.training._detect_batches import SceneBatches, read_for_scenes
from cnnkit.training._detect_judge import Judge, quality_of
from cnnkit.training._detectors import build_trainable
from cnnkit.weights.keras_file import (
    CLASSES_FILE,
    DETECTOR_KIND,
    MODEL_FILE,
    SETTINGS_FILE,
    own_names,
    write_keras_file,
)

# Scenes that the statistics of the activations are taken from, and pictures on the sheet of
# samples.
_SAMPLE, _SHOWN = 128, 12
_SHOWN_SCORE = 0.25
# What may change when a run is taken up again.
_EXTENDABLE = ("epochs", "time_budget", "patience", "val_size", "workers", "on_device")


@dataclass(frozen=True)
class DetectorTraining:
    """What a training gave.

    Attributes:
        model: the `.keras` file, with the weights of the best epoch.
        classes: names of the classes.
        counts: pictures for training, validation and test.
        epochs: passes over the data that were made, in all runs together.
        best: the epoch whose weights were kept, from 1.
        seconds: that the epochs took.
        weights: number of weights that were trained, and of all.
        scores: "val" and, where there is a test split, "test" -> "ap", "ap50" and "ap75" in [0, 1],
            of pictures in a square of the size that was trained with.
        reason: why the training ended: "epochs", "patience" or "time budget".
    """

    model: Path
    classes: tuple[str, ...]
    counts: tuple[int, int, int]
    epochs: int
    best: int
    seconds: float
    weights: tuple[int, int]
    scores: Mapping[str, Mapping[str, float]]
    reason: str


def train_detector(
    data: str | Path,
    output: str | Path,
    options: DetectTrainOptions | None = None,
    *,
    known_classes: tuple[str, ...] = (),
    resume: bool = False,
    skip_bad: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_epoch: Callable[[int, dict], None] | None = None,
) -> DetectorTraining:
    """Trains a detector, or goes on with a training that was stopped.

    Args:
        data: pictures with boxes in the form of YOLO, Pascal VOC or COCO; see `data.read_boxed`.
        output: run folder: `model.keras` (the best epoch), `args.yaml`, `results.csv`,
            `curves.png`, `precision-recall.png`, `samples.png`, `report.json`, `classes.txt`,
            weights of the best and the last epoch, TensorBoard's logs, and the state to go on from.
        options: see `DetectTrainOptions`. What is said there of epochs, patience, time budget and
            the size to validate at may change when a run is taken up again.
        known_classes: names of the classes of the model that the training begins with; those that
            its file has by default.
        resume: go on with the run in `output`.
        skip_bad: go on where most pictures cannot be read, or most boxes make no sense.
        on_note: takes a line that the user should know.
        on_progress: called with what is being done, the number of pictures done, and of all.
        on_epoch: called with the epoch's index and its row of `results.csv`.

    Returns:
        What came out. After Ctrl-C the best so far is written and `KeyboardInterrupt` raised.

    Raises:
        DataError: no pictures or classes, or files or boxes that are bad.
        UsageError: `output` holds another run, or the model is no detector.
        WeightsError: the model's file cannot be loaded.
        DivergenceError: the loss is no finite number; the best so far is kept.
    """
    options = options or DetectTrainOptions()
    note = on_note or (lambda text: None)
    progress = on_progress or (lambda what, done, total: None)
    folder = Path(output)
    if not known_classes and options.model.endswith(".keras"):
        known_classes = own_names(Path(options.model))
    boxed = read_boxed(data, val_share=options.val_share, seed=options.seed)
    open_run(folder, data, options, _data_hash(boxed), resume, _EXTENDABLE)
    report = check_boxed(boxed, on_progress=lambda done, total: progress("check", done, total))
    for line in report.lines():
        note(line)
    if not skip_bad:
        # A few bad annotations are left out; if most are, the data are not what they seem.
        objects = sum(one.objects for one in boxed.splits.values())
        if len(boxed.problems) > objects:
            (path, reason), others = boxed.problems[0], len(boxed.problems) - 1
            more = f" and {others} more" if others else ""
            raise DataError(f"{path} is bad ({reason}){more}; mend it, or use --skip-bad")
    pictures = sum(len(one) for one in boxed.splits.values())
    require_mostly_good(data, report.unreadable, pictures, skip_bad)
    boxed = without_unreadable(boxed, report)
    if not boxed.train.objects:
        raise DataError(f"{data} has no object to train on")
    keras.utils.set_random_seed(options.seed)
    run = _Run(boxed, report.sizes, folder, options, known_classes, note, progress)
    stopped: BaseException | None = None
    try:
        reason = run.fit(on_epoch)
    except (KeyboardInterrupt, DivergenceError) as error:
        stopped, reason = error, reason_of(error)
        if not (folder / BEST_WEIGHTS).exists():
            raise
    result = run.finish(reason)
    conclude(stopped, result.model, note)
    return result


def read_run_options(folder: str | Path) -> tuple[str, DetectTrainOptions]:
    """The data and the settings that a run was started with.

    Raises:
        DataError: the folder holds no run of a detector.
    """
    values = read_run(folder)
    try:
        return values["data"], DetectTrainOptions(**values["options"])
    except TypeError:
        raise DataError(f"{folder} holds no run of a detector; give another -o") from None


def _data_hash(data: BoxedData) -> str:
    digest = hashlib.sha256("\n".join(data.classes).encode("utf-8", "surrogateescape"))
    for pictures in data.splits.values():
        for row, path in enumerate(pictures.paths):
            # Names below the folder: the data may be moved.
            name = "/".join(Path(path).parts[-2:])
            digest.update(name.encode("utf-8", "surrogateescape"))
            digest.update(pictures.class_ids[row].tobytes())
            digest.update(pictures.boxes_xyxy_normalized[row].round(6).tobytes())
    return digest.hexdigest()


class _Run:
    """One training: what is built, fed, fitted and written."""

    def __init__(
        self,
        data: BoxedData,
        sizes: Mapping[str, tuple[int, int]],
        folder: Path,
        options: DetectTrainOptions,
        known_classes: tuple[str, ...],
        note: Callable[[str], None],
        progress: Callable[[str, int, int], None],
    ):
        self._data, self._folder, self._options, self._note = data, folder, options, note
        self._on_device: DevicePictures | None = None
        if options.on_device:
            self._on_device = DevicePictures(
                data.train.paths,
                lambda path: read_for_scenes(path, options),
                options.side,
                GREY,
                on_progress=lambda done, total: progress("read the pictures", done, total),
            )
        policy = training_policy(options.mixed_precision)
        self._detector = build_trainable(options, data.classes, known_classes, policy)
        # What is seen with and kept is in 32 bits.
        self._plain = self._detector
        if policy != "float32":
            usual = {name: getattr(DetectTrainOptions, name) for name in ("imitation", "labels")}
            alone = replace(options, teacher=None, **usual)
            self._plain = build_trainable(alone, data.classes, known_classes)
        self._model = self._detector.model
        if not self._detector.is_scaled:
            self._set_scales()
        self._scored = self._plain.scored
        self.weights = (
            sum(math.prod(one.shape) for one in self._model.trainable_variables),
            self._model.count_params(),
        )
        trained, total = self.weights
        below = ""
        if self._detector.backbone:
            rate = "frozen" if options.freeze else f"at {options.pretrained_rate:g} of the rate"
            below = f"; the network below {rate}"
        note(f"{options.model}: {trained:,} of {total:,} weights train{below}")
        self._judges, self._truth = {}, {}
        for split in ("val", "test"):
            pictures = getattr(data, split)
            if pictures is not None and len(pictures):
                judge = Judge(self._scored, pictures, options, len(data.classes))
                self._judges[split] = judge
                self._truth[split] = judge.truth(sizes)

    def _set_scales(self) -> None:
        batches = self._batches(0)
        count = min(len(batches), math.ceil(_SAMPLE / self._options.batch_size))
        with reading(batches):
            self._detector.set_scales(np.concatenate([batches[i][0] for i in range(count)]))

    def _batches(self, epoch: int) -> SceneBatches:
        return SceneBatches(
            self._data.train,
            self._options,
            self._detector.encode,
            epoch,
            on_device=self._on_device,
        )

    def _validate(self) -> dict[str, float]:
        """Figures of the validation pictures with the weights of now; none without any."""
        if "val" not in self._judges:
            return {}
        judge = self._judges["val"]
        self._make_plain()
        scores = judge.scores(self._truth["val"], judge.find())
        return {
            "val_ap": float(np.nan_to_num(scores.ap)),
            "val_ap50": float(np.nan_to_num(scores.ap50)),
        }

    def _make_plain(self) -> None:
        """Gives the detector of 32 bits the weights of now, where it is another one."""
        if self._plain is not self._detector:
            for layer in self._plain.model.layers:
                layer.set_weights(self._model.get_layer(layer.name).get_weights())

    def fit(self, on_epoch: Callable[[int, dict], None] | None) -> str:
        """Trains to the end, from where the run stands; the reason why it ended."""
        begin = finished_epochs(self._folder / STATE)
        return fit_epochs(
            self._model,
            self._batches(begin),
            self._folder,
            self._options,
            self._options.epochs,
            loss=self._detector.loss,
            # Not the teacher.
            kept=self._detector.scored,
            measure=lambda logs: self._validate(),
            quality=quality_of,
            slow=[one for layer in self._detector.backbone for one in layer.variables],
            on_epoch=on_epoch,
        )

    def finish(self, reason: str) -> DetectorTraining:
        """Writes the model with the best weights, and what there is to say about it."""
        folder, data = self._folder, self._data
        rows = read_results(folder)
        self._detector.scored.load_weights(folder / BEST_WEIGHTS)
        self._make_plain()
        names = "".join(f"{name}\n" for name in data.classes).encode("utf-8", "surrogateescape")
        settings = {"kind": DETECTOR_KIND, "size": self._options.seen_side, "cnnkit": __version__}
        write_keras_file(
            self._scored,
            folder / MODEL_FILE,
            {CLASSES_FILE: names, SETTINGS_FILE: json.dumps(settings).encode()},
        )
        write_bytes(folder / CLASSES_FILE, names)
        scores = {}
        for split, judge in self._judges.items():
            found = judge.find()
            measured = judge.scores(self._truth[split], found, is_full=True)
            scores[split] = {
                name: float(np.nan_to_num(getattr(measured, name)))
                for name in ("ap", "ap50", "ap75")
            }
            end = "" if split == "val" else "-test"
            figure = plot_precision_recall(
                measured.precision50,
                measured.class_ap50,
                data.classes,
                title=f"AP50 {measured.ap50:.1%}, AP {measured.ap:.1%} of {split}",
            )
            write_bytes(folder / f"precision-recall{end}.png", encode_figure(figure))
            self._write_samples(folder / f"samples{end}.png", split, found)
        curves = {
            name: [row[name] for row in rows]
            for name in rows[0]
            if name not in ("epoch", "seconds")
        }
        figure = plot_training([row["epoch"] + 1 for row in rows], curves)
        write_bytes(folder / "curves.png", encode_figure(figure))
        result = DetectorTraining(
            model=folder / MODEL_FILE,
            classes=data.classes,
            counts=(len(data.train), len(data.val), len(data.test or ())),
            epochs=len(rows),
            best=best_row(rows, quality_of)["epoch"] + 1,
            seconds=seconds_of(rows),
            weights=self.weights,
            scores=scores,
            reason=reason,
        )
        report = {**asdict(result), "model": MODEL_FILE, "options": asdict(self._options)}
        write_bytes(folder / "report.json", json.dumps(report, indent=1).encode())
        return result

    def _write_samples(self, path: Path, split: str, found: list[FoundBoxes]) -> None:
        """A sheet of pictures as the detector sees them, evenly spread."""
        pictures = getattr(self._data, split)
        batches = SceneBatches(
            pictures,
            self._options,
            lambda boxes, more: np.zeros(0, np.float32),
            random_changes=False,
        )
        rows = np.unique(np.linspace(0, len(pictures) - 1, _SHOWN).round().astype(int))
        tiles = []
        for row in rows:
            batch, place = divmod(int(row), self._options.batch_size)
            pixels = (batches[batch][0][place] * 255 + 0.5).astype(np.uint8)
            one = found[row]
            good = one.scores >= _SHOWN_SCORE
            tiles.append(
                draw_detections(
                    pixels,
                    one.boxes_xyxy[good],
                    [self._data.classes[index] for index in one.class_ids[good]],
                    one.scores[good],
                    one.class_ids[good],
                )
            )
        captions = [Path(pictures.paths[row]).name[:28] for row in rows]
        sheet = draw_tiles(
            tiles,
            captions,
            title=f"{len(rows)} of {len(pictures)} pictures",
            subtitle=f"boxes of a score of {_SHOWN_SCORE} and more",
            side=256,
            smooth=True,
        )
        write_image(path, Picture(sheet.astype(np.float32) / 255.0))
