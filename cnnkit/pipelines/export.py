"""Trained classifiers in the formats of other programs, each checked against the original."""

import contextlib
import errno
import importlib.util
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from cnnkit.engine.model_file import ARRAYS, find_model_file
from cnnkit.errors import CnnkitError, ResourceError, UsageError
from cnnkit.images import write_bytes
from cnnkit.models._pixel_range import PIXELS
from cnnkit.pipelines import _exported_tensorflow as tensorflow_formats
from cnnkit.pipelines._export_checks import SUFFIXES, check_export, names_file
from cnnkit.results import ExportedModel
from cnnkit.runtime import silent_stderr
from cnnkit.tasks.classify.files import ClassifierFile
from cnnkit.tasks.classify.network import divide_logits, load_classifier_model
from cnnkit.weights.keras_file import CLASSES_FILE

TOLERANCE = 1e-3

_KERAS_NAMES = {"savedmodel": "tf_saved_model", "onnx": "onnx", "tflite": "litert"}
_CHECKED = 4
# Of the random inputs along axes of any size.
_SIDE = 96


def export(
    model: str | Path,
    output: str | Path,
    *,
    format: str,
    overwrite: bool = False,
    on_note: Callable[[str], None] | None = None,
) -> ExportedModel:
    """Writes a trained classifier in another format, and compares both on random inputs.

    The network is exported as it is: what it expects of pictures does not change.

    Args:
        model: the folder of a run of `cnnkit train classify`, a `.keras` file, or another of
            `options.CLASSIFIERS`.
        output: the file; of a SavedModel the folder.
        format: "keras", "savedmodel" (TensorFlow), "onnx" or "tflite" (LiteRT).
        overwrite: replace what is there.
        on_note: called with what a user may want to know.

    Returns:
        An `ExportedModel`. The names of the classes stand in a text file beside it, of a
        SavedModel inside the folder; a `.keras` file has them inside.

    Raises:
        UsageError: an unknown format, a package that is missing, another backend than TensorFlow,
            or an output that exists.
        WeightsError: the classifier's weights are not here.
        CnnkitError: the model cannot be converted, or gives other results than the original:
            nothing is written then.
    """
    check_export(format, output, overwrite)
    target = Path(output)
    if format != "keras" and keras.backend.backend() != "tensorflow":
        raise UsageError(
            f"--format {format} needs Keras on TensorFlow; unset KERAS_BACKEND "
            f"(it is {keras.backend.backend()})"
        )
    say = on_note or (lambda _: None)
    trained = load_classifier_model(str(model))
    network, classifier = trained.model, trained.file
    if classifier.calibration is not None:
        divide_logits(network, classifier.calibration.temperature)
    with _beside(target) as folder:
        made = folder / f"model{SUFFIXES[format]}"
        with silent_stderr(), _failures_as_one_line(classifier.name, format):
            # First: Keras exports no model that was never called.
            batch = _random_inputs(classifier)
            expected = keras.ops.convert_to_numpy(network(batch, training=False))
            if format == "keras":
                _write_keras(network, classifier, str(model), made)
            else:
                plain = (
                    {"target_spec": tensorflow_formats.plain_tflite_operations()}
                    if format == "tflite"
                    else {}
                )
                network.export(str(made), format=_KERAS_NAMES[format], verbose=False, **plain)
            found = _run(made, format, batch)
        difference = None if found is None else float(np.abs(found - expected).max())
        if difference is not None and not difference <= TOLERANCE:
            raise CnnkitError(
                f"{classifier.name} as {format} gives other probabilities, by up to "
                f"{difference:.2g}; nothing was written"
            )
        size = _size(made)
        names_path = _write_names(classifier, made, target, format, overwrite)
        _move(made, target, overwrite)
    if difference is None:
        say(f"{target} is not checked: onnxruntime, which would run it, is not installed")
    return ExportedModel(
        str(target),
        format,
        size,
        difference,
        classifier.input_shape,
        None if names_path is None else str(names_path),
        classifier.name,
    )


