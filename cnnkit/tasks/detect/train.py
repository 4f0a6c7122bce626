"""Trains a detector: pictures with boxes in, a run folder with a `.keras` file out.

Scenes are put together from several pictures; a network that was trained before sees them, and the
blocks on top of it learn where things are and what they are.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.data.letterbox import GREY
from cnnkit.engine.callbacks import Stage, best_row, seconds_of
from cnnkit.engine.dataset import reading
from cnnkit.engine.device_pictures import DevicePictures
from cnnkit.engine.distribution import Team
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import (
    BEST_WEIGHTS,
    STATE,
    class_file,
    finished_epochs,
    open_run,
    read_results,
    require_mostly_good,
    write_model,
    write_run_report,
)
from cnnkit.engine.splits import warnings_of_split
from cnnkit.engine.trainer import (
    fit_stage,
    gather_team,
    run_training,
    training_policy,
    write_curves,
)
from cnnkit.errors import DataError
from cnnkit.images import Picture, write_bytes, write_image
from cnnkit.plots import draw_tiles, encode_figure
from cnnkit.tasks.detect.batches import SceneBatches, read_for_scenes
from cnnkit.tasks.detect.data import BoxedData, check_boxed, read_boxed, without_unreadable
from cnnkit.tasks.detect.files import find_training_files
from cnnkit.tasks.detect.metrics import CocoScores, FoundBoxes
from cnnkit.tasks.detect.plots import draw_detections, plot_precision_recall
from cnnkit.tasks.detect.results import TrainedDetector
from cnnkit.tasks.detect.settings import TrainSettings
from cnnkit.tasks.detect.trainable import build_trainable
from cnnkit.tasks.detect.validate import Validation, quality_of
from cnnkit.weights.keras_file import DETECTOR_KIND, MODEL_FILE, own_names

# Scenes that the statistics of the activations are taken from, and pictures on the sheet of
# samples.
_SAMPLE, _SHOWN = 128, 12
_SHOWN_SCORE = 0.25
# What may change when a run is taken up again.
_EXTENDABLE = ("epochs", "time_budget", "patience", "val_size", "workers", "on_device")


def train_detector(
    data: str | Path,
    output: str | Path,
    settings: TrainSettings | None = None,
    *,
    known_classes: tuple[str, ...] = (),
    resume: bool = False,
    skip_bad: bool = False,
    devices: int | None = None,
    observer: Observer | None = None,
) -> TrainedDetector:
    """Trains a detector, or goes on with a training that was stopped.

    Args:
        data: pictures with boxes in the form of YOLO, Pascal VOC or COCO; see `data.read_boxed`.
        output: run folder: `model.keras` (the best epoch), `args.yaml`, `results.csv`,
            `curves.png`, `precision-recall.png`, `samples.png`, `report.json`, `classes.txt`,
            weights of the best and the last epoch, TensorBoard's logs, and the state to go on from.
        settings: epochs, patience, time budget, the size to validate at and what makes the scenes
            may change when a run is taken up again.
        known_classes: names of the classes of the model that the training begins with; those that
            its file has by default.
        resume: go on with the run in `output`.
        skip_bad: go on where most pictures cannot be read, or most boxes make no sense.
        devices: see `engine.trainer.gather_team`; may change when a run is taken up again.
        observer: is told what the user should know, what is being done, and of each epoch.

    Returns:
        What came out. After Ctrl-C the best so far is written and `KeyboardInterrupt` raised.

    Raises:
        DataError: no pictures or classes, or files or boxes that are bad.
        UsageError: `output` holds another run, the model is no detector, there are fewer devices,
            or they cannot share a batch equally.
        LostProcessError: another process of the training ended.
        WeightsError: the model's file cannot be loaded.
        DivergenceError: the loss is no finite number; the best so far is kept.
    """
    settings = find_training_files(settings or TrainSettings())
    team, observer = gather_team(devices, settings, observer)
    folder = Path(output)
    if not known_classes and settings.model.endswith(".keras"):
        known_classes = own_names(Path(settings.model))
    with team.watched():
        read = team.together(
            lambda: read_boxed(data, val_share=settings.val_share, seed=settings.seed)
        )
        team.first(lambda: open_run(folder, data, settings, _data_hash(read), resume, _EXTENDABLE))
        boxed, sizes = team.together(lambda: _check(data, read, skip_bad, observer))
        keras.utils.set_random_seed(settings.seed)
        training = _Training(boxed, sizes, folder, settings, known_classes, observer, team)
        return run_training(training.fit, training.finish, folder, observer, team)


def _check(
    data: str | Path, boxed: BoxedData, skip_bad: bool, observer: Observer
) -> tuple[BoxedData, Mapping[str, tuple[int, int]]]:
    """The data without what cannot be used, and path -> height and width of each picture."""
    report = check_boxed(
        boxed, on_progress=lambda done, total: observer.on_progress("check", done, total)
    )
    for line in report.lines():
        observer.on_note(line)
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
    for line in warnings_of_split(boxed.train.paths, boxed.val.paths):
        observer.on_note(line)
    return boxed, report.sizes


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


class _Training:
    """One training: what is built, fed, fitted and written."""

    def __init__(
        self,
        data: BoxedData,
        sizes: Mapping[str, tuple[int, int]],
        folder: Path,
        settings: TrainSettings,
        known_classes: tuple[str, ...],
        observer: Observer,
        team: Team,
    ):
        self._data, self._folder, self._settings = data, folder, settings
        self._observer, self._team = observer, team
        self._on_device: DevicePictures | None = None
        if settings.on_device:
            self._on_device = DevicePictures(
                data.train.paths,
                lambda path: read_for_scenes(path, settings),
                settings.side,
                GREY,
                on_progress=lambda done, total: observer.on_progress(
                    "read the pictures", done, total
                ),
            )
        policy = training_policy(settings.mixed_precision)
        # What is seen with and kept is in 32 bits, and of this process.
        plain = settings
        if team.is_several or policy != "float32":
            usual = {name: getattr(TrainSettings, name) for name in ("distillation", "labels")}
            plain = replace(settings, teacher=None, **usual)
        self._detector = self._plain = build_trainable(plain, data.classes, known_classes)
        if not self._plain.is_scaled:
            self._set_scales()
        if plain is not settings:
            with team.building():
                self._detector = build_trainable(settings, data.classes, known_classes, policy)
                for layer in self._plain.model.layers:
                    team.copy_state(layer, self._detector.model.get_layer(layer.name))
        self._model = self._detector.model
        self._scored = self._plain.scored
        self._validations = {
            split: Validation(self._scored, pictures, settings, len(data.classes), sizes, team)
            for split in ("val", "test")
            if (pictures := getattr(data, split)) is not None and len(pictures)
        }
        observer.on_note(self._describe())

    @property
    def _weights(self) -> tuple[int, int]:
        """Number of weights that are trained, and of all."""
        trained = sum(math.prod(one.shape) for one in self._model.trainable_variables)
        return trained, self._model.count_params()

    def _describe(self) -> str:
        trained, total = self._weights
        below, settings = "", self._settings
        if self._detector.backbone:
            rate = "frozen" if settings.freeze else f"at {settings.pretrained_rate:g} of the rate"
            below = f"; the network below {rate}"
        return f"{settings.model}: {trained:,} of {total:,} weights train{below}"

    def _set_scales(self) -> None:
        batches = self._batches(0, (0, 1))
        count = min(len(batches), math.ceil(_SAMPLE / self._settings.batch_size))
        with reading(batches):
            self._detector.set_scales(np.concatenate([batches[i][0] for i in range(count)]))

    def _batches(self, epoch: int, shard: tuple[int, int]) -> SceneBatches:
        return SceneBatches(
            self._data.train,
            self._settings,
            self._detector.encode,
            epoch,
            on_device=self._on_device,
            shard=shard,
        )

    def _validate(self) -> dict[str, float]:
        """Figures of the validation pictures with the weights of now; none without any."""
        self._make_plain()
        if "val" not in self._validations:
            return {}
        validation = self._validations["val"]
        scores = validation.scores(validation.find())
        return {
            "val_ap": float(np.nan_to_num(scores.ap)),
            "val_ap50": float(np.nan_to_num(scores.ap50)),
        }

    def _make_plain(self) -> None:
        """Gives the detector of 32 bits the weights of now, where it is another one."""
        if self._plain is not self._detector:
            with self._team.apart():
                for layer in self._plain.model.layers:
                    layer.set_weights(self._model.get_layer(layer.name).get_weights())

    def fit(self) -> str:
        """Trains to the end, from where the run stands; gives the reason why it ended."""
        begin = finished_epochs(self._folder / STATE)
        stage = Stage(
            self._model,
            loss=self._detector.loss,
            # Not the teacher.
            kept=self._scored,
            measure=lambda logs: self._validate(),
            quality=quality_of,
            end=self._settings.epochs,
            slow=[one for layer in self._detector.backbone for one in layer.variables],
        )
        return fit_stage(
            stage,
            self._batches(begin, self._team.shard),
            self._folder,
            self._settings,
            team=self._team,
            observer=self._observer,
        )

    def finish(self, reason: str) -> TrainedDetector:
        """Writes the model with the best weights, and what there is to say about it."""
        folder, data = self._folder, self._data
        rows = read_results(folder)
        self._scored.load_weights(folder / BEST_WEIGHTS)
        validations = self._validations.items()
        found = {split: one.find() for split, one in validations}
        scores = {split: one.scores(found[split], is_full=True) for split, one in validations}
        result = TrainedDetector(
            model=folder / MODEL_FILE,
            classes=data.classes,
            counts=(len(data.train), len(data.val), len(data.test or ())),
            epochs=len(rows),
            best=best_row(rows, quality_of)["epoch"] + 1,
            seconds=seconds_of(rows),
            weights=self._weights,
            scores={split: _figures(one) for split, one in scores.items()},
            reason=reason,
        )
        self._team.first(lambda: self._write(result, rows, found, scores))
        return result

    def _write(
        self,
        result: TrainedDetector,
        rows: list[dict[str, Any]],
        found: Mapping[str, list[FoundBoxes]],
        scores: Mapping[str, CocoScores],
    ) -> None:
        folder, classes = self._folder, self._data.classes
        about = {"kind": DETECTOR_KIND, "size": self._settings.seen_side}
        write_model(folder, self._scored, about, class_file(classes))
        write_curves(folder, rows)
        for split, one in scores.items():
            end = "" if split == "val" else "-test"
            figure = plot_precision_recall(
                one.precision50,
                one.class_ap50,
                classes,
                title=f"AP50 {one.ap50:.1%}, AP {one.ap:.1%} of {split}",
            )
            write_bytes(folder / f"precision-recall{end}.png", encode_figure(figure))
            self._write_samples(folder / f"samples{end}.png", split, found[split])
        write_run_report(folder, result, self._settings)

    def _write_samples(self, path: Path, split: str, found: list[FoundBoxes]) -> None:
        """A sheet of pictures as the detector sees them, evenly spread."""
        pictures = getattr(self._data, split)
        batches = SceneBatches(
            pictures,
            self._settings,
            lambda boxes, more: np.zeros(0, np.float32),
            random_changes=False,
        )
        rows = np.unique(np.linspace(0, len(pictures) - 1, _SHOWN).round().astype(int))
        tiles = []
        for row in rows:
            batch, place = divmod(int(row), self._settings.batch_size)
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


def _figures(scores: CocoScores) -> dict[str, float]:
    names = ("ap", "ap50", "ap75")
    return {name: float(np.nan_to_num(getattr(scores, name))) for name in names}
