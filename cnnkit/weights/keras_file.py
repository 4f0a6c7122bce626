"""Reads whole Keras models from `.keras` files, with one clear line for what is none."""

import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cnnkit.errors import WeightsError

if TYPE_CHECKING:
    import keras

# The model in the folder of a training run, and what lies inside it, or beside it: names of the
# classes, one a line, in the order of the outputs; and what it expects of its input.
MODEL_FILE = "model.keras"
CLASSES_FILE = "classes.txt"
SETTINGS_FILE = "settings.json"
# What a model is that is no classifier, as its settings say.
DETECTOR_KIND, SEGMENTER_KIND = "detector", "segments"
CAPTIONER_KIND = "captions"
TEXT_KIND = "text"
# Inside and beside a model of texts: what it takes them as.
VOCABULARY_FILE = "vocabulary.txt"


def load_keras_file(path: str | Path, option: str) -> "keras.Model":
    """Loads a `.keras` file, not compiled.

    Args:
        path: of the file.
        option: how the user names such a file, for the message that it does not exist.

    Returns:
        The `keras.Model`.

    Raises:
        WeightsError: the file does not exist, or holds no model that can be read.
    """
    import keras

    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path} does not exist; give {option} a .keras file or a name")
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} cannot be loaded as a Keras model: {reason}") from None


def write_keras_file(model: "keras.Model", path: Path, files: Mapping[str, bytes]) -> None:
    """Writes a `.keras` file, which is a ZIP archive, with more files in it; all or nothing.

    It is compressed, which Keras leaves out: weights that come from 16 bits shrink to two thirds.

    Args:
        model: functional; saved without its optimizer.
        path: where to.
        files: by their names in the archive.
    """
    import keras

    plain = path.with_name(f"plain-{path.name}")
    temporary = path.with_name(f"new-{path.name}")
    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    keras.Model(inputs, model.outputs[0], name=model.name).save(plain)
    with (
        zipfile.ZipFile(plain) as saved,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for entry in saved.infolist():
            with saved.open(entry) as source, archive.open(entry.filename, "w") as target:
                shutil.copyfileobj(source, target)
        for name, content in files.items():
            archive.writestr(name, content)
    plain.unlink()
    temporary.replace(path)
