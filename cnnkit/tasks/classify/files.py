"""Files of trained classifiers and what is known of them, without Keras."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cnnkit.data.imagenet import imagenet_groups, imagenet_names
from cnnkit.engine.model_file import PICTURES, ModelFile, find_model_file
from cnnkit.errors import DataError, UsageError
from cnnkit.options import CLASSIFIER_WEIGHTS, CLASSIFIERS, DEFAULT_CLASSIFIER
from cnnkit.tasks.classify.calibration import AnswerCalibration, read_calibration
from cnnkit.weights import fingerprint, locate
from cnnkit.weights.keras_file import TEXT_KIND, own_names, read_names


@dataclass(frozen=True)
class ClassifierFile:
    """A classifier's file, and what is known of it.

    Attributes:
        path: of the weights.
        known: the classifier's name, where it is one that cnnkit knows; "" of a `.keras` file.
        names: of the classes; empty where they are not known.
        kind: "pictures" or "arrays".
        pixels: what it expects of pictures: "unit" [0, 1], "byte" [0, 255] or "signed" [-1, 1].
        says_pixels: whether `pixels` holds even for a network that rescales pixels itself.
        name: for people.
        groups: everyday words -> the names of the classes that they stand for.
        calibration: of a classifier that sees several views of a picture; None of others.
        input_shape: of one example; None for axes of any size. Known once the network is.
        classes: their number. Known once the network is.
    """

    path: Path
    known: str
    names: tuple[str, ...]
    kind: str
    pixels: str
    says_pixels: bool
    name: str
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calibration: AnswerCalibration | None = None
    input_shape: tuple[int | None, ...] = ()
    classes: int = 0

    @property
    def hash(self) -> str:
        """SHA-256 of the file."""
        return fingerprint(self.path)

    def label(self, index: int) -> str:
        """Name of a class, or its number in words."""
        return self.names[index] if self.names else f"class {index}"

    def with_network(
        self, input_shape: Sequence[int | None], classes: int, pixels: str, is_binary: bool
    ) -> "ClassifierFile":
        """The same, with what its network says.

        Args:
            input_shape: of one example.
            classes: outputs of the network.
            pixels: what it expects of pictures.
            is_binary: it had one output, which became two classes.

        Raises:
            DataError: the names do not fit the network.
        """
        names = self.names
        if is_binary and len(names) == 1:
            names = (f"not {names[0]}", names[0])
        if names and len(names) != classes:
            raise DataError(
                f"{self.name} has {classes} classes but there are {len(names)} names; "
                "give --classes a file with one name a line, in the order of the outputs"
            )
        return replace(
            self, names=names, input_shape=tuple(input_shape), classes=classes, pixels=pixels
        )


def find_classifier_file(
    model: str = DEFAULT_CLASSIFIER, *, pixels: str = "unit", classes: str | Path | None = None
) -> ClassifierFile:
    """The file that a user means by a name, a run folder or a `.keras` file.

    Args:
        model: "imagenet" (1,000 classes), "caltech101", the folder of a run, a `.keras` file, or
            "mobilenet-v2", "vgg16" or "vgg19", whose weights the user fetched.
        pixels: what a file's network expects, where the file does not say so. Of one that rescales
            bytes itself, "unit" becomes "byte".
        classes: file with the names of the classes, one a line. By default `classes.txt` inside a
            `.keras` file or beside it.

    Raises:
        UsageError: an unknown name.
        WeightsError: the weights are not here.
        DataError: names cannot be read.
    """
    names = read_names(Path(classes)) if classes is not None else ()
    file = _find_file(model)
    if file is not None:
        return ClassifierFile(
            file.path,
            "",
            names or file.classes,
            file.kind,
            file.pixels or pixels,
            file.pixels is not None or file.kind != PICTURES or pixels != "unit",
            file.name,
        )
    path = locate(CLASSIFIER_WEIGHTS[model])
    own = own_names(path) if path.suffix == ".keras" else imagenet_names()
    names = names or own
    extra: dict[str, Any] = {}
    if model == "imagenet":
        extra["calibration"] = read_calibration()
        # Of other names that a user gave, nothing is known.
        extra["groups"] = imagenet_groups() if names == own else {}
    return ClassifierFile(path, model, names, PICTURES, "unit", True, model, **extra)


def check_classifier(model: str) -> ModelFile | None:
    """Says at once what is wrong with a classifier, before Keras is imported.

    Returns:
        What its file says of itself; None for one with a name.

    Raises:
        UsageError: an unknown name, or a file of something else.
        WeightsError: the weights are not here.
    """
    if model in CLASSIFIER_WEIGHTS:
        locate(CLASSIFIER_WEIGHTS[model])
        return None
    file = _find_file(model)
    if file is not None and file.kind == TEXT_KIND:
        raise UsageError(
            f"{file.name} takes texts, not pictures; use classify-text or evaluate text"
        )
    return file


def _find_file(model: str) -> ModelFile | None:
    """The file of a classifier; None for a known name."""
    file = find_model_file(model)
    if file is None and model not in CLASSIFIERS:
        raise UsageError(
            f"there is no classifier named {model!r}; use the folder of a run, a .keras file or "
            f"one of: {', '.join(CLASSIFIERS)}"
        )
    return file
