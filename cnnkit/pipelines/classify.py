"""What pictures show: the most probable classes of each."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.engine.classification import Classification, ClassScore, GroupScore
from cnnkit.engine.predictor import PictureSource, each_source, keep_last
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.pipelines._classifier_files import ClassifierFile
from cnnkit.pipelines._predictor import Prediction, Predictor

_predictor = keep_last(Predictor)


def classify(
    sources: Any,
    *,
    model: str | Path = DEFAULT_CLASSIFIER,
    top: int = 5,
    group: bool = False,
    pixels: str = "unit",
    classes: str | Path | None = None,
) -> list[Classification]:
    """Tells what pictures show.

    The classifier stays loaded for the next call with the same settings.

    Args:
        sources: paths of pictures, or pictures in memory: arrays `(height, width)` or `(height,
            width, 1, 3 or 4)` of uint8 or of floats in [0, 1], `PIL.Image`, `Picture`; one or an
            iterable of them. Of a classifier of arrays, paths of `.npy` files.
        model: "imagenet" (1,000 classes), "caltech101" (101 categories), the folder of a run of
            `cnnkit train classify`, a `.keras` file, or "mobilenet-v2", "vgg16" or "vgg19", whose
            weights were fetched.
        top: classes, and groups, for each, at most.
        group: of "imagenet", sum the classes into everyday groups, such as "dog", too.
        pixels: what a `.keras` file's network expects, where the file does not say so: "unit"
            [0, 1], "byte" [0, 255] or "signed" [-1, 1].
        classes: file with the names of the classes, one a line; those of the model by default.

    Returns:
        A `Classification` for each, in order.

    Raises:
        UsageError: no such classifier, or `group` and one that has no groups.
        WeightsError: its weights are not here.
        DataError: the names of the classes do not fit, or an array cannot be read.
        ImageError: a picture cannot be read.
        ValueError: an array is no picture.

    Example:

    >>> from skimage import data
    >>> from pathlib import Path
    >>> cat = Path(data.__file__).parent / "chelsea.png"
    >>> found = classify(cat, group=True)[0]
    >>> found.best[0].label, found.groups[0].label
    ('Egyptian cat', 'cat')
    """
    if top < 1:
        raise ValueError(f"expected a class at least. Received: top={top}")
    predictor = _predictor(str(model), pixels=pixels, classes=classes)
    found = []
    for _, result in classify_each(predictor, each_source(sources), top=top, group=group):
        if isinstance(result, CnnkitError):
            raise result
        found.append(result)
    return found


def classify_each(
    predictor: Predictor,
    sources: Iterable[PictureSource],
    *,
    top: int = 5,
    group: bool = False,
    batch: int = 32,
    stdin: Callable[[], bytes] | None = None,
) -> Iterator[tuple[str, Classification | CnnkitError]]:
    """`classify` with a classifier that is loaded already, as a stream.

    Args:
        predictor: the classifier.
        sources: paths, "-", or pictures.
        top: classes, and groups, for each, at most.
        group: sum the classes into everyday groups too.
        batch: of them at a time.
        stdin: reads what "-" stands for.

    Yields:
        Each source with its `Classification`, or why there is none.
    """
    if top < 1:
        raise UsageError(f"--top must be at least 1, not {top}")
    classifier = predictor.classifier
    if group and not classifier.groups:
        raise UsageError(f"--group is for --model imagenet; {classifier.name} has no groups")
    for found in predictor.predict(sources, batch=batch, stdin=stdin):
        if found.probabilities is None:
            yield found.source, found.error
            continue
        order = np.argsort(-found.probabilities, kind="stable")[:top]
        best = tuple(
            ClassScore(classifier.label(int(at)), int(at), float(found.probabilities[at]))
            for at in order
        )
        result = Classification(
            found.source,
            best,
            found.size,
            classifier.name,
            found.ms,
            None if found.similarity is None else _is_sure(classifier, found, best[0].score),
            _group_scores(classifier, found)[:top] if group else (),
        )
        yield found.source, result


def _is_sure(classifier: ClassifierFile, found: Prediction, probability: float) -> bool:
    return classifier.calibration.is_sure(probability, found.similarity)


def _group_scores(classifier: ClassifierFile, found: Prediction) -> tuple[GroupScore, ...]:
    """Groups and the classes that are in none, most probable first."""
    group_of = {name: group for group, names in classifier.groups.items() for name in names}
    members: dict[str, list[int]] = {}
    for index, name in enumerate(classifier.names):
        members.setdefault(group_of.get(name, name), []).append(index)
    scores = []
    for label, indices in members.items():
        chosen = found.probabilities[indices]
        at = indices[int(chosen.argmax())]
        best = ClassScore(classifier.label(at), at, float(chosen.max()))
        score = min(1.0, float(chosen.sum()))
        scores.append(GroupScore(label, score, best, _is_sure(classifier, found, score)))
    return tuple(sorted(scores, key=lambda one: -one.score))
