"""Files of trained segmenters and the names of their classes, without Keras."""

import difflib
from collections.abc import Sequence
from dataclasses import replace

from cnnkit.data._class_names import VOC_CLASSES
from cnnkit.engine.model_file import (
    ModelFile,
    describe_file,
    find_file_of_kind,
    find_model_file,
)
from cnnkit.errors import UsageError
from cnnkit.tasks.segment.settings import DEFAULT_SEGMENTER, SEGMENTERS, TrainSettings
from cnnkit.weights import locate
from cnnkit.weights.keras_file import SEGMENTER_KIND

# Of DeepLab's file, in TensorFlow Lite's format.
DEEPLAB_SUFFIX = ".tflite"
# Backbones whose weights are files of their own.
_LOCATED_BACKBONES = ("vgg16", "mobilenet-v2", "efficientnet-lite0")


def find_segmenter_file(model: str, option: str = "--model") -> ModelFile:
    """The file that a user means by a name, a run folder or a `.keras` file.

    Args:
        model: what was given.
        option: by which; for messages.

    Raises:
        UsageError: no such name, or a file of something else.
        WeightsError: there is no such folder or file, or no model in it.
        DataError: what the file says of itself cannot be read.
    """
    remedy = (
        f"give {option} the folder of a run of 'cnnkit train segment', or {', '.join(SEGMENTERS)}"
    )
    if model == DEFAULT_SEGMENTER:
        return describe_file(locate(model), model)
    if model in SEGMENTERS:
        return ModelFile(locate(model), model, VOC_CLASSES, SEGMENTER_KIND, None)
    return find_file_of_kind(model, SEGMENTER_KIND, "segmenter", remedy)


def find_training_files(settings: TrainSettings) -> TrainSettings:
    """The same settings with the files that names and run folders stand for.

    Raises:
        UsageError: there is no such network, or it is nothing to start from.
        WeightsError: there is no such folder or file, or weights were not fetched.
    """
    start, teacher = settings.start, settings.teacher
    if start is not None:
        path = str(find_segmenter_file(start, "--start").path)
        if not path.endswith(".keras"):
            raise UsageError(f"--start takes an FCN, which {start} is not; use --teacher {start}")
        start = path
    if teacher in SEGMENTERS:
        teacher = str(find_segmenter_file(teacher).path)
    elif teacher is not None and not teacher.endswith(DEEPLAB_SUFFIX):
        # It may be of another program.
        file = find_model_file(teacher)
        if file is None:
            raise UsageError(f"--teacher takes a run folder or a .keras file, not {teacher!r}")
        teacher = str(file.path)
    if settings.backbone in _LOCATED_BACKBONES:
        # Before there is a run folder, which only --resume would go on with.
        locate(settings.backbone)
    return replace(settings, start=start, teacher=teacher)


def find_classes(labels: str, names: Sequence[str], option: str) -> tuple[int, ...]:
    """Numbers of the classes that a user names, with commas between them.

    Raises:
        UsageError: there is no class of that name.
    """
    found = []
    for label in (part.strip() for part in labels.split(",")):
        if label not in names:
            nearest = difflib.get_close_matches(label, names, n=1, cutoff=0.0)[0]
            raise UsageError(
                f"{option}: there is no class {label!r}; did you mean {nearest}? "
                f"There are: {', '.join(names)}"
            )
        found.append(names.index(label))
    return tuple(found)
