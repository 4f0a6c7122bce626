"""What an export asks for, checked before Keras is there."""

import importlib.util
from pathlib import Path

from cnnkit.errors import UsageError
from cnnkit.weights.keras_file import CLASSES_FILE

# Of the files; a SavedModel is a folder.
SUFFIXES = {"keras": ".keras", "savedmodel": "", "onnx": ".onnx", "tflite": ".tflite"}

_OF_SAVEDMODEL = "saved_model.pb"


def names_file(target: Path) -> Path:
    """Where the names of the classes are written beside an exported file."""
    return target.with_name(f"{target.stem}-{CLASSES_FILE}")


def check_export(format: str, output: str | Path, overwrite: bool = False) -> None:
    """Raises `UsageError` for what can be told before the model is loaded; see `export`."""
    if format not in SUFFIXES:
        raise UsageError(f"--format must be one of {', '.join(SUFFIXES)}, not {format}")
    target = Path(output)
    if format != "savedmodel" and target.suffix.lower() != SUFFIXES[format]:
        raise UsageError(f"--format {format} writes a {SUFFIXES[format]} file, not {target}")
    if format == "savedmodel" and target.suffix:
        raise UsageError(
            f"--format savedmodel writes a folder; give -o a name without {target.suffix}"
        )
    if target.exists():
        if not overwrite:
            raise UsageError(f"{target} exists; use --overwrite or another -o")
        if target.is_dir() and not (target / _OF_SAVEDMODEL).is_file():
            raise UsageError(f"{target} is a folder but no SavedModel; give another -o")
    if format in ("onnx", "tflite") and names_file(target).exists() and not overwrite:
        raise UsageError(f"{names_file(target)} exists; use --overwrite or another -o")
    if format == "onnx":
        missing = [name for name in ("tf2onnx", "onnx") if not importlib.util.find_spec(name)]
        if missing:
            raise UsageError(
                f'--format onnx needs {" and ".join(missing)}; run: pip install "cnnkit[onnx]"'
            )
