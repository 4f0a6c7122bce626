"""Files of trained detectors, without Keras."""

from cnnkit.errors import UsageError
from cnnkit.pipelines._classifier_files import ClassifierFile, find_classifier_file


def find_detector_file(model: str | None) -> ClassifierFile:
    """The file that a user means by a run folder or a `.keras` file.

    Raises:
        UsageError: none was named, or it is no folder and no file.
        WeightsError: there is no such folder or file, or no model in it.
    """
    remedy = "give --model the folder of a run of 'cnnkit train detect'"
    if model is None:
        raise UsageError(f"no detector comes with cnnkit yet; {remedy}")
    file = find_classifier_file(model)
    if file is None:
        raise UsageError(f"there is no detector named {model!r}; {remedy}")
    if file.kind != "detector":
        raise UsageError(f"{file.name} is no detector; {remedy}")
    return file
