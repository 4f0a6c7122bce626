"""Trains a captioner: pictures and sentences in, a run folder with a `.keras` file out.

Teacher forcing: the decoder is given the true words so far and learns to tell the next. Where the
encoder does not change, each picture and its mirror image go through it once.
"""

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.data.labelled import LabelledFiles
from cnnkit.engine.cached_features import cache_features, feature_statistics
from cnnkit.engine.callbacks import Stage, best_row, seconds_of
from cnnkit.engine.dataset import CountedEpochs, reading
from cnnkit.engine.labelled_batches import LabelledBatches
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import (
    BEST_WEIGHTS,
    STATE,
    finished_epochs,
    open_run,
    read_results,
    require_mostly_good,
    write_model,
    write_run_report,
)
from cnnkit.engine.trainer import fit_stage, run_training, write_curves
from cnnkit.errors import DataError
from cnnkit.images import Picture, read_pixels, write_bytes, write_image
from cnnkit.models.caption_encoder import names_seen
from cnnkit.models.captioner import decoder_of, writing_models
from cnnkit.ops.inference import compile_inference
from cnnkit.tasks.caption.batches import (
    PictureBatches,
    SeenBatches,
    number_sentences,
    vocabulary_of,
)
from cnnkit.tasks.caption.data import (
    CaptionData,
    CaptionedPictures,
    check_captions,
    data_hash,
    encode_captions,
    read_captions,
    split_caption,
    without_unreadable,
)
from cnnkit.tasks.caption.loss import WordCrossEntropy
from cnnkit.tasks.caption.metrics import corpus_bleu, has_collapsed, perplexity, sentence_variety
from cnnkit.tasks.caption.plots import draw_captions
from cnnkit.tasks.caption.results import TrainedCaptioner
from cnnkit.tasks.caption.sentence_writer import SentenceWriter, total_word_loss
from cnnkit.tasks.caption.settings import CaptionSettings, TrainSettings
from cnnkit.tasks.caption.trainable import build_trainable_captioner
from cnnkit.weights.keras_file import (
    CAPTIONER_KIND,
    MODEL_FILE,
    VOCABULARY_FILE,
)

# What may change when a run is taken up again: the pictures may have been moved.
_EXTENDABLE = ("epochs", "time_budget", "patience", "images")
_BATCH = 32
_LEAST_DEVIATION = 0.05
_SHOWN = 24


def train_captioner(
    data: str | Path,
    output: str | Path,
    settings: TrainSettings | None = None,
    *,
    resume: bool = False,
    skip_bad: bool = False,
    observer: Observer | None = None,
) -> TrainedCaptioner:
    """Trains a captioner, or goes on with a training that was stopped.

    Args:
        data: a CSV, a JSON file of COCO's, or a folder of such; see `data.read_captions`.
        output: run folder: `model.keras` (the best epoch), `args.yaml`, `results.csv`,
            `curves.png`, `samples.png`, `captions.csv` (what is said of the validation pictures),
            `report.json`, `vocabulary.txt`, weights of the best and the last epoch, and the state
            to go on from.
        settings: epochs, patience, time budget and the folder of the pictures may change when a run
            is taken up again.
        resume: go on with the run in `output`.
        skip_bad: go on where most pictures are missing or cannot be read.
        observer: is told what the user should know, what is being done, and of each epoch.

    Returns:
        What came out. After Ctrl-C the best so far is written and `KeyboardInterrupt` raised.

    Raises:
        DataError: no pictures or sentences, or some that cannot be used.
        UsageError: `output` holds another run, or the settings do not fit.
        DivergenceError: the loss is no finite number; the best so far is kept.
    """
    settings, observer = settings or TrainSettings(), observer or Observer()
    folder = Path(output)
    found = read_captions(
        data, settings.images, val_share=settings.val_share, seed=settings.seed, skip_bad=skip_bad
    )
    _check_parts(data, found)
    open_run(folder, data, settings, data_hash(found), resume, _EXTENDABLE)
    report = check_captions(found, functools.partial(observer.on_progress, "check"))
    for line in report.lines():
        observer.on_note(line)
    pictures = len(found.train.paths) + len(found.val.paths)
    require_mostly_good(data, report.unreadable, pictures, skip_bad)
    found = without_unreadable(found, report)
    _check_parts(data, found)
    keras.utils.set_random_seed(settings.seed)
    training = _Training(found, folder, settings, observer)
    return run_training(training.fit, training.finish, folder, observer)


