"""How good a classifier is on labelled examples."""

import difflib
import unicodedata
from pathlib import Path

import numpy as np

from cnnkit.data.labelled import LabelledData, LabelledFiles, read_labelled
from cnnkit.engine.classification import ClassEvaluation, evaluate_probabilities
from cnnkit.engine.observer import Observer
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.images import read_pixels
from cnnkit.metrics.classification import worst_mistakes
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.plots import draw_mistakes
from cnnkit.tasks.classify.predict import Classifier
from cnnkit.tasks.classify.settings import EvaluateSettings

# On the sheet of mistakes, and pixels that a side of each needs.
_MISTAKES, _TILE = 24, 144


def evaluate_classify(
    data: str | Path,
    settings: EvaluateSettings | None = None,
    *,
    model: str | Path = DEFAULT_CLASSIFIER,
    pixels: str = "unit",
    classes: str | Path | None = None,
    batch: int = 32,
    observer: Observer | None = None,
) -> ClassEvaluation:
    """Measures how good a classifier is on labelled examples.

    Args:
        data: a folder per class, or a CSV; see `read_labelled`.
        settings: the part of the data.
        model: see `classify`.
        pixels: see `classify`.
        classes: see `classify`.
        batch: files at a time.
        observer: is told how far the evaluation is, and why an example cannot be read.

    Returns:
        A `ClassEvaluation`. Examples that cannot be read are left out, and counted.

    Raises:
        UsageError: no such classifier, one whose classes have no names, or no such split.
        WeightsError: its weights are not here.
        DataError: the data cannot be read, or have a class that the classifier does not know.
    """
    settings, observer = settings or EvaluateSettings(), observer or Observer()
    labelled, files, part = read_split(data, settings.split)
    classifier = Classifier(model, pixels=pixels, classes=classes)
    file = classifier.file
    if labelled.kind != file.kind:
        raise DataError(f"{file.name} takes {file.kind}, but the data are {labelled.kind}")
    known = match_classes(labelled, files, file.names, file.name)
    sources, labels, rows = [], [], []
    found = classifier.predict(files.paths, batch=batch)
    for done, (one, label) in enumerate(zip(found, files.labels, strict=True), 1):
        if isinstance(one, CnnkitError):
            observer.on_error(one)
        else:
            sources.append(one.source)
            labels.append(known[int(label)])
            rows.append(one.probabilities)
        observer.on_progress("evaluate", done, len(files))
    if not rows:
        raise DataError(f"none of the {len(files)} files could be read; see the errors above")
    return evaluate_probabilities(
        np.stack(rows),
        np.array(labels, np.int64),
        file.names,
        sources,
        split=part,
        model=file.name,
        failed=len(files) - len(rows),
    )


def read_split(
    data: str | Path, split: str | None = None
) -> tuple[LabelledData, LabelledFiles, str]:
    """The part of the data to evaluate on; see `evaluate_classify`.

    Returns:
        All of the data, the files of the part, and its name.
    """
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


def draw_worst(evaluation: ClassEvaluation) -> np.ndarray | None:
    """A sheet of the worst mistakes on pictures, uint8 `(height, width, 3)`.

    Returns:
        None where there is no mistake.
    """
    worst = worst_mistakes(evaluation.probabilities, evaluation.labels, _MISTAKES)
    if not len(worst):
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
