"""``cnnkit classify`` and ``cnnkit evaluate classify``."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cnnkit.engine.batch import Batch, BatchSettings, BatchSize, JsonLines, Overwrite, Recursive
from cnnkit.engine.command import EngineSettings, PrintSettings, command
from cnnkit.engine.evaluator import (
    CLASS_FILES,
    AllClasses,
    check_report,
    report_option,
    show_evaluation,
)
from cnnkit.engine.observer import showing
from cnnkit.engine.settings import RUN_PANEL, Argument, Option, require_there
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.tasks.classify.settings import (
    DATA,
    ClassifySettings,
    EvaluateSettings,
    Model,
    ReadSettings,
)

if TYPE_CHECKING:
    from cnnkit.data.sources import Source
    from cnnkit.engine.classification import ClassEvaluation
    from cnnkit.tasks.classify.results import PictureClassification

# A file of the report of `evaluate classify`, where it takes pictures.
_MISTAKES = "mistakes.png"


@command
def classify(
    pictures: Annotated[
        list[str],
        Argument(
            "Files, folders, globs, @list.txt or - (stdin); .npy files for a model of arrays.",
            metavar="IMG...",
        ),
    ],
    model: Model = DEFAULT_CLASSIFIER,
    *,
    settings: ClassifySettings,
    read: ReadSettings,
    recursive: Recursive = False,
    fail_if_empty: Annotated[
        bool, Option("Exit with 4 when no class of any picture reaches --conf.", RUN_PANEL)
    ] = False,
    batch: BatchSize = 32,
    engine: EngineSettings,
    jsonl: JsonLines = False,
    printing: PrintSettings,
) -> int:
    """Tell what pictures show: the most probable classes of each.

    Examples:

      cnnkit classify cat.jpg

      cnnkit classify photos/ -r --group --top 1

      cnnkit classify cat.jpg --model runs/pets

      cnnkit classify photos/ -r --model runs/pets --top 1 --jsonl
    """
    from cnnkit.engine.model_file import ARRAYS
    from cnnkit.tasks.classify.files import check_classifier

    if settings.group and model != DEFAULT_CLASSIFIER:
        raise UsageError(f"--group is for --model {DEFAULT_CLASSIFIER}; {model} has no groups")
    file = check_classifier(model)
    suffixes = (".npy",) if file is not None and file.kind == ARRAYS else None
    console = printing.console()
    batch_settings = BatchSettings(jsonl=jsonl, recursive=recursive)
    job = Batch("classify", pictures, batch_settings, printing, console, suffixes=suffixes)

    def predict(sources: "Sequence[Source]") -> "Iterable[PictureClassification | CnnkitError]":
        engine.start(console, printing.verbose)
        from cnnkit.tasks.classify.predict import Classifier

        paths = [source.path for source in sources]
        classifier = Classifier(model, pixels=read.pixels, classes=read.classes)
        return classifier.classify_each(paths, settings, batch=batch, stdin=sys.stdin.buffer.read)

    return job.run(predict, fail_if_empty=fail_if_empty)


@command
def evaluate(
    data: Annotated[Path, DATA],
    model: Model = DEFAULT_CLASSIFIER,
    *,
    settings: EvaluateSettings,
    read: ReadSettings,
    all_classes: AllClasses = False,
    output: Annotated[Path | None, report_option(*CLASS_FILES, _MISTAKES)] = None,
    overwrite: Overwrite = False,
    batch: BatchSize = 32,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Tell labelled pictures apart: accuracy, calibration, and the figures of each class.

    A run does not remember which pictures it kept for validation: where DATA has no val and test
    folders of its own, the figures are of all pictures, those that it was trained on included.

    Example: cnnkit evaluate classify pets/ --model runs/pets -o report/
    """
    from cnnkit.engine.model_file import ARRAYS
    from cnnkit.tasks.classify.files import check_classifier

    check_report(output, overwrite, (*CLASS_FILES, _MISTAKES))
    file = check_classifier(model)
    require_there([data])
    console = printing.console()
    engine.start(console, printing.verbose)
    from cnnkit.tasks.classify.evaluate import evaluate_classify

    with showing(console) as observer:
        found = evaluate_classify(
            data,
            settings,
            model=model,
            pixels=read.pixels,
            classes=read.classes,
            batch=batch,
            observer=observer,
        )
    if settings.split is None and found.split == "all":
        console.note(
            f"{data} has no val and test folders, so these are all of its files: if the model was "
            "trained on some of them, it does worse on others"
        )
    has_pictures = file is None or file.kind != ARRAYS
    return show_evaluation(
        console,
        found,
        found.lines(all_classes),
        is_json=printing.json,
        folder=output,
        draw=lambda: {**found.files(), **(_mistakes(found) if has_pictures else {})},
        overwrite=overwrite,
    )


def _mistakes(found: "ClassEvaluation") -> Mapping[str, bytes]:
    from cnnkit.images import as_picture, encode_image
    from cnnkit.tasks.classify.evaluate import draw_worst

    sheet = draw_worst(found)
    return {} if sheet is None else {_MISTAKES: encode_image(as_picture(sheet, _MISTAKES), ".png")}
