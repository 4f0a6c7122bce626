"""A trained classifier on pictures, or on arrays."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnkit.data.labelled import read_example, stretch_pixels
from cnnkit.engine.classification import ClassScore, GroupScore
from cnnkit.engine.model_file import ARRAYS
from cnnkit.engine.network_input import fit_picture
from cnnkit.engine.networks import NetworkSource, open_networks
from cnnkit.engine.predictor import (
    Loaded,
    PictureSource,
    collect,
    each_source,
    keep_last,
    loaded,
    milliseconds_since,
    name_of,
    predict_each,
)
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.images import Picture, header_size, read_image, read_pixels, to_uint8
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.results import Milliseconds
from cnnkit.tasks.classify.calibration import ENOUGH_PIXELS, views_of
from cnnkit.tasks.classify.files import ClassifierFile, find_classifier_file
from cnnkit.tasks.classify.results import PictureClassification
from cnnkit.tasks.classify.settings import ClassifySettings

# Where a network takes any size.
_LONG_SIDE = 512
# Of a sum of probabilities from 1, in half precision too.
_SLACK = 1e-2


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the network sees of a picture or array, in one view or several.

    Attributes:
        views: each of the network's input shape.
        size: height and width of an upright picture; None of an array.
        picture: itself if it is no file.
    """

    views: list[npt.NDArray[np.float32]]
    size: tuple[int, int] | None
    picture: Picture | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a classifier says of one picture or array.

    Attributes:
        source: path, "-", or what a picture in memory is called.
        probabilities: float32 `(classes,)`.
        size: height and width of an upright picture; None of an array.
        ms: time to read it, and its share of the batch's time in the network.
        similarity: how much a picture is like those that a calibrated classifier was trained on;
            None of other classifiers.
        picture: itself if it is no file.
    """

    source: str
    probabilities: npt.NDArray[np.float32]
    size: tuple[int, int] | None
    ms: Milliseconds
    similarity: float | None
    picture: Picture | None = None


class Classifier:
    """A trained classifier, compiled; several threads may use it.

    Args:
        model: see `classify`.
        pixels: see `classify`.
        classes: see `classify`.

    Attributes:
        file: what is known of it.

    Raises:
        UsageError: no such classifier, or one that takes neither pictures nor arrays of one size.
        WeightsError: the weights are not here.
        DataError: the names do not fit the network.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_CLASSIFIER,
        *,
        pixels: str = "unit",
        classes: str | Path | None = None,
    ):
        file = find_classifier_file(str(model), pixels=pixels, classes=classes)
        settings = {
            "known": file.known,
            "name": file.name,
            "kind": file.kind,
            "pixels": file.pixels,
            "says_pixels": file.says_pixels,
        }
        self._networks = open_networks(
            NetworkSource(
                f"classifier {file.name}",
                "cnnkit.tasks.classify.network:build",
                (file.path,),
                settings,
            )
        )
        facts = dict(self._networks.facts)
        self._output_size = facts.pop("outputs")
        self.file: ClassifierFile = file.with_network(**facts)
        shape, name = self.file.input_shape, self.file.name
        if self.file.kind == ARRAYS:
            if None in shape:
                raise UsageError(
                    f"{name} takes arrays of any size {shape}; give one of a fixed size"
                )
        elif len(shape) != 3 or shape[-1] not in (1, 3):
            raise UsageError(
                f"{name} takes no pictures (height, width, 3 or 1) but {shape}; a model of arrays "
                'says so in its settings.json: {"kind": "arrays"}'
            )
        if self.file.classes < 2:
            raise UsageError(f"{name} has one output; a classifier has one for each class")
        self._run = self._networks["classifier"]

    def classify(
        self, sources: Any, settings: ClassifySettings | None = None
    ) -> list[PictureClassification]:
        """Tells what pictures show; for arguments and errors see `cnnkit.classify`."""
        return collect(
            each_source(sources),
            lambda given: self.classify_each(given, settings),
            lambda found: replace(found, picture=None),
        )

    def classify_each(
        self,
        sources: Iterable[PictureSource],
        settings: ClassifySettings | None = None,
        *,
        batch: int = 32,
        stdin: Callable[[], bytes] | None = None,
    ) -> Iterator[PictureClassification | CnnkitError]:
        """Tells what pictures show one after another; one that cannot be read gives its error.

        Args:
            sources: paths, "-", or pictures.
            settings: which classes are told.
            batch: of them at a time.
            stdin: reads what "-" stands for.

        Raises:
            UsageError: the network gives no probabilities, or has no groups.
        """
        settings = settings or ClassifySettings()
        if settings.group and not self.file.groups:
            raise UsageError(
                f"--group is for --model {DEFAULT_CLASSIFIER}; {self.file.name} has no groups"
            )
        return (
            one if isinstance(one, CnnkitError) else self._tell(one, settings)
            for one in self.predict(sources, batch=batch, stdin=stdin)
        )

    def _tell(self, found: Prediction, settings: ClassifySettings) -> PictureClassification:
        order = np.argsort(-found.probabilities, kind="stable")[: settings.top]
        best = tuple(
            ClassScore(self.file.label(int(at)), int(at), float(found.probabilities[at]))
            for at in order
        )
        result = PictureClassification(
            *(found.source, best, found.size, self.file.name, found.ms),
            is_sure=self._is_sure(found, best[0].score),
            groups=self._group_scores(found)[: settings.top] if settings.group else (),
            picture=found.picture,
        )
        return result.at_least(settings.conf)

    def _is_sure(self, found: Prediction, probability: float) -> bool | None:
        if self.file.calibration is None or found.similarity is None:
            return None
        return self.file.calibration.is_sure(probability, found.similarity)

    def _group_scores(self, found: Prediction) -> tuple[GroupScore, ...]:
        """Groups and the classes that are in none, most probable first."""
        file = self.file
        group_of = {name: group for group, names in file.groups.items() for name in names}
        members: dict[str, list[int]] = {}
        for index, name in enumerate(file.names):
            members.setdefault(group_of.get(name, name), []).append(index)
        scores = []
        for label, indices in members.items():
            chosen = found.probabilities[indices]
            at = indices[int(chosen.argmax())]
            best = ClassScore(file.label(at), at, float(chosen.max()))
            score = min(1.0, float(chosen.sum()))
            is_sure = self._is_sure(found, score) is not False
            scores.append(GroupScore(label, score, best, is_sure))
        return tuple(sorted(scores, key=lambda one: -one.score))

    def predict(
        self,
        sources: Iterable[PictureSource],
        *,
        batch: int = 32,
        stdin: Callable[[], bytes] | None = None,
    ) -> Iterator[Prediction | CnnkitError]:
        """The probabilities of all classes for pictures, in their order; see `classify_each`.

        The next batch is read while the network looks at one; no more is in memory.
        """

        def read(source: PictureSource) -> _Seen:
            if source == "-" and stdin is not None and self.file.kind == ARRAYS:
                raise DataError("stdin takes a picture; give arrays as .npy files")
            return self._read(name_of(source), loaded(source, stdin))

        def describe(seen: Sequence[Loaded[_Seen]]) -> Iterator[Prediction]:
            begin = time.monotonic()
            found = list(self._answers([one.value.views for one in seen], batch))
            net = round(milliseconds_since(begin) / max(1, len(seen)), 1)
            for one, (probabilities, similarity) in zip(seen, found, strict=True):
                ms = Milliseconds(load=round(one.ms, 1), net=net)
                value = one.value
                yield Prediction(
                    one.source, probabilities, value.size, ms, similarity, value.picture
                )

        return predict_each(sources, read, describe, batch=batch)

    def _answers(
        self, views: Sequence[list[npt.NDArray[np.float32]]], batch: int
    ) -> Iterable[tuple[npt.NDArray[np.float32], float | None]]:
        """Probabilities for each picture, of which there may be several views, and similarity."""
        calibration = self.file.calibration
        examples = [one for of_one in views for one in of_one]
        if calibration is None or not views:
            return zip(self.probabilities(examples, batch), itertools.repeat(None))
        rows = self._outputs(examples, batch)
        probabilities, similarity = calibration.combine(
            rows.reshape(len(views), -1, self.file.classes + 1)
        )
        return zip(probabilities, map(float, similarity), strict=True)

    def probabilities(self, examples: Sequence[np.ndarray], batch: int = 32) -> np.ndarray:
        """The probabilities of examples that are read already.

        Args:
            examples: float32, each of the network's input shape.
            batch: of these at a time.

        Returns:
            float32 `(N, classes)`.

        Raises:
            UsageError: the network gives no probabilities.
        """
        found = self._outputs(examples, batch)[:, : self.file.classes]
        sums = found.sum(axis=1)
        if not np.all((np.abs(sums - 1) < _SLACK) & (found >= 0).all(axis=1)):
            raise UsageError(
                f"{self.file.name} gives no probabilities: they must not be negative and "
                "have the sum 1; end the network with a softmax"
            )
        return found

    def _outputs(self, examples: Sequence[np.ndarray], batch: int) -> np.ndarray:
        """What the compiled network gives for examples, which may differ in their shapes."""
        found = np.zeros((len(examples), self._output_size), np.float32)
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, example in enumerate(examples):
            by_shape.setdefault(example.shape, []).append(index)
        for indices in by_shape.values():
            for first in range(0, len(indices), batch):
                some = indices[first : first + batch]
                values = np.stack([examples[index] for index in some])
                if self._networks.compiles_each_size:
                    missing = batch - len(some)
                    values = np.pad(values, [(0, missing)] + [(0, 0)] * (values.ndim - 1))
                found[some] = self._run(values)[: len(some)]
        return found

    def _read(self, path: str, picture: Picture | None) -> _Seen:
        shape = self.file.input_shape
        fixed = tuple(side for side in shape if side is not None)
        if self.file.kind == ARRAYS:
            if picture is not None or not path.lower().endswith(".npy"):
                raise DataError(f"{path} is no .npy file; {self.file.name} takes arrays")
            return _Seen([read_example(path, fixed)], None)
        given = picture
        if picture is None:
            if path.lower().endswith(".npy"):
                raise DataError(f"{path} is no picture; {self.file.name} takes pictures")
            if self.file.calibration is not None:
                return _Seen(views_of(read_pixels(path, ENOUGH_PIXELS)), header_size(path))
            if None not in shape:
                # As in training, to the last bit.
                return _Seen([read_example(path, fixed)], header_size(path))
            picture = read_image(path)
        if self.file.calibration is not None:
            views = views_of(to_uint8(picture.pixels))
        elif None in shape:
            views = [fit_picture(picture, None, fixed[-1], _LONG_SIDE)]
        else:
            height, width, channels = fixed
            views = [stretch_pixels(to_uint8(picture.pixels), (height, width, channels))]
        return _Seen(views, (picture.height, picture.width), given)


