"""Reads whole Keras models from `.keras` files, with one clear line for what is none."""

import contextlib
import json
import math
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.errors import DataError, ResourceError, WeightsError
from cnnkit.images import explain_missing, is_address, require_room

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
# And of what cnnkit puts beside them: a vocabulary of a million words has less.
_LONGEST_BESIDE = 50_000_000
# What reading a damaged archive raises, RuntimeError where it claims to be encrypted, or packed in
# a way that Python does not know.
DAMAGED_ARCHIVE = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


_KNOWN_PACKAGES = ("keras", "builtins", "cnnkit")
# Other formats of models, by their suffixes.
_FOREIGN = {
    ".tflite": "TensorFlow Lite", ".onnx": "ONNX", ".pb": "TensorFlow", ".pt": "PyTorch",
    ".pth": "PyTorch", ".safetensors": "safetensors", ".caffemodel": "Caffe",
}  # fmt: skip


def refuse_other_formats(model: str, option: str) -> None:
    """Says of a file of another format how to come by a `.keras` file; others are left alone.

    Args:
        model: what the user named.
        option: by which.

    Raises:
        WeightsError: it is such a file, a folder of TensorFlow's, or a URL.
    """
    path = Path(model)
    if is_address(model):
        raise WeightsError(explain_missing(model))
    if path.suffix.lower() in (".h5", ".hdf5"):
        if not path.is_file():
            raise WeightsError(explain_missing(model))
        code = (
            f"import keras; keras.models.load_model({path.name!r}, compile=False)"
            f".save({path.with_suffix('.keras').name!r})"
        )
        raise WeightsError(
            f"{model} is of Keras' old format, HDF5, which is not read; if you trust where it is "
            f'from, convert it once: python -c "{code}"'
        )
    kind = _FOREIGN.get(path.suffix.lower())
    if (path / "saved_model.pb").is_file():
        kind = "SavedModel"
    if kind is not None and path.exists():
        raise WeightsError(
            f"{model} is a model in the format {kind}, which is not read; give {option} a .keras "
            "file"
        )


def load_keras_file(path: str | Path, option: str) -> "keras.Model":
    """Loads a `.keras` file, not compiled. No code that it brings along is run.

    Args:
        path: of the file.
        option: how the user names such a file, for the message that it does not exist.

    Returns:
        The `keras.Model`.

    Raises:
        WeightsError: the file does not exist, or holds no model that can be read, or one with code
            or with layers that Keras does not have.
    """
    import keras

    path = Path(path)
    refuse_other_formats(str(path), option)
    if not path.is_file():
        raise WeightsError(f"{path} does not exist; give {option} a .keras file or a name")
    _refuse_large_config(path)
    _refuse_code(path)
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
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
    except DAMAGED_ARCHIVE:
        # Keras says what is wrong with it.
        return
    if large:
        raise WeightsError(f"{path} has a {large[0]} that is too large; copy the model again")


def _refuse_code(path: Path) -> None:
    """Refuses what a model brings along of its maker's own: code, and layers that only they have.

    Keras refuses code by itself, naming no layer; some of its versions import whatever module a
    file names.
    """
    from keras.saving import get_registered_object

    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (*DAMAGED_ARCHIVE, KeyError):
        # Keras says what is wrong with it.
        return
    waiting: list[tuple[Any, str]] = [(config, "")]
    while waiting:
        value, layer = waiting.pop()
        if isinstance(value, list):
            waiting += [(one, layer) for one in value]
        if not isinstance(value, dict):
            continue
        kind, module = value.get("class_name"), value.get("module")
        inner = value.get("config")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            layer = inner["name"]
        if kind == "__lambda__" or (kind == "Lambda" and _is_code(inner)):
            raise WeightsError(
                f"{path} has Python code of its maker in the layer {layer or kind!r}, which is "
                "never run; replace it by layers of Keras, and save the model again"
            )
        registered = value.get("registered_name")
        is_foreign = isinstance(module, str) and module.split(".")[0] not in _KNOWN_PACKAGES
        # Keras writes no module for what was registered or defined in the maker's own program.
        is_own = module is None and "module" in value and isinstance(registered, str)
        if (
            isinstance(kind, str)
            and (is_foreign or is_own)
            and get_registered_object(str(registered or kind)) is None
        ):
            raise WeightsError(
                f"{path} has a layer of its maker's own, {kind!r}"
                + (f" named {layer!r}" if layer else "")
                + (f" (of {module})" if is_foreign else "")
                + ", which is not here; build the model of Keras' layers, and save it again"
            )
        waiting += [(one, layer) for one in value.values()]


def _is_code(config: Any) -> bool:
    """Whether the settings of a Lambda layer hold code, and not the name of a function."""
    function = config.get("function") if isinstance(config, dict) else None
    return isinstance(function, list) or (
        isinstance(function, dict) and function.get("class_name") == "__lambda__"
    )


def is_own_file(path: str | Path) -> bool:
    """Whether a `.keras` file says what it expects of its input, as those of cnnkit do."""
    try:
        with zipfile.ZipFile(path) as archive:
            return SETTINGS_FILE in archive.namelist()
    except DAMAGED_ARCHIVE:
        return False


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
                data = file.read(_LONGEST_BESIDE + 1)
    except DAMAGED_ARCHIVE as error:
        raise WeightsError(f"{path} cannot be loaded as a Keras model: {error}") from None
    if len(data) > _LONGEST_BESIDE:
        raise WeightsError(f"{path} has a {name} that is too large; copy the model again")
    return (data,)


def _names(data: bytes, source: str) -> tuple[str, ...]:
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{source} is not a UTF-8 text file; give one name a line") from None
    return tuple(line.strip() for line in lines if line.strip())


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
