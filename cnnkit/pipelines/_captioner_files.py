"""Files of trained captioners, without Keras."""

from cnnkit.data.text import END, START, Vocabulary
from cnnkit.errors import DataError, UsageError
from cnnkit.options import CAPTIONERS
from cnnkit.pipelines._model_files import ModelFile, describe_file, find_model_file, read_inside
from cnnkit.weights import locate
from cnnkit.weights.keras_file import CAPTIONER_KIND, VOCABULARY_FILE


def find_captioner_file(model: str) -> ModelFile:
    """The file that a user means by a name, a run folder or a `.keras` file.

    Raises:
        UsageError: no such name, or a file of something else.
        WeightsError: there is no such folder or file, or no model in it.
        DataError: what the file says of itself cannot be read.
    """
    remedy = (
        f"give --model the folder of a run of 'cnnkit train caption', or {', '.join(CAPTIONERS)}"
    )
    if model in CAPTIONERS:
        return describe_file(locate(model), model)
    file = find_model_file(model)
    if file is None:
        raise UsageError(f"there is no captioner named {model!r}; {remedy}")
    if file.kind != CAPTIONER_KIND:
        raise UsageError(f"{file.name} is no captioner; {remedy}")
    return file


def read_vocabulary(file: ModelFile) -> Vocabulary:
    """The words that a captioner knows.

    Raises:
        DataError: its file has none that can be read.
    """
    where = f"{file.path}/{VOCABULARY_FILE}"
    for data in read_inside(file.path, VOCABULARY_FILE):
        try:
            vocabulary = Vocabulary.from_text(data.decode("utf-8"))
        except ValueError as error:
            raise DataError(f"{where} is damaged ({error}); train or copy it again") from None
        if not {START, END} <= set(vocabulary.tokens):
            raise DataError(f"{where} has no {START} and {END}; train or copy it again")
        return vocabulary
    raise DataError(f"{where} is missing; train or copy it again")
