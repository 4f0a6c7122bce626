"""Trains a classifier: a folder per class in, a run folder with a `.keras` file out.

The course's transfer learning: with little data only a new softmax is trained, on activations of
the trained network that are computed once; with more, its last layers too; with much, all of it,
more slowly than the head; or everything from random weights.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from cnnkit.data.labelled import (
    DataReport,
    LabelledData,
    LabelledFiles,
    check_labelled,
    read_example,
    read_labelled,
    without_bad,
)
from cnnkit.engine.cached_features import FeatureBatches, cache_features, feature_statistics
from cnnkit.engine.callbacks import Stage
from cnnkit.engine.classifier_training import (
    TrainedClassifier,
    class_figures,
    class_loss,
    class_weights_of,
    end_of,
    score_of,
    summarize_classifier,
    write_classifier,
)
from cnnkit.engine.dataset import CountedEpochs, reading
from cnnkit.engine.distribution import CommonStop, Team
from cnnkit.engine.labelled_batches import LabelledBatches
from cnnkit.engine.observer import Observer, Step
from cnnkit.engine.run import (
    BEST_WEIGHTS,
    STATE,
    finished_epochs,
    open_run,
    read_run,
    require_mostly_good,
)
from cnnkit.engine.trainer import (
    build_optimizer,
    build_schedule,
    conclude,
    fit_stage,
    reason_of,
    training_policy,
)
from cnnkit.errors import DataError, DivergenceError, UsageError
from cnnkit.images import Picture, write_bytes, write_image
from cnnkit.metrics.classification import worst_mistakes
from cnnkit.ops.inference import compiles_training
from cnnkit.options import PRETRAINED, AugmentOptions, ClassifyTrainOptions
from cnnkit.plots import draw_mistakes
from cnnkit.training._classifiers import (
    TrainableClassifier,
    build_pretrained,
    build_untrained,
    default_shape,
)
from cnnkit.weights.keras_file import (
    load_keras_file,
)

# Examples that statistics of the training data are taken from.
_SAMPLE = 256
_SHOWN_MISTAKES = 30


def train_classifier(
    data: str | Path,
    output: str | Path,
    options: ClassifyTrainOptions | None = None,
    *,
    labelled: LabelledData | None = None,
    resume: bool = False,
    skip_bad: bool = False,
    devices: int | None = None,
    on_note: Callable[[str], None] | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_epoch: Callable[[int, dict], None] | None = None,
) -> TrainedClassifier:
    """Trains a classifier, or goes on with a training that was stopped.

    Args:
        data: a folder per class, a folder of such splits, or a CSV; see `data.read_labelled`.
        output: run folder: `model.keras` (the best epoch), `args.yaml`, `results.csv`,
            `curves.png`, `confusion.png`, `mistakes.png`, `report.json`, `classes.txt`, weights of
            the best and the last epoch, TensorBoard's logs, and the state to go on from.
        options: see `ClassifyTrainOptions`. What is said there of epochs, patience and time budget
            may change when a run is taken up again.
        labelled: what `data.read_labelled` gave of `data` with these options, where it was read
            already.
        resume: go on with the run in `output`.
        skip_bad: leave out training data that is in another split, and go on where most files
            cannot be read.
        devices: of each process, which share every batch: on JAX any, on TensorFlow GPUs of one
            machine. All GPUs, or else one device, by default. A run that is taken up again may
            have others. Several processes are those that `runtime.configure` joined; all are
            called with the same arguments, `output` is the same folder for all, and process 0
            alone writes into it and calls the functions below.
        on_note: takes a line that the user should know.
        on_progress: called with what is being done, the number of examples done, and of all.
        on_step: called with where the training stands.
        on_epoch: called with the epoch's index and its row of `results.csv`.

    Returns:
        What came out. After Ctrl-C the best so far is written and `KeyboardInterrupt` raised.

    Raises:
        DataError: no classes, no examples, or files that cannot be read.
        UsageError: the model does not fit the data, `output` holds another run, there are fewer
            devices, or they cannot share a batch equally.
        LostProcessError: another process of the training ended.
        WeightsError: the trained weights that were asked for are not here.
        DivergenceError: the loss is no finite number; the best so far is kept.
    """
    options = options or ClassifyTrainOptions()
    team = Team(devices)
    team.check_batch(options.batch_size)
    if team.processes > 1 and options.time_budget is not None:
        raise UsageError("--time-budget is for one process: clocks differ; use --epochs")
    if not team.is_first:
        on_note = on_progress = on_step = on_epoch = None
    note = on_note or (lambda text: None)
    progress = on_progress or (lambda what, done, total: None)
    observer = Observer()
    if on_step is not None:
        observer = replace(observer, on_step=on_step)
    if on_epoch is not None:
        observer = replace(observer, on_epoch=on_epoch)
    folder = Path(output)
    with team.watched():
        read = labelled or team.together(
            lambda: read_labelled(
                data, val_share=options.val_share, per_class=options.per_class, seed=options.seed
            )
        )
        team.first(lambda: open_run(folder, data, options, _data_hash(read), resume))
        labelled = _checked(data, read, folder, skip_bad, note, progress, team)
        keras.utils.set_random_seed(options.seed)
        run = _Run(labelled, folder, options, note, progress, team)
        stopped: BaseException | None = None
        try:
            reason = run.fit(observer)
        except KeyboardInterrupt as error:
            stopped, reason = error, reason_of(error)
            if team.processes > 1 and not isinstance(error, CommonStop):
                raise
            if not team.is_first:
                team.part()
            if not team.is_first or not (folder / BEST_WEIGHTS).exists():
                raise
        except DivergenceError as error:
            stopped, reason = error, reason_of(error)
            if not (folder / BEST_WEIGHTS).exists():
                raise
        # The other processes wait, or are gone.
        is_alone = isinstance(stopped, KeyboardInterrupt)
        result = run.finish(reason, is_alone)
        if is_alone:
            team.part()
    conclude(stopped, result.model, note)
    return result


def read_run_options(folder: str | Path) -> tuple[str, ClassifyTrainOptions]:
    """The data and the settings that a run was started with.

    Raises:
        DataError: the folder holds no run.
    """
    values = read_run(folder)
    try:
        options = {**values["options"], "augment": AugmentOptions(**values["options"]["augment"])}
        return values["data"], ClassifyTrainOptions(**options)
    except (TypeError, KeyError):
        raise DataError(f"{folder} holds no run of a classifier; give another -o") from None


def _data_hash(data: LabelledData) -> str:
    digest = hashlib.sha256("\n".join(data.classes).encode("utf-8", "surrogateescape"))
    for split in (data.train, data.val, data.test):
        if split is not None:
            # Names below the folder of the class: the data may be moved.
            names = "\n".join("/".join(Path(path).parts[-2:]) for path in split.paths)
            digest.update(names.encode("utf-8", "surrogateescape"))
            digest.update(split.labels.tobytes())
    return digest.hexdigest()


def _checked(
    source: str | Path,
    data: LabelledData,
    folder: Path,
    skip_bad: bool,
    note: Callable[[str], None],
    progress: Callable[[str, int, int], None],
    team: Team,
) -> LabelledData:
    """The data without what is bad, or an error that says what is."""
    path = folder / "check.json"

    def check() -> DataReport:
        known = json.loads(path.read_text()) if path.exists() else None
        return check_labelled(
            data, known=known, on_progress=lambda done, total: progress("check", done, total)
        )

    # The others do not read what is in the report of process 0.
    team.first(lambda: write_bytes(path, json.dumps(check().files).encode()))
    report = check()
    for line in report.lines():
        note(line)
    require_mostly_good(source, report.unreadable, len(report.files), skip_bad)
    return without_bad(data, report, keeps_repeats=not skip_bad)


class _Run:
    """One training: what is built, fed, fitted and written."""

    def __init__(
        self,
        data: LabelledData,
        folder: Path,
        options: ClassifyTrainOptions,
        note: Callable[[str], None],
        progress: Callable[[str, int, int], None],
        team: Team,
    ):
        self._data, self._folder, self._options = data, folder, options
        self._note, self._progress, self._team = note, progress, team
        self._channels: tuple[list[float], list[float]] | None = None
        self._classes = len(data.classes)
        self._shape = _example_shape(data, options)
        self._is_head = options.regime == "head"
        self._policy = "float32"
        if not self._is_head:
            self._policy = training_policy(options.mixed_precision)
        self._network = self._build("float32")
        self._features = {}
        if self._is_head:
            self._cache("train", "val", "test")
        elif options.regime != "scratch" and finished_epochs(folder / STATE) == 0:
            # Where a run goes on, the head is in the state that it goes on from.
            self._cache("train")
            self._fit_head()
            self._features.clear()
            # Not before all have opened what is there.
            team.meet()
            team.first(lambda: shutil.rmtree(folder / "features"))
        self._trained_network = self._network
        if team.is_several or self._policy != "float32":
            with team.building():
                self._trained_network = self._build(self._policy)
                self._copy_state()
        if self._is_head:
            self._kept = self._network.head_model()
            self._trainer = self._kept
            if self._trained_network is not self._network:
                with team.building():
                    self._trainer = self._trained_network.head_model()
        else:
            self._trainer, self._kept = self._trained_network.model, self._network.model
        self.weights = (
            sum(math.prod(one.shape) for one in self._trainer.trainable_variables),
            self._network.model.count_params(),
        )
        self._tell_what_trains()

    def _build(self, policy: str) -> TrainableClassifier:
        options = self._options
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            if options.regime == "scratch":
                # The compact network brings its own.
                is_compact = options.model == "compact"
                # The convolutions of a detector see pictures as they are.
                is_plain = is_compact or options.model == "yolov1"
                statistics = None if is_plain else self._statistics()
                return build_untrained(
                    options.model,
                    self._classes,
                    self._shape,
                    options.head_dropout,
                    statistics,
                    options.width,
                )
            network = build_pretrained(
                options.model, self._classes, self._shape, options.head_dropout
            )
        finally:
            keras.config.set_dtype_policy(before)
        network.freeze(options.regime)
        return network

    def _copy_state(self) -> None:
        """Weights and the states of random layers, from process 0 to what trains on all devices."""
        values = [keras.ops.convert_to_numpy(one) for one in self._network.model.variables]
        copies = self._trained_network.model.variables
        for variable, value in zip(copies, self._team.same(values), strict=True):
            variable.assign(value)

    def _statistics(self) -> tuple[list[float], list[float]]:
        """Of the channels of some training examples, evenly spread, that process 0 reads."""
        if self._channels is None:
            paths = self._data.train.paths
            step = max(1, len(paths) // _SAMPLE)
            found = np.zeros((2, self._shape[-1]))

            def look() -> None:
                sample = [read_example(path, self._shape) for path in paths[::step][:_SAMPLE]]
                found[:] = _channel_statistics(np.stack(sample))

            self._team.first(look)
            # In bytes: JAX would make 32 bits of each number.
            (same,) = self._team.same([found.view(np.uint8)])
            self._channels = tuple(row.tolist() for row in same.view(np.float64))
        return self._channels

    def _cache(self, *splits: str) -> None:
        """Keeps what the trained layers see of some splits, and tells the head its scale."""
        model = self._network.feature_model()
        weights = b"".join(np.ascontiguousarray(value).tobytes() for value in model.get_weights())
        digest = hashlib.sha256(weights).hexdigest()
        mirrored = self._data.kind == "pictures" and self._options.augment.mirror > 0
        for split in splits:
            files = getattr(self._data, split)
            if files is None or not len(files):
                continue
            self._features[split] = cache_features(
                model,
                files,
                self._folder / "features" / f"{split}.npy",
                mirrored=mirrored and split == "train",
                fingerprint=digest,
                team=self._team,
                on_progress=lambda done, total: self._progress("look at the data", done, total),
            )
        self._network.set_feature_statistics(*feature_statistics(self._features["train"]))

    def _fit_head(self) -> None:
        """Trains the head alone, so that it does not spoil the layers below while it is random."""
        options = replace(self._options, transfer="head", learning_rate=None, ema=0.0)
        if not options.head_epochs:
            return
        model = self._network.head_model()
        batches = self._feature_batches(0)
        schedule = build_schedule(options, options.head_epochs * len(batches))
        optimizer = build_optimizer(options, schedule, model.trainable_variables)
        model.compile(
            optimizer=optimizer,
            loss=class_loss(options.label_smoothing),
            metrics=["accuracy"],
            jit_compile=compiles_training(),
        )
        with reading(batches):
            model.fit(batches, epochs=options.head_epochs, shuffle=False, verbose=0)
        reached = model.history.history["accuracy"][-1]
        self._note(f"the head alone: {options.head_epochs} epochs, accuracy {reached:.1%}")

    def _tell_what_trains(self) -> None:
        trained, total = self.weights
        options = self._options
        if options.regime == "scratch":
            self._note(f"{options.model} from scratch: {total:,} weights, all of them train")
            return
        layers = self._network.pretrained
        frozen = [layer.name for layer in layers if not layer.trainable]
        begin = f"{frozen[0]} to {frozen[-1]} frozen" if frozen else "nothing frozen"
        self._note(f"{options.model}: {begin}; {trained:,} of {total:,} weights train")
        if self._is_head and options.augment != AugmentOptions.off():
            mirrored = " and its mirror image" if options.augment.mirror else ""
            self._note(
                f"each picture{mirrored} goes through the frozen part once; it is not changed "
                "otherwise: use --transfer last:N or all for augmentation"
            )

    def _training_batches(self, epoch: int) -> CountedEpochs:
        """This process' part of each batch."""
        files, shard = self._data.train, self._team.shard
        if self._is_head:
            return self._feature_batches(epoch, shard)
        return LabelledBatches(
            files,
            self._classes,
            self._shape,
            self._options.batch_size,
            augment=self._options.augment if self._data.kind == "pictures" else None,
            shuffle=True,
            seed=self._options.seed,
            epoch=epoch,
            shard=shard,
            class_weights=self._class_weights(),
        )

    def _feature_batches(self, epoch: int, shard: tuple[int, int] = (0, 1)) -> CountedEpochs:
        return FeatureBatches(
            self._features["train"],
            self._data.train.labels,
            self._classes,
            self._options.batch_size,
            shuffle=True,
            seed=self._options.seed,
            epoch=epoch,
            shard=shard,
            class_weights=self._class_weights(),
        )

    def _plain_batches(self, split: str, rows: slice) -> CountedEpochs:
        """Some examples of a split in their order, as they are."""
        files = getattr(self._data, split)
        labels, size = files.labels[rows], self._options.batch_size
        if self._is_head:
            features = self._features[split][rows]
            return FeatureBatches(features, labels, self._classes, size, shuffle=False)
        part = LabelledFiles(files.paths[rows], labels)
        return LabelledBatches(part, self._classes, self._shape, size, shuffle=False)

    def _class_weights(self) -> np.ndarray | None:
        if not self._options.class_weights:
            return None
        return class_weights_of(self._data.train.labels, self._classes)

    def _probabilities(self, split: str, is_alone: bool = False) -> np.ndarray | None:
        """What is predicted for a split; the processes share the work, unless this one is alone."""
        files = getattr(self._data, split)
        if files is None or not len(files):
            return None
        if is_alone:
            return self._predict(split, slice(None))
        rows = self._team.own_part(len(files))
        return self._team.gather(self._predict(split, rows), len(files))

    def _validate(self) -> np.ndarray | None:
        """What is predicted for the validation data with the weights of now."""
        if self._kept is not self._trainer:
            with self._team.apart():
                self._kept.set_weights(self._trainer.get_weights())
        return self._probabilities("val")

    def _predict(self, split: str, rows: slice) -> np.ndarray:
        if not len(getattr(self._data, split).labels[rows]):
            return np.zeros((0, self._classes), np.float32)
        batches = self._plain_batches(split, rows)
        with reading(batches), self._team.apart():
            return self._kept.predict(batches, verbose=0)

    def fit(self, observer: Observer) -> str:
        """Trains to the end, from where the run stands; the reason why it ended."""
        batches = self._training_batches(finished_epochs(self._folder / STATE))
        slow = []
        if not self._is_head:
            slow = [v for layer in self._trained_network.pretrained for v in layer.variables]
        stage = Stage(
            self._trainer,
            loss=class_loss(self._options.label_smoothing),
            metrics=("accuracy",),
            kept=self._kept,
            measure=class_figures(self._validate, self._data.val.labels),
            quality=score_of,
            end=self._options.total_epochs,
            slow=slow,
            check_data=self._check_data,
        )
        return fit_stage(
            stage, batches, self._folder, self._options, team=self._team, observer=observer
        )

    def _check_data(self, epoch: int, batch: int) -> None:
        """Says so where it is the data that made the loss no finite number."""
        if not np.isfinite(self._training_batches(epoch)[batch][0]).all():
            raise DivergenceError(
                f"the loss is no finite number in epoch {epoch + 1}, step {batch + 1}: the data "
                "has values that are none; check it for NaN and infinities"
            )

    def finish(self, reason: str, is_alone: bool = False) -> TrainedClassifier:
        """Writes the model with the best weights, and what there is to say about it."""
        folder, data = self._folder, self._data
        if not is_alone:
            self._team.meet()
        self._kept.load_weights(folder / BEST_WEIGHTS)
        found = {}
        for split in ("val", "test"):
            probabilities = self._probabilities(split, is_alone)
            if probabilities is not None:
                found[split] = getattr(data, split).labels, probabilities
        counts = len(data.train), len(data.val), len(data.test or ())
        result = summarize_classifier(folder, data.classes, counts, self.weights, found, reason)
        if is_alone:
            self._write(result, found)
        else:
            self._team.first(lambda: self._write(result, found))
        return result

    def _write(
        self, result: TrainedClassifier, found: Mapping[str, tuple[np.ndarray, np.ndarray]]
    ) -> None:
        """Writes the model, and the report with its pictures."""
        settings = {"pixels": "unit", "kind": self._data.kind}
        options, model = self._options, self._network.model
        calibrated = write_classifier(model, result, found, options, settings)
        if self._data.kind == "pictures":
            for split, probabilities in calibrated.items():
                path = self._folder / f"mistakes{end_of(split)}.png"
                self._write_mistakes(path, getattr(self._data, split), probabilities)

    def _write_mistakes(self, path: Path, files: LabelledFiles, probabilities: np.ndarray) -> None:
        worst = worst_mistakes(probabilities, files.labels, _SHOWN_MISTAKES)
        path.unlink(missing_ok=True)
        if not len(worst):
            return
        names, predicted = self._data.classes, probabilities.argmax(axis=1)
        shape = (*self._shape[:2], 3)
        sheet = draw_mistakes(
            [read_example(files.paths[i], shape) for i in worst],
            [names[files.labels[i]] for i in worst],
            [names[predicted[i]] for i in worst],
            [float(probabilities[i, predicted[i]]) for i in worst],
        )
        write_image(path, Picture(sheet.astype(np.float32) / 255.0))


