"""Files of trained detectors, without Keras."""

from collections.abc import Sequence
from dataclasses import replace

from cnnkit.data._class_names import COCO_CLASSES
from cnnkit.engine.model_file import (
    ModelFile,
    describe_file,
    find_file_of_kind,
    find_model_file,
)
from cnnkit.errors import UsageError
from cnnkit.tasks.detect.settings import (
    DEFAULT_DETECTOR,
    DETECTORS,
    TRAINABLE_DETECTORS,
    TrainSettings,
)
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
    return find_file_of_kind(model, DETECTOR_KIND, "detector", remedy)


def class_names(model: str) -> tuple[str, ...]:
    """Names of the classes of a detector, without loading it; for errors see `find_detector_file`.

    >>> class_names("coco80")[:2]
    ('person', 'bicycle')
    """
    file = find_detector_file(model)
    return COCO_CLASSES if file is None else file.classes


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


def find_training_files(settings: TrainSettings) -> TrainSettings:
    """The same settings with the files that run folders stand for.

    Raises:
        UsageError: what is no detector is to be started from.
        WeightsError: there is no such folder or file, or weights were not fetched.
    """
    model, teacher, pretrained = settings.model, settings.teacher, settings.pretrained
    file = None if model in TRAINABLE_DETECTORS else find_model_file(model)
    known = None if teacher is None or teacher in DETECTORS else find_model_file(teacher)
    before = None
    if pretrained is not None:
        # A classifier, of yolov1.
        before = (
            find_model_file(pretrained)
            if model == "yolov1"
            else find_detector_file(pretrained, "--pretrained")
        )
        if before is None:
            raise UsageError(
                f"--pretrained takes a run folder or a .keras file, not {pretrained!r}"
            )
    if model == "efficientnet-lite0":
        # Before there is a run folder, which only --resume would go on with.
        locate(model)
    return replace(
        settings,
        model=model if file is None else str(file.path),
        teacher=teacher if known is None else str(known.path),
        pretrained=None if before is None else str(before.path),
    )
