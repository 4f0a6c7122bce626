"""Trains a model of similarity on one's own faces: folders of people in, a `.keras` file out.

With triplets a small encoder is trained from scratch. With a binary loss dlib's encoder is frozen,
and what is learnt is how much each difference of two of its embeddings counts. People are kept for
validation whole, never single pictures of them: what has to be shown is that strangers are told
apart.
"""

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.data.pairs import Pair
from cnnkit.data.people import find_people, split_people
from cnnkit.engine.callbacks import Backup
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import (
    BEST_WEIGHTS,
    STATE,
    check_same_run,
    finished_epochs,
    read_results,
    restore,
    save_weights,
    write_results,
)
from cnnkit.engine.trainer import cosine_decay
from cnnkit.errors import DataError, DivergenceError
from cnnkit.images import write_bytes
from cnnkit.losses.faces import embedding_spread, pair_features, triplet_loss
from cnnkit.metrics.verification import area_under_curve, best_threshold
from cnnkit.models.face_siamese import build_face_trunk, build_pair_head, build_siamese_encoder
from cnnkit.models.face_similarity import (
    FaceSimilarity,
    encoder_similarity,
    pair_similarity,
    save_face_similarity,
    scale_to_range,
)
from cnnkit.ops.inference import compiles_training
from cnnkit.options import MININGS
from cnnkit.plots import encode_figure, plot_training
from cnnkit.tasks.faces.calibration import calibration_to_json, fit_face_calibration
from cnnkit.tasks.faces.data import (
    FaceSource,
    LabelledFaces,
    PeopleBatches,
    ValidationPairs,
    augment_chip,
    draw_pairs,
    given_pairs,
    label_faces,
    prepare_faces,
)
from cnnkit.tasks.faces.settings import TrainSettings

MODEL_FILE = "faces.keras"

_BATCH = 64
_WARMUP_STEPS = 50
# Weight of the squared deviations of the head's weights, of features of variance 1, from their
# mean: without reason to the contrary all dimensions count the same. Cross-validation on the
# training people of LFW's View 1 finds the log loss of strangers least, and level, from here on.
_RIDGE = 0.3
# No triplet of a batch can be told apart where the mean distance is this part of the margin.
_COLLAPSED_SPREAD = 1.0 / 3.0
_STUCK_LOSS = 0.9


@dataclass(frozen=True)
class FaceTraining:
    """What a training gave.

    Attributes:
        model: the `.keras` file.
        similarity: what is in it.
        threshold: faces nearer than this are of one person.
        people: number of people trained on and kept for validation.
        pictures: number of pictures of both.
        missed: number of pictures without a face, or that cannot be read.
        accuracy: of the pairs for validation at their best threshold, in [0, 1].
        auc: area under their ROC.
        restarts: how often the training collapsed and was taken up again.
        finished: False when it was stopped before its last step.
    """

    model: Path
    similarity: FaceSimilarity
    threshold: float
    people: tuple[int, int]
    pictures: tuple[int, int]
    missed: int
    accuracy: float
    auc: float
    restarts: int
    finished: bool


class TrackedModel(keras.Model):
    """A model whose `compute_loss` is its own, and tells means of figures of the steps.

    Args:
        names: of the figures.
    """

    def __init__(self, names: Sequence[str], **kwargs: Any):
        super().__init__(**kwargs)
        self._trackers = [keras.metrics.Mean(name=name) for name in names]

    def build(self, input_shape: Any) -> None:
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return self._trackers

    def track(self, *values: Any) -> None:
        """Takes the figures of a step."""
        for tracker, value in zip(self._trackers, values, strict=True):
            tracker.update_state(value)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return {metric.name: metric.result() for metric in self.metrics}


