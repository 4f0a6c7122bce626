"""A trained classifier, compiled, on files: read ahead by threads, in batches, in order."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cnnkit.data.labelled import read_example, stretch_pixels
from cnnkit.engine.model_file import ARRAYS
from cnnkit.engine.networks import Networks, NetworkSource
from cnnkit.engine.predictor import PictureSource, loaded, name_of, read_ahead
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.images import Picture, header_size, read_image, read_pixels, to_uint8
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.pipelines._answer_calibration import ENOUGH_PIXELS, views_of
from cnnkit.pipelines._classifier_files import ClassifierFile, find_classifier_file
from cnnkit.pipelines._network_input import fit_picture
from cnnkit.results import Milliseconds

# Where a network takes any size.
_LONG_SIDE = 512
# Of a sum of probabilities from 1, in half precision too.
_SLACK = 1e-2


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a classifier says of one file.

    Attributes:
        source: path, or "-".
        probabilities: float32 `(classes,)`; None where the file cannot be used.
        size: height and width of an upright picture; None of an array.
        ms: time to read it, and its share of the batch's time in the network.
        similarity: how much a picture is like those that a calibrated classifier was trained on;
            None of other classifiers.
        error: why there are no probabilities.
    """

    source: str
    probabilities: np.ndarray | None = None
    size: tuple[int, int] | None = None
    ms: Milliseconds = field(default_factory=Milliseconds)
    similarity: float | None = None
    error: CnnkitError | None = None


class Predictor:
    """A trained classifier, compiled for inference.

    Args:
        model: see `find_classifier_file`.
        pixels: the same.
        classes: the same.

    Raises:
        UsageError: no such classifier, or one that takes neither pictures nor arrays of one size.
        WeightsError: the weights are not here.
        DataError: the names do not fit the network.
    """

    def __init__(
        self,
        model: str = DEFAULT_CLASSIFIER,
        *,
        pixels: str = "unit",
        classes: str | Path | None = None,
    ):
        file = find_classifier_file(model, pixels=pixels, classes=classes)
        settings = {
            "known": file.known,
            "name": file.name,
            "kind": file.kind,
            "pixels": file.pixels,
            "says_pixels": file.says_pixels,
        }
        self._networks = Networks(
            NetworkSource(
                f"classifier {file.name}",
                "cnnkit.pipelines._classifier_model:build",
                (file.path,),
                settings,
            )
        )
        facts = dict(self._networks.facts)
        self._output_size = facts.pop("outputs")
        self.classifier: ClassifierFile = file.with_network(**facts)
        shape = self.classifier.input_shape
        name = self.classifier.name
        if self.classifier.kind == ARRAYS:
            if None in shape:
                raise UsageError(
                    f"{name} takes arrays of any size {shape}; give one of a fixed size"
                )
        elif len(shape) != 3 or shape[-1] not in (1, 3):
            raise UsageError(
                f"{name} takes no pictures (height, width, 3 or 1) but {shape}; a model of arrays "
                'says so in its settings.json: {"kind": "arrays"}'
            )
        if self.classifier.classes < 2:
            raise UsageError(f"{name} has one output; a classifier has one for each class")
        self._run = self._networks["classifier"]

    def predict(
        self,
        sources: Iterable[PictureSource],
        *,
        batch: int = 32,
        stdin: Callable[[], bytes] | None = None,
    ) -> Iterator[Prediction]:
        """What the classifier says of pictures, in their order; one that fails is said so.

        The next batch is read while the network looks at one; no more is in memory.

        Args:
            sources: paths, "-", or pictures.
            batch: of them at a time.
            stdin: reads what "-" stands for.

        Yields:
            A `Prediction` for each.

        Raises:
            UsageError: the network gives no probabilities.
        """

        def read(source: PictureSource) -> tuple[str, list[np.ndarray] | None, Prediction]:
            begin, name = time.monotonic(), name_of(source)
            try:
                if source == "-" and stdin is not None and self.classifier.kind == ARRAYS:
                    raise DataError("stdin takes a picture; give arrays as .npy files")
                values, size = self._read(name, loaded(source, stdin))
            except CnnkitError as error:
                return name, None, Prediction(name, error=error)
            taken = 1e3 * (time.monotonic() - begin)
            return name, values, Prediction(name, size=size, ms=Milliseconds(load=round(taken, 1)))

        for now in read_ahead(sources, read, batch):
            begin = time.monotonic()
            known = self._answers([v for _, v, _ in now if v is not None], batch)
            count = max(1, sum(values is not None for _, values, _ in now))
            taken = round(1e3 * (time.monotonic() - begin) / count, 1)
            for path, values, read_one in now:
                if values is None:
                    yield read_one
                    continue
                ms = Milliseconds(load=read_one.ms.load, net=taken)
                probabilities, similarity = next(known)
                yield Prediction(path, probabilities, read_one.size, ms, similarity)

    def _answers(
        self, views: Sequence[list[np.ndarray]], batch: int
    ) -> Iterator[tuple[np.ndarray, float | None]]:
        """Probabilities for each picture, of which there may be several views, and similarity."""
        calibration = self.classifier.calibration
        examples = [one for of_one in views for one in of_one]
        if calibration is None or not views:
            return zip(self.probabilities(examples, batch), itertools.repeat(None))
        rows = self._outputs(examples, batch)
        probabilities, similarity = calibration.combine(
            rows.reshape(len(views), -1, self.classifier.classes + 1)
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
        found = self._outputs(examples, batch)[:, : self.classifier.classes]
        sums = found.sum(axis=1)
        if not np.all((np.abs(sums - 1) < _SLACK) & (found >= 0).all(axis=1)):
            raise UsageError(
                f"{self.classifier.name} gives no probabilities: they must not be negative and "
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

    def _read(
        self, path: str, picture: Picture | None
    ) -> tuple[list[np.ndarray], tuple[int, int] | None]:
        """What the network sees of a file, and the size of a picture."""
        shape = self.classifier.input_shape
        if self.classifier.kind == ARRAYS:
            if picture is not None or not path.lower().endswith(".npy"):
                raise DataError(f"{path} is no .npy file; {self.classifier.name} takes arrays")
            return [read_example(path, shape)], None
        if picture is None:
            if path.lower().endswith(".npy"):
                raise DataError(f"{path} is no picture; {self.classifier.name} takes pictures")
            if self.classifier.calibration is not None:
                return views_of(read_pixels(path, ENOUGH_PIXELS)), header_size(path)
            if None not in shape:
                # As in training, to the last bit.
                return [read_example(path, shape)], header_size(path)
            picture = read_image(path)
        size = picture.height, picture.width
        if self.classifier.calibration is not None:
            return views_of(to_uint8(picture.pixels)), size
        if None in shape:
            return [fit_picture(picture, None, shape[-1], _LONG_SIDE)], size
        return [stretch_pixels(to_uint8(picture.pixels), shape)], size
