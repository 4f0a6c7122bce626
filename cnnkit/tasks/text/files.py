"""Files of trained classifiers of texts, without Keras."""

import json
from dataclasses import dataclass
from pathlib import Path

from cnnkit.data.tables import TableEncoder
from cnnkit.data.text import Vocabulary
from cnnkit.engine.model_file import find_file_of_kind
from cnnkit.errors import DataError
from cnnkit.weights.keras_file import SETTINGS_FILE, TEXT_KIND, VOCABULARY_FILE, read_inside


@dataclass(frozen=True)
class TextFile:
    """A `.keras` file of a classifier of texts, and what it says of itself.

    Attributes:
        path: of the file.
        name: for people; of a run the name of its folder.
        classes: their names.
        vocabulary: the tokens it knows.
        length: tokens that it reads of each text.
        encoder: of the table columns that it takes beside the text.
        text_column: name of the column that the texts were in.
        label_column: of that with the labels.
    """

    path: Path
    name: str
    classes: tuple[str, ...]
    vocabulary: Vocabulary
    length: int
    encoder: TableEncoder
    text_column: str
    label_column: str


def find_text_file(model: str) -> TextFile:
    """The file that a user means by a run folder or a `.keras` file.

    Raises:
        UsageError: a file of something else.
        WeightsError: there is no such folder or file, or no model in it.
        DataError: what the file says of itself cannot be read.
    """
    remedy = "give --model the folder of a run of 'cnnkit train text'"
    file = find_file_of_kind(model, TEXT_KIND, "classifier of texts", remedy)
    try:
        (described,) = read_inside(file.path, SETTINGS_FILE)
        (words,) = read_inside(file.path, VOCABULARY_FILE)
        settings = json.loads(described)
        return TextFile(
            file.path,
            file.name,
            file.classes,
            Vocabulary.from_text(words.decode("utf-8")),
            int(settings["length"]),
            TableEncoder.from_json(settings["table"]),
            settings["text_column"],
            settings["label_column"],
        )
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise DataError(f"{file.path} is damaged ({error}); train or copy it again") from None
