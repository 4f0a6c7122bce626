"""Trains a network that labels every pixel: pictures and masks in, a run folder out.

As in the paper the network begins coarse: 32s is trained, 16s starts from it, and 8s from that.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit import __version__
from cnnkit.engine.callbacks import best_row, seconds_of
from cnnkit.engine.dataset import CountedEpochs
from cnnkit.engine.device_pictures import DevicePictures
from cnnkit.engine.run import (
    BEST,
    finished_epochs,
    open_run,
    read_results,
    read_run,
    require_mostly_good,
    state_file,
    weights_file,
)
from cnnkit.engine.trainer import conclude, fit_epochs, reason_of, training_policy
from cnnkit.errors import DataError, DivergenceError
from cnnkit.images import Picture, write_bytes, write_image
from cnnkit.models.fcn import set_feature_statistics, start_from
from cnnkit.models.transfer import backbone_layers, freeze_backbone
from cnnkit.ops.inference import compiles_each_size
from cnnkit.options import SegmentTrainOptions
from cnnkit.plots import encode_figure, plot_confusion, plot_training
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
from cnnkit.tasks.segment.loss import SegmentationLoss
from cnnkit.tasks.segment.metrics import (
    confusion_percent,
    pixel_confusion,
    segmentation_scores,
)
from cnnkit.tasks.segment.plots import draw_segments
from cnnkit.tasks.segment.teacher_maps import TeacherMaps, keep_teacher_maps
from cnnkit.tasks.segment.trainable import (
    build_coarse,
    build_segmenter,
    feature_statistics,
    imitating,
    imitating_maps,
    load_teacher,
)
from cnnkit.weights.keras_file import (
    CLASSES_FILE,
    MODEL_FILE,
    SEGMENTER_KIND,
    SETTINGS_FILE,
    load_keras_file,
    write_keras_file,
)

# Batches that the scale of the backbone's maps is taken from.
_SAMPLE = 12
_SHOWN = 6
# Sides of the pictures to validate with, where each size is compiled for, are multiples of it.
_COMPILED_STEP = 128


@dataclass(frozen=True)
class SegmenterTraining:
    """What a training gave.

    Attributes:
        model: the `.keras` file, with the weights of the last stage's best epoch.
        classes: names of the classes.
        counts: pairs for training and for validation.
        epochs: passes over the data, in all stages and runs together.
        variant: "32s", "16s" or "8s", of `model`.
        best: the epoch whose weights were kept, from 1.
        seconds: that the epochs took.
        weights: number of weights that were trained in the last stage, and of all.
        stages: variant -> its best `mean_iou` and `pixel_accuracy` on the validation pairs, and
            its seconds.
        iou: class -> intersection over union on the validation pairs; None where none occurs.
        reason: why the training ended: "epochs", "patience", "time budget".
    """

    model: Path
    classes: tuple[str, ...]
    counts: tuple[int, int]
    epochs: int
    variant: str
    best: int
    seconds: float
    weights: tuple[int, int]
    stages: Mapping[str, Mapping[str, float]]
    iou: Mapping[str, float | None]
    reason: str


def train_segmenter(
    data: str | Path,
    output: str | Path,
    options: SegmentTrainOptions | None = None,
    *,
    resume: bool = False,
    skip_bad: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_epoch: Callable[[int, dict[str, Any]], None] | None = None,
) -> SegmenterTraining:
    """Trains an FCN, or goes on with a training that was stopped.

    Args:
        data: a folder of pictures and masks; see `data.masks.read_masks`.
        output: run folder: `model.keras` (the best epoch of the last stage), `args.yaml`,
            `results.csv`, `curves.png`, `samples.png`, `confusion.png`, `report.json`,
            `classes.txt`, weights of each stage's best and last epoch, and the state to go on from.
        options: see `SegmentTrainOptions`. Patience and time budget may change when a run is taken
            up again.
        resume: go on with the run in `output`.
        skip_bad: go on where most pairs cannot be used.
        on_note: takes a line that the user should know.
        on_progress: called with what is being done, the number of pairs done, and of all.
        on_epoch: called with the epoch's index and its row of `results.csv`.

    Returns:
        What came out. After Ctrl-C the best so far is written and `KeyboardInterrupt` raised.

    Raises:
        DataError: no pairs, or some that cannot be used.
        UsageError: `output` holds another run.
        WeightsError: the backbone's weights are not here.
        DivergenceError: the loss is no finite number; the best so far is kept.
    """
    options = options or SegmentTrainOptions()
    note = on_note or (lambda text: None)
    progress = on_progress or (lambda what, done, total: None)
    folder = Path(output)
    masks = read_masks(data, val_share=options.val_share, seed=options.seed)
    if not len(masks.train):
        raise DataError(f"{data} has nothing to train on; put pairs into train/")
    open_run(folder, data, options, data_hash(masks), resume, ("time_budget", "patience"))
    report = check_masks(masks, lambda done, total: progress("check", done, total))
    for line in report.lines():
        note(line)
    require_mostly_good(data, report.bad, len(masks.train) + len(masks.val), skip_bad)
    masks = without_bad_pairs(masks, report)
    if not len(masks.train):
        raise DataError(f"{data} has nothing to train on")
    run = _Run(masks, report, folder, options, note, progress)
    stopped: BaseException | None = None
    try:
        reason = run.fit(on_epoch)
    except (KeyboardInterrupt, DivergenceError) as error:
        stopped, reason = error, reason_of(error)
        if not read_results(folder):
            raise
    result = run.finish(reason)
    conclude(stopped, result.model, note)
    return result


def read_run_options(folder: str | Path) -> tuple[str, SegmentTrainOptions]:
    """The data and the settings that a run was started with.

    Raises:
        DataError: the folder holds no run.
    """
    values = read_run(folder)
    try:
        return values["data"], SegmentTrainOptions(**values["options"])
    except TypeError as error:
        raise DataError(f"{folder} is no run of train segment: {error}") from None


def _quality_of(row: Mapping[str, Any]) -> float:
    """What the best epoch of a stage has most of."""
    return row["val_mean_iou"]


class _Run:
    """One training: its stages one after the other, and what is written of them."""

    def __init__(
        self,
        data: MaskData,
        report: MaskReport,
        folder: Path,
        options: SegmentTrainOptions,
        note: Callable[[str], None],
        progress: Callable[[str, int, int], None],
    ):
        self._data, self._report, self._folder = data, report, folder
        self._options, self._note, self._progress = options, note, progress
        self._policy = training_policy(options.mixed_precision)
        self._classes = len(data.classes)
        self._variant = ""
        self._weights = (0, 0)
        self._repeats: np.ndarray | None = None
        self._on_device: DevicePictures | None = None

    def fit(self, on_epoch: Callable[[int, dict[str, Any]], None] | None) -> str:
        """Trains all stages to the end, from where the run stands; the reason why it ended."""
        options = self._options
        reason, begin = "epochs", 0
        for index, end in enumerate(options.stage_ends):
            if not self._is_over(index):
                reason = self._fit_stage(index, begin, end, on_epoch)
            begin = end
        return reason

    def _is_over(self, index: int) -> bool:
        """Whether the stage after this one was begun, or this one came to its end."""
        stages = self._options.stages
        later = stages[index + 1 :]
        done = finished_epochs(self._folder / state_file(stages[index]))
        return done >= self._options.stage_ends[index] or any(
            (self._folder / state_file(variant)).exists() for variant in later
        )

    def _build(self, variant: str, policy: str = "float32") -> keras.Model:
        model = build_segmenter(self._options, variant, self._classes, policy)
        freeze_backbone(model, self._options.transfer)
        return model

    def _fit_stage(
        self,
        index: int,
        begin: int,
        end: int,
        on_epoch: Callable[[int, dict[str, Any]], None] | None,
    ) -> str:
        options = self._options
        variant = options.stages[index]
        state = self._folder / state_file(variant)
        done = max(begin, finished_epochs(state))
        # A run that goes on with this stage begins it with the same draws.
        keras.utils.set_random_seed(options.seed + index)
        kept = self._build(variant)
        trained = kept if self._policy == "float32" else self._build(variant, self._policy)
        if options.views or not state.exists():
            # The state of a run on kept maps has no weights of the backbone.
            self._start(index, trained)
        batches: CountedEpochs
        if options.views:
            student = trainer = build_head(trained, variant)
            strides = map_layers(trained)
            batches = MapBatches(*self._maps(), strides, options, done)
        else:
            student = trainer = build_coarse(trained, variant, trained.inputs[0])
            maps = None
            if options.teacher is not None:
                teacher = load_teacher(options, self._classes, self._policy)
                if options.teacher_sees == "pictures":
                    maps = self._teacher_maps(teacher)
                    trainer = imitating_maps(trainer, trained, options, maps)
                else:
                    trainer = imitating(trainer, options, teacher)
            batches = self._batches(done, maps)
        self._variant = variant
        self._weights = (
            sum(math.prod(one.shape) for one in student.trainable_variables),
            trained.count_params(),
        )
        self._note(
            f"{variant}: {self._weights[0]:,} of {self._weights[1]:,} weights train, "
            f"epochs {begin + 1} to {end}"
        )

        def measure(logs: Mapping[str, float]) -> dict[str, float]:
            if kept is not trained:
                kept.set_weights(trained.get_weights())
            scores = segmentation_scores(self._validate(kept))
            return {
                "val_mean_iou": scores.mean_iou,
                "val_pixel_accuracy": scores.pixel_accuracy,
                "val_mean_accuracy": scores.mean_accuracy,
                "val_frequency_weighted_iou": scores.frequency_weighted_iou,
            }

        is_last = index + 1 == len(options.stages)
        return fit_epochs(
            trainer,
            batches,
            self._folder,
            options,
            end,
            loss=SegmentationLoss(self._class_weights(), options.dice),
            kept=kept,
            measure=measure,
            quality=_quality_of,
            first=begin,
            stage=variant,
            budget=self._budget(index),
            patience=options.patience if is_last else 0,
            slow=[one for layer in backbone_layers(trained) for one in layer.variables],
            on_epoch=on_epoch,
        )

    def _teacher_maps(self, teacher: keras.Model) -> TeacherMaps:
        """What a teacher says of the pictures to train on, in the first stage."""
        return keep_teacher_maps(
            teacher,
            self._data.train.pictures,
            self._folder / "teacher",
            self._options.val_size,
            self._options.hints > 0,
            lambda done, total: self._progress("ask the teacher", done, total),
        )

    def _batches(self, epoch: int = 0, maps: TeacherMaps | None = None) -> MaskBatches:
        """Crops of the pictures to train on, from an epoch on."""
        data, options = self._data, self._options
        if options.balance and self._repeats is None:
            self._repeats = repeat_factors(data.train, data.coding, options.balance)
        if options.on_device and self._on_device is None:
            self._on_device = put_on_device(
                data.train,
                data.coding,
                options,
                lambda done, total: self._progress("read the pictures", done, total),
            )
        return MaskBatches(
            data.train, data.coding, options, epoch, self._repeats, self._on_device, maps
        )

    def _start(self, index: int, model: keras.Model) -> None:
        """The weights that a stage begins with."""
        options = self._options
        if index:
            before = options.stages[index - 1]
            earlier = self._build(before)
            earlier.load_weights(self._folder / weights_file(BEST, before))
            start_from(model, earlier)
        elif options.start is not None:
            start_from(model, load_keras_file(options.start, "--start"))
        if options.backbone == "compact":
            set_feature_statistics(model, self._statistics())

    def _statistics(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Of what the backbone gives at first, of some crops; the same for all stages."""
        path = self._folder / "statistics.npz"
        if not path.exists():
            model = self._build("8s", self._policy)
            batches = self._batches()
            count = min(_SAMPLE, len(batches))
            found = feature_statistics(model, (batches[step][0] for step in range(count)))
            arrays: dict[str, Any] = {str(stride): np.stack(pair) for stride, pair in found.items()}
            np.savez(path, **arrays)
        with np.load(path) as file:
            return {int(stride): tuple(file[stride]) for stride in file.files}

    def _maps(self) -> tuple[dict[int, np.ndarray], np.ndarray]:
        """What the backbone sees of crops, computed in the first stage."""
        variant = self._options.variant
        whole = self._build(variant, self._policy)
        self._start(0, whole)
        return cache_maps(
            whole,
            map_layers(whole),
            self._batches(),
            self._options.views,
            self._folder / "features",
            lambda done, total: self._progress("look at the data", done, total),
        )

    def _budget(self, index: int) -> float | None:
        """Seconds of a stage: as much of all as it has of the epochs."""
        options = self._options
        if options.time_budget is None:
            return None
        ends = (0, *options.stage_ends)
        return options.time_budget * (ends[index + 1] - ends[index]) / options.epochs

    def _class_weights(self) -> list[float] | None:
        if not self._options.class_weights:
            return None
        shares = np.array(self._report.pixels, float)
        shares = np.maximum(shares / shares.sum(), 1e-4)
        weights = shares**-0.5
        # The pixels have the mean weight 1.
        return (weights / (weights * shares).sum()).tolist()

    def _validate(self, model: keras.Model) -> np.ndarray:
        """The confusion matrix of the validation pairs."""
        matrix = np.zeros((self._classes, self._classes), np.int64)
        pairs = self._data.val
        for done, (pixels, classes) in enumerate(self._read(pairs, range(len(pairs))), 1):
            matrix += pixel_confusion(classes, _labels(model, pixels), self._classes)
            self._progress("validate", done, len(pairs))
        return matrix

    def _read(
        self, pairs: MaskPairs, rows: Sequence[int]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for row in rows:
            yield read_pair(
                pairs.pictures[row], pairs.masks[row], self._data.coding, self._options.val_size
            )

    def finish(self, reason: str) -> SegmenterTraining:
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
        result = SegmenterTraining(
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
        self._write(result, model, matrix, rows)
        return result

    def _write(
        self,
        result: SegmenterTraining,
        model: keras.Model,
        matrix: np.ndarray,
        rows: list[dict[str, Any]],
    ) -> None:
        folder, data = self._folder, self._data
        names = "".join(f"{name}\n" for name in data.classes).encode()
        settings = {
            "pixels": "unit",
            "kind": SEGMENTER_KIND,
            "variant": result.variant,
            "cnnkit": __version__,
        }
        write_keras_file(
            model,
            result.model,
            {CLASSES_FILE: names, SETTINGS_FILE: json.dumps(settings).encode()},
        )
        write_bytes(folder / CLASSES_FILE, names)
        used = [at for at in range(len(matrix)) if matrix[at].any() or matrix[:, at].any()]
        shares = confusion_percent(matrix)[used][:, used]
        title = "% of the pixels of each class"
        figure = plot_confusion(shares, [data.classes[at] for at in used], title=title)
        write_bytes(folder / "confusion.png", encode_figure(figure))
        epochs = [row["epoch"] + 1 for row in rows]
        names_of_curves = ("loss", "val_mean_iou", "val_pixel_accuracy", "learning_rate")
        curves = {name: [row[name] for row in rows] for name in names_of_curves}
        write_bytes(folder / "curves.png", encode_figure(plot_training(epochs, curves)))
        self._write_samples(folder / "samples.png", model, result)
        report = {**asdict(result), "model": MODEL_FILE, "options": asdict(self._options)}
        write_bytes(folder / "report.json", json.dumps(report, indent=1).encode())

    def _write_samples(self, path: Path, model: keras.Model, result: SegmenterTraining) -> None:
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
