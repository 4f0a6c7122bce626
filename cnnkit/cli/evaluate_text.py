"""``cnnkit evaluate text``: how good a classifier of texts is."""

from pathlib import Path
from typing import Annotated

import typer

from cnnkit.cli._class_report import (
    CLASS_FILES,
    AllClasses,
    class_lines,
    class_report,
    write_classes,
)
from cnnkit.cli._inference import start_inference
from cnnkit.cli._options import (
    OUTPUT_PANEL,
    Device,
    Engine,
    Json,
    Overwrite,
    Quiet,
    Threads,
    Verbose,
    require_there,
)
from cnnkit.cli._text import LabelColumn, TextBatch, TextColumn, TextModel
from cnnkit.console import Console
from cnnkit.engine.evaluator import check_report
from cnnkit.engine.settings import SPLITS, check_split
from cnnkit.results import SCHEMA


def text(
    data: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="Texts, their labels, perhaps their split.")
    ],
    model: TextModel,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(SPLITS),
            help="Part of the data.",
            show_default="test where the file has it, else val, else all",
        ),
    ] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    all_classes: AllClasses = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Write report.json, predictions.csv, mistakes.csv, confusion.png and "
            "calibration.png here.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Overwrite = False,
    batch: TextBatch = 32,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Tell labelled texts apart: accuracy, calibration, and the figures of each class.

    A run does not remember which texts it kept for validation: where no column split says so, the
    figures are of all texts, those that it was trained on included.

    Example: cnnkit evaluate text test.csv --model runs/mail -o report/
    """
    console = Console(quiet=quiet, verbose=verbose)
    check_split(split)
    check_report(output, overwrite, (*CLASS_FILES, "mistakes.csv"))
    from cnnkit.pipelines._text_files import find_text_file

    require_there([data])
    file = find_text_file(model)
    start_inference(console, engine, threads=threads, device=device, verbose=verbose)
    from cnnkit.pipelines._text_predictor import TextPredictor
    from cnnkit.pipelines.evaluate_text import evaluate_texts, mistakes_table, read_known_texts

    texts = read_known_texts(data, file, text_column, label_column)
    evaluation = evaluate_texts(TextPredictor(model), texts, split, batch=batch)
    if split is None and evaluation.split == "all":
        console.note(
            f"{data} does not say which rows are for val and test, so these are all: if the model "
            "was trained on some of them, it does worse on others"
        )
    report = class_report(evaluation)
    if output is not None:
        mistakes = {"mistakes.csv": mistakes_table(texts, evaluation)}
        names = write_classes(output, evaluation, report, mistakes, "text", overwrite)
        console.note(f"{output}: {', '.join(names)}")
    if json:
        console.json({"schema": SCHEMA, **report})
    else:
        for line in class_lines(evaluation, all_classes):
            console.result(line)
    return 0
