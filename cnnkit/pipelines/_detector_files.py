"""Files of trained detectors, without Keras."""

from collections.abc import Sequence

from cnnkit.data._class_names import COCO_CLASSES
from cnnkit.errors import UsageError
from cnnkit.options import DEFAULT_DETECTOR, DETECTORS
from cnnkit.pipelines._model_files import ModelFile, describe_file, find_model_file
from cnnkit.weights import locate
from cnnkit.weights.keras_file import DETECTOR_KIND


def find_detector_file(model: str, option: str = "--model") -> ModelFile | None:
    """The file that a user means by a name, a run folder or a `.keras` file; None for Darknet's.

    Args:
        model: what was given.
        option: by which; for messages.

    Raises:
        UsageError: it is no name, folder or file.
        WeightsError: there is no such folder or file, no model in it, or weights were not fetched.
    """
    names = ", ".join(DETECTORS)
    remedy = f"give {option} the folder of a run of 'cnnkit train detect', or {names}"
    if model == DEFAULT_DETECTOR:
        return describe_file(locate(model), model)
    if model in DETECTORS:
        locate(model)
        return None
    file = find_model_file(model)
    if file is None:
        raise UsageError(f"there is no detector named {model!r}; {remedy}")
    if file.kind != DETECTOR_KIND:
        raise UsageError(f"{file.name} is no detector; {remedy}")
    return file


def default_names(classes: int) -> tuple[str, ...]:
    """Names of so many classes: COCO's eighty, or numbers.

    >>> default_names(80)[0], default_names(2)
    ('person', ('class 0', 'class 1'))
    """
    if len(COCO_CLASSES) == classes:
        return COCO_CLASSES
    return tuple(f"class {index}" for index in range(classes))


def check_classes(wanted: Sequence[str] | None, names: Sequence[str], model: str) -> None:
    """Refuses classes that a detector does not know; None stands for all.

    Raises:
        UsageError: there is one.
    """
    unknown = [name for name in wanted or () if name not in names]
    if unknown:
        some = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        raise UsageError(f"{model} knows no {unknown[0]!r}; it knows: {some}")