def _check_parts(data: str | Path, found: CaptionData) -> None:
    for part, name in ((found.train, "train on"), (found.val, "validate with")):
        if not len(part):
            raise DataError(f"{data} has no pictures to {name}; give more")


class _Training:
    """One training: what is built, fed, fitted and written."""

    def __init__(
        self,
        data: CaptionData,
        folder: Path,
        settings: TrainSettings,
        observer: Observer,
    ):
        self._data, self._folder = data, folder
        self._settings, self._observer = settings, observer
        self._is_head = settings.transfer == "head"
        self._vocabulary = vocabulary_of(
            data.train, settings.vocabulary, settings.min_count, mirrored=settings.horizontal_flip
        )
        self._sentences = {
            name: number_sentences(
                part,
                self._vocabulary,
                settings.max_words,
                mirrored=settings.horizontal_flip and name == "train",
            )
            for name, part in (("train", data.train), ("val", data.val))
        }
        self._built = build_trainable_captioner(settings, len(self._vocabulary))
        self._model, self._encoder = self._built.model, self._built.encoder
        self._features: dict[str, np.ndarray] = {}
        self._see()
        self._decoder = decoder_of(self._model)
        self._trainer = self._decoder if self._is_head else self._model
        self.weights = (
            sum(math.prod(one.shape) for one in self._trainer.trainable_variables),
            self._model.count_params(),
        )
        self._observer.on_note(
            f"{len(self._sentences['train']):,} sentences about {len(data.train):,} pictures, "
            f"{len(self._vocabulary):,} words; {self.weights[0]:,} of {self.weights[1]:,} weights "
            "train"
        )

    def _see(self) -> None:
        """Keeps what the encoder sees, and tells the decoder the scale of it."""
        weights = b"".join(np.ascontiguousarray(v).tobytes() for v in self._encoder.get_weights())
        digest = hashlib.sha256(weights).hexdigest()
        # Where the encoder changes, only the scale is taken from this.
        for name in ("train", "val") if self._is_head else ("train",):
            paths = getattr(self._data, name).paths
            if not self._is_head:
                paths = paths[:: max(1, len(paths) // 256)]
            self._features[name] = cache_features(
                self._encoder,
                LabelledFiles(paths, np.zeros(len(paths), np.int64)),
                self._folder / "features" / f"{name}.npy",
                mirrored=self._is_head and self._settings.horizontal_flip and name == "train",
                fingerprint=digest,
                on_progress=functools.partial(self._observer.on_progress, "look at the data"),
            )
        mean, variance = feature_statistics(self._features["train"])
        # What is nearly always the same, such as the probability of a rare class, stays small.
        variance = np.maximum(variance, _LEAST_DEVIATION**2)
        self._model.get_layer("encoding_scale").set_weights([mean, variance])

    def _batches(self, epoch: int) -> CountedEpochs:
        settings, sentences = self._settings, self._sentences["train"]
        size = min(settings.batch_size, len(sentences))
        if self._is_head:
            return SeenBatches(
                self._features["train"], sentences, size, seed=settings.seed, epoch=epoch
            )
        shape = (settings.side, settings.side, 3)
        return PictureBatches(
            self._data.train.paths, sentences, shape, size, seed=settings.seed, epoch=epoch
        )

    def fit(self) -> str:
        """Trains to the end, from where the run stands; the reason why it ended."""
        stage = Stage(
            self._trainer,
            loss=WordCrossEntropy(self._settings.label_smoothing),
            kept=self._model,
            measure=self._measure,
            quality=_quality_of,
            end=self._settings.epochs,
            slow=[one for layer in self._built.pretrained for one in layer.variables],
        )
        batches = self._batches(finished_epochs(self._folder / STATE))
        return fit_stage(stage, batches, self._folder, self._settings, observer=self._observer)

    def _measure(self, logs: Mapping[str, float]) -> dict[str, float]:
        loss = self._validate()
        loss = loss if math.isfinite(loss) else math.inf
        return {"val_loss": loss, "val_perplexity": perplexity(loss)}

    def _encodings(self) -> np.ndarray:
        """What the encoder of now sees of the validation pictures, float32 `(N, D)`."""
        if self._is_head:
            return np.asarray(self._features["val"][:, 0], np.float32)
        paths = self._data.val.paths
        files = LabelledFiles(paths, np.zeros(len(paths), np.int64))
        shape = (self._settings.side, self._settings.side, 3)
        batches = LabelledBatches(files, 1, shape, _BATCH, shuffle=False)
        with reading(batches):
            return self._encoder.predict(batches, verbose=0)

    def _validate(self) -> float:
        """The mean of -log p over all words about the validation pictures."""
        sentences = self._sentences["val"]

        def tell(seen: np.ndarray, words: np.ndarray) -> np.ndarray:
            return self._decoder.predict_on_batch([seen, words])

        total, count = total_word_loss(
            tell, self._encodings(), sentences.pictures, sentences.words[0]
        )
        return total / count

    def finish(self, reason: str) -> TrainedCaptioner:
        """Writes the model with the best weights, and what there is to say about it."""
        folder, data = self._folder, self._data
        rows = read_results(folder)
        self._model.load_weights(folder / BEST_WEIGHTS)
        loss = self._validate()
        said, scores = self._write_sentences()
        variety = sentence_variety(said)
        true = sentence_variety([one for group in data.val.sentences for one in group])
        references = [[split_caption(one) for one in group] for group in data.val.sentences]
        result = TrainedCaptioner(
            model=folder / MODEL_FILE,
            words=len(self._vocabulary),
            counts=(len(data.train), len(data.val)),
            sentences=len(self._sentences["train"]),
            epochs=len(rows),
            best=best_row(rows, _quality_of)["epoch"] + 1,
            seconds=seconds_of(rows),
            weights=self.weights,
            perplexity=perplexity(loss),
            bleu=corpus_bleu([one.split() for one in said], references),
            distinct=variety.distinct_share,
            collapsed=has_collapsed(variety, true),
            most_common=(variety.most_common, variety.most_common_share),
            reason=reason,
        )
        self._write(result, rows, said, scores)
        return result

    def _write_sentences(self) -> tuple[list[str], list[float]]:
        """What is said of the validation pictures, and its scores."""
        encodings = self._encodings()
        names = names_seen(encodings, self._built.settings, self._vocabulary)
        # Last: on JAX `predict` gives back the memory of the weights that it holds.
        look, write = (compile_inference(one, "float32") for one in writing_models(self._model))
        writer = SentenceWriter(look, write, self._vocabulary)
        search = CaptionSettings(beams=self._settings.beams, max_words=self._settings.max_words)
        said: list[str] = []
        scores: list[float] = []
        for first in range(0, len(encodings), _BATCH):
            found = writer.write(encodings[first : first + _BATCH], search)
            for at, [best] in enumerate(found, start=first):
                said.append(writer.sentence(best, names[at].phrase))
                scores.append(best.score)
            self._observer.on_progress(
                "write sentences", min(first + _BATCH, len(encodings)), len(encodings)
            )
        return said, scores

    def _write(
        self,
        result: TrainedCaptioner,
        rows: list[dict[str, Any]],
        said: Sequence[str],
        scores: Sequence[float],
    ) -> None:
        folder, val = self._folder, self._data.val
        about = {"kind": CAPTIONER_KIND, **self._built.settings}
        vocabulary = {VOCABULARY_FILE: self._vocabulary.to_text().encode()}
        write_model(folder, self._model, about, vocabulary)
        table = encode_captions(val.paths, said, [math.exp(one) for one in scores], val.sentences)
        write_bytes(folder / "captions.csv", table)
        names = ("loss", "val_loss", "val_perplexity", "learning_rate")
        write_curves(folder, rows, names)
        self._write_samples(folder / "samples.png", val, said)
        write_run_report(folder, result, self._settings)

    def _write_samples(self, path: Path, val: CaptionedPictures, said: Sequence[str]) -> None:
        """A sheet of validation pictures, evenly spread, with what is said of them."""
        count = len(val)
        shown = sorted({round(at) for at in np.linspace(0, count - 1, min(_SHOWN, count))})
        sheet = draw_captions(
            (read_pixels(val.paths[at], 512) for at in shown),
            [said[at] for at in shown],
            title="Pictures for validation",
            subtitle="not trained on, with what the network says of them",
        )
        write_image(path, Picture(sheet.astype(np.float32) / 255.0))


def _quality_of(row: Mapping[str, Any]) -> float:
    """What the best epoch has most of."""
    return -row["val_loss"]
