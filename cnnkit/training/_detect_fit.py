"""What is watched, kept and written while a detector is fitted."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from cnnkit.data.boxes import BoxedPictures
from cnnkit.metrics.detection import AREAS, CocoScores, FoundBoxes, TrueBoxes, coco_scores
from cnnkit.ops.boxes import Letterbox, select_detections
from cnnkit.options import DetectTrainOptions
from cnnkit.training._batches import reading
from cnnkit.training._detect_batches import SceneBatches
from cnnkit.training._fit import LAST_WEIGHTS, Guard, averaged_weights, seconds_of
from cnnkit.training._runs import BEST_WEIGHTS, read_results, save_weights, write_results

# Validation looks at boxes of lower scores than anybody is shown, as COCO's figures want it.
LEAST_SCORE, OVERLAP, MOST = 0.01, 0.6, 100


class Judge:
    """Measures a detector on pictures, each whole in a square.

    Args:
        model: pictures -> boxes and scores.
        pictures: to validate with.
        options: of the training.
        classes: how many there are.
    """

    def __init__(
        self,
        model: keras.Model,
        pictures: BoxedPictures,
        options: DetectTrainOptions,
        classes: int,
    ):
        self._model, self._pictures = model, pictures
        self._options, self._classes = options, classes

    def find(self, conf: float = LEAST_SCORE) -> list[FoundBoxes]:
        """What the model finds in each picture with its weights of now, in pixels of the square."""
        batches = SceneBatches(
            self._pictures,
            self._options,
            lambda boxes, more: np.zeros(0, np.float32),
            random_changes=False,
        )
        found = []
        with reading(batches):
            for index in range(len(batches)):
                pixels, _ = batches[index]
                predictions = keras.ops.convert_to_numpy(self._model.predict_on_batch(pixels))
                for one in predictions:
                    boxes, class_ids, scores = select_detections(
                        one[:, :4], one[:, 4:], conf=conf, iou=OVERLAP, most=MOST, several=True
                    )
                    found.append(FoundBoxes(boxes, class_ids, scores))
        return found

    def truth(self, sizes: Mapping[str, tuple[int, int]]) -> list[TrueBoxes]:
        """The objects of each picture, in pixels of the square.

        Args:
            sizes: path -> height and width of each picture, upright.
        """
        side = self._options.side
        result = []
        for row, path in enumerate(self._pictures.paths):
            frame = Letterbox.fit(*sizes[path], side)
            result.append(
                TrueBoxes(
                    frame.from_parts(self._pictures.boxes_xyxy_normalized[row]),
                    self._pictures.class_ids[row],
                    self._pictures.ignored[row],
                )
            )
        return result

    def scores(
        self, truth: list[TrueBoxes], found: list[FoundBoxes], is_full: bool = False
    ) -> CocoScores:
        """COCO's figures; without those by size unless `is_full`."""
        sizes = tuple(AREAS) if is_full else ("all",)
        return coco_scores(truth, found, self._classes, sizes)


class DetectRecord(keras.callbacks.Callback):
    """After each epoch: validates, appends a row to `results.csv`, keeps the best weights.

    Args:
        folder: of the run.
        validate: figures of the validation pictures with the weights of now; None without any.
        guard: that knows of broken epochs.
        options: of the training.
        begin: epoch that the training begins or goes on with.
        on_epoch: called with the epoch's index and its row.
    """

    def __init__(
        self,
        folder: Path,
        validate: Callable[[], CocoScores | None],
        guard: Guard,
        options: DetectTrainOptions,
        begin: int,
        on_epoch: Callable[[int, dict], None] | None,
    ):
        super().__init__()
        self._folder, self._validate, self._guard = folder, validate, guard
        self._options, self._on_epoch = options, on_epoch
        # A row of an epoch that was not backed up is written again.
        self.rows = [row for row in read_results(folder) if row["epoch"] < begin]
        self._start = time.monotonic() - seconds_of(self.rows)

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        if self._guard.broken is not None:
            return
        row = {
            "epoch": epoch,
            "seconds": 0.0,
            "learning_rate": float(self.model.optimizer.learning_rate),
            "loss": float((logs or {})["loss"]),
        }
        put_back = averaged_weights(self.model) if self._options.ema else None
        try:
            scores = self._validate()
            if scores is not None:
                row |= {
                    "val_ap": float(np.nan_to_num(scores.ap)),
                    "val_ap50": float(np.nan_to_num(scores.ap50)),
                }
            row["seconds"] = time.monotonic() - self._start
            if quality_of(row) > max(map(quality_of, self.rows), default=(-1.0, 0.0)):
                save_weights(self.model, self._folder / BEST_WEIGHTS)
            save_weights(self.model, self._folder / LAST_WEIGHTS)
        finally:
            if put_back is not None:
                put_back()
        self.rows.append(row)
        write_results(self._folder, self.rows)
        if self._on_epoch:
            self._on_epoch(epoch, row)
        patience = self._options.patience
        if patience and epoch - best_epoch(self.rows) >= patience:
            self.model.stop_training = True


def quality_of(row: dict[str, float]) -> tuple[float, float]:
    """What the best epoch has most of: AP, and among equals a lower loss."""
    return row.get("val_ap", 0.0), -row["loss"]


def best_epoch(rows: list[dict[str, float]]) -> int:
    """The index of the best epoch, the first of equals."""
    return int(max(rows, key=quality_of)["epoch"])
