"""How good a classifier is on labelled examples."""

import difflib
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnnkit.data.labelled import PICTURES, LabelledData, LabelledFiles, read_labelled
from cnnkit.engine.classification import ClassEvaluation, evaluate_probabilities
from cnnkit.engine.settings import check_split
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.images import read_pixels
from cnnkit.metrics.classification import worst_mistakes
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.pipelines._predictor import Predictor
from cnnkit.plots import draw_mistakes

# On the sheet of mistakes, and pixels that a side of each needs.
_MISTAKES, _TILE = 24, 144


def evaluate_classify(
    data: str | Path,
    *,
    model: str | Path = DEFAULT_CLASSIFIER,
    split: str | None = None,
    pixels: str = "unit",
    classes: str | Path | None = None,
) -> ClassEvaluation:
    """Measures how good a classifier is on labelled examples.

    Args:
        data: a folder per class, or a CSV; see `read_labelled`.
        model: see `classify`.
        split: "train", "val", "test" or "all"; by default test where the data have it, else val,
            else all.
        pixels: see `classify`.
        classes: see `classify`.

    Returns:
        A `ClassEvaluation`. Examples that cannot be read are left out, and counted.

    Raises:
        UsageError: no such classifier, one whose classes have no names, or no such split.
        WeightsError: its weights are not here.
        DataError: the data cannot be read, or have a class that the classifier does not know.
    """
    labelled = read_split(data, split)
    predictor = Predictor(str(model), pixels=pixels, classes=classes)
    return ClassJudge(predictor).evaluate(*labelled)


def read_split(
    data: str | Path, split: str | None = None
) -> tuple[LabelledData, LabelledFiles, str]:
    """The part of the data to evaluate on; see `evaluate_classify`.

    Returns:
        All of the data, the files of the part, and its name.
    """
    check_split(split)
    labelled = read_labelled(data, val_share=0.0)
    splits = {name: files for name, files in labelled.splits.items() if len(files)}
    name = split or next((name for name in ("test", "val") if name in splits), "all")
    if name == "all":
        parts = tuple(splits.values())
        paths = tuple(path for part in parts for path in part.paths)
        return labelled, LabelledFiles(paths, np.concatenate([part.labels for part in parts])), name
    if name not in splits:
        raise UsageError(
            f"{data} has no part named {name}: --split can be {', '.join([*splits, 'all'])}"
        )
    return labelled, splits[name], name


class ClassJudge:
    """Evaluates a classifier.

    Args:
        predictor: the classifier.
        on_progress: called with the examples done and their number.
        on_error: called with the reason for each example that cannot be read.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        on_error: Callable[[CnnkitError], None] | None = None,
    ):
        self._predictor = predictor
        self._on_progress, self._on_error = on_progress, on_error

    def evaluate(
        self, data: LabelledData, files: LabelledFiles, split: str, *, batch: int = 32
    ) -> ClassEvaluation:
        """Looks at all files of a part.

        Args:
            data: with the names of the classes.
            files: the part.
            split: its name.
            batch: files at a time.

        Raises:
            DataError: the classifier does not know a class, or no file can be read.
            UsageError: the classifier's classes have no names.
        """
        classifier = self._predictor.classifier
        if data.kind != classifier.kind:
            raise DataError(
                f"{classifier.name} takes {classifier.kind}, but the data are {data.kind}"
            )
        known = match_classes(data, files, classifier.names, classifier.name)
        sources, labels, rows = [], [], []
        failed = 0
        found = self._predictor.predict(files.paths, batch=batch)
        for done, (one, label) in enumerate(zip(found, files.labels, strict=True), 1):
            if one.probabilities is None:
                failed += 1
                if self._on_error is not None:
                    self._on_error(one.error)
            else:
                sources.append(one.source)
                labels.append(known[int(label)])
                rows.append(one.probabilities)
            if self._on_progress is not None:
                self._on_progress(done, len(files))
        if not rows:
            raise DataError(f"none of the {len(files)} files could be read; see the errors above")
        probabilities, truth = np.stack(rows), np.array(labels, np.int64)
        return evaluate_probabilities(
            probabilities,
            truth,
            classifier.names,
            sources,
            split=split,
            model=classifier.name,
            failed=failed,
        )

    def draw_mistakes(self, evaluation: ClassEvaluation) -> np.ndarray | None:
        """A sheet of the worst mistakes, uint8 `(height, width, 3)`.

        Returns:
            None where there is no mistake, or where the examples are no pictures.
        """
        worst = worst_mistakes(evaluation.probabilities, evaluation.labels, _MISTAKES)
        if not len(worst) or self._predictor.classifier.kind != PICTURES:
            return None
        names = evaluation.names
        predicted = evaluation.probabilities[worst].argmax(axis=1)
        return draw_mistakes(
            (read_pixels(evaluation.sources[index], _TILE) for index in worst),
            [names[label] for label in evaluation.labels[worst]],
            [names[index] for index in predicted],
            evaluation.probabilities[worst].max(axis=1),
            title=f"The worst mistakes of {evaluation.model}",
        )


def match_classes(
    data: LabelledData, files: LabelledFiles, names: tuple[str, ...], model: str
) -> dict[int, int]:
    """Finds the classes of the data among those of a classifier, by name.

    Args:
        data: with the names of the classes.
        files: whose classes are needed.
        names: of the classifier's classes.
        model: name of the classifier.

    Returns:
        Index of the class in the data -> index of the classifier's output.

    Raises:
        UsageError: the classifier's classes have no names.
        DataError: the classifier does not know a class.
    """
    if not names:
        raise UsageError(
            f"the names of {model}'s classes are not known; "
            "give --classes FILE with one name a line"
        )
    exact = {unicodedata.normalize("NFC", name): index for index, name in enumerate(names)}
    folded = {name.casefold(): index for name, index in exact.items()}
    known = {}
    for label in np.unique(files.labels):
        name = data.classes[int(label)]
        found = exact.get(name, folded.get(name.casefold()))
        if found is None:
            nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.0)
            raise DataError(
                f"{model} does not know the class '{name}'; the nearest that it knows are: "
                f"{', '.join(nearest)}; rename the folder, or leave it out"
            )
        known[int(label)] = found
    return known
