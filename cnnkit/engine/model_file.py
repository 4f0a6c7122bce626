"""Files of trained networks, without Keras: where the model is, and what it says of itself."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit.errors import DataError, UsageError, WeightsError
from cnnkit.options import CLASSIFIERS
from cnnkit.weights.keras_file import (
    MODEL_FILE,
    SETTINGS_FILE,
    own_names,
    read_inside,
    refuse_other_formats,
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


def find_file_of_kind(model: str, kind: str, what: str, remedy: str) -> ModelFile:
    """The file that a user means by a run folder or a `.keras` file, which is one of a kind.

    Args:
        model: what was given.
        kind: that the file must say of itself.
        what: people call that, such as "segmenter".
        remedy: what to do where it is something else.

    Raises:
        UsageError: an unknown name, or a file of something else.
        WeightsError: there is no such folder or file, or no model in it.
        DataError: what the file says of itself cannot be read.
    """
    file = find_model_file(model)
    if file is None:
        raise UsageError(f"there is no {what} named {model!r}; {remedy}")
    if file.kind != kind:
        raise UsageError(f"{file.name} is no {what}; {remedy}")
    return file


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
