"""How well faces are told apart, on labelled pairs, and which threshold is best."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.data.face_pictures import FacePicture, read_face_picture
from cnnkit.data.pairs import Pair, pairs_from_folders
from cnnkit.errors import CnnkitError, DataError
from cnnkit.metrics.verification import (
    accuracy_at,
    area_under_curve,
    best_threshold,
    equal_error_rate,
    even_odds_threshold,
    folded_accuracy,
    roc_curve,
    validation_rate,
)
from cnnkit.plots import plot_distances, plot_roc
from cnnkit.tasks.faces.analysis import main_face
from cnnkit.tasks.faces.calibration import FaceCalibration, fit_face_calibration
from cnnkit.tasks.faces.recognition import FaceRecognizer
from cnnkit.tasks.faces.results import Face, FaceEvaluation
from cnnkit.tasks.faces.settings import CHOICES, FaceSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BATCH = 16
# Pairs of strangers that the false accept rates are counted on: enough for one in a million.
_MOST_STRANGERS = 20_000_000


class FaceJudge:
    """Evaluates and calibrates a model of faces; each picture is looked at once.

    Args:
        settings: see `FaceSettings`.
        choose: which face of a picture counts: the "main" one, large and near to the middle
            (see `main_face`), or the "largest".
        on_note: takes a line of text that the user may want to know.
        on_progress: called with the number of pictures looked at and of all, as they are.
    """

    def __init__(
        self,
        settings: FaceSettings | None = None,
        *,
        choose: str = CHOICES[0],
        on_note: Callable[[str], None] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ):
        if choose not in CHOICES:
            raise ValueError(f"choose must be one of {CHOICES}. Received: {choose!r}")
        self.recognizer = FaceRecognizer(settings, on_note)
        self._choose = choose
        self._on_progress = on_progress or (lambda done, total: None)
        self._embeddings: dict[Path, np.ndarray | None] = {}
        self.missed: list[Path] = []
        self.unreadable: list[tuple[Path, CnnkitError]] = []

    def look(self, pictures: Iterable[Path]) -> None:
        """Embeds the faces of pictures, those that were not looked at before."""
        new = [path for path in dict.fromkeys(pictures) if path not in self._embeddings]
        for begin in range(0, len(new), _BATCH):
            read: list[tuple[Path, FacePicture]] = []
            for path in new[begin : begin + _BATCH]:
                try:
                    read.append((path, read_face_picture(path)))
                except CnnkitError as error:
                    self.unreadable.append((path, error))
                    self._embeddings[path] = None
            pictures_read = [picture for _, picture in read]
            chosen = [
                (path, picture, self._chosen(picture, faces))
                for (path, picture), faces in zip(
                    read, self.recognizer.faces(pictures_read, embed=False), strict=True
                )
            ]
            found = [(path, picture, face) for path, picture, face in chosen if face is not None]
            faces = self.recognizer.describe(
                [picture for _, picture, _ in found], [face for *_, face in found]
            )
            for path, _, face in chosen:
                if face is None:
                    self.missed.append(path)
                    self._embeddings[path] = None
            for (path, _, _), face in zip(found, faces, strict=True):
                self._embeddings[path] = face.embedding
            self._on_progress(min(begin + _BATCH, len(new)), len(new))

    def _chosen(self, picture: FacePicture, faces: Sequence[Face]) -> Face | None:
        if not faces:
            return None
        if self._choose == "largest":
            return faces[0]
        return main_face(faces, *picture.pixels.shape[:2])

    def distances(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Distances of pairs, float64 `(N,)`; NaN where a face was missed or a file unreadable."""
        self.look(path for pair in pairs for path in (pair.first, pair.second))
        result = np.full(len(pairs), np.nan)
        rows, first, second = [], [], []
        for row, pair in enumerate(pairs):
            a, b = self._embeddings[pair.first], self._embeddings[pair.second]
            if a is not None and b is not None:
                rows.append(row)
                first.append(a)
                second.append(b)
        if rows:
            result[rows] = self.recognizer.distance(np.stack(first), np.stack(second))
        return result

    def evaluate(
        self, pairs: Sequence[Pair], threshold_pairs: Sequence[Pair] | None = None
    ) -> FaceEvaluation:
        """Measures how well the pairs are told apart.

        With folds the threshold of each comes from the others; otherwise it is that of even
        odds on `threshold_pairs`, or the model's own.

        Args:
            pairs: labelled.
            threshold_pairs: others, with other people, to choose the threshold on.

        Raises:
            DataError: all pairs are alike, or no face was found.
        """
        distances, same = self.distances(pairs), np.array([pair.same for pair in pairs])
        measured = ~np.isnan(distances)
        if not same[measured].any() or same[measured].all():
            raise DataError(
                "the pairs with faces are all of one kind; give pairs of one person and pairs of "
                "different people"
            )
        folds = np.array([pair.fold for pair in pairs])
        threshold, origin = self.recognizer.threshold, "the model's"
        if threshold_pairs:
            other = self.distances(threshold_pairs)
            labels = np.array([pair.same for pair in threshold_pairs])
            threshold, origin = even_odds_threshold(other, labels), "chosen on other pairs"
        elif self.recognizer.settings.threshold is not None:
            origin = "given"
        folded = None
        if len(np.unique(folds)) > 1:
            folded = folded_accuracy(distances, same, folds)
        pictures = {path for pair in pairs for path in (pair.first, pair.second)}
        rate, _ = equal_error_rate(distances, same)
        validation = validation_rate(distances, same, 1e-3)
        return FaceEvaluation(
            pairs=len(pairs),
            pictures=len(pictures),
            missed=sum(self._embeddings[path] is None for path in pictures),
            threshold=float(threshold),
            threshold_origin=origin,
            accuracy=accuracy_at(distances, same, threshold),
            folded=folded,
            area_under_curve=area_under_curve(distances, same),
            equal_error_rate=rate,
            validation=validation,
            best_threshold=float(best_threshold(distances, same)),
            model=self.recognizer.model,
            distances=distances,
            same=same,
        )

    def calibrate(
        self, root: Path, pairs: Sequence[Pair] | None = None, note: str = ""
    ) -> FaceCalibration:
        """Finds the threshold and what the distances mean.

        The false accept rates are counted on all pairs of different people, not on those listed.

        Args:
            root: a folder with a folder for each person; each is paired with each.
            pairs: labelled pairs instead.
            note: what the pictures are, for people.

        Raises:
            DataError: too few pairs of either kind.
        """
        if pairs is None:
            pairs = pairs_from_folders(root, limit=20_000)
        distances = self.distances(pairs)
        same = np.array([pair.same for pair in pairs])
        return fit_face_calibration(
            distances, same, self._strangers(), self.recognizer.similarity.hash, note
        )

    def _strangers(self) -> np.ndarray:
        """Distances between all pictures of different people, who are told by their folders."""
        found = [(path, e) for path, e in self._embeddings.items() if e is not None]
        people = np.unique([path.parent.name for path, _ in found], return_inverse=True)[1]
        embeddings = np.stack([embedding for _, embedding in found])
        count = len(found)
        keep = np.arange(count)
        if count * count / 2 > _MOST_STRANGERS:
            most = int(math.sqrt(2 * _MOST_STRANGERS))
            keep = np.sort(np.random.default_rng(0).permutation(count)[:most])
        parts = [np.zeros(0)]
        for place, index in enumerate(keep[:-1]):
            others = keep[place + 1 :]
            others = others[people[others] != people[index]]
            one = np.broadcast_to(embeddings[index], (len(others), embeddings.shape[1]))
            parts.append(self.recognizer.distance(one, embeddings[others]))
        return np.concatenate(parts)


def draw_roc(evaluation: FaceEvaluation) -> "Figure":
    """The receiver operating characteristic of an evaluation."""
    curve = roc_curve(evaluation.distances, evaluation.same)
    name = f"{evaluation.model}, AUC {evaluation.area_under_curve:.4f}"
    smallest = 10.0 ** -math.ceil(math.log10(max(10, curve.negatives)))
    return plot_roc(
        {name: (curve.false_accepts, curve.true_accepts)},
        title=f"{evaluation.pairs:,} pairs",
        smallest_rate=smallest,
    )


def draw_distances(evaluation: FaceEvaluation) -> "Figure":
    """How the distances of same and of different pairs are spread."""
    return plot_distances(
        evaluation.distances,
        evaluation.same,
        evaluation.threshold,
        title=f"{evaluation.model}, threshold {evaluation.threshold:.3f}",
    )
