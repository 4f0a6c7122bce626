"""Files of trained segmenters and the names of their classes, without Keras."""

import difflib
from collections.abc import Sequence

from cnnkit.data._class_names import VOC_CLASSES
from cnnkit.engine.model_file import ModelFile, describe_file, find_model_file
from cnnkit.errors import UsageError
from cnnkit.options import DEFAULT_SEGMENTER, SEGMENTERS
from cnnkit.weights import locate
from cnnkit.weights.keras_file import SEGMENTER_KIND


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
    file = find_model_file(model)
    if file is None:
        raise UsageError(f"there is no segmenter named {model!r}; {remedy}")
    if file.kind != SEGMENTER_KIND:
        raise UsageError(f"{file.name} is no segmenter; {remedy}")
    return file


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
