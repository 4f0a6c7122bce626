"""Trained segmenters by name, from a file or from the folder of a run."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cnnkit import weights as weights_table
from cnnkit.errors import DataError, UsageError, WeightsError
from cnnkit.options import SEGMENTERS
from cnnkit.weights.keras_file import CLASSES_FILE, MODEL_FILE, SETTINGS_FILE


@dataclass(frozen=True)
class SegmenterFile:
    """A `.keras` file of `cnnkit train segment`.

    Attributes:
        path: of the file.
        name: for people; of a run the name of its folder.
        classes: their names.
    """

    path: Path
    name: str
    classes: tuple[str, ...]


def find_segmenter(model: str) -> SegmenterFile:
    """The file that a user means by a name, a run folder or a `.keras` file, without Keras.

    Raises:
        UsageError: no such name, or a file of something else.
        WeightsError: there is no such folder or file, or no model in it.
        DataError: what the file says of itself cannot be read.
    """
    if model in SEGMENTERS:
        path, name = weights_table.locate(model), model
    elif Path(model).is_dir():
        path = Path(model) / MODEL_FILE
        name = path.resolve().parent.name
        if not path.is_file():
            raise WeightsError(
                f"{model} holds no {MODEL_FILE}; give --model the folder of a training run"
            )
    elif model.endswith(".keras"):
        path = Path(model)
        name = path.name
        if not path.is_file():
            raise WeightsError(f"{path} does not exist; give --model a .keras file or a name")
    elif "/" in model or "\\" in model:
        raise WeightsError(f"{model} does not exist; give --model the folder of a training run")
    else:
        raise UsageError(
            f"there is no segmenter named {model!r}; use the folder of a run, a .keras file or "
            f"one of: {', '.join(SEGMENTERS)}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            inside = set(archive.namelist())
            if not {CLASSES_FILE, SETTINGS_FILE} <= inside:
                raise UsageError(
                    f"{path} is no segmenter of cnnkit train segment; it does not name its classes"
                )
            names = archive.read(CLASSES_FILE).decode("utf-8").splitlines()
            settings = json.loads(archive.read(SETTINGS_FILE))
    except (OSError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} cannot be loaded as a Keras model: {error}") from None
    except (ValueError, UnicodeDecodeError):
        raise DataError(f"{path}/{SETTINGS_FILE} is damaged; train or copy it again") from None
    if not isinstance(settings, dict) or settings.get("kind") != "segments":
        raise UsageError(
            f"{path} is no segmenter: it tells what whole pictures show; use cnnkit classify"
        )
    return SegmenterFile(path, name, tuple(name for name in names if name))
