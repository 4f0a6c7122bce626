"""``cnnkit classify``, ``cnnkit evaluate classify`` and ``cnnkit train classify``."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.console import Console
from cnnkit.engine.batch import Batch, BatchSettings, BatchSize, JsonLines, Overwrite, Recursive
from cnnkit.engine.command import EngineSettings, PrintSettings, command
from cnnkit.engine.evaluator import (
    CLASS_FILES,
    AllClasses,
    check_report,
    report_option,
    show_evaluation,
)
from cnnkit.engine.observer import Observer, showing
from cnnkit.engine.ray_job import ResumableRaySettings
from cnnkit.engine.settings import (
    AUGMENT_PANEL,
    DATA_PANEL,
    RUN_PANEL,
    Argument,
    Option,
    RunFolder,
    require_there,
)
from cnnkit.engine.train_command import SharedRunSettings, class_line, run_training_command
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.tasks.classify.settings import (
    DATA,
    PRETRAINED,
    ClassifySettings,
    EvaluateSettings,
    Model,
    ReadSettings,
    TrainSettings,
)
from cnnkit.weights import locate

if TYPE_CHECKING:
    from cnnkit.data.sources import Source
    from cnnkit.engine.classification import ClassEvaluation
    from cnnkit.engine.classifier_training import TrainedClassifier
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
    ray: ResumableRaySettings,
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


@command
def train(
    context: typer.Context,
    data: Annotated[
        Path | None,
        Argument(
            "A folder per class, train/ and val/ folders of those, or a .csv with file and label.",
            metavar="DATA",
        ),
    ] = None,
    *,
    output: RunFolder = Path("runs/classify"),
    settings: TrainSettings,
    preview_augment: Annotated[
        Path | None,
        Option("Only draw what pictures are changed to.", AUGMENT_PANEL, metavar="OUT.png"),
    ] = None,
    skip_bad: Annotated[
        bool,
        Option(
            "Leave out training pictures that are in another split, and go on where most files "
            "cannot be read.",
            DATA_PANEL,
        ),
    ] = False,
    run: SharedRunSettings,
    printing: PrintSettings,
) -> int:
    """Train a classifier on your own pictures, signals or volumes.

    Without further options a new softmax is trained on the shipped network: seconds to minutes on
    a laptop. The run folder gets model.keras (take it with classify, evaluate, visualize), curves,
    the confusion matrix and the worst mistakes. Ctrl-C keeps the best so far.

    Examples:

      cnnkit train classify flowers/ -o runs/flowers

      cnnkit train classify flowers/ --transfer all --epochs 30 -o runs/flowers-all

      cnnkit train classify --resume -o runs/flowers-all --epochs 40

      KERAS_BACKEND=jax srun cnnkit train classify big/ --transfer all --batch 512 -o runs/big
    """
    run.check_data(data, "a folder with one folder per class, or a .csv")
    if preview_augment is not None:
        if data is None:
            raise UsageError("--preview-augment needs DATA, a folder with one folder per class")
        _preview(data, settings, preview_augment, printing.console())
        return 0
    if settings.model in PRETRAINED and settings.regime != "scratch":
        # Before there is a run folder, which only --resume would go on with.
        locate(PRETRAINED[settings.model])
    labelled = None
    if data is not None and run.cluster is None and not run.resume:
        # What is no data set is said before the engine is loaded.
        from cnnkit.data.labelled import read_labelled

        labelled = read_labelled(
            data, val_share=settings.val_share, per_class=settings.per_class, seed=settings.seed
        )

    def fit(data: str | Path, settings: TrainSettings, observer: Observer) -> "TrainedClassifier":
        from cnnkit.tasks.classify.train import train_classifier

        return train_classifier(
            data,
            output,
            settings,
            labelled=labelled,
            resume=run.resume,
            skip_bad=skip_bad,
            devices=run.devices,
            observer=observer,
        )

    return run_training_command(
        context,
        data,
        output,
        settings,
        run,
        printing,
        train=fit,
        epoch_line=lambda epoch, row, settings: class_line(epoch, row, settings.total_epochs),
        score=("val_accuracy", "accuracy"),
        try_next="classify photo.jpg",
    )


def _preview(data: Path, settings: TrainSettings, output: Path, console: Console) -> None:
    """Draws what augmentation makes of some pictures; no network is needed for that."""
    import numpy as np

    from cnnkit.data.augmentation import augment
    from cnnkit.data.labelled import read_labelled
    from cnnkit.images import Picture, read_pixels, write_image
    from cnnkit.plots import draw_augmented

    if output.exists():
        raise UsageError(f"{output} exists; give --preview-augment another name")
    labelled = read_labelled(
        data, val_share=settings.val_share, per_class=settings.per_class, seed=settings.seed
    )
    if labelled.kind != "pictures":
        raise UsageError("--preview-augment is for pictures; arrays are not augmented")
    side = settings.size or 160
    random = np.random.default_rng(settings.seed)
    step = max(1, len(labelled.train) // 6)
    originals = [read_pixels(path) for path in labelled.train.paths[::step][:6]]
    variants = [
        [augment(pixels, (side, side), settings.changes, random) for _ in range(7)]
        for pixels in originals
    ]
    sheet = draw_augmented(originals, variants)
    write_image(output, Picture(sheet.astype(np.float32) / 255.0), overwrite=False)
    console.result(str(output))
