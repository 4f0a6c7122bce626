"""Options of the commands that use a trained classifier, and quick checks of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.engine.batch import BatchSize
from cnnkit.engine.command import option_type
from cnnkit.errors import UsageError
from cnnkit.options import CLASSIFIER_WEIGHTS, CLASSIFIERS

if TYPE_CHECKING:
    from cnnkit.engine.model_file import ModelFile

Classifier = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="RUN|FILE.keras|NAME",
        help=f"The folder of a training run, a Keras model, or {', '.join(CLASSIFIERS)}.",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Names of the classes, one a line, in the order of the outputs.",
        show_default="classes.txt in or beside the model",
    ),
]
ClassifierPixels = Annotated[
    str,
    typer.Option(
        help="What a .keras file that does not say so expects: unit [0, 1], byte [0, 255] or "
        "signed [-1, 1].",
    ),
]
Batch = option_type("batch", BatchSize, 8)


def check_classifier(model: str) -> "ModelFile | None":
    """Says at once what is wrong with a classifier, before Keras is imported.

    Returns:
        What its file says of itself; None for one with a name.
    """
    if model in CLASSIFIER_WEIGHTS:
        from cnnkit.weights import locate

        locate(CLASSIFIER_WEIGHTS[model])
        return None
    from cnnkit.engine.model_file import find_model_file
    from cnnkit.weights.keras_file import TEXT_KIND

    file = find_model_file(model)
    if file is None and model not in CLASSIFIERS:
        raise UsageError(
            f"there is no classifier named {model!r}; use the folder of a run, a .keras file or "
            f"one of: {', '.join(CLASSIFIERS)}"
        )
    if file is not None and file.kind == TEXT_KIND:
        raise UsageError(
            f"{file.name} takes texts, not pictures; use classify-text or evaluate text"
        )
    return file
