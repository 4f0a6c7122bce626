"""Files of trained networks, without Keras: where the model is, and what it says of itself."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit.errors import DataError, UsageError, WeightsError
from cnnkit.options import CLASSIFIER_WEIGHTS, CLASSIFIERS, VIEWABLE
from cnnkit.weights import locate
from cnnkit.weights.keras_file import (
    CLASSES_FILE,
    MODEL_FILE,
    SETTINGS_FILE,
    refuse_other_formats,
)

# Bytes of a text inside: a vocabulary of a million words has less.
_LONGEST = 50_000_000
# Beside what is no archive: an unknown packing, a password, or packed bytes that are damaged.
_DAMAGED = (
    *(OSError, zipfile.BadZipFile, zlib.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError),
)
PICTURES, ARRAYS = "pictures", "arrays"


@dataclass(frozen=True)
class ModelFile:
    """A `.keras` file and what it says of itself.

    Attributes:
        path: of the file.
        name: for people; of a run the name of its folder.
        classes: their names; empty where they are not known.
        kind: of classifiers what they take, "pictures" or "arrays"; "detector" or "segments".
        pixels: what it expects of pictures, see `load_viewed_network`; None where it does not say.
    """

    path: Path
    name: str
    classes: tuple[str, ...]
    kind: str
    pixels: str | None


def find_model_file(model: str) -> ModelFile | None:
    """The file that a user means by a run folder or a `.keras` file; None for a known name.

    Raises:
        WeightsError: there is no such folder or file, or no model in it.
        DataError: what the file says of itself cannot be read.
    """
    path = Path(model)
    if model in CLASSIFIERS:
        return None
    refuse_other_formats(model, "--model")
    if path.is_dir():
        path /= MODEL_FILE
        if not path.is_file():
            raise WeightsError(
                f"{model} holds no {MODEL_FILE}; give --model the folder of a training run"
            )
        name = path.resolve().parent.name
    elif model.endswith(".keras"):
        if not path.is_file():
            raise WeightsError(f"{path} does not exist; give --model a .keras file or a name")
        name = path.name
    elif not ("/" in model or "\\" in model):
        return None
    else:
        raise WeightsError(f"{model} does not exist; give --model the folder of a training run")
    return describe_file(path, name)


def describe_file(path: Path, name: str) -> ModelFile:
    """What a `.keras` file says of itself.

    Args:
        path: of the file.
        name: for people.

    Raises:
        WeightsError: it is no archive.
        DataError: what it says cannot be read.
    """
    settings = read_settings(path)
    kind, pixels = settings.get("kind", PICTURES), settings.get("pixels")
    if not isinstance(kind, str) or not isinstance(pixels, (str, type(None))):
        raise DataError(f"{path}/{SETTINGS_FILE} is damaged; train or copy it again")
    return ModelFile(path, name, own_names(path), kind, pixels)


def read_settings(path: Path) -> dict[str, Any]:
    """What a `.keras` file says of itself, as it stands there; empty where it says nothing.

    Raises:
        WeightsError: it is no archive.
        DataError: it is no JSON object.
    """
    for data in read_inside(path, SETTINGS_FILE):
        try:
            settings = json.loads(data)
        except (ValueError, RecursionError):
            settings = None
        if not isinstance(settings, dict):
            raise DataError(f"{path}/{SETTINGS_FILE} is damaged; train or copy it again")
        return settings
    return {}


def own_names(path: Path) -> tuple[str, ...]:
    """Names of the classes inside a `.keras` file, or in a file beside it."""
    for data in read_inside(path, CLASSES_FILE):
        return _names(data, f"{path}/{CLASSES_FILE}")
    beside = path.parent / CLASSES_FILE
    return read_names(beside) if beside.is_file() else ()


def read_names(path: Path) -> tuple[str, ...]:
    """Names of classes, one a line.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return _names(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def read_inside(path: Path, name: str) -> tuple[bytes, ...]:
    """A file of a .keras file, which is a ZIP archive; nothing where it has none.

    Raises:
        WeightsError: it is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if name not in archive.namelist():
                return ()
            with archive.open(name) as file:
                data = file.read(_LONGEST + 1)
    except _DAMAGED as error:
        raise WeightsError(f"{path} cannot be loaded as a Keras model: {error}") from None
    if len(data) > _LONGEST:
        raise WeightsError(f"{path} has a {name} that is too large; copy the model again")
    return (data,)


def _names(data: bytes, source: str) -> tuple[str, ...]:
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{source} is not a UTF-8 text file; give one name a line") from None
    return tuple(line.strip() for line in lines if line.strip())


def find_viewed_file(model: str) -> Path:
    """The file of a network to look into.

    Args:
        model: one of `options.VIEWABLE`, the folder of a run, or a `.keras` file.

    Raises:
        UsageError: an unknown name.
        WeightsError: the weights are not here, or a file of another format.
    """
    refuse_other_formats(model, "--model")
    if model in VIEWABLE:
        # Of VGG the convolutions are looked at, which lie in a file of their own.
        return locate({**CLASSIFIER_WEIGHTS, "vgg16": "vgg16", "vgg19": "vgg19"}.get(model, model))
    path = Path(model)
    if path.is_dir():
        path /= MODEL_FILE
    if path.suffix == ".keras":
        if not path.is_file():
            raise WeightsError(f"{path} does not exist; give --model a .keras file or a name")
        return path
    raise UsageError(
        f"there is no trained network named {model!r}; use a .keras file or one of: "
        f"{', '.join(VIEWABLE)}"
    )
