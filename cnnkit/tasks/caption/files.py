"""Files of trained captioners, without Keras."""

import json
from collections.abc import Mapping
from typing import Any

from cnnkit.data.text import END, START, Vocabulary
from cnnkit.engine.model_file import ModelFile, describe_file, find_file_of_kind
from cnnkit.errors import DataError, WeightsError
from cnnkit.tasks.caption.settings import BACKBONES, CAPTIONERS
from cnnkit.weights import fingerprint, locate
from cnnkit.weights.keras_file import CAPTIONER_KIND, SETTINGS_FILE, VOCABULARY_FILE, read_inside


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
    return find_file_of_kind(model, CAPTIONER_KIND, "captioner", remedy)


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


def read_captioner_settings(file: ModelFile) -> Mapping[str, Any]:
    """What a captioner's file says of its encoder and of its answers.

    - `backbone` and `side`: what it sees with, and the side of the pictures; files of before there
      were several backbones have none, and their encoder inside.
    - `backbone_hash`: of the weights that are not inside.
    - `least_likelihood`, `least_name_probability`: at which it is sure of an answer; see
      `CaptionCandidate`. `least_likelihood_apart`: the first of these for sentences that have no
      word of what the encoder's classifier calls the thing.
    - `least_likelihood_unnamed`, `least_name_to_say`: where such a sentence is less probable than
      the one, and the name more than the other, the name alone is said.

    Raises:
        DataError: the file's settings make no sense.
        WeightsError: the weights of the backbone are missing, or others than it was trained on.
    """
    settings: Mapping[str, Any] = {}
    for data in read_inside(file.path, SETTINGS_FILE):
        settings = json.loads(data)
    backbone, side = settings.get("backbone", "compact"), settings.get("side", 32)
    limits = [settings[name] for name in settings if name.startswith("least_")]
    if (
        backbone not in BACKBONES
        or not (isinstance(side, int) and side >= 32)
        or not all(isinstance(limit, int | float) for limit in limits)
    ):
        raise DataError(
            f"{file.path}/{SETTINGS_FILE} is damaged, or of a later version of cnnkit; train or "
            "copy it again"
        )
    wanted = settings.get("backbone_hash")
    if wanted is not None and fingerprint(locate(backbone)) != wanted:
        raise WeightsError(
            f"{file.name} was trained on other weights of {backbone} than those that are "
            "installed; install the version of cnnkit that it was trained with, or train it again"
        )
    return settings