def _example_shape(data: LabelledData, options: ClassifyTrainOptions) -> tuple[int, ...]:
    """What all examples are brought to, channels last."""
    if data.kind == "arrays":
        takes_pictures = options.model == "compact" or (
            options.model in PRETRAINED and options.regime != "scratch"
        )
        if takes_pictures or options.size is not None:
            raise UsageError(
                f"{options.model} takes pictures, and --size is for pictures; for arrays use "
                "--model convnet1d (signals) or convnet3d (volumes)"
            )
        first = np.load(data.train.paths[0], mmap_mode="r", allow_pickle=False)
        axes = {"convnet1d": 1, "convnet3d": 3}.get(options.model, 2)
        shape = tuple(first.shape)
        return (*shape, 1) if len(shape) == axes else shape
    if options.model in ("convnet1d", "convnet3d"):
        raise UsageError(f"{options.model} takes arrays (.npy), not pictures; leave out --model")
    if options.model.endswith(".keras"):
        shape = tuple(load_keras_file(options.model, "--model").inputs[0].shape[1:])
    else:
        shape = default_shape(options.model)
    if options.size is not None:
        shape = (options.size, options.size, shape[-1])
    if None in shape:
        raise UsageError(f"{options.model} takes pictures of any size; say which with --size")
    return shape


def _channel_statistics(sample: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of examples `(N, ..., channels)`."""
    flat = sample.reshape(-1, sample.shape[-1]).astype(np.float64)
    if not np.isfinite(flat).all():
        raise DataError("the training data has values that are no numbers; check it for NaN")
    deviation = np.maximum(flat.std(axis=0), 1e-6)
    return flat.mean(axis=0).tolist(), deviation.tolist()
