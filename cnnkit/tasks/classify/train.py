"""Trains a classifier: a folder per class in, a run folder with a `.keras` file out.

The course's transfer learning: with little data only a new softmax is trained, on activations of
the trained network that are computed once; with more, its last layers too; with much, all of it,
more slowly than the head; or everything from random weights.
"""

import functools
import hashlib
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from cnnkit.data.labelled import LabelledData, LabelledFiles, read_example, read_labelled
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
from cnnkit.engine.distribution import Team
from cnnkit.engine.labelled_batches import LabelledBatches
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import BEST_WEIGHTS, STATE, finished_epochs, open_run
from cnnkit.engine.settings import AugmentSettings
from cnnkit.engine.trainer import (
    build_optimizer,
    build_schedule,
    fit_stage,
    gather_team,
    run_training,
    training_policy,
)
from cnnkit.errors import DivergenceError
from cnnkit.images import Picture, write_image
from cnnkit.metrics.classification import worst_mistakes
from cnnkit.ops.inference import compiles_training
from cnnkit.plots import draw_mistakes
from cnnkit.tasks.classify.data import channel_statistics, check_data, data_hash, example_shape
from cnnkit.tasks.classify.settings import TrainSettings
from cnnkit.tasks.classify.trainable import (
    TrainableClassifier,
    build_pretrained,
    build_untrained,
)

# Examples that statistics of the training data are taken from.
_SAMPLE = 256
_SHOWN_MISTAKES = 30


