"""Trains a network that labels every pixel: pictures and masks in, a run folder out.

As in the paper the network begins coarse: 32s is trained, 16s starts from it, and 8s from that.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.engine.callbacks import Stage, best_row, seconds_of
from cnnkit.engine.dataset import CountedEpochs
from cnnkit.engine.device_pictures import DevicePictures
from cnnkit.engine.distribution import Team
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import (
    BEST,
    class_file,
    finished_epochs,
    open_run,
    read_results,
    require_mostly_good,
    state_file,
    weights_file,
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
from cnnkit.models.fcn import set_feature_statistics, start_from
from cnnkit.models.transfer import backbone_layers, freeze_backbone
from cnnkit.ops.inference import compiles_each_size
from cnnkit.plots import encode_figure
from cnnkit.tasks.segment.backbone_maps import MapBatches, build_head, cache_maps, map_layers
from cnnkit.tasks.segment.batches import (
    GREY,
    MaskBatches,
    put_on_device,
    read_pair,
    repeat_factors,
)
from cnnkit.tasks.segment.data import (
    MaskData,
    MaskPairs,
    MaskReport,
    check_masks,
    data_hash,
    read_masks,
    without_bad_pairs,
)
from cnnkit.tasks.segment.files import find_training_files
from cnnkit.tasks.segment.loss import SegmentationLoss
from cnnkit.tasks.segment.metrics import pixel_confusion, segmentation_scores
from cnnkit.tasks.segment.plots import draw_segments, plot_pixel_confusion
from cnnkit.tasks.segment.results import TrainedSegmenter
from cnnkit.tasks.segment.settings import TrainSettings
from cnnkit.tasks.segment.teacher_maps import TeacherMaps, keep_teacher_maps
from cnnkit.tasks.segment.trainable import (
    build_coarse,
    build_segmenter,
    feature_statistics,
    load_teacher,
    with_teacher,
    with_teacher_maps,
)
from cnnkit.weights.keras_file import MODEL_FILE, SEGMENTER_KIND, load_keras_file

# Batches that the scale of the backbone's maps is taken from.
_SAMPLE = 12
_SHOWN = 6
# Sides of the pictures to validate with, where each size is compiled for, are multiples of it.
_COMPILED_STEP = 128
# What may change when a run is taken up again.
_EXTENDABLE = ("time_budget", "patience")


def train_segmenter(
    data: str | Path,
    output: str | Path,
    settings: TrainSettings | None = None,
    *,
    resume: bool = False,
    skip_bad: bool = False,
    devices: int | None = None,
    observer: Observer | None = None,
) -> TrainedSegmenter:
    """Trains a segmenter, or goes on with a training that was stopped.

    Args:
        data: a folder of pictures and masks; see `data.read_masks`.
        output: run folder: `model.keras` (the best epoch of the last stage), `args.yaml`,
            `results.csv`, `curves.png`, `samples.png`, `confusion.png`, `report.json`,
            `classes.txt`, weights of each stage's best and last epoch, and the state to go on from.
        settings: patience and time budget may change when a run is taken up again.
        resume: go on with the run in `output`.
        skip_bad: go on where most pairs cannot be used.
        devices: see `engine.trainer.gather_team`; may change when a run is taken up again.
        observer: is told what the user should know, what is being done, and of each epoch.

    Returns:
        What came out. After Ctrl-C the best so far is written and `KeyboardInterrupt` raised.

    Raises:
        DataError: no pairs, or some that cannot be used.
        UsageError: `output` holds another run, there are fewer devices, or they cannot share a
            batch equally.
        LostProcessError: another process of the training ended.
        WeightsError: the backbone's weights are not here.
        DivergenceError: the loss is no finite number; the best so far is kept.
    """
    settings = find_training_files(settings or TrainSettings())
    team, observer = gather_team(devices, settings, observer)
    folder = Path(output)
    with team.watched():
        read = team.together(
            lambda: read_masks(data, val_share=settings.val_share, seed=settings.seed)
        )
        if not len(read.train):
            raise DataError(f"{data} has nothing to train on; put pairs into train/")
        team.first(lambda: open_run(folder, data, settings, data_hash(read), resume, _EXTENDABLE))
        masks, report = team.together(lambda: _check(data, read, skip_bad, observer))
        # The last batch is filled up, and a batch is no larger than the data.
        team.check_batch(min(settings.batch_size, len(masks.train)))
        training = _Training(masks, report, folder, settings, observer, team)
        return run_training(training.fit, training.finish, folder, observer, team)


def _check(
    data: str | Path, masks: MaskData, skip_bad: bool, observer: Observer
) -> tuple[MaskData, MaskReport]:
    """The data without what cannot be used, and what was found."""
    report = check_masks(masks, functools.partial(observer.on_progress, "check"))
    for line in report.lines():
        observer.on_note(line)
    require_mostly_good(data, report.bad, len(masks.train) + len(masks.val), skip_bad)
    masks = without_bad_pairs(masks, report)
    if not len(masks.train):
        raise DataError(f"{data} has nothing to train on")
    for line in warnings_of_split(masks.train.pictures, masks.val.pictures):
        observer.on_note(line)
    return masks, report


def _quality_of(row: Mapping[str, Any]) -> float:
    """What the best epoch of a stage has most of."""
    quality: float = row["val_mean_iou"]
    return quality


class _Training:
    """One training: its stages one after the other, and what is written of them."""

    def __init__(
        self,
        data: MaskData,
        report: MaskReport,
        folder: Path,
        settings: TrainSettings,
        observer: Observer,
        team: Team,
    ):
        self._data, self._report, self._folder = data, report, folder
        self._settings, self._observer, self._team = settings, observer, team
        self._policy = training_policy(settings.mixed_precision)
        self._classes = len(data.classes)
        self._weights = (0, 0)
        self._repeats: np.ndarray | None = None
        self._on_device: DevicePictures | None = None

    def fit(self) -> str:
        """Trains all stages to the end, from where the run stands; the reason why it ended."""
        reason, begin = "epochs", 0
        for index, end in enumerate(self._settings.stage_ends):
            if not self._is_over(index):
                reason = self._fit_stage(index, begin, end)
            begin = end
        return reason

    def _is_over(self, index: int) -> bool:
        """Whether the stage after this one was begun, or this one came to its end."""
        stages = self._settings.stages
        later = stages[index + 1 :]
        done = finished_epochs(self._folder / state_file(stages[index]))
        return done >= self._settings.stage_ends[index] or any(
            (self._folder / state_file(variant)).exists() for variant in later
        )

    def _build(self, variant: str, policy: str = "float32") -> keras.Model:
        model = build_segmenter(self._settings, variant, self._classes, policy)
        freeze_backbone(model, self._settings.transfer)
        return model

    def _fit_stage(self, index: int, begin: int, end: int) -> str:
        settings = self._settings
        variant = settings.stages[index]
        state = self._folder / state_file(variant)
        done = max(begin, finished_epochs(state))
        # A run that goes on with this stage begins it with the same draws.
        keras.utils.set_random_seed(settings.seed + index)
        kept = self._build(variant)
        if settings.views or not state.exists():
            # The state of a run on kept maps has no weights of the backbone.
            self._start(index, kept)
        trained = kept
        if self._team.is_several or self._policy != "float32":
            # Process 0 has drawn more than the others, where it wrote files for all.
            keras.utils.set_random_seed(settings.seed + index)
            with self._team.building():
                trained = self._build(variant, self._policy)
                self._team.copy_state(kept, trained)
        maps, views = None, None
        if settings.views:
            views = self._maps()
        elif settings.teacher_sees == "pictures":
            maps = self._teacher_maps()
        with self._team.building():
            student, trainer = self._trainer(variant, trained, maps)
        batches: CountedEpochs
        if views is not None:
            strides = map_layers(trained)
            batches = MapBatches(*views, strides, settings, done, self._team.shard)
        else:
            batches = self._batches(done, maps, self._team.shard)
        self._weights = (
            sum(math.prod(one.shape) for one in student.trainable_variables),
            trained.count_params(),
        )
        self._observer.on_note(
            f"{variant}: {self._weights[0]:,} of {self._weights[1]:,} weights train, "
            f"epochs {begin + 1} to {end}"
        )

        def measure(logs: Mapping[str, float]) -> dict[str, float]:
            if kept is not trained:
                with self._team.apart():
                    kept.set_weights(trained.get_weights())
            scores = segmentation_scores(self._validate(kept))
            return {
                "val_mean_iou": scores.mean_iou,
                "val_pixel_accuracy": scores.pixel_accuracy,
                "val_mean_accuracy": scores.mean_accuracy,
                "val_frequency_weighted_iou": scores.frequency_weighted_iou,
            }

        is_last = index + 1 == len(settings.stages)
        stage = Stage(
            trainer,
            loss=SegmentationLoss(self._class_weights(), settings.dice),
            kept=kept,
            measure=measure,
            quality=_quality_of,
            end=end,
            begin=begin,
            name=variant,
            budget=self._budget(index),
            patience=settings.patience if is_last else 0,
            slow=[one for layer in backbone_layers(trained) for one in layer.variables],
        )
        return fit_stage(
            stage,
            batches,
            self._folder,
            settings,
            team=self._team,
            observer=self._observer,
        )

    def _trainer(
        self, variant: str, trained: keras.Model, maps: TeacherMaps | None
    ) -> tuple[keras.Model, keras.Model]:
        """What of a segmenter trains, and the same with a teacher where there is one."""
        settings = self._settings
        if settings.views:
            head = build_head(trained, variant)
            return head, head
        student = build_coarse(trained, variant, trained.inputs[0])
        if maps is not None:
            return student, with_teacher_maps(student, trained, settings, maps)
        if settings.teacher is None:
            return student, student
        return student, with_teacher(student, settings, self._teacher())

    def _teacher(self) -> keras.Model:
        return load_teacher(self._settings, self._classes, self._policy)

    def _teacher_maps(self) -> TeacherMaps:
        """What a teacher says of the pictures to train on, in the first stage."""

        def keep() -> TeacherMaps:
            return keep_teacher_maps(
                self._teacher(),
                self._data.train.pictures,
                self._folder / "teacher",
                self._settings.val_size,
                self._settings.distill_features > 0,
                functools.partial(self._observer.on_progress, "ask the teacher"),
            )

        self._team.first(keep)
        return keep()

    def _batches(
        self, epoch: int = 0, maps: TeacherMaps | None = None, shard: tuple[int, int] = (0, 1)
    ) -> MaskBatches:
        """Crops of the pictures to train on, from an epoch on."""
        data, settings = self._data, self._settings
        if settings.balance and self._repeats is None:
            self._repeats = repeat_factors(data.train, data.coding, settings.balance)
        if settings.on_device and self._on_device is None:
            self._on_device = put_on_device(
                data.train,
                data.coding,
                settings,
                functools.partial(self._observer.on_progress, "read the pictures"),
            )
        return MaskBatches(
            data.train, data.coding, settings, epoch, self._repeats, self._on_device, maps, shard
        )

    def _start(self, index: int, model: keras.Model) -> None:
        """The weights that a stage begins with."""
        settings = self._settings
        if index:
            before = settings.stages[index - 1]
            earlier = self._build(before)
            earlier.load_weights(self._folder / weights_file(BEST, before))
            start_from(model, earlier)
        elif settings.start is not None:
            start_from(model, load_keras_file(settings.start, "--start"))
        if settings.backbone == "compact":
            set_feature_statistics(model, self._statistics())

    def _statistics(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Of what the backbone gives at first, of some crops; the same for all stages."""
        path = self._folder / "statistics.npz"

        def measure() -> None:
            if path.exists():
                return
            model = self._build("8s", self._policy)
            batches = self._batches()
            count = min(_SAMPLE, len(batches))
            found = feature_statistics(model, (batches[step][0] for step in range(count)))
            arrays: dict[str, Any] = {str(stride): np.stack(pair) for stride, pair in found.items()}
            np.savez(path, **arrays)

        self._team.first(measure)
        with np.load(path) as file:
            return {int(stride): tuple(file[stride]) for stride in file.files}

    def _maps(self) -> tuple[dict[int, np.ndarray], np.ndarray]:
        """What the backbone sees of crops, computed in the first stage."""
        variant = self._settings.variant
        whole = self._build(variant, self._policy)
        self._start(0, whole)

        def cache() -> tuple[dict[int, np.ndarray], np.ndarray]:
            return cache_maps(
                whole,
                map_layers(whole),
                self._batches(),
                self._settings.views,
                self._folder / "features",
                functools.partial(self._observer.on_progress, "look at the data"),
            )

        self._team.first(cache)
        return cache()

    def _budget(self, index: int) -> float | None:
        """Seconds of a stage: as much of all as it has of the epochs."""
        settings = self._settings
        if settings.time_budget is None:
            return None
        ends = (0, *settings.stage_ends)
        return settings.time_budget * (ends[index + 1] - ends[index]) / settings.epochs

    def _class_weights(self) -> Sequence[float] | None:
        if not self._settings.class_weights:
            return None
        shares = np.array(self._report.pixels, float)
        shares = np.maximum(shares / shares.sum(), 1e-4)
        weights = shares**-0.5
        # The pixels have the mean weight 1.
        return (weights / (weights * shares).sum()).tolist()

    def _validate(self, model: keras.Model) -> np.ndarray:
        """The confusion matrix of the validation pairs."""
        matrix = np.zeros((self._classes, self._classes), np.int64)
        rows = self._team.own_block(len(self._data.val))
        with self._team.apart():
            for done, (pixels, classes) in enumerate(self._read(self._data.val, rows), 1):
                matrix += pixel_confusion(classes, _labels(model, pixels), self._classes)
                self._observer.on_progress("validate", done, len(rows))
        return np.sum(self._team.share([matrix]), axis=0)

    def _read(
        self, pairs: MaskPairs, rows: Sequence[int]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for row in rows:
            yield read_pair(
                pairs.pictures[row], pairs.masks[row], self._data.coding, self._settings.val_size
            )

    def finish(self, reason: str) -> TrainedSegmenter:
        """Writes the model with the best weights, and what there is to say about it."""
        folder, data = self._folder, self._data
        rows = read_results(folder)
        variant = rows[-1]["stage"]
        model = self._build(variant)
        model.load_weights(folder / weights_file(BEST, variant))
        matrix = self._validate(model)
        scores = segmentation_scores(matrix)
        stages, begin = {}, 0.0
        for one in dict.fromkeys(row["stage"] for row in rows):
            own = [row for row in rows if row["stage"] == one]
            best = best_row(own, _quality_of)
            stages[one] = {
                "mean_iou": best["val_mean_iou"],
                "pixel_accuracy": best["val_pixel_accuracy"],
                "seconds": seconds_of(own) - begin,
            }
            begin = seconds_of(own)
        last = [row for row in rows if row["stage"] == variant]
        result = TrainedSegmenter(
            model=folder / MODEL_FILE,
            classes=data.classes,
            counts=(len(data.train), len(data.val)),
            epochs=len(rows),
            variant=variant,
            best=best_row(last, _quality_of)["epoch"] + 1,
            seconds=seconds_of(rows),
            weights=self._weights,
            stages=stages,
            iou={
                name: None if math.isnan(value) else float(value)
                for name, value in zip(data.classes, scores.iou, strict=True)
            },
            reason=reason,
        )
        self._team.first(lambda: self._write(result, model, matrix, rows))
        return result

    def _write(
        self,
        result: TrainedSegmenter,
        model: keras.Model,
        matrix: np.ndarray,
        rows: list[dict[str, Any]],
    ) -> None:
        folder, names = self._folder, self._data.classes
        about = {"pixels": "unit", "kind": SEGMENTER_KIND, "variant": result.variant}
        write_model(folder, model, about, class_file(names))
        figure = plot_pixel_confusion(matrix, names, title="% of the pixels of each class")
        write_bytes(folder / "confusion.png", encode_figure(figure))
        curves = ("loss", "val_mean_iou", "val_pixel_accuracy", "learning_rate")
        write_curves(folder, rows, curves)
        self._write_samples(folder / "samples.png", model, result)
        write_run_report(folder, result, self._settings)

    def _write_samples(self, path: Path, model: keras.Model, result: TrainedSegmenter) -> None:
        """A sheet of pictures for validation: their masks, and what each stage says of them."""
        count = len(self._data.val)
        shown = sorted({round(at) for at in np.linspace(0, count - 1, min(_SHOWN, count))})
        rows = [list(pair) for pair in self._read(self._data.val, shown)]
        for variant in result.stages:
            if variant != result.variant:
                network = self._build(variant)
                network.load_weights(self._folder / weights_file(BEST, variant))
            else:
                network = model
            for row in rows:
                row.append(_labels(network, row[0]))
        several = [f"FCN-{variant}" for variant in result.stages] if len(result.stages) > 1 else []
        sheet = draw_segments(rows, self._data.classes, predictions=several or ("predicted",))
        write_image(path, Picture(sheet.astype(np.float32) / 255.0))


def _labels(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """The class of each pixel of one picture."""
    height, width = pixels.shape[:2]
    if compiles_each_size():
        # Grey around it, as around a small picture that was trained on.
        padding = [(0, -side % _COMPILED_STEP) for side in (height, width)]
        pixels = np.pad(pixels, (*padding, (0, 0)), constant_values=GREY)
    scores = model.predict_on_batch(pixels[None].astype(np.float32) / 255.0)[0]
    return scores[:height, :width].argmax(axis=-1).astype(np.uint8)
