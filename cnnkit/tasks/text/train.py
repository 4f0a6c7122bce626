"""Trains a classifier of texts: a CSV file in, a run folder with a `.keras` file out.

As in the lecture: texts are split, counted and numbered, the numbers become vectors, and a
recurrent network reads one after the other. The bag of words, which knows no order, is there to
compare with.
"""

import hashlib
import math
from pathlib import Path

import keras
import numpy as np

from cnnkit.data.tables import TableEncoder
from cnnkit.data.text import UNKNOWN, Vocabulary, split_text
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
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import BEST_WEIGHTS, STATE, finished_epochs, open_run
from cnnkit.engine.trainer import fit_stage, run_training
from cnnkit.images import write_bytes
from cnnkit.metrics.classification import worst_mistakes
from cnnkit.models.recurrent import build_text_classifier
from cnnkit.tasks.text.batches import TextBatches
from cnnkit.tasks.text.data import LabelledTexts, read_labelled_texts
from cnnkit.tasks.text.settings import TrainSettings
from cnnkit.weights.keras_file import TEXT_KIND, VOCABULARY_FILE

_SHOWN_MISTAKES = 100
# Texts that are predicted at a time.
_PREDICTED = 256


def train_text(
    data: str | Path,
    output: str | Path,
    settings: TrainSettings | None = None,
    *,
    resume: bool = False,
    observer: Observer | None = None,
) -> TrainedClassifier:
    """Trains a classifier of texts, or goes on with a training that was stopped.

    Args:
        data: a CSV with a column of texts and one of labels; see `read_labelled_texts`.
        output: run folder: `model.keras` (the best epoch), `args.yaml`, `results.csv`,
            `curves.png`, `confusion.png`, `mistakes.csv`, `report.json`, `classes.txt`,
            `vocabulary.txt`, weights of the best and the last epoch, TensorBoard's logs, and the
            state to go on from.
        settings: epochs, patience and time budget may change when a run is taken up again.
        resume: go on with the run in `output`.
        observer: is told what the user should know, and of each epoch.

    Returns:
        What came out. After Ctrl-C the best so far is written and `KeyboardInterrupt` raised.

    Raises:
        DataError: the file cannot be read, or has no such columns, or too few labels.
        UsageError: `output` holds another run.
        DivergenceError: the loss is no finite number; the best so far is kept.
    """
    settings, observer = settings or TrainSettings(), observer or Observer()
    folder = Path(output)
    texts = read_labelled_texts(
        data,
        text_column=settings.text_column,
        label_column=settings.label_column,
        val_share=settings.val_share,
        seed=settings.seed,
    )
    encoder = TableEncoder.build(
        texts.table, settings.table_columns, texts.splits["train"].tolist()
    )
    table = encoder.encode(texts.table) if encoder.columns else None
    open_run(folder, data, settings, _data_hash(texts, table), resume)
    for line in texts.notes():
        observer.on_note(line)
    keras.utils.set_random_seed(settings.seed)
    training = _Training(texts, encoder, table, folder, settings, observer)
    return run_training(training.fit, training.finish, folder, observer)


def _data_hash(texts: LabelledTexts, table: np.ndarray | None) -> str:
    digest = hashlib.sha256("\n".join(texts.classes).encode())
    for text in texts.texts:
        digest.update(f"{len(text)} {text}".encode("utf-8", "surrogateescape"))
    digest.update(texts.labels.tobytes())
    for name, rows in texts.splits.items():
        digest.update(name.encode() + rows.tobytes())
    if table is not None:
        digest.update(table.tobytes())
    return digest.hexdigest()