def train_classifier(
    data: str | Path,
    output: str | Path,
    settings: TrainSettings | None = None,
    *,
    labelled: LabelledData | None = None,
    resume: bool = False,
    skip_bad: bool = False,
    devices: int | None = None,
    observer: Observer | None = None,
) -> TrainedClassifier:
    """Trains a classifier, or goes on with a training that was stopped.

    Args:
        data: a folder per class, a folder of such splits, or a CSV; see `data.read_labelled`.
        output: run folder: `model.keras` (the best epoch), `args.yaml`, `results.csv`,
            `curves.png`, `confusion.png`, `mistakes.png`, `report.json`, `classes.txt`, weights of
            the best and the last epoch, TensorBoard's logs, and the state to go on from.
        settings: epochs, patience and time budget may change when a run is taken up again.
        labelled: what `data.read_labelled` gave of `data` with these settings, where it was read
            already.
        resume: go on with the run in `output`.
        skip_bad: leave out training data that is in another split, and go on where most files
            cannot be read.
        devices: see `engine.trainer.gather_team`; may change when a run is taken up again.
        observer: is told what the user should know, what is being done, and of each epoch.

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
    settings = settings or TrainSettings()
    team, observer = gather_team(devices, settings, observer)
    folder = Path(output)
    with team.watched():
        read = labelled or team.together(
            lambda: read_labelled(
                data,
                val_share=settings.val_share,
                per_class=settings.per_class,
                seed=settings.seed,
            )
        )
        team.first(lambda: open_run(folder, data, settings, data_hash(read), resume))
        labelled = check_data(data, read, folder, skip_bad, observer, team)
        keras.utils.set_random_seed(settings.seed)
        training = _Training(labelled, folder, settings, observer, team)
        return run_training(training.fit, training.finish, folder, observer, team)


class _Training:
    """One training: what is built, fed, fitted and written."""

    def __init__(
        self,
        data: LabelledData,
        folder: Path,
        settings: TrainSettings,
        observer: Observer,
        team: Team,
    ):
        self._data, self._folder, self._settings = data, folder, settings
        self._observer, self._team = observer, team
        self._channels: tuple[list[float], list[float]] | None = None
        self._classes = len(data.classes)
        self._shape = example_shape(data, settings)
        self._is_head = settings.regime == "head"
        self._policy = "float32"
        if not self._is_head:
            self._policy = training_policy(settings.mixed_precision)
        self._network = self._build("float32")
        self._features: dict[str, np.ndarray] = {}
        if self._is_head:
            self._cache("train", "val", "test")
        elif settings.regime != "scratch" and finished_epochs(folder / STATE) == 0:
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
                team.copy_state(self._network.model, self._trained_network.model)
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
        settings = self._settings
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            if settings.regime == "scratch":
                # The compact network brings its own.
                is_compact = settings.model == "compact"
                # The convolutions of a detector see pictures as they are.
                is_plain = is_compact or settings.model == "yolov1"
                statistics = None if is_plain else self._statistics()
                return build_untrained(
                    settings.model,
                    self._classes,
                    self._shape,
                    settings.head_dropout,
                    statistics,
                    settings.width,
                )
            network = build_pretrained(
                settings.model, self._classes, self._shape, settings.head_dropout
            )
        finally:
            keras.config.set_dtype_policy(before)
        network.freeze(settings.regime)
        return network

    def _statistics(self) -> tuple[list[float], list[float]]:
        """Of the channels of some training examples, evenly spread, that process 0 reads."""
        if self._channels is None:
            paths = self._data.train.paths
            step = max(1, len(paths) // _SAMPLE)
            found = np.zeros((2, self._shape[-1]))

            def look() -> None:
                sample = [read_example(path, self._shape) for path in paths[::step][:_SAMPLE]]
                found[:] = channel_statistics(np.stack(sample))

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
        mirrored = self._data.kind == "pictures" and self._settings.changes.horizontal_flip > 0
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
                on_progress=functools.partial(self._observer.on_progress, "look at the data"),
            )
        self._network.set_feature_statistics(*feature_statistics(self._features["train"]))

    def _fit_head(self) -> None:
        """Trains the head alone, so that it does not spoil the layers below while it is random."""
        settings = replace(self._settings, transfer="head", learning_rate=None, ema=0.0)
        if not settings.head_epochs:
            return
        model = self._network.head_model()
        batches = self._feature_batches(0)
        schedule = build_schedule(settings, settings.head_epochs * len(batches))
        optimizer = build_optimizer(settings, schedule, model.trainable_variables)
        model.compile(
            optimizer=optimizer,
            loss=class_loss(settings.label_smoothing),
            metrics=["accuracy"],
            jit_compile=compiles_training(),
        )
        with reading(batches):
            model.fit(batches, epochs=settings.head_epochs, shuffle=False, verbose=0)
        reached = model.history.history["accuracy"][-1]
        self._observer.on_note(
            f"the head alone: {settings.head_epochs} epochs, accuracy {reached:.1%}"
        )

    def _tell_what_trains(self) -> None:
        trained, total = self.weights
        settings = self._settings
        if settings.regime == "scratch":
            self._observer.on_note(
                f"{settings.model} from scratch: {total:,} weights, all of them train"
            )
            return
        layers = self._network.pretrained
        frozen = [layer.name for layer in layers if not layer.trainable]
        begin = f"{frozen[0]} to {frozen[-1]} frozen" if frozen else "nothing frozen"
        self._observer.on_note(f"{settings.model}: {begin}; {trained:,} of {total:,} weights train")
        if self._is_head and settings.changes != AugmentSettings.off():
            mirrored = " and its mirror image" if settings.changes.horizontal_flip else ""
            self._observer.on_note(
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
            self._settings.batch_size,
            augment=self._settings.changes if self._data.kind == "pictures" else None,
            shuffle=True,
            seed=self._settings.seed,
            epoch=epoch,
            shard=shard,
            class_weights=self._class_weights(),
        )

    def _feature_batches(self, epoch: int, shard: tuple[int, int] = (0, 1)) -> CountedEpochs:
        return FeatureBatches(
            self._features["train"],
            self._data.train.labels,
            self._classes,
            self._settings.batch_size,
            shuffle=True,
            seed=self._settings.seed,
            epoch=epoch,
            shard=shard,
            class_weights=self._class_weights(),
        )

    def _plain_batches(self, split: str, rows: slice) -> CountedEpochs:
        """Some examples of a split in their order, as they are."""
        files = getattr(self._data, split)
        labels, size = files.labels[rows], self._settings.batch_size
        if self._is_head:
            features = self._features[split][rows]
            return FeatureBatches(features, labels, self._classes, size, shuffle=False)
        part = LabelledFiles(files.paths[rows], labels)
        return LabelledBatches(part, self._classes, self._shape, size, shuffle=False)

    def _class_weights(self) -> np.ndarray | None:
        if not self._settings.class_weights:
            return None
        return class_weights_of(self._data.train.labels, self._classes)

    def _probabilities(self, split: str) -> np.ndarray | None:
        """What is predicted for a split; the processes share the work."""
        files = getattr(self._data, split)
        if files is None or not len(files):
            return None
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

    def fit(self) -> str:
        """Trains to the end, from where the run stands; the reason why it ended."""
        batches = self._training_batches(finished_epochs(self._folder / STATE))
        slow = []
        if not self._is_head:
            slow = [v for layer in self._trained_network.pretrained for v in layer.variables]
        stage = Stage(
            self._trainer,
            loss=class_loss(self._settings.label_smoothing),
            metrics=("accuracy",),
            kept=self._kept,
            measure=class_figures(self._validate, self._data.val.labels),
            quality=score_of,
            end=self._settings.total_epochs,
            slow=slow,
            check_data=self._check_data,
        )
        return fit_stage(
            stage,
            batches,
            self._folder,
            self._settings,
            team=self._team,
            observer=self._observer,
        )

    def _check_data(self, epoch: int, batch: int) -> None:
        """Says so where it is the data that made the loss no finite number."""
        if not np.isfinite(self._training_batches(epoch)[batch][0]).all():
            raise DivergenceError(
                f"the loss is no finite number in epoch {epoch + 1}, step {batch + 1}: the data "
                "has values that are none; check it for NaN and infinities"
            )

    def finish(self, reason: str) -> TrainedClassifier:
        """Writes the model with the best weights, and what there is to say about it."""
        folder, data = self._folder, self._data
        self._kept.load_weights(folder / BEST_WEIGHTS)
        found = {}
        for split in ("val", "test"):
            probabilities = self._probabilities(split)
            if probabilities is not None:
                found[split] = getattr(data, split).labels, probabilities
        counts = len(data.train), len(data.val), len(data.test or ())
        result = summarize_classifier(folder, data.classes, counts, self.weights, found, reason)
        self._team.first(lambda: self._write(result, found))
        return result

    def _write(
        self, result: TrainedClassifier, found: Mapping[str, tuple[np.ndarray, np.ndarray]]
    ) -> None:
        """Writes the model, and the report with its pictures."""
        about = {"pixels": "unit", "kind": self._data.kind}
        model = self._network.model
        calibrated = write_classifier(model, result, found, self._settings, about)
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
