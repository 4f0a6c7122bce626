"""What pictures show: the most probable classes of each."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import CnnkitError, UsageError
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.pipelines._keep_last import keep_last
from cnnkit.pipelines._predictor import Predictor
from cnnkit.pipelines._sources import Source, each_source
from cnnkit.results import Classification, ClassScore

_predictor = keep_last(Predictor)


def classify(
    sources: Any,
    *,
    model: str | Path = DEFAULT_CLASSIFIER,
    top: int = 5,
    pixels: str = "unit",
    classes: str | Path | None = None,
) -> list[Classification]:
    """Tells what pictures show.

    The classifier stays loaded for the next call with the same settings.

    Args:
        sources: paths of pictures, or pictures in memory: arrays `(height, width)` or `(height,
            width, 1, 3 or 4)` of uint8 or of floats in [0, 1], `PIL.Image`, `Picture`; one or an
            iterable of them. Of a classifier of arrays, paths of `.npy` files.
        model: "caltech101" (shipped), the folder of a run of `cnnkit train classify`, a `.keras`
            file, or "mobilenet-v2", "vgg16" or "vgg19", whose weights were fetched.
        top: classes for each, at most.
        pixels: what a `.keras` file's network expects, where the file does not say so: "unit"
            [0, 1], "byte" [0, 255] or "signed" [-1, 1].
        classes: file with the names of the classes, one a line; those of the model by default.

    Returns:
        A `Classification` for each, in order.

    Raises:
        UsageError: no such classifier.
        WeightsError: its weights are not here.
        DataError: the names of the classes do not fit, or an array cannot be read.
        ImageError: a picture cannot be read.
        ValueError: an array is no picture.

    Example:

    >>> from skimage import data
    >>> from pathlib import Path
    >>> cat = Path(data.__file__).parent / "chelsea.png"
    >>> classify(cat, top=1)[0].best[0].label
    'cougar_face'
    """
    if top < 1:
        raise ValueError(f"expected a class at least. Received: top={top}")
    predictor = _predictor(str(model), pixels=pixels, classes=classes)
    found = []
    for _, result in classify_each(predictor, each_source(sources), top=top):
        if isinstance(result, CnnkitError):
            raise result
        found.append(result)
    return found


def classify_each(
    predictor: Predictor,
    sources: Iterable[Source],
    *,
    top: int = 5,
    batch: int = 32,
    stdin: Callable[[], bytes] | None = None,
) -> Iterator[tuple[str, Classification | CnnkitError]]:
    """`classify` with a classifier that is loaded already, as a stream.

    Args:
        predictor: the classifier.
        sources: paths, "-", or pictures.
        top: classes for each, at most.
        batch: of them at a time.
        stdin: reads what "-" stands for.

    Yields:
        Each source with its `Classification`, or why there is none.
    """
    if top < 1:
        raise UsageError(f"--top must be at least 1, not {top}")
    classifier = predictor.classifier
    for found in predictor.predict(sources, batch=batch, stdin=stdin):
        if found.probabilities is None:
            yield found.source, found.error
            continue
        order = np.argsort(-found.probabilities, kind="stable")[:top]
        best = tuple(
            ClassScore(classifier.label(int(at)), int(at), float(found.probabilities[at]))
            for at in order
        )
        yield (
            found.source,
            Classification(found.source, best, found.size, classifier.name, found.ms),
        )