_classifier = keep_last(Classifier)


def classify(
    sources: Any,
    settings: ClassifySettings | None = None,
    *,
    model: str | Path = DEFAULT_CLASSIFIER,
    pixels: str = "unit",
    classes: str | Path | None = None,
    **changes: Any,
) -> list[PictureClassification]:
    """Tells what pictures show.

    The classifier stays loaded for the next call with the same model.

    Args:
        sources: paths of pictures, or pictures in memory: arrays `(height, width)` or `(height,
            width, 1, 3 or 4)` of uint8 or of floats in [0, 1], `PIL.Image`, `Picture`; one or an
            iterable of them. Of a classifier of arrays, paths of `.npy` files.
        settings: which classes are told; see `ClassifySettings`.
        model: "imagenet" (1,000 classes), "caltech101" (101 categories), the folder of a run of
            `cnnkit train classify`, a `.keras` file, or "mobilenet-v2", "vgg16" or "vgg19", whose
            weights were fetched.
        pixels: what a `.keras` file's network expects, where the file does not say so: "unit"
            [0, 1], "byte" [0, 255] or "signed" [-1, 1].
        classes: file with the names of the classes, one a line; those of the model by default.
        changes: of the settings, by name, such as `top=1`.

    Returns:
        A `PictureClassification` for each, in order.

    Raises:
        UsageError: no such classifier, groups of one that has none, or settings that are not
            allowed.
        WeightsError: its weights are not here.
        DataError: the names of the classes do not fit, or an array cannot be read.
        ImageError: a picture cannot be read.
        ValueError: an array is no picture.

    Example:

    >>> from skimage import data
    >>> from pathlib import Path
    >>> cat = Path(data.__file__).parent / "chelsea.png"
    >>> found = classify(cat, ClassifySettings(group=True))[0]
    >>> found.best[0].label, found.groups[0].label
    ('Egyptian cat', 'cat')
    """
    settings = replace(settings or ClassifySettings(), **changes)
    classifier = _classifier(str(model), pixels=pixels, classes=classes)
    return classifier.classify(sources, settings)
