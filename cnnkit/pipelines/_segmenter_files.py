"""Files of trained segmenters, without Keras."""

from cnnkit.errors import UsageError
from cnnkit.options import SEGMENTERS
from cnnkit.pipelines._model_files import ModelFile, describe_file, find_model_file
from cnnkit.weights import locate
from cnnkit.weights.keras_file import SEGMENTER_KIND


def find_segmenter_file(model: str) -> ModelFile:
    """The file that a user means by a name, a run folder or a `.keras` file.

    Raises:
        UsageError: no such name, or a file of something else.
        WeightsError: there is no such folder or file, or no model in it.
        DataError: what the file says of itself cannot be read.
    """
    remedy = (
        f"give --model the folder of a run of 'cnnkit train segment', or {', '.join(SEGMENTERS)}"
    )
    if model in SEGMENTERS:
        return describe_file(locate(model), model)
    file = find_model_file(model)
    if file is None:
        raise UsageError(f"there is no segmenter named {model!r}; {remedy}")
    if file.kind != SEGMENTER_KIND:
        raise UsageError(f"{file.name} is no segmenter; {remedy}")
    return file