@contextlib.contextmanager
def _failures_as_one_line(name: str, format: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # Of the converters' own old ways, which a user cannot mend.
            warnings.simplefilter("ignore")
            yield
    except CnnkitError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise ResourceError(
                f"the disk has no room for {name} as {format}; make room, or give another -o"
            ) from None
        # Converters raise whatever they like for a layer that they do not know.
        lacking = sorted(set(re.findall(r"'tf\.(\w+)' op", str(error))))
        reason = (
            f"the format has no {', '.join(lacking)}"
            if lacking
            else (str(error).strip().splitlines() or [type(error).__name__])[0]
        )
        raise CnnkitError(
            f"{name} cannot be exported as {format}: {reason}; use another --format"
        ) from error


def _write_keras(network: keras.Model, classifier: ClassifierFile, model: str, path: Path) -> None:
    file = find_model_file(model)
    if file is not None:
        # With the names and settings inside.
        shutil.copyfile(file.path, path)
        return
    network.save(path)
    if classifier.names:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(CLASSES_FILE, "".join(f"{name}\n" for name in classifier.names))


def _write_names(
    classifier: ClassifierFile, made: Path, target: Path, format: str, overwrite: bool
) -> Path | None:
    """Puts the names of the classes beside a file, or into the folder that was made."""
    if not classifier.names or format == "keras":
        return None
    names = "".join(f"{name}\n" for name in classifier.names).encode()
    if format == "savedmodel":
        write_bytes(made / CLASSES_FILE, names)
        return target / CLASSES_FILE
    path = names_file(target)
    write_bytes(path, names, overwrite=overwrite)
    return path


def _random_inputs(classifier: ClassifierFile) -> np.ndarray:
    generator = np.random.default_rng(0)
    shape = (_CHECKED, *(_SIDE if axis is None else axis for axis in classifier.input_shape))
    if classifier.kind == ARRAYS:
        return generator.normal(size=shape).astype(np.float32)
    # Dark and light, of any colour: random pixels alone all look the same to a network.
    colors = generator.random((_CHECKED, *[1] * (len(shape) - 2), shape[-1]))
    factor, offset = PIXELS[classifier.pixels]
    pictures = 0.7 * colors + 0.3 * generator.random(shape)
    return (factor * pictures + offset).astype(np.float32)


def _run(path: Path, format: str, batch: np.ndarray) -> np.ndarray | None:
    """What a file makes of inputs; None where nothing is here to run it."""
    if format == "keras":
        model = keras.models.load_model(path, compile=False)
        return keras.ops.convert_to_numpy(model(batch, training=False))
    if format == "savedmodel":
        return tensorflow_formats.run_savedmodel(path, batch)
    if format == "tflite":
        return tensorflow_formats.run_tflite(path, batch)
    import onnx

    # A converter may leave in an operation that ONNX does not have.
    onnx.checker.check_model(str(path))
    if not importlib.util.find_spec("onnxruntime"):
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})[0]


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(file.stat().st_size for file in files)


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary folder on the disk of the target, so that its last step is a mere renaming."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name[:40]}.")
    except OSError as error:
        raise CnnkitError(
            f"{target} cannot be written: {error.strerror or error}; give another -o"
        ) from None
    with folder as path:
        yield Path(path)


def _move(made: Path, target: Path, overwrite: bool) -> None:
    if made.is_file():
        # With the rights of any other file, not those of a temporary one.
        write_bytes(target, made.read_bytes(), overwrite=overwrite)
        return
    try:
        if target.exists() and overwrite:
            target.rename(made.with_name("old"))
        # Of a folder that is not empty nothing takes the place.
        made.rename(target)
    except OSError:
        raise CnnkitError(
            f"{target} exists, and is left as it is; use --overwrite or another -o"
        ) from None