class _Training:
    """One training: what is built, fed, fitted and written."""

    def __init__(
        self,
        texts: LabelledTexts,
        encoder: TableEncoder,
        table: np.ndarray | None,
        folder: Path,
        settings: TrainSettings,
        observer: Observer,
    ):
        self._texts, self._encoder, self._table = texts, encoder, table
        self._folder, self._settings, self._observer = folder, settings, observer
        tokens = [split_text(text, settings.by) for text in texts.texts]
        train = [tokens[row] for row in texts.splits["train"]]
        self._vocabulary = Vocabulary.build(train, settings.vocabulary_size, settings.by)
        longest = max(map(len, train))
        # No longer than there is something to learn from.
        self._length = max(1, min(settings.max_words, longest))
        self._tokens = self._vocabulary.encode(tokens, self._length)
        self._model = build_text_classifier(
            len(self._vocabulary),
            len(texts.classes),
            network=settings.network,
            embedding_size=settings.embedding_size,
            units=settings.units,
            bidirectional=settings.bidirectional,
            dropout=settings.dropout,
            table_size=0 if table is None else table.shape[1],
        )
        trained = sum(math.prod(one.shape) for one in self._model.trainable_variables)
        self._weights = trained, self._model.count_params()
        self._tell_what_is_read(train)

    def _tell_what_is_read(self, train: list[list[str]]) -> None:
        unit = f"{self._settings.by}s"
        known, length = len(self._vocabulary) - 2, self._length
        self._observer.on_note(
            f"{self._settings.network}: {self._weights[0]:,} weights; {known:,} {unit} are known, "
            f"texts have up to {length}"
        )
        cut = sum(len(tokens) > length for tokens in train)
        if cut:
            self._observer.on_note(
                f"{cut} of {len(train)} texts are longer than {length} {unit}; their ends are left "
                "out: --max-words says how much is read"
            )
        held_back = self._tokens[self._texts.splits["val"]]
        unknown = (held_back == UNKNOWN).sum() / max(1, (held_back > 0).sum())
        if unknown:
            self._observer.on_note(f"{unknown:.1%} of the {unit} for validation are unknown")

    def _batches(self, split: str, *, shuffle: bool, size: int, epoch: int = 0) -> TextBatches:
        rows, labels = self._texts.splits[split], self._texts.labels
        classes, settings = len(self._texts.classes), self._settings
        is_weighted = shuffle and settings.class_weights
        return TextBatches(
            self._tokens[rows],
            None if self._table is None else self._table[rows],
            labels[rows],
            classes,
            size,
            shuffle=shuffle,
            seed=settings.seed,
            epoch=epoch,
            class_weights=class_weights_of(labels[rows], classes) if is_weighted else None,
        )

    def _probabilities(self, split: str) -> np.ndarray | None:
        if not len(self._texts.splits.get(split, ())):
            return None
        batches = self._batches(split, shuffle=False, size=_PREDICTED)
        return self._model.predict(batches, verbose=0)

    def fit(self) -> str:
        """Trains to the end, from where the run stands; the reason why it ended."""
        settings = self._settings
        begin = finished_epochs(self._folder / STATE)
        stage = Stage(
            self._model,
            loss=class_loss(settings.label_smoothing),
            metrics=("accuracy",),
            kept=self._model,
            measure=class_figures(lambda: self._probabilities("val"), self._labels("val")),
            quality=score_of,
            end=settings.epochs,
            clip_whole=True,
        )
        batches = self._batches("train", shuffle=True, size=settings.batch_size, epoch=begin)
        return fit_stage(stage, batches, self._folder, settings, observer=self._observer)

    def _labels(self, split: str) -> np.ndarray:
        return self._texts.labels[self._texts.splits[split]]

    def finish(self, reason: str) -> TrainedClassifier:
        """Writes the model with the best weights, and what there is to say about it."""
        texts, settings, model = self._texts, self._settings, self._model
        model.load_weights(self._folder / BEST_WEIGHTS)
        found = {}
        for split in ("val", "test"):
            probabilities = self._probabilities(split)
            if probabilities is not None:
                found[split] = self._labels(split), probabilities
        splits = texts.splits
        counts = len(splits["train"]), len(splits["val"]), len(splits.get("test", ()))
        result = summarize_classifier(
            self._folder, texts.classes, counts, self._weights, found, reason
        )
        about = {
            "kind": TEXT_KIND,
            "length": self._length,
            "text_column": settings.text_column,
            "label_column": settings.label_column,
            "table": self._encoder.to_json(),
        }
        vocabulary = {VOCABULARY_FILE: self._vocabulary.to_text().encode()}
        calibrated = write_classifier(model, result, found, settings, about, vocabulary)
        for split, probabilities in calibrated.items():
            worst = worst_mistakes(probabilities, self._labels(split), _SHOWN_MISTAKES)
            table = texts.mistakes(texts.splits[split][worst], probabilities[worst])
            write_bytes(self._folder / f"mistakes{end_of(split)}.csv", table.encode())
        return result
