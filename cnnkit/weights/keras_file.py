"""Reads whole Keras models from `.keras` files, with one clear line for what is none."""

import contextlib
import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cnnkit.errors import ResourceError, WeightsError
from cnnkit.images import require_room

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
# What a file has beside the weights, in bytes.
_ROOM_BESIDE = 1e6
# Of a text inside, in bytes: the description of a network of thousands of layers has some millions.
_LONGEST_TEXT = 100_000_000


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
    _refuse_large_config(path)
    try:
        return keras.models.load_model(path, compile=False)
    except MemoryError:
        raise ResourceError(
            f"{path} does not fit into the memory; close other programs, or copy it again if it is "
            "small"
        ) from None
    except Exception as error:
        # Keras builds whatever objects the file names: a damaged one ends in any exception at all.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} cannot be loaded as a Keras model: {reason}") from error


def _refuse_large_config(path: Path) -> None:
    """Keras reads texts inside an archive whole, however far they were packed."""
    try:
        with zipfile.ZipFile(path) as archive:
            large = [
                one.filename
                for one in archive.infolist()
                if one.filename.endswith((".json", ".txt")) and one.file_size > _LONGEST_TEXT
            ]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        # Keras says what is wrong with it.
        return
    if large:
        raise WeightsError(f"{path} has a {large[0]} that is too large; copy the model again")


def write_keras_file(model: "keras.Model", path: Path, files: Mapping[str, bytes]) -> None:
    """Writes a `.keras` file, which is a ZIP archive, with more files in it; all or nothing.

    It is compressed, which Keras leaves out: weights that come from 16 bits shrink to two thirds.

    Args:
        model: functional; saved without its optimizer.
        path: where to.
        files: by their names in the archive.
    """
    import keras

    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    # As Keras writes it, and packed.
    with (
        writing_anew(path, 2 * size_of(model)) as temporary,
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".plain-") as folder,
    ):
        plain = Path(folder) / path.name
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


def size_of(model: "keras.Model") -> int:
    """Bytes of a model's weights."""
    return sum(4 * math.prod(variable.shape) for variable in model.variables)


@contextlib.contextmanager
def writing_anew(path: Path, size: float) -> Iterator[Path]:
    """A file that takes the place of another when it is whole, for libraries that write by name.

    HDF5 ends the process where a disk is full. So the room is looked for before.

    Args:
        path: of the file; its folder is there.
        size: that it will about have, in bytes.

    Yields:
        Where to write it.

    Raises:
        ResourceError: there is no room for it; the file of before is untouched.
    """
    require_room(path.parent, 1.02 * size + _ROOM_BESIDE)
    temporary = path.with_name(f"new-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be written: {error.strerror or error}; make room, or choose another "
            "folder"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