class TripletTrainer(TrackedModel):
    """An encoder's trunk with the triplet loss of a batch.

    Args:
        trunk: of `build_face_trunk`.
        margin: of the loss.
        mining: how triplets are chosen.
        seed: of random mining.
    """

    def __init__(self, trunk: keras.Model, margin: float, mining: str, seed: int = 0):
        super().__init__(("loss", "active", "distance", "variance"))
        self.trunk = trunk
        self._margin, self._mining = margin, mining
        self._seed = keras.random.SeedGenerator(seed)
        self.build((None, *trunk.input_shape[1:]))

    def call(self, chips: Any, training: bool = False) -> Any:
        return self.trunk(chips, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of a batch of embeddings `(N, D)` of the people `y` `(N,)`: a scalar."""
        found = triplet_loss(y_pred, y, self._margin, self._mining, self._seed)
        spread = embedding_spread(y_pred)
        self.track(found.loss, found.active, spread.distance, spread.variance)
        return found.loss


class PairTrainer(TrackedModel):
    """A head of pairs with the binary cross-entropy of all pairs of a batch.

    Same and different pairs weigh the same, however many there are of each. A penalty keeps the
    weights of the dimensions near each other.

    Args:
        head: of `build_pair_head`.
        form: of the features.
        scale: of the features, which brings their variance near 1.
    """

    def __init__(self, head: keras.Model, form: str, scale: float):
        super().__init__(("loss", "accuracy"))
        self.head = head
        self._form, self._scale = form, scale
        self.build((None, head.input_shape[-1]))

    def call(self, embeddings: Any, training: bool = False) -> Any:
        """Logits `(N, N)` that two embeddings are of different people."""
        features = pair_features(embeddings[:, None], embeddings[None], self._form)
        count = keras.ops.shape(embeddings)[0]
        # (N, N, D) -> (N * N, D): a Dense of Keras takes rows.
        rows = keras.ops.reshape(self._scale * features, (-1, features.shape[-1]))
        return keras.ops.reshape(self.head(rows), (count, count))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of a batch of logits `(N, N)` of the people `y` `(N,)`: a scalar."""
        ops = keras.ops
        labels = ops.convert_to_tensor(y)
        index = ops.arange(ops.shape(labels)[0])
        is_pair = index[:, None] < index[None]
        is_same = ops.logical_and(labels[:, None] == labels[None], is_pair)
        is_other = ops.logical_and(labels[:, None] != labels[None], is_pair)
        same, other = (ops.cast(mask, y_pred.dtype) for mask in (is_same, is_other))
        weights = same / ops.maximum(ops.sum(same), 1.0) + other / ops.maximum(ops.sum(other), 1.0)
        # log(1 + exp(z)) of the same, log(1 + exp(-z)) of the others.
        losses = ops.softplus(ops.where(is_same, y_pred, -y_pred))
        loss = 0.5 * ops.sum(weights * losses)
        right = ops.cast((y_pred < 0.0) == is_same, y_pred.dtype)
        self.track(loss, 0.5 * ops.sum(weights * right))
        kernel = self.head.get_layer("logit").kernel
        return loss + _RIDGE * ops.sum(ops.square(kernel - ops.mean(kernel)))


class _TripletRecipe:
    """What triplets need: a trunk, chips that change, Euclidean distances."""

    embeds = False
    augment = staticmethod(augment_chip)

    def __init__(self, settings: TrainSettings, training: LabelledFaces):
        self._settings = settings
        self.network = build_face_trunk(seed=settings.seed)
        self.encoder = build_siamese_encoder(self.network)
        self.training = training

    def trainer(self, attempt: "_Attempt") -> keras.Model:
        return TripletTrainer(
            self.network, self._settings.margin, attempt.mining, self._settings.seed
        )

    def embed(self, values: np.ndarray) -> np.ndarray:
        # With the mirror image, as `FaceAnalyzer` embeds: the threshold is for these.
        sides = [
            self.encoder.predict(side, batch_size=_BATCH, verbose=0)
            for side in (values, values[:, :, ::-1])
        ]
        return (sides[0] + sides[1]) / np.float32(2.0)

    def similarity(self) -> tuple[FaceSimilarity, keras.Model]:
        return encoder_similarity(self.encoder, f"triplet {self._settings.mining}"), self.encoder


class _PairRecipe:
    """What a head needs: embeddings brought to 0..1, a weight for each difference."""

    embeds = True
    augment = None

    def __init__(self, settings: TrainSettings, training: LabelledFaces):
        self._settings = settings
        self._low, self._high = training.values.min(axis=0), training.values.max(axis=0)
        if settings.form == "squared":
            # One scale for all dimensions: the head starts as the Euclidean distance.
            self._low = np.full_like(self._low, self._low.min())
            self._high = np.full_like(self._high, self._high.max())
        scaled = scale_to_range(training.values, self._low, self._high)
        self.training = LabelledFaces(scaled, training.people)
        random = np.random.default_rng(settings.seed)
        first, second = random.integers(0, len(scaled), (2, 1000))
        features = keras.ops.convert_to_numpy(
            pair_features(scaled[first], scaled[second], settings.form)
        )
        self._scale = float(1.0 / max(features.std(axis=0).mean(), 1e-6))
        self.network = build_pair_head(scaled.shape[1])
        # Where logits are near 0, so that the first steps have something to go by.
        kernel = np.full((scaled.shape[1], 1), 0.1, np.float32)
        self.network.set_weights([kernel, -(self._scale * features @ kernel).mean(axis=0)])

    def trainer(self, attempt: "_Attempt") -> keras.Model:
        return PairTrainer(self.network, self._settings.form, self._scale)

    def embed(self, values: np.ndarray) -> np.ndarray:
        return values

    def similarity(self) -> tuple[FaceSimilarity, keras.Model]:
        kernel, bias = self.network.get_weights()
        head = build_pair_head(len(kernel))
        head.set_weights([self._scale * kernel, bias])
        name = f"dlib {self._settings.form}"
        return pair_similarity(head, self._settings.form, self._low, self._high, name), head


@dataclass(frozen=True)
class _Attempt:
    """One stretch of training: from which epoch, how triplets are chosen, how fast."""

    epoch: int
    mining: str
    rate: float

    def easier(self, epoch: int) -> "_Attempt":
        """Half as fast, and with the next easier mining."""
        mining = MININGS[max(0, MININGS.index(self.mining) - 1)]
        return _Attempt(epoch, mining, self.rate / 2)


class _Guard(keras.callbacks.Callback):
    """Stops a training that collapsed: the loss is stuck at the margin, all faces in one point."""

    def __init__(self, settings: TrainSettings, can_restart: bool):
        super().__init__()
        self._settings, self._can_restart = settings, can_restart
        self._stuck = 0
        self._sums: Any = 0.0
        self.reason = ""
        self.has_stopped = False

    @property
    def is_well(self) -> bool:
        """Whether the last step was not stuck."""
        return self._stuck == 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        # The metrics of Keras are means since here.
        self._sums = 0.0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        logs = logs or {}
        values = np.array([float(logs[name]) for name in ("loss", "distance") if name in logs])
        sums = values * (batch + 1)
        loss, *distances = sums - self._sums
        self._sums = sums
        if not math.isfinite(loss):
            self._stop("the loss is not a finite number")
        margin = self._settings.margin
        is_stuck = (
            bool(distances)
            and loss >= _STUCK_LOSS * margin
            and distances[0] <= _COLLAPSED_SPREAD * margin
        )
        self._stuck = self._stuck + 1 if is_stuck else 0
        if self._stuck == self._settings.patience:
            self._stop(
                f"the loss has been stuck at the margin for {self._stuck} steps "
                f"(loss {loss:.3f}, margin {margin:g}) and the mean distance of two faces has "
                f"shrunk to {distances[0]:.3f}: the encoder puts everybody in one place"
            )

    def _stop(self, reason: str) -> None:
        if not self.reason:
            self.reason = reason
        if self._can_restart or "finite" in reason:
            self.has_stopped = True
            self.model.stop_training = True


class _Record(keras.callbacks.Callback):
    """Measures the pairs of validation after each epoch, writes the row, keeps the best weights."""

    def __init__(
        self,
        folder: Path,
        recipe: "_TripletRecipe | _PairRecipe",
        pairs: ValidationPairs,
        guard: _Guard,
        attempt: _Attempt,
        on_epoch: Callable[[int, dict[str, Any]], None],
    ):
        super().__init__()
        self._folder, self._recipe, self._pairs = folder, recipe, pairs
        self._guard, self._attempt, self._on_epoch = guard, attempt, on_epoch

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._guard.has_stopped:
            return
        figures = {key: float(value) for key, value in (logs or {}).items()}
        accuracy, auc = measure(self._recipe, self._pairs)
        row: dict[str, Any] = {
            "epoch": epoch,
            **figures,
            "val_accuracy": accuracy,
            "val_auc": auc,
        }
        if "active" in row:
            row["mining"] = self._attempt.mining
        rows = [old for old in read_results(self._folder) if old["epoch"] < epoch]
        best = max((old["val_auc"] for old in rows), default=-1.0)
        if auc > best:
            save_weights(self._recipe.network, self._folder / BEST_WEIGHTS)
        if self._guard.is_well:
            save_weights(self._recipe.network, self._folder / "good.weights.h5")
            write_bytes(self._folder / "good.json", json.dumps({"epoch": epoch + 1}).encode())
        write_results(self._folder, [*rows, row])
        self._on_epoch(epoch, row)


def measure(recipe: "_TripletRecipe | _PairRecipe", pairs: ValidationPairs) -> tuple[float, float]:
    """Accuracy at the best threshold, and area under the ROC, of pairs as the network is now."""
    similarity, _ = recipe.similarity()
    embeddings = recipe.embed(pairs.faces.values)
    distances = similarity.distance(embeddings[pairs.first], embeddings[pairs.second])
    if np.isnan(distances).any():
        return 0.5, 0.5
    threshold = best_threshold(distances, pairs.same)
    accuracy = float(np.mean((distances < threshold) == pairs.same))
    return accuracy, area_under_curve(distances, pairs.same)


def train_faces(
    data: Sequence[str | Path],
    output: str | Path,
    settings: TrainSettings | None = None,
    *,
    source: FaceSource,
    train_people: Sequence[str] | None = None,
    val_people: Sequence[str] | None = None,
    val_pairs: Sequence[Pair] | None = None,
    observer: Observer | None = None,
) -> FaceTraining:
    """Trains a model of similarity, resuming where an earlier run stopped.

    Args:
        data: folders with one folder per person.
        output: run folder: `faces.keras`, `results.csv`, `curves.png`, `args.json`,
            `report.json`, the faces that were found, and the state to resume from.
        settings: see `TrainSettings`.
        source: finds faces.
        train_people: names to train on; all that are not kept for validation by default.
        val_people: names kept for validation; a share of those to train on by default.
        val_pairs: pairs to validate with instead; nobody in them is trained on.
        observer: is told what the user should know, what is being done, and of each epoch.

    Returns:
        What came out. After Ctrl-C the best so far is written and `KeyboardInterrupt` raised.

    Raises:
        DataError: too few people or pictures, or names on both sides.
        CnnkitError: the folder holds a run with other settings.
        DivergenceError: the loss is not finite however often it is taken up again.
    """
    settings, observer = settings or TrainSettings(), observer or Observer()
    note = observer.on_note
    folder = Path(output)
    people = find_people(data)
    training, validation = _choose_people(
        people, settings, train_people, val_people, val_pairs, note
    )
    recipe_class = _TripletRecipe if settings.loss == "triplet" else _PairRecipe
    folder.mkdir(parents=True, exist_ok=True)
    names = json.dumps([list(training), list(validation)]).encode()
    people_hash = hashlib.sha256(names).hexdigest()
    check_same_run(folder, {**asdict(settings), "people_hash": people_hash})
    given = [path for pair in val_pairs or () for path in (pair.first, pair.second)]
    wanted = [path for name in (*training, *validation) for path in people[name]]
    wanted = list(dict.fromkeys([*wanted, *given]))
    cache = folder / ("embeddings.npz" if recipe_class.embeds else "chips.npz")
    show = functools.partial(observer.on_progress, "find faces")
    faces = prepare_faces(wanted, source, cache, recipe_class.embeds, show)
    missed = sum(value is None for _, value in faces.values())
    if missed:
        note(f"{missed} of {len(wanted)} pictures show no face or cannot be read; left out")
    trained = label_faces({name: people[name] for name in training}, faces)
    _check_enough(trained)
    if val_pairs is not None:
        pairs = given_pairs(val_pairs, faces, settings.seed)
    else:
        pairs = draw_pairs(
            label_faces({name: people[name] for name in validation}, faces), settings.seed
        )

    keras.utils.set_random_seed(settings.seed)
    recipe = recipe_class(settings, trained)
    finished, restarts, interrupted = False, 0, None
    try:
        restarts = _fit(folder, recipe, settings, pairs, observer)
        finished = True
    except KeyboardInterrupt as error:
        interrupted = error
        if not (folder / BEST_WEIGHTS).exists():
            raise
    recipe.network.load_weights(folder / BEST_WEIGHTS)
    similarity, model = recipe.similarity()
    embeddings = recipe.embed(pairs.faces.values)
    distances = similarity.distance(embeddings[pairs.first], embeddings[pairs.second])
    strangers = similarity.distance(*embeddings[pairs.strangers.T])
    origin = f"cnnkit train faces, {len(distances)} pairs of people kept for validation"
    calibration = fit_face_calibration(distances, pairs.same, strangers, similarity.hash, origin)
    similarity = replace(similarity, calibration=calibration_to_json(calibration))
    save_face_similarity(folder / MODEL_FILE, similarity, model)
    accuracy, auc = measure(recipe, pairs)
    result = FaceTraining(
        model=folder / MODEL_FILE,
        similarity=similarity,
        threshold=calibration.threshold,
        people=(len(set(trained.people.tolist())), len(set(pairs.faces.people.tolist()))),
        pictures=(len(trained), len(pairs.faces)),
        missed=missed,
        accuracy=accuracy,
        auc=auc,
        restarts=restarts,
        finished=finished,
    )
    report = {
        key: getattr(result, key)
        for key in ("people", "pictures", "missed", "accuracy", "auc", "restarts", "finished")
    }
    write_bytes(folder / "report.json", json.dumps(report, indent=1).encode())
    _plot(folder, settings)
    if interrupted is not None:
        note(f"stopped; the best so far is in {folder / MODEL_FILE}")
        raise interrupted
    return result


def _choose_people(
    people: Mapping[str, Sequence[Path]],
    settings: TrainSettings,
    train_people: Sequence[str] | None,
    val_people: Sequence[str] | None,
    val_pairs: Sequence[Pair] | None,
    note: Callable[[str], None],
) -> tuple[list[str], list[str]]:
    """Names to train on and to validate with; nobody is in both."""
    for kind, names in (("train", train_people), ("val", val_people)):
        absent = [name for name in dict.fromkeys(names or ()) if name not in people]
        if absent:
            note(f"{len(absent)} of the {kind} people have no pictures here, such as {absent[0]}")
    training = list(people) if train_people is None else sorted({*train_people} & {*people})
    if val_pairs is not None:
        pictures = {p.resolve() for pair in val_pairs for p in (pair.first, pair.second)}
        shown = {name for name in training if any(p.resolve() in pictures for p in people[name])}
        if shown:
            note(f"{len(shown)} people are in the pairs for validation: not trained on")
        return [name for name in training if name not in shown], []
    if val_people is not None:
        validation = sorted({*val_people} & {*people})
        both = sorted({*training} & {*validation})
        if train_people is None:
            training = [name for name in training if name not in both]
        elif both:
            raise DataError(
                f"{both[0]} is among the people to train on and to validate with; "
                "a person can be in one of the lists only"
            )
        return training, validation
    return split_people(
        {name: people[name] for name in training}, settings.val_share, settings.seed
    )


def _check_enough(faces: LabelledFaces) -> None:
    counts = np.bincount(faces.people) if len(faces) else np.zeros(1, int)
    if np.count_nonzero(counts > 1) < 2:
        raise DataError(
            f"{np.count_nonzero(counts > 1)} people to train on have two pictures with a face; "
            "training needs two such people, and is of use from dozens"
        )


def _fit(
    folder: Path,
    recipe: "_TripletRecipe | _PairRecipe",
    settings: TrainSettings,
    pairs: ValidationPairs,
    observer: Observer,
) -> int:
    """Trains to the last step, taking up again what collapses; the number of restarts."""
    note = observer.on_note
    attempts = _read_attempts(folder) or [_Attempt(0, settings.mining, 1.0)]
    initial = recipe.network.get_weights()
    epochs = math.ceil(settings.total_steps / settings.epoch_steps)
    while True:
        attempt = attempts[-1]
        number = len(attempts) - 1
        _write_attempts(folder, attempts)
        recipe.network.set_weights(initial)
        if attempt.epoch:
            recipe.network.load_weights(folder / "good.weights.h5")
        trainer = recipe.trainer(attempt)
        peak = settings.peak_learning_rate * attempt.rate
        warmup = min(_WARMUP_STEPS, max(1, settings.total_steps // 10))
        schedule = cosine_decay(peak, settings.total_steps, warmup, end=0.01)
        optimizer = keras.optimizers.Adam(schedule)
        trainer.compile(optimizer=optimizer, jit_compile=compiles_training())
        guard = _Guard(settings, can_restart=number < settings.restarts)
        state = folder / f"{number}-{STATE}"
        begin = max(attempt.epoch, finished_epochs(state))
        restore(state, trainer)
        batches = PeopleBatches(recipe.training, settings, begin, recipe.augment)
        if begin < epochs:
            trainer.fit(
                batches,
                epochs=epochs,
                initial_epoch=begin,
                shuffle=False,
                callbacks=[
                    guard,
                    _Record(folder, recipe, pairs, guard, attempt, observer.on_epoch),
                    Backup(state, functools.partial(getattr, guard, "has_stopped")),
                ],
                verbose=0,
            )
        if not guard.reason:
            return number
        if number == settings.restarts:
            if "finite" in guard.reason:
                raise DivergenceError(
                    f"{guard.reason}, after {number} restarts; give a lower --learning-rate"
                )
            note(f"{guard.reason}; a lower --learning-rate or an easier --mining may help")
            return number
        good = folder / "good.json"
        epoch = json.loads(good.read_text())["epoch"] if good.exists() else 0
        attempts.append(attempt.easier(epoch))
        start = f"the weights after epoch {epoch}" if epoch else "the beginning"
        note(
            f"{guard.reason}; taken up from {start} with {attempts[-1].mining} mining and half "
            "the learning rate"
        )


def _read_attempts(folder: Path) -> list[_Attempt]:
    path = folder / "attempts.json"
    return [_Attempt(**one) for one in json.loads(path.read_text())] if path.exists() else []


def _write_attempts(folder: Path, attempts: Sequence[_Attempt]) -> None:
    text = json.dumps([asdict(attempt) for attempt in attempts], indent=1)
    write_bytes(folder / "attempts.json", text.encode())


def _plot(folder: Path, settings: TrainSettings) -> None:
    rows = read_results(folder)
    steps = [min((r["epoch"] + 1) * settings.steps_per_epoch, settings.total_steps) for r in rows]
    names: list[str] = [
        name
        for name in ("loss", "active", "distance", "variance", "val_accuracy", "val_auc")
        if rows and name in rows[0]
    ]
    curves = {name: [row[name] for row in rows] for name in names}
    write_bytes(folder / "curves.png", encode_figure(plot_training(steps, curves)))
