"""How good a detector is while it is trained."""

from collections.abc import Mapping

import keras
import numpy as np

from cnnkit.engine.dataset import reading
from cnnkit.engine.distribution import Team
from cnnkit.ops.boxes import Letterbox, select_detections
from cnnkit.tasks.detect.batches import SceneBatches
from cnnkit.tasks.detect.data import BoxedPictures
from cnnkit.tasks.detect.metrics import AREAS, CocoScores, FoundBoxes, TrueBoxes, coco_scores
from cnnkit.tasks.detect.settings import TrainSettings

# Validation looks at boxes of lower scores than anybody is shown, as COCO's figures want it.
LEAST_SCORE, OVERLAP, MOST = 0.01, 0.6, 100


class Validation:
    """Measures a detector on pictures, each whole in a square.

    Args:
        model: pictures -> boxes and scores.
        pictures: to validate with.
        settings: of the training.
        classes: how many there are.
        sizes: path -> height and width of each picture, upright.
        team: processes that share the work.
    """

    def __init__(
        self,
        model: keras.Model,
        pictures: BoxedPictures,
        settings: TrainSettings,
        classes: int,
        sizes: Mapping[str, tuple[int, int]],
        team: Team,
    ):
        self._team = team
        self._model, self._pictures = model, pictures
        self._settings, self._classes = settings, classes
        self._truth = self._true_boxes(sizes)

    def find(self, conf: float = LEAST_SCORE) -> list[FoundBoxes]:
        """What the model finds in each picture with its weights of now, in pixels of the square."""
        batches = SceneBatches(
            self._pictures.take(self._team.own_block(len(self._pictures))),
            self._settings,
            lambda boxes, more: np.zeros(0, np.float32),
            random_changes=False,
        )
        found: list[np.ndarray] = []
        with reading(batches), self._team.apart():
            for index in range(len(batches)):
                pixels, _ = batches[index]
                predictions = keras.ops.convert_to_numpy(self._model.predict_on_batch(pixels))
                for one in predictions:
                    boxes, class_ids, scores = select_detections(
                        one[:, :4], one[:, 4:], conf=conf, iou=OVERLAP, most=MOST, multi_label=True
                    )
                    found += [boxes, class_ids, scores]
        shared = iter(self._team.share(found))
        return [FoundBoxes(*each) for each in zip(shared, shared, shared, strict=True)]

    def _true_boxes(self, sizes: Mapping[str, tuple[int, int]]) -> list[TrueBoxes]:
        """The objects of each picture, in pixels of the square."""
        result = []
        for row, path in enumerate(self._pictures.paths):
            frame = Letterbox.fit(*sizes[path], self._settings.seen_side)
            result.append(
                TrueBoxes(
                    frame.from_parts(self._pictures.boxes_xyxy_normalized[row]),
                    self._pictures.class_ids[row],
                    self._pictures.ignored[row],
                )
            )
        return result

    def scores(self, found: list[FoundBoxes], is_full: bool = False) -> CocoScores:
        """COCO's figures; without those by size unless `is_full`."""
        sizes = tuple(AREAS) if is_full else ("all",)
        return coco_scores(self._truth, found, self._classes, sizes)


def quality_of(row: Mapping[str, float]) -> tuple[float, float]:
    """What the best epoch has most of: AP, and among equals a lower loss."""
    return row.get("val_ap", 0.0), -row["loss"]
